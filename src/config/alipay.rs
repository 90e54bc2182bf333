//! `[alipay]`: the account at the gateway, and those before it.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::account::{Account, NO_WEB_ADDRESS, PlacedAccount, is_web_address};

/// The gateway's account. Its own keys are those of an [`Account`].
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
    /// The gateway's public key; wanted without certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alipay_public_key_file: Option<PathBuf>,
    /// The key that comes next, or the one before: accepted, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_alipay_public_key_file: Option<PathBuf>,
    /// Our certificate; with the next two, certificate mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_cert_file: Option<PathBuf>,
    /// The gateway's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alipay_cert_file: Option<PathBuf>,
    /// The gateway's certificate that comes next, or the one before: accepted, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_alipay_cert_file: Option<PathBuf>,
    /// The roots above both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alipay_root_cert_file: Option<PathBuf>,
    /// Where the gateway sends its notifications.
    pub notify_url: String,
    /// Stands before every number that we give to a payment attempt.
    #[serde(default = "default_prefix")]
    pub out_trade_no_prefix: String,
    /// How long after its creation an unscanned code may still be scanned.
    #[serde(with = "humantime_serde", default = "default_code_life")]
    pub code_life: Duration,
    /// How often each account may be called, by all instances together.
    #[serde(default = "default_calls_per_second")]
    pub calls_per_second: NonZeroU32,
    /// Accounts that make no attempts any more, and are still asked about theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<Account>,
}

fn default_prefix() -> String {
    "CB".into()
}

/// A code lives two hours; ten minutes for clocks and queues.
fn default_code_life() -> Duration {
    Duration::from_mins(130)
}

/// Alipay publishes no figure; it says so when it has had enough.
fn default_calls_per_second() -> NonZeroU32 {
    const { NonZeroU32::new(100).unwrap() }
}

/// Longest life of a code.
const CODE_LIFE_MAX: Duration = Duration::from_hours(30 * 24);
/// Longest prefix: a number has at most 64 characters, a ULID takes 26.
const PREFIX_CHARS_MAX: usize = 16;

impl Alipay {
    /// The account that new attempts are made with, and then the previous ones.
    #[must_use]
    pub fn accounts(&self) -> Vec<PlacedAccount> {
        let current = PlacedAccount { account: self.current(), is_previous: false };
        let previous = self.previous.iter().cloned();
        let previous = previous.map(|account| PlacedAccount { account, is_previous: true });
        [current].into_iter().chain(previous).collect()
    }

    /// The account that new attempts are made with, as `[[alipay.previous]]` has it later.
    #[must_use]
    pub fn current(&self) -> Account {
        Account {
            gateway_url: self.gateway_url.clone(),
            app_id: self.app_id.clone(),
            seller_id: self.seller_id.clone(),
            private_key_file: self.private_key_file.clone(),
            alipay_public_key_file: self.alipay_public_key_file.clone(),
            next_alipay_public_key_file: self.next_alipay_public_key_file.clone(),
            app_cert_file: self.app_cert_file.clone(),
            alipay_cert_file: self.alipay_cert_file.clone(),
            next_alipay_cert_file: self.next_alipay_cert_file.clone(),
            alipay_root_cert_file: self.alipay_root_cert_file.clone(),
        }
    }

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
        if !is_web_address(&self.notify_url) {
            return Err(ConfigError::invalid("alipay.notify_url", NO_WEB_ADDRESS));
        }
        let accounts = self.accounts();
        for (index, placed) in accounts.iter().enumerate() {
            placed.validate()?;
            let same = |other: &PlacedAccount| {
                let (one, other) = (&placed.account, &other.account);
                one.app_id == other.app_id && one.seller_id == other.seller_id
            };
            if accounts[..index].iter().any(same) {
                let why = "is configured twice with the same seller_id: one account has one place";
                return Err(ConfigError::invalid(&placed.key("app_id"), why));
            }
        }
        Ok(())
    }
}
