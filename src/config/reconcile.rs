//! `[reconcile]`: when the gateway's bills are compared with what is recorded.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{ConfigError, cron};

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
    /// The first time after this one.
    #[must_use]
    pub fn next_after(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        cron::next_after(&self.cron, at).unwrap_or(at + FALLBACK)
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        cron::parse("reconcile.cron", &self.cron).map(drop)
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
        assert!(
            wrong.validate().expect_err("no expression").to_string().contains("reconcile.cron")
        );
    }
}
