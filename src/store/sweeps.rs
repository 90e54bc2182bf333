//! Reports of the fallback sweep.

use chrono::{DateTime, Utc};

use super::{Store, StoreError};

/// What one sweep did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepRun {
    /// Its id.
    pub id: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it was done.
    pub finished_at: DateTime<Utc>,
    /// Orders that it settled.
    pub settled: i64,
    /// Orders that are still unsettled.
    pub still_pending: i64,
    /// Orders whose settlement failed.
    pub failed: i64,
}

/// Stores a report.
///
/// # Errors
/// If the database fails.
pub async fn insert(store: &Store, run: &SweepRun) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "insert into sweep_runs (id, started_at_ms, finished_at_ms, settled, still_pending, \
         failed) values (?, ?, ?, ?, ?, ?)",
    )
    .bind(&run.id)
    .bind(run.started_at.timestamp_millis())
    .bind(run.finished_at.timestamp_millis())
    .bind(run.settled)
    .bind(run.still_pending)
    .bind(run.failed)
    .execute(tx.connection())
    .await?;
    tx.commit().await
}
