//! `[sweep]`: when the fallback runs.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{ConfigError, cron};

/// When the next run is if the expression never fires again.
const FALLBACK: chrono::Duration = chrono::Duration::minutes(10);

/// The fallback task.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sweep {
    /// When it runs, a cron expression with seconds, in China time.
    pub cron: String,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { cron: "0 0/10 * ? * ?".into() }
    }
}

impl Sweep {
    /// The first time after this one.
    #[must_use]
    pub fn next_after(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        cron::next_after(&self.cron, at).unwrap_or(at + FALLBACK)
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        cron::parse("sweep.cron", &self.cron).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_expression_fires_every_ten_minutes() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).expect("a time");
        assert_eq!(Sweep::default().next_after(at(1_800_000_001)), at(1_800_000_600));
        assert_eq!(Sweep::default().next_after(at(1_800_000_000)), at(1_800_000_600));
    }

    #[test]
    fn a_wrong_expression_is_named() {
        let sweep = Sweep { cron: "every now and then".into() };
        let error = sweep.validate().expect_err("not an expression").to_string();
        assert!(error.contains("every now and then"), "{error}");
    }
}
