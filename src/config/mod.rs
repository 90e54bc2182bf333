//! Configuration: TOML, each key overridable by `CHECKBACK__SECTION__KEY`. Sections carry their
//! defaults; [`Config::load`] reads and validates everything before anything is started.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

mod account;
mod alarms;
mod alipay;
mod cron;
mod exposed;
mod http;
mod payment;
mod poll;
mod reconcile;
mod rocketmq;
mod sweep;
mod timeout;

pub use account::{Account, CertificateFiles, PlacedAccount};
pub use alarms::{Alarms, Audit};
pub use alipay::Alipay;
pub use http::{ApiKey, Http, Scope};
pub use payment::{Payment, Refund};
pub use poll::Poll;
pub use reconcile::Reconcile;
pub use rocketmq::{Rocketmq, RocketmqMode};
pub use sweep::Sweep;
pub use timeout::{OnClockMismatch, OrderClass, Terms, Timeout};

/// Prefix of environment variables that override a key.
const ENV_PREFIX: &str = "CHECKBACK";

/// Everything that can be configured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Listeners and keys.
    pub http: Http,
    /// The database.
    pub database: Database,
    /// The broker.
    pub rocketmq: Rocketmq,
    /// Payment windows and how they are driven.
    #[serde(default)]
    pub timeout: Timeout,
    /// The gateway's account.
    pub alipay: Alipay,
    /// Payments that arrive when their order has ended.
    #[serde(default)]
    pub payment: Payment,
    /// How money goes back.
    #[serde(default)]
    pub refund: Refund,
    /// The workers over what is unsettled.
    #[serde(default)]
    pub poll: Poll,
    /// The fallback task.
    #[serde(default)]
    pub sweep: Sweep,
    /// The comparison with the gateway's bills.
    #[serde(default)]
    pub reconcile: Reconcile,
    /// Who is told of alarms.
    #[serde(default)]
    pub alarms: Alarms,
    /// The audit in the background.
    #[serde(default)]
    pub audit: Audit,
}

/// The database.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `sqlite:…` or `mysql://…`; empty if `url_file` names it.
    #[serde(default = "Secret::none")]
    pub url: Secret,
    /// A file that holds the address: it has a password in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// Whether the schema is brought up to date at start.
    #[serde(default = "yes")]
    pub migrate: bool,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// No secret yet: a file holds it.
    fn none() -> Self {
        Self::new("")
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Why a configuration can't be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file or a variable can't be read as configuration.
    #[error("the configuration can't be read: {0}")]
    Unreadable(String),
    /// A value can't be used.
    #[error("{key}: {why}")]
    Invalid {
        /// The key.
        key: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// A file that a key names can't be read.
    #[error("{key}: can't read {}", path.display())]
    File {
        /// The key.
        key: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl ConfigError {
    /// Leaves the quoted lines of the file out: one of them may hold a secret.
    fn unreadable(error: &config::ConfigError) -> Self {
        let text = error.to_string();
        let lines: Vec<_> = text.lines().filter(|line| !line.contains('|')).collect();
        Self::Unreadable(lines.join(", "))
    }

    /// A value that can't be used.
    pub(crate) fn invalid(key: &str, why: impl Into<String>) -> Self {
        Self::Invalid { key: key.to_owned(), why: why.into() }
    }
}

impl Config {
    /// Reads a file and the environment over it, and validates the result.
    ///
    /// # Errors
    /// If anything in it can't be used; the error names the key.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let mut config = Self::read(file)?;
        for warning in exposed::secrets(file, &config) {
            tracing::warn!("{warning}");
        }
        config.http.read_key_files()?;
        config.database.read_url_file()?;
        config.rocketmq.read_secret_file()?;
        config.alarms.read_secret_file()?;
        config.validate()?;
        Ok(config)
    }

    /// A sentence for each file with a secret that other users of this machine can read.
    ///
    /// # Errors
    /// If the file or a variable can't be read as configuration.
    pub fn exposed_secrets(file: &Path) -> Result<Vec<String>, ConfigError> {
        Ok(exposed::secrets(file, &Self::read(file)?))
    }

    fn read(file: &Path) -> Result<Self, ConfigError> {
        let environment =
            config::Environment::with_prefix(ENV_PREFIX).prefix_separator("__").separator("__");
        config::Config::builder()
            .add_source(config::File::from(file).format(config::FileFormat::Toml))
            .add_source(environment)
            .build()
            .and_then(config::Config::try_deserialize)
            .map_err(|error| ConfigError::unreadable(&error))
    }

    /// Checks values and how they fit together.
    ///
    /// # Errors
    /// If a value can't be used; the error names the key and the remedy.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.http.validate()?;
        self.rocketmq.validate()?;
        self.timeout.validate()?;
        self.alipay.validate()?;
        self.refund.validate()?;
        self.database.validate()?;
        self.poll.validate()?;
        self.sweep.validate()?;
        self.reconcile.validate()?;
        self.alarms.validate()?;
        self.audit.validate()?;
        Ok(())
    }
}

impl Database {
    fn read_url_file(&mut self) -> Result<(), ConfigError> {
        if let Some(path) = self.url_file.take() {
            self.url = read_secret("database.url_file", &path)?;
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let url = self.url.expose();
        if !["sqlite:", "mysql:", "mariadb:"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(ConfigError::invalid("database.url", "must start with sqlite: or mysql:"));
        }
        Ok(())
    }
}

fn yes() -> bool {
    true
}

/// Reads a secret from the file that a `…_file` key names, without the newline at its end.
fn read_secret(key: &str, path: &Path) -> Result<Secret, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::File {
        key: key.to_owned(),
        path: path.to_owned(),
        source,
    })?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}
