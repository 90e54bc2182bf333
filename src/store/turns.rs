//! Work that one of the instances does at a time: whoever takes the turn does it, and the next one
//! is due later. A turn whose holder died is free again when its lease is over.

use chrono::{DateTime, Utc};

use super::{Store, StoreError, inserted_once, time};

/// What came of the last run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// When it was done.
    pub at: DateTime<Utc>,
    /// What it left for whoever reads it.
    pub result: String,
}

/// Takes the turn for this work if it is due, until `lease_until`. `false`: it isn't due, or
/// somebody else has it.
///
/// # Errors
/// If the database fails.
pub async fn take(
    store: &Store,
    name: &str,
    lease_until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let due: Option<i64> = sqlx::query_scalar("select due_at_ms from turns where name = ?")
        .bind(name)
        .fetch_optional(store.pool())
        .await?;
    let now_ms = now.timestamp_millis();
    if due.is_some_and(|due_at_ms| due_at_ms > now_ms) {
        return Ok(false);
    }
    let mut tx = store.begin().await?;
    let taken = if due.is_none() {
        let inserted = sqlx::query("insert into turns (name, due_at_ms) values (?, ?)")
            .bind(name)
            .bind(lease_until.timestamp_millis())
            .execute(tx.connection())
            .await;
        inserted_once(inserted)?
    } else {
        let updated =
            sqlx::query("update turns set due_at_ms = ? where name = ? and due_at_ms <= ?")
                .bind(lease_until.timestamp_millis())
                .bind(name)
                .bind(now_ms)
                .execute(tx.connection())
                .await?;
        updated.rows_affected() == 1
    };
    tx.commit().await?;
    Ok(taken)
}

/// Notes what came of a turn, and when the next one is due.
///
/// # Errors
/// If the database fails.
pub async fn finish(
    store: &Store,
    name: &str,
    result: &str,
    next_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query("update turns set due_at_ms = ?, done_at_ms = ?, result = ? where name = ?")
        .bind(next_at.timestamp_millis())
        .bind(now.timestamp_millis())
        .bind(result)
        .bind(name)
        .execute(tx.connection())
        .await?;
    tx.commit().await
}

/// What came of the last run; `None` if there was none.
///
/// # Errors
/// If the database fails.
pub async fn last(store: &Store, name: &str) -> Result<Option<Done>, StoreError> {
    let row: Option<(Option<i64>, Option<String>)> =
        sqlx::query_as("select done_at_ms, result from turns where name = ?")
            .bind(name)
            .fetch_optional(store.pool())
            .await?;
    Ok(row.and_then(|(at_ms, result)| Some(Done { at: time(at_ms?), result: result? })))
}
