//! `checkback serve` and `checkback migrate`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;

use super::reload;
use super::signals::{Signals, run_until_stopped};
use super::{Target, say};
use crate::config::Config;
use crate::run::{Environment, HttpSockets, Service};
use crate::store::Store;

pub(super) async fn run(file: &Path) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen().context("signals can't be listened to")?;
    let hangups = reload::hangups().context("signals can't be listened to")?;
    let config = Config::load(file)?;
    let sockets = HttpSockets::bind(config.http.listen, config.http.public_listen)?;
    let starting = Service::start(config, sockets, Environment::default());
    let service = tokio::select! {
        started = starting => started?,
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    say(format_args!("checkback listens on http://{}", service.http_address));
    let keys = Arc::clone(&service.keys);
    tokio::select! {
        code = run_until_stopped(service, &mut signals, async {}) => Ok(code),
        never = reload::keys_at(hangups, file, &keys) => match never {},
    }
}

pub(super) async fn migrate(target: &Target) -> anyhow::Result<ExitCode> {
    let config = target.load()?;
    let store = Store::connect(config.database.url.expose()).await?;
    store.migrate().await?;
    store.verify().await?;
    store.close().await;
    say("the schema is up to date");
    Ok(ExitCode::SUCCESS)
}
