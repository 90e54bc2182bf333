//! All SQL of the service, one module a table. Knows how to read and write rows, not what to
//! decide: a function here either reads, or changes a row by compare-and-set and says whether it
//! did. The dialect is the common part of SQLite and MySQL; times are integer milliseconds.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyConnection, AnyPool, Connection, Executor, Transaction};
use tokio::sync::{Semaphore, SemaphorePermit};

pub mod alarms;
pub mod audit;
mod backlog;

pub mod barriers;
pub mod clock_probe;
pub mod deployment;
mod error;
pub mod history;
pub mod idempotency;
pub mod notifications;
pub mod orders;
pub mod outbox;
pub mod payments;
pub mod pending;
pub mod server_settings;
pub mod skus;
mod stock_ledger;
pub mod stock_locks;
pub mod sweeps;

pub use error::StoreError;
use error::inserted_once;

/// Connections at most.
const CONNECTIONS_MAX: u32 = 16;
/// Longest wait for a connection, and for the turn to write on SQLite.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// The kind of database behind the common dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A SQLite file in WAL mode.
    Sqlite,
    /// `MySQL` or `MariaDB`.
    Mysql,
}

/// The database.
#[derive(Debug)]
pub struct Store {
    pool: AnyPool,
    backend: Backend,
    /// SQLite has one writer: waiting here in a queue is fair, its own busy handler is not.
    writer: Semaphore,
}

/// A transaction that may write. Dropped without [`WriteTx::commit`], nothing of it happened.
#[derive(Debug)]
pub struct WriteTx<'a> {
    tx: Transaction<'static, Any>,
    _turn: Option<SemaphorePermit<'a>>,
}

impl Store {
    /// Opens the database at a `sqlite:` or `mysql:` address; a SQLite file is made if missing.
    ///
    /// # Errors
    /// If the address can't be read or the database can't be reached.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let backend = if url.starts_with("sqlite:") { Backend::Sqlite } else { Backend::Mysql };
        let options = AnyConnectOptions::from_str(&with_create_mode(url, backend))?;
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(move |connection, _| Box::pin(prepare(connection, backend)))
            .connect_with(options)
            .await?;
        Ok(Self { pool, backend, writer: Semaphore::new(1) })
    }

    /// Brings the schema up to date, one process at a time.
    ///
    /// # Errors
    /// If a migration fails, or the database is of a newer release.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let _turn = self.turn().await?;
        sqlx::migrate!("./migrations").run(&self.pool).await?;
        Ok(())
    }

    /// Opens a transaction that may write.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if no connection or turn was to be had in time.
    pub async fn begin(&self) -> Result<WriteTx<'_>, StoreError> {
        let turn = self.turn().await?;
        let tx = match self.backend {
            Backend::Sqlite => self.pool.begin_with("begin immediate").await?,
            Backend::Mysql => self.pool.begin().await?,
        };
        Ok(WriteTx { tx, _turn: turn })
    }

    /// The kind of database.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// If it doesn't.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.pool.acquire().await?.ping().await?;
        Ok(())
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    fn pool(&self) -> &AnyPool {
        &self.pool
    }

    async fn turn(&self) -> Result<Option<SemaphorePermit<'_>>, StoreError> {
        if self.backend != Backend::Sqlite {
            return Ok(None);
        }
        match tokio::time::timeout(ACQUIRE_TIMEOUT, self.writer.acquire()).await {
            Ok(Ok(permit)) => Ok(Some(permit)),
            Ok(Err(_)) | Err(_) => Err(StoreError::Busy("no turn to write in time".into())),
        }
    }
}

impl WriteTx<'_> {
    /// Makes everything written in this transaction durable.
    ///
    /// # Errors
    /// [`StoreError::CommitUnknown`]: the answer got lost, it may or may not have happened.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await.map_err(StoreError::CommitUnknown)
    }

    /// Undoes everything at once instead of when the connection is used next.
    ///
    /// # Errors
    /// If the connection broke; the database undoes it then.
    pub async fn rollback(self) -> Result<(), StoreError> {
        Ok(self.tx.rollback().await?)
    }

    fn connection(&mut self) -> &mut AnyConnection {
        &mut self.tx
    }
}

fn with_create_mode(url: &str, backend: Backend) -> String {
    let has_mode = url.contains("mode=");
    match (backend, url.contains('?')) {
        (Backend::Mysql, _) => url.to_owned(),
        (Backend::Sqlite, _) if has_mode => url.to_owned(),
        (Backend::Sqlite, true) => format!("{url}&mode=rwc"),
        (Backend::Sqlite, false) => format!("{url}?mode=rwc"),
    }
}

async fn prepare(connection: &mut AnyConnection, backend: Backend) -> Result<(), sqlx::Error> {
    let settings = match backend {
        // What was answered must survive a power cut, so every commit is flushed.
        Backend::Sqlite => ["pragma journal_mode = wal", "pragma synchronous = full"],
        // Compare-and-set needs no snapshot, and a frozen one would show yesterday's attempts. A
        // wait for a lock must not outlast the wait for a connection.
        Backend::Mysql => [
            "set session transaction isolation level read committed",
            "set session innodb_lock_wait_timeout = 3",
        ],
    };
    for setting in settings {
        connection.execute(setting).await?;
    }
    Ok(())
}

/// Reads a stored time.
fn time(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Reads a stored time that may be missing.
fn time_opt(ms: Option<i64>) -> Option<DateTime<Utc>> {
    ms.map(time)
}
