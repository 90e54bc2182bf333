//! Makes fresh ids: ULIDs, ordered by time and with 80 random bits.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use rand::Rng;
use rand::rngs::StdRng;
use ulid::Ulid;

/// A source of fresh ids; its randomness is injected.
#[derive(Debug)]
pub struct Ids {
    rng: Mutex<StdRng>,
}

impl Ids {
    /// Ids that nobody can guess.
    #[must_use]
    pub fn from_entropy() -> Self {
        Self { rng: Mutex::new(rand::make_rng()) }
    }

    /// A fresh ULID.
    pub fn fresh(&self, now: DateTime<Utc>) -> String {
        let mut bytes = [0; 16];
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        let ms = u64::try_from(now.timestamp_millis()).unwrap_or(0);
        Ulid::from_parts(ms, u128::from_be_bytes(bytes)).to_string()
    }
}
