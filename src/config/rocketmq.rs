//! `[rocketmq]`: where the broker is and how we appear there.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ConfigError, Secret, read_secret};

/// The broker.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rocketmq {
    /// Whose broker it is.
    #[serde(default)]
    pub mode: RocketmqMode,
    /// Name servers, `host:port` separated by `;`.
    pub namesrv: String,
    /// Stands before every topic and group name.
    #[serde(default)]
    pub name_prefix: String,
    /// ACL user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key: Option<String>,
    /// ACL password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<Secret>,
    /// A file that holds the ACL password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_file: Option<PathBuf>,
    /// Threads for the client's callbacks.
    #[serde(default = "default_callback_threads")]
    pub callback_threads: usize,
}

/// Whose broker it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RocketmqMode {
    /// Started by this project (`demo` or `checkback broker`), with the settings it needs. A build
    /// without that broker knows no such.
    Embedded,
    /// An Apache RocketMQ cluster.
    #[default]
    Cluster,
}

/// 64 orders at once and half of the threads for check-backs.
fn default_callback_threads() -> usize {
    128
}

/// Longest name prefix: a topic name has at most 127 characters.
const NAME_PREFIX_CHARS_MAX: usize = 40;
/// Fewest callback threads: two for orders, two for check-backs.
const CALLBACK_THREADS_MIN: usize = 4;
/// Most callback threads that the client allows.
const CALLBACK_THREADS_MAX: usize = 448;

/// Whether this build has the embedded broker.
const HAS_BROKER: bool = cfg!(feature = "broker");

impl RocketmqMode {
    /// What an embedded broker has needs no comparing. A build without one is made for production,
    /// where that word would silence the comparison with a broker that may have anything.
    fn validate(self, has_broker: bool) -> Result<(), ConfigError> {
        if self == Self::Embedded && !has_broker {
            let why = "this build has no embedded RocketMQ: set \"cluster\", or build with the \
                       feature \"broker\"";
            return Err(ConfigError::invalid("rocketmq.mode", why));
        }
        Ok(())
    }
}

impl Rocketmq {
    pub(super) fn read_secret_file(&mut self) -> Result<(), ConfigError> {
        if let Some(path) = self.secret_key_file.take() {
            self.secret_key = Some(read_secret("rocketmq.secret_key_file", &path)?);
        }
        Ok(())
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        self.mode.validate(HAS_BROKER)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '%' | '|');
        let prefix = &self.name_prefix;
        if prefix.len() > NAME_PREFIX_CHARS_MAX || !prefix.chars().all(allowed) {
            let why = "at most 40 of the characters %|a-zA-Z0-9_-";
            return Err(ConfigError::invalid("rocketmq.name_prefix", why));
        }
        if self.namesrv.trim().is_empty() {
            return Err(ConfigError::invalid("rocketmq.namesrv", "must be host:port"));
        }
        if self.access_key.is_some() != self.secret_key.is_some() {
            let why = "access_key and secret_key are needed together";
            return Err(ConfigError::invalid("rocketmq.access_key", why));
        }
        if !(CALLBACK_THREADS_MIN..=CALLBACK_THREADS_MAX).contains(&self.callback_threads) {
            let why = "must be between 4 and 448";
            return Err(ConfigError::invalid("rocketmq.callback_threads", why));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_the_broker_refuses_to_take_one_for_embedded() {
        let error = RocketmqMode::Embedded.validate(false).expect_err("no such broker").to_string();
        assert!(error.starts_with("rocketmq.mode"), "{error}");
        assert!(RocketmqMode::Embedded.validate(true).is_ok());
        assert!(RocketmqMode::Cluster.validate(false).is_ok());
    }
}
