//! What can go wrong with the database, sorted by what the caller can do about it.

use sqlx::any::AnyQueryResult;
use thiserror::Error;

/// A failure of the database.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Too busy, or a deadlock was broken at our cost: nothing happened, trying again helps.
    #[error("the database is busy: {0}")]
    Busy(String),
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
    pub(super) fn corrupt(table: &'static str, column: &'static str, id: &str) -> Self {
        Self::Corrupt { table, column, id: id.to_owned() }
    }

    /// Whether the same work may be tried again at once.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if is_busy(&error) { Self::Busy(error.to_string()) } else { Self::Database(error) }
    }
}

/// `SQLITE_BUSY` and `SQLITE_LOCKED` with their extended codes.
const SQLITE_BUSY_CODES: [&str; 4] = ["5", "6", "261", "517"];
/// `ER_CHECKREAD`, `ER_LOCK_WAIT_TIMEOUT` and `ER_LOCK_DEADLOCK`.
const MYSQL_BUSY_NUMBERS: [u16; 3] = [1020, 1205, 1213];

fn is_busy(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(database) => {
            match database.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
                Some(mysql) => MYSQL_BUSY_NUMBERS.contains(&mysql.number()),
                None => database.code().is_some_and(|code| SQLITE_BUSY_CODES.contains(&&*code)),
            }
        }
        _ => false,
    }
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
