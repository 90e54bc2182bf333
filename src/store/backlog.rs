//! How much of the pending table waits, for metrics.

use chrono::{DateTime, Utc};

use super::{Store, StoreError};

/// How much is unsettled, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Backlog {
    /// Rows in all.
    pub rows: i64,
    /// Rows whose time has come.
    pub due: i64,
    /// When the oldest row was made; 0 without rows.
    pub oldest_created_at_ms: i64,
}

/// Counts the table.
///
/// # Errors
/// If the database fails.
pub async fn backlog(store: &Store, now: DateTime<Utc>) -> Result<Backlog, StoreError> {
    let (rows, oldest): (i64, Option<i64>) =
        sqlx::query_as("select count(*), min(created_at_ms) from pending_payments")
            .fetch_one(store.pool())
            .await?;
    let due: i64 =
        sqlx::query_scalar("select count(*) from pending_payments where next_query_at_ms <= ?")
            .bind(now.timestamp_millis())
            .fetch_one(store.pool())
            .await?;
    Ok(Backlog { rows, due, oldest_created_at_ms: oldest.unwrap_or(0) })
}
