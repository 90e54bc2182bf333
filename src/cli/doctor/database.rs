//! The database: its kind, schema, durability and clock.

use super::settings::judge_database;
use super::table::Table;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::store::server_settings::{Inspector, Migrations};
use crate::store::{Backend, StoreError};
use crate::text::causes;

/// Most that this machine's clock may be off; beyond it nothing is cancelled (ms).
const SKEW_MAX_MS: i64 = 1_000;
/// Tables that a row names.
const TABLES_NAMED: usize = 3;

pub(super) async fn check(config: &Config, table: &mut Table) {
    let mut inspector = match Inspector::connect(config.database.url.expose()).await {
        Ok(inspector) => inspector,
        Err(error) => {
            return table.fail("database", format!("can't be opened: {}", causes(&error)));
        }
    };
    if let Err(error) = inspect(&mut inspector, config, table).await {
        table.fail("database", format!("does not answer: {}", causes(&error)));
    }
    inspector.close().await;
}

async fn inspect(
    inspector: &mut Inspector,
    config: &Config,
    table: &mut Table,
) -> Result<(), StoreError> {
    let kind = match inspector.backend() {
        Backend::Sqlite => "SQLite",
        Backend::Mysql => "MySQL or MariaDB",
    };
    table.ok("database", format!("{kind} {}", inspector.version().await?));
    check_migrations(&inspector.migrations().await?, config.database.migrate, table);
    match inspector.deployment().await? {
        Some(id) => table.ok("deployment", id),
        None => table.warn("deployment", "none yet: the first start makes it"),
    }
    for (name, value) in inspector.settings().await? {
        judge_database(name, &value, table);
    }
    let ours = match inspector.backend() {
        Backend::Sqlite => "WAL and synchronous = full",
        Backend::Mysql => "isolation read committed",
    };
    table.ok("database, our connections", format!("{ours}, set by each of them"));
    check_tables(inspector, table).await?;
    check_clock(inspector, table).await
}

fn check_migrations(found: &Migrations, migrates: bool, table: &mut Table) {
    let what = "migrations";
    let Migrations { applied, pending, unknown, failed } = found;
    if !failed.is_empty() {
        let why = format!("{failed:?} began and did not finish: run `checkback migrate`");
        return table.fail(what, why);
    }
    if !unknown.is_empty() {
        table.warn(what, format!("{unknown:?} are of a newer release, which this one works with"));
    }
    let count = pending.len();
    match (count, migrates) {
        (0, _) => table.ok(what, format!("all {applied} applied")),
        (_, true) => {
            let found = format!("{applied} applied, {count} pending: the next start applies them");
            table.warn(what, found);
        }
        (_, false) => {
            let found = format!("{applied} applied, {count} pending: run `checkback migrate`");
            table.fail(what, found);
        }
    }
}

/// Tables keep the collation that they were made with, whatever the database has now.
async fn check_tables(inspector: &mut Inspector, table: &mut Table) -> Result<(), StoreError> {
    let tables = inspector.collations().await?;
    let folding = |collation: &str| !super::settings::tells_letter_case(collation);
    let bad: Vec<_> = tables.iter().filter(|found| folding(&found.collation)).collect();
    if let Some(first) = bad.first() {
        let names: Vec<_> =
            bad.iter().take(TABLES_NAMED).map(|found| found.table_name.as_str()).collect();
        let why = format!(
            "{} tables ({}, …) have {}: texts that differ in letter case only are the same there",
            bad.len(),
            names.join(", "),
            first.collation
        );
        table.fail("collation of tables", why);
    } else if !tables.is_empty() {
        table.ok("collation of tables", "tells letter case");
    }
    Ok(())
}

async fn check_clock(inspector: &mut Inspector, table: &mut Table) -> Result<(), StoreError> {
    let before_ms = SystemClock.now().timestamp_millis();
    let theirs_ms = inspector.now_ms().await?;
    let after_ms = SystemClock.now().timestamp_millis();
    let off_ms = (before_ms - theirs_ms).max(theirs_ms - after_ms).max(0);
    let what = "clock, against the database";
    if off_ms > SKEW_MAX_MS {
        let why = format!("{off_ms} ms off: an instance here cancels nothing; repair its clock");
        table.fail(what, why);
    } else {
        table.ok(what, format!("{off_ms} ms off"));
    }
    Ok(())
}
