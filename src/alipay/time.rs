//! Alipay's clock face: China time, whole seconds, whatever zone this process runs in.

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::domain::{CHINA, to_millis};

/// How a time is written.
const FORMAT: &str = "%Y-%m-%d %H:%M:%S";
/// How a time is read: refund times carry a fraction of varying length.
const FORMAT_READ: &str = "%Y-%m-%d %H:%M:%S%.f";

/// Writes `yyyy-MM-dd HH:mm:ss` in China time; a fraction of a second is cut off.
pub(super) fn format_china(at: DateTime<Utc>) -> String {
    at.with_timezone(&CHINA).format(FORMAT).to_string()
}

/// Reads `yyyy-MM-dd HH:mm:ss`, with or without a fraction, in China time.
pub(super) fn parse_china(text: &str) -> Option<DateTime<Utc>> {
    let local = NaiveDateTime::parse_from_str(text, FORMAT_READ).ok()?;
    let at = local.and_local_timezone(CHINA).single()?;
    Some(to_millis(at.with_timezone(&Utc)))
}

#[cfg(test)]
mod tests {
    use super::{format_china, parse_china};

    #[test]
    fn times_are_chinas() {
        let at = parse_china("2026-01-02 03:04:04").expect("a time");
        assert_eq!(at.to_rfc3339(), "2026-01-01T19:04:04+00:00");
        assert_eq!(format_china(at), "2026-01-02 03:04:04");
    }

    #[test]
    fn fractions_are_read_to_the_millisecond() {
        let at = parse_china("2026-01-02 03:10:00.1239999").expect("a time");
        assert_eq!(at.timestamp_subsec_nanos(), 123_000_000);
        assert_eq!(format_china(at), "2026-01-02 03:10:00");
        assert!(parse_china("2026-01-02 03:10:00.1").is_some());
    }

    #[test]
    fn nonsense_is_no_time() {
        for text in ["", "0", "2026-13-01 00:00:00", "2026-01-02", "2026-01-02T03:04:04Z"] {
            assert_eq!(parse_china(text), None, "{text:?}");
        }
    }
}
