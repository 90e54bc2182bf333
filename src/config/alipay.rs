//! `[alipay]`: the account at the gateway.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// The gateway's account.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alipay {
    /// The gateway's address.
    pub gateway_url: String,
    /// Our application.
    pub app_id: String,
    /// The seller who gets the money.
    pub seller_id: String,
    /// Our private key.
    pub private_key_file: PathBuf,
    /// The gateway's public key.
    pub alipay_public_key_file: PathBuf,
    /// Where the gateway sends its notifications.
    pub notify_url: String,
    /// Stands before every number that we give to a payment attempt.
    #[serde(default = "default_prefix")]
    pub out_trade_no_prefix: String,
    /// How long after its creation an unscanned code may still be scanned.
    #[serde(with = "humantime_serde", default = "default_code_life")]
    pub code_life: Duration,
}

fn default_prefix() -> String {
    "CB".into()
}

/// A code lives two hours; ten minutes for clocks and queues.
fn default_code_life() -> Duration {
    Duration::from_mins(130)
}

/// Longest life of a code.
const CODE_LIFE_MAX: Duration = Duration::from_hours(30 * 24);
/// Longest prefix: a number has at most 64 characters, a ULID takes 26.
const PREFIX_CHARS_MAX: usize = 16;

impl Alipay {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let prefix = &self.out_trade_no_prefix;
        let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        if prefix.is_empty() || prefix.len() > PREFIX_CHARS_MAX || !prefix.chars().all(allowed) {
            let why = "1 to 16 of the characters A-Z, 0-9, _";
            return Err(ConfigError::invalid("alipay.out_trade_no_prefix", why));
        }
        if self.code_life > CODE_LIFE_MAX {
            return Err(ConfigError::invalid("alipay.code_life", "must be at most 30 days"));
        }
        for (key, value) in [("app_id", &self.app_id), ("seller_id", &self.seller_id)] {
            if value.is_empty() || value.len() > 32 || !value.bytes().all(|b| b.is_ascii_digit()) {
                let why = "must be 1 to 32 digits";
                return Err(ConfigError::invalid(&format!("alipay.{key}"), why));
            }
        }
        for (key, value) in [("gateway_url", &self.gateway_url), ("notify_url", &self.notify_url)] {
            let is_http = value.starts_with("http://") || value.starts_with("https://");
            if !is_http || value.len() > 256 {
                let why = "must be an http or https address of at most 256 characters";
                return Err(ConfigError::invalid(&format!("alipay.{key}"), why));
            }
        }
        Ok(())
    }
}
