//! `[reconcile]`: when the gateway's bills are compared with what is recorded.

use chrono::{DateTime, FixedOffset, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds};
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// China has one time zone and no summer time.
const CHINA_OFFSET_SECONDS: i32 = 8 * 60 * 60;
/// When the next look is if the expression never fires again.
const FALLBACK: chrono::Duration = chrono::Duration::hours(24);

/// The daily reconciliation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reconcile {
    /// Whether bills are looked at on their own.
    pub enabled: bool,
    /// When, a cron expression with seconds, in China time; bills are made by nine.
    pub cron: String,
}

impl Default for Reconcile {
    fn default() -> Self {
        Self { enabled: true, cron: "0 0 10 * * ?".into() }
    }
}

impl Reconcile {
    /// Reads the expression, in the form that Quartz writes them.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(&self) -> Result<Cron, ConfigError> {
        let parser = CronParser::builder().seconds(Seconds::Required).sloppy_ranges(true).build();
        parser.parse(&self.cron).map_err(|error| {
            let why = format!("{:?} can't be used: {error}", self.cron);
            ConfigError::invalid("reconcile.cron", why)
        })
    }

    /// The first time after this one.
    #[must_use]
    pub fn next_after(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        let next = || {
            let china = at.with_timezone(&FixedOffset::east_opt(CHINA_OFFSET_SECONDS)?);
            self.parse().ok()?.find_next_occurrence(&china, false).ok()
        };
        next().map_or(at + FALLBACK, |next| next.to_utc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bills_are_looked_at_at_ten_in_china() {
        let at: DateTime<Utc> = "2026-01-31T16:00:00Z".parse().expect("a time");
        let next = Reconcile::default().next_after(at);
        assert_eq!(next.to_rfc3339(), "2026-02-01T02:00:00+00:00");
        assert_eq!(Reconcile::default().next_after(next) - next, chrono::Duration::days(1));
        let wrong = Reconcile { cron: "now".into(), ..Reconcile::default() };
        assert!(wrong.parse().expect_err("no expression").to_string().contains("reconcile.cron"));
    }
}
