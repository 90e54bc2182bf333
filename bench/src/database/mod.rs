//! Databases of the benchmark: an empty one for each scenario, what the server counts, and rows in
//! bulk.

mod fill;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, AssertSqlSafe};

pub(crate) use fill::fill;

/// Ids that differ in letter case only must stay apart.
const CHARACTERS: &str = "character set utf8mb4 collate utf8mb4_bin";

static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A database of one scenario.
pub(crate) struct Database {
    pub(crate) url: String,
    /// The server that it was made on, and its name there.
    server: Option<(String, String)>,
}

impl Database {
    /// A file in the directory, or an empty database on the server at this address.
    pub(crate) async fn create(server: Option<&str>, dir: &Path) -> anyhow::Result<Self> {
        sqlx::any::install_default_drivers();
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let Some(server) = server else {
            let file = dir.join(format!("bench-{number}.db"));
            return Ok(Self { url: format!("sqlite:{}", file.display()), server: None });
        };
        let name = format!("checkback_bench_{}_{number}", std::process::id());
        execute(server, format!("create database {name} {CHARACTERS}")).await?;
        let (address, options) = server.split_once('?').unwrap_or((server, ""));
        let (host, _) = address.rsplit_once('/').context("--database needs a database's name")?;
        let url = format!("{host}/{name}?{options}");
        Ok(Self { url, server: Some((server.to_owned(), name)) })
    }

    /// Removes one that was made on a server; nothing may be connected any more.
    pub(crate) async fn remove(self) -> anyhow::Result<()> {
        match self.server {
            Some((server, name)) => execute(&server, format!("drop database {name}")).await,
            None => Ok(()),
        }
    }

    /// The ids of the orders that await their payment.
    pub(crate) async fn unpaid_orders(&self) -> anyhow::Result<Vec<String>> {
        let pool = connect(&self.url).await?;
        let ids = sqlx::query_scalar("select id from orders where status = 'awaiting_payment'")
            .fetch_all(&pool)
            .await?;
        pool.close().await;
        Ok(ids)
    }

    /// Deadlocks that the server has broken since it started; none on `SQLite`.
    pub(crate) async fn deadlocks(&self) -> anyhow::Result<u64> {
        if self.server.is_none() {
            return Ok(0);
        }
        let pool = connect(&self.url).await?;
        let count: i64 = sqlx::query_scalar(
            "select cast(`count` as signed) from information_schema.innodb_metrics \
             where name = 'lock_deadlocks'",
        )
        .fetch_one(&pool)
        .await?;
        pool.close().await;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

async fn connect(url: &str) -> anyhow::Result<AnyPool> {
    let pool = AnyPoolOptions::new().max_connections(1).connect(url).await;
    pool.context("the database can't be reached")
}

async fn execute(url: &str, sql: String) -> anyhow::Result<()> {
    let pool = connect(url).await?;
    sqlx::query(AssertSqlSafe(sql)).execute(&pool).await?;
    pool.close().await;
    Ok(())
}
