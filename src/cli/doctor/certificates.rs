//! How long certificates last. An ended one stops payments: the gateway refuses our calls, or signs
//! with another key.

use chrono::{DateTime, TimeDelta, Utc};

use super::table::Table;
use crate::alipay::certificates::{Certificate, RootCertificates};

/// How long before its end a certificate is warned about: a new one takes a request, an upload and
/// a restart, and somebody may be on holiday.
const WARNED_BEFORE: TimeDelta = TimeDelta::weeks(6);

/// What its dates say about a certificate.
#[derive(Debug, PartialEq, Eq)]
enum Life {
    NotYet,
    Valid,
    EndsSoon,
    Ended,
}

/// Prints what a certificate is called and when it ends.
pub(super) fn judge_certificate(
    key: &str,
    certificate: &Certificate,
    now: DateTime<Utc>,
    table: &mut Table,
) {
    let life = life(certificate.not_before(), certificate.not_after(), now);
    row(key, certificate.sn(), &life, certificate.not_after(), table);
}

/// The same of the roots; the first one that ends counts.
pub(super) fn judge_roots(
    key: &str,
    roots: &RootCertificates,
    now: DateTime<Utc>,
    table: &mut Table,
) {
    let life = life(DateTime::<Utc>::MIN_UTC, roots.not_after(), now);
    row(key, roots.sn(), &life, roots.not_after(), table);
}

fn row(key: &str, sn: &str, life: &Life, not_after: DateTime<Utc>, table: &mut Table) {
    let end = not_after.format("%Y-%m-%d");
    match life {
        Life::Valid => table.ok(key, format!("{sn}, until {end}")),
        Life::EndsSoon => {
            let what_to_do = "get the next one now (docs/keys.md)";
            table.warn(key, format!("{sn}, ends on {end}: {what_to_do}"));
        }
        Life::Ended => table.fail(key, format!("{sn}, ended on {end} (docs/keys.md)")),
        Life::NotYet => table.fail(key, format!("{sn}, is not valid yet: compare the clocks")),
    }
}

fn life(not_before: DateTime<Utc>, not_after: DateTime<Utc>, now: DateTime<Utc>) -> Life {
    if now < not_before {
        Life::NotYet
    } else if now > not_after {
        Life::Ended
    } else if not_after.signed_duration_since(now) < WARNED_BEFORE {
        Life::EndsSoon
    } else {
        Life::Valid
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::{Life, WARNED_BEFORE, life};

    #[test]
    fn the_end_is_announced_in_time() {
        let begin = DateTime::UNIX_EPOCH;
        let end = begin + TimeDelta::days(700);
        let second = TimeDelta::seconds(1);
        for (now, expected) in [
            (begin - second, Life::NotYet),
            (begin, Life::Valid),
            (end - WARNED_BEFORE, Life::Valid),
            (end - WARNED_BEFORE + second, Life::EndsSoon),
            (end, Life::EndsSoon),
            (end + second, Life::Ended),
        ] {
            assert_eq!(life(begin, end, now), expected, "{now}");
        }
    }
}
