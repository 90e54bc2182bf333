//! `[alarms]` and `[audit]`: who is told of what a person has to look at, and how often everything
//! is looked through.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ConfigError, Secret, read_secret};
use crate::domain::alarm::Severity;

/// Shortest and longest secret of the webhook (characters).
const SECRET_CHARS: std::ops::RangeInclusive<usize> = 16..=512;
/// Longest address.
const URL_CHARS_MAX: usize = 1_024;
/// Shortest time between two audits.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Who is told of alarms.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Alarms {
    /// Where a signed message goes for each alarm that is opened, acknowledged, escalated or
    /// resolved; nobody is told without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<Secret>,
    /// What the messages are signed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_secret: Option<Secret>,
    /// A file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_secret_file: Option<PathBuf>,
    /// Alarms below this are not told of.
    pub webhook_min_severity: Severity,
}

/// The audit in the background.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// How often it runs; one instance does it for all.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
}

impl Default for Audit {
    fn default() -> Self {
        Self { interval: Duration::from_hours(1) }
    }
}

impl Alarms {
    pub(super) fn read_secret_file(&mut self) -> Result<(), ConfigError> {
        if let Some(path) = self.webhook_secret_file.take() {
            self.webhook_secret = Some(read_secret("alarms.webhook_secret_file", &path)?);
        }
        Ok(())
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let url = self.webhook_url.as_ref().map(Secret::expose);
        let secret = self.webhook_secret.as_ref().map(Secret::expose);
        let is_http = |url: &str| {
            let known = url.starts_with("http://") || url.starts_with("https://");
            known && url.len() <= URL_CHARS_MAX
        };
        if url.is_some_and(|url| !is_http(url)) {
            let why = "must be an http or https address of at most 1024 characters";
            return Err(ConfigError::invalid("alarms.webhook_url", why));
        }
        let key = "alarms.webhook_secret";
        match (url, secret) {
            (Some(_), None) => {
                let why = "is missing: messages are signed, so the address needs it, or \
                           webhook_secret_file";
                Err(ConfigError::invalid(key, why))
            }
            (_, Some(secret)) if !SECRET_CHARS.contains(&secret.chars().count()) => {
                Err(ConfigError::invalid(key, "must have 16 to 512 characters"))
            }
            _ => Ok(()),
        }
    }
}

impl Audit {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if self.interval < INTERVAL_MIN {
            return Err(ConfigError::invalid("audit.interval", "must be at least a second"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_a_secret_and_both_are_never_printed() {
        let mut alarms = Alarms {
            webhook_url: Some(Secret::new("https://hooks.example/token-1")),
            ..Alarms::default()
        };
        let missing = alarms.validate().expect_err("no secret").to_string();
        assert!(missing.contains("webhook_secret"), "{missing}");
        alarms.webhook_secret = Some(Secret::new("short"));
        alarms.validate().expect_err("too short");
        alarms.webhook_secret = Some(Secret::new("0123456789abcdef"));
        alarms.validate().expect("both");
        let printed = format!("{alarms:?}");
        assert!(!printed.contains("token-1") && !printed.contains("0123456789"), "{printed}");
        alarms.webhook_url = Some(Secret::new("ftp://a"));
        alarms.validate().expect_err("no http");
    }
}
