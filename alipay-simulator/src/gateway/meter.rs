//! How often the application may call.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::Method;

/// Counts the calls of each method in the current second.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    counts: Mutex<HashMap<&'static str, (i64, u32)>>,
}

impl Meter {
    /// Whether one more call is admitted now; one that isn't doesn't count.
    pub(super) fn admits(&self, method: Method, now: DateTime<Utc>, most: Option<u32>) -> bool {
        let Some(most) = most else { return true };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let (second, count) = counts.entry(method.name()).or_default();
        if *second != now.timestamp() {
            (*second, *count) = (now.timestamp(), 0);
        }
        *count += u32::from(*count <= most);
        *count <= most
    }
}
