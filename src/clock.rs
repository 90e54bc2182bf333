//! The clock, injected: the system's, or one that tests move by hand.

use std::sync::Mutex;
use std::sync::PoisonError;

use chrono::{DateTime, Duration, Utc};

use crate::domain::to_millis;

/// Tells the time, cut to whole milliseconds.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The time now.
    fn now(&self) -> DateTime<Utc>;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    fn now(&self) -> DateTime<Utc> {
        to_millis(Utc::now())
    }
}

/// The system's clock plus an offset that only [`ManualClock::advance`] changes.
#[derive(Debug, Default)]
pub struct ManualClock {
    offset: Mutex<Duration>,
}

impl ManualClock {
    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let mut offset = self.offset.lock().unwrap_or_else(PoisonError::into_inner);
        *offset = offset.checked_add(&by).unwrap_or(*offset);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        let offset = *self.offset.lock().unwrap_or_else(PoisonError::into_inner);
        let now = SystemClock.now();
        now.checked_add_signed(offset).unwrap_or(now)
    }
}
