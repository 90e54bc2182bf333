//! What can go wrong with the database, sorted by what the caller can do about it.

use std::time::Duration;

use sqlx::any::AnyQueryResult;
use thiserror::Error;

use super::connection::ACQUIRE_TIMEOUT;

/// A failure of the database.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Too busy, or a deadlock was broken at our cost: nothing happened, trying again helps.
    #[error("the database is busy: {0}")]
    Busy(String),
    /// No connection was to be had in this time: the database is away, or all of them are in use.
    /// Who waited for it need not try again at once.
    #[error("no connection to the database was to be had within {0:?}")]
    NoConnection(Duration),
    /// The server takes no writes: a replica, or one that is being replaced.
    #[error("the database is read-only")]
    ReadOnly,
    /// Server or schema are not what this release needs; the sentence says what to do.
    #[error("{0}")]
    Unfit(String),
    /// The answer to a commit got lost: it may or may not have happened.
    #[error("the outcome of a commit is unknown")]
    CommitUnknown(#[source] sqlx::Error),
    /// A row that breaks an invariant.
    #[error("the row {id} of {table} can't be read: {column}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key.
        id: String,
    },
    /// The schema can't be brought up to date.
    #[error("the schema can't be migrated")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// Anything else; nothing happened.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

impl StoreError {
    /// A row that breaks an invariant.
    pub(crate) fn corrupt(table: &'static str, column: &'static str, id: &str) -> Self {
        Self::Corrupt { table, column, id: id.to_owned() }
    }

    /// Whether the work may be tried again from its first read on: nothing happened, or what did
    /// shows there.
    #[must_use]
    pub fn may_be_repeated(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::CommitUnknown(_))
    }

    /// What a failed commit means: nothing happened only where the server says so.
    pub(super) fn of_commit(error: sqlx::Error) -> Self {
        if is_busy(&error) { error.into() } else { Self::CommitUnknown(error) }
    }

    /// Whether the same work may be tried again at once.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut => Self::NoConnection(ACQUIRE_TIMEOUT),
            error if needs_another_server(&error) => Self::ReadOnly,
            error if is_busy(&error) => Self::Busy(error.to_string()),
            error => Self::Database(error),
        }
    }
}

/// `SQLITE_BUSY` and `SQLITE_LOCKED` with their extended codes.
const SQLITE_BUSY_CODES: [&str; 4] = ["5", "6", "261", "517"];
/// `ER_CHECKREAD`, `ER_LOCK_WAIT_TIMEOUT` and `ER_LOCK_DEADLOCK`.
const MYSQL_BUSY_NUMBERS: [u16; 3] = [1020, 1205, 1213];
/// `ER_OPTION_PREVENTS_STATEMENT`, `ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION`, `ER_READ_ONLY_MODE`.
const MYSQL_READ_ONLY_NUMBERS: [u16; 3] = [1290, 1792, 1836];

fn is_busy(error: &sqlx::Error) -> bool {
    match (mysql_number(error), error) {
        (Some(number), _) => MYSQL_BUSY_NUMBERS.contains(&number),
        (None, sqlx::Error::Database(database)) => {
            database.code().is_some_and(|code| SQLITE_BUSY_CODES.contains(&&*code))
        }
        (None, _) => false,
    }
}

/// Whether the server refuses writes: the next connection may reach one that has taken its place.
pub(super) fn needs_another_server(error: &sqlx::Error) -> bool {
    mysql_number(error).is_some_and(|number| MYSQL_READ_ONLY_NUMBERS.contains(&number))
}

/// The number of an error that `MySQL` or `MariaDB` answered with.
pub(super) fn mysql_number(error: &sqlx::Error) -> Option<u16> {
    let sqlx::Error::Database(database) = error else { return None };
    let mysql = database.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>();
    mysql.map(sqlx::mysql::MySqlDatabaseError::number)
}

/// What an insert that happens once has to say. `false`: its key was there already.
pub(super) fn inserted_once(
    inserted: Result<AnyQueryResult, sqlx::Error>,
) -> Result<bool, StoreError> {
    match inserted {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
        Err(error) => Err(error.into()),
    }
}
