//! The one source of time: the system's clock plus an offset that tests move.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Duration, DurationRound, FixedOffset, NaiveDateTime, Utc};

const CHINA_OFFSET_SECONDS: i32 = 8 * 3600;
const WIRE_FORMAT: &str = "%Y-%m-%d %H:%M:%S";

/// A clock that can be advanced, and set back.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    offset_ms: AtomicI64,
}

impl Clock {
    pub(crate) fn new(offset_ms: i64) -> Self {
        Self { offset_ms: AtomicI64::new(offset_ms) }
    }

    /// The time it is here, in whole milliseconds.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    pub(crate) fn now(&self) -> DateTime<Utc> {
        let now = Utc::now() + Duration::milliseconds(self.offset_ms());
        now.duration_trunc(Duration::milliseconds(1)).unwrap_or(now)
    }

    pub(crate) fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::SeqCst)
    }

    pub(crate) fn set_offset_ms(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::SeqCst);
    }
}

/// The zone of every time on Alipay's wire.
pub(crate) fn china() -> FixedOffset {
    FixedOffset::east_opt(CHINA_OFFSET_SECONDS).expect("eight hours are a valid offset")
}

/// `yyyy-MM-dd HH:mm:ss`, China time.
pub(crate) fn wire_time(at: DateTime<Utc>) -> String {
    at.with_timezone(&china()).format(WIRE_FORMAT).to_string()
}

/// Reads `yyyy-MM-dd HH:mm:ss`, China time.
pub(crate) fn parse_wire_time(text: &str) -> Option<DateTime<Utc>> {
    let local = NaiveDateTime::parse_from_str(text, WIRE_FORMAT).ok()?;
    Some(local.and_local_timezone(china()).single()?.to_utc())
}

#[cfg(test)]
mod tests {
    use super::{parse_wire_time, wire_time};

    #[test]
    fn wire_times_are_china_time() {
        let at = parse_wire_time("2026-01-02 03:04:05").unwrap();
        assert_eq!(at.to_rfc3339(), "2026-01-01T19:04:05+00:00");
        assert_eq!(wire_time(at), "2026-01-02 03:04:05");
        assert_eq!(parse_wire_time("2026-02-30 00:00:00"), None);
    }
}
