//! `checkback doctor`: is everything that the service needs there and right? It looks, and changes
//! nothing: an empty database stays empty.

use std::process::ExitCode;

use table::Table;

use super::Target;
use crate::config::Config;

mod account;
mod brokers;
mod certificates;
mod database;
mod settings;
mod table;
mod topics;

pub(super) async fn run(target: &Target) -> anyhow::Result<ExitCode> {
    let file = target.file()?;
    let config = Config::load(&file)?;
    let mut table = Table::default();
    table.ok("configuration", file.display());
    account::check_keys(&config, &file, &mut table);
    database::check(&config, &mut table).await;
    account::check_gateways(&config, &mut table).await;
    brokers::check(&config, &mut table).await;
    Ok(if table.end() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
