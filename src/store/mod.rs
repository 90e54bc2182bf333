//! All SQL of the service, one module a table. Knows how to read and write rows, not what to
//! decide: a function here either reads, or changes a row by compare-and-set and says whether it
//! did. The dialect is the common part of SQLite and MySQL; times are integer milliseconds.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, AnyPool, Connection};
use tokio::sync::{Mutex, MutexGuard};

pub mod alarm_causes;
mod alarm_list;
pub mod alarm_notices;
pub mod alarms;
pub mod audit;
mod backlog;

pub mod barriers;
pub mod bill_days;
pub mod bill_differences;
pub mod billed;
pub mod clock_probe;
mod connection;
pub mod deployment;
mod error;
pub mod held_order;
pub mod history;
pub mod idempotency;
pub mod instances;
pub mod notifications;
pub mod orders;
pub mod outbox;
pub mod payment_queries;
pub mod payments;
pub mod pending;
mod pending_claims;
pub mod pending_list;
pub mod quarantine;
pub mod refund_steps;
pub mod refund_sums;
pub mod refunds;
mod schema;
mod server;
pub mod server_settings;
pub mod skus;
mod stock_ledger;
pub mod stock_locks;
pub mod sweeps;
pub mod turns;

use connection::{ACQUIRE_TIMEOUT, Held, Pooled, limited};
pub use error::StoreError;
use error::inserted_once;

/// Whether the database can be worked with is known within this time.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// The kind of database behind the common dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A SQLite file in WAL mode.
    Sqlite,
    /// `MySQL` or `MariaDB`.
    Mysql,
}

impl Backend {
    fn of(url: &str) -> Self {
        if url.starts_with("sqlite:") { Self::Sqlite } else { Self::Mysql }
    }
}

/// The database.
#[derive(Debug)]
pub struct Store {
    pool: AnyPool,
    backend: Backend,
    /// SQLite has one writer: waiting here in a queue is fair, its own busy handler is not. The
    /// connection stays with the turn, because its pages are no other's.
    writer: Mutex<Option<Held>>,
}

/// A transaction that may write. Dropped without [`WriteTx::commit`], nothing of it happened.
#[derive(Debug)]
pub struct WriteTx<'a> {
    held: Held,
    turn: Option<MutexGuard<'a, Option<Held>>>,
}

impl Store {
    /// Opens the database at a `sqlite:` or `mysql:` address; a SQLite file is made if missing.
    ///
    /// # Errors
    /// If the address can't be read or the database can't be reached.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let backend = Backend::of(url);
        let options = AnyConnectOptions::from_str(&with_create_mode(url, backend))?;
        // A pool goes on trying, and would say only that it took too long.
        let first = limited(ACQUIRE_TIMEOUT, AnyConnection::connect_with(&options)).await?;
        first.close().await?;
        let pool = connection::pool(options, backend);
        Ok(Self { pool, backend, writer: Mutex::new(None) })
    }

    /// Opens a transaction that may write.
    ///
    /// # Errors
    /// [`StoreError::NoConnection`] or [`StoreError::Busy`] if no connection or turn was to be had
    /// in time.
    pub async fn begin(&self) -> Result<WriteTx<'_>, StoreError> {
        let mut turn = self.turn().await?;
        let kept = turn.as_mut().and_then(|turn| turn.take());
        let mut held = match kept {
            Some(held) => held,
            None => Held::take(&self.pool).await?,
        };
        match self.backend {
            Backend::Sqlite => held.begin("begin immediate").await?,
            Backend::Mysql => held.begin("begin").await?,
        }
        Ok(WriteTx { held, turn })
    }

    /// The kind of database.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Whether the database answers, and takes writes; known within 2 s.
    ///
    /// # Errors
    /// If it doesn't.
    pub async fn ready(&self) -> Result<(), StoreError> {
        let asked = async {
            let mut held = Held::take(&self.pool).await?;
            match self.backend {
                Backend::Sqlite => Ok(held.ping().await?),
                Backend::Mysql => server::require_writable(&mut held).await,
            }
        };
        let late = |_| StoreError::NoConnection(READY_TIMEOUT);
        tokio::time::timeout(READY_TIMEOUT, asked).await.map_err(late)?
    }

    /// Closes all connections.
    pub async fn close(&self) {
        drop(self.writer.lock().await.take());
        self.pool.close().await;
    }

    /// Runs single statements.
    fn pool(&self) -> Pooled {
        Pooled::new(&self.pool)
    }

    /// Runs statements that read whole tables: they may take minutes.
    fn scan(&self) -> Pooled {
        Pooled::scanning(&self.pool)
    }

    async fn turn(&self) -> Result<Option<MutexGuard<'_, Option<Held>>>, StoreError> {
        if self.backend != Backend::Sqlite {
            return Ok(None);
        }
        match tokio::time::timeout(ACQUIRE_TIMEOUT, self.writer.lock()).await {
            Ok(turn) => Ok(Some(turn)),
            Err(_) => Err(StoreError::Busy("no turn to write in time".into())),
        }
    }
}

impl WriteTx<'_> {
    /// Makes everything written in this transaction durable.
    ///
    /// # Errors
    /// [`StoreError::CommitUnknown`]: the answer got lost, it may or may not have happened;
    /// [`StoreError::Busy`]: it did not, and may be tried again.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        self.held.end("commit").await.map_err(StoreError::of_commit)?;
        self.keep();
        Ok(())
    }

    /// Undoes everything at once instead of when the connection is used next.
    ///
    /// # Errors
    /// If the connection broke; the database undoes it then.
    pub async fn rollback(mut self) -> Result<(), StoreError> {
        self.held.end("rollback").await?;
        self.keep();
        Ok(())
    }

    /// Leaves the connection to whoever has the next turn.
    fn keep(self) {
        if let Some(mut turn) = self.turn {
            *turn = Some(self.held);
        }
    }

    fn connection(&mut self) -> &mut Held {
        &mut self.held
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

/// Reads a stored time.
fn time(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Reads a stored time that may be missing.
fn time_opt(ms: Option<i64>) -> Option<DateTime<Utc>> {
    ms.map(time)
}
