//! `[http]`: listeners and API keys.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ConfigError, Secret, read_secret};

/// Listeners and keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Storefront, operators and metrics.
    pub listen: SocketAddr,
    /// Webhook and cashier; on `listen` if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_listen: Option<SocketAddr>,
    /// How buyers reach the cashier; `http://<listen>` if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// API keys.
    #[serde(default)]
    pub keys: Vec<ApiKey>,
}

/// An API key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Its name, which stands in the history of what it did.
    pub name: String,
    /// The key itself; empty if `key_file` names it.
    #[serde(default = "Secret::none")]
    pub key: Secret,
    /// A file that holds the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Orders, payments, SKUs.
    Orders,
    /// Orders with amounts of the caller's own.
    SetAmount,
    /// Refunds.
    Refunds,
    /// Operators.
    Ops,
}

impl Scope {
    /// The name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::SetAmount => "set_amount",
            Self::Refunds => "refunds",
            Self::Ops => "ops",
        }
    }
}

/// Longest name of a key: it stands in columns of 64 characters.
const KEY_NAME_CHARS_MAX: usize = 64;

impl Http {
    pub(super) fn read_key_files(&mut self) -> Result<(), ConfigError> {
        for key in &mut self.keys {
            if let Some(path) = key.key_file.take() {
                let of = format!("http.keys.key_file of {}", key.name);
                key.key = read_secret(&of, &path)?;
            }
        }
        Ok(())
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let invalid = |why: &str| Err(ConfigError::invalid("http.keys", why));
        if self.keys.is_empty() {
            return invalid("at least one key is needed: add [[http.keys]] with name, key, scopes");
        }
        for (index, key) in self.keys.iter().enumerate() {
            let named =
                !key.name.is_empty() && key.name.len() <= KEY_NAME_CHARS_MAX && key.name.is_ascii();
            if !named {
                return invalid("a key's name must have 1 to 64 ASCII characters");
            }
            let secret = key.key.expose();
            if secret.is_empty() {
                let why = "is empty: it needs key, or key_file with something in it";
                return invalid(&format!("the key {} {why}", key.name));
            }
            if !secret.chars().all(|c| c.is_ascii_graphic()) {
                let why = "has characters that no header can carry: visible ASCII only";
                return invalid(&format!("the key {} {why}", key.name));
            }
            let same = |other: &ApiKey| other.key == key.key || other.name == key.name;
            if self.keys.iter().skip(index + 1).any(same) {
                return invalid(&format!("{} has the name or the key of another", key.name));
            }
        }
        Ok(())
    }
}
