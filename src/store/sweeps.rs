//! Reports of the fallback sweep.

use chrono::{DateTime, Utc};

use super::{Store, StoreError, time};

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

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    started_at_ms: i64,
    finished_at_ms: i64,
    settled: i64,
    still_pending: i64,
    failed: i64,
}

impl From<Row> for SweepRun {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            started_at: time(row.started_at_ms),
            finished_at: time(row.finished_at_ms),
            settled: row.settled,
            still_pending: row.still_pending,
            failed: row.failed,
        }
    }
}

/// The last reports, newest first.
///
/// # Errors
/// If the database fails.
pub async fn last(store: &Store, rows_max: i64) -> Result<Vec<SweepRun>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, started_at_ms, finished_at_ms, settled, still_pending, failed \
         from sweep_runs where started_at_ms >= 0 order by started_at_ms desc limit ?",
    )
    .bind(rows_max)
    .fetch_all(store.pool())
    .await?;
    Ok(rows.into_iter().map(SweepRun::from).collect())
}
