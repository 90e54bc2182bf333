//! SIGHUP: the API keys are read again, without a restart.

use std::convert::Infallible;
use std::path::Path;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{Config, ConfigError};
use crate::http::auth::KeyRing;

/// Listens from now on: a SIGHUP while everything starts ends nothing.
pub(super) fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Reads the keys again at each signal. What else has changed in the file waits for a restart.
pub(super) async fn keys_at(mut hangups: Signal, file: &Path, ring: &KeyRing) -> Infallible {
    loop {
        if hangups.recv().await.is_none() {
            return std::future::pending().await;
        }
        match load(file).await {
            Ok(config) => {
                let names: Vec<_> = config.http.keys.iter().map(|key| &key.name).collect();
                ring.replace(&config.http.keys);
                tracing::info!(?names, "the API keys were read again");
            }
            Err(error) => {
                let error = super::sentence(&error.into());
                tracing::error!(error, "the API keys stay as they were: they can't be read again");
            }
        }
    }
}

async fn load(file: &Path) -> Result<Config, ConfigError> {
    let file = file.to_owned();
    let reading = tokio::task::spawn_blocking(move || Config::load(&file));
    reading.await.map_err(|error| ConfigError::Unreadable(error.to_string()))?
}
