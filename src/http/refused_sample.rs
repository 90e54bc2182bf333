//! Which refused notifications are logged. Anybody can send them, so all are counted, and the log
//! gets a sample that has the same length however many come.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Duration, Utc};

/// How many are logged in each [`WINDOW`].
const LOGGED_MAX: u32 = 10;
const WINDOW: Duration = Duration::minutes(1);

/// Remembers what was logged lately.
#[derive(Debug, Default)]
pub(super) struct RefusedSample {
    window: Mutex<Option<Window>>,
}

#[derive(Debug)]
struct Window {
    since: DateTime<Utc>,
    logged: u32,
}

impl RefusedSample {
    /// Whether one that came now belongs to the sample. A clock that was set back starts anew.
    pub(super) fn takes(&self, now: DateTime<Utc>) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *window {
            Some(Window { since, logged }) if (*since..*since + WINDOW).contains(&now) => {
                *logged = logged.saturating_add(1);
                *logged <= LOGGED_MAX
            }
            _ => {
                *window = Some(Window { since: now, logged: 1 });
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Duration};

    use super::{LOGGED_MAX, RefusedSample, WINDOW};

    #[test]
    fn a_flood_leaves_a_sample_of_bounded_size() {
        let (sample, start) = (RefusedSample::default(), DateTime::UNIX_EPOCH);
        let taken = |at| (0..10_000).filter(|_| sample.takes(at)).count();
        assert_eq!(taken(start), LOGGED_MAX as usize);
        assert_eq!(taken(start + WINDOW - Duration::milliseconds(1)), 0);
        assert_eq!(taken(start + WINDOW), LOGGED_MAX as usize);
        assert_eq!(taken(start - WINDOW), LOGGED_MAX as usize);
    }
}
