//! Instances that are alive: each keeps a row of its own up to date.

use chrono::{DateTime, Duration, Utc};

use super::{Store, StoreError};

/// What an instance that died leaves behind is deleted so long after its end: no clock is that far
/// ahead of the others.
const FORGET_AFTER: Duration = Duration::hours(1);

/// Says that an instance is alive until this time, and returns how many are.
///
/// Each statement is a transaction of its own: two instances that hold their own row and wait for
/// the other's would be a deadlock.
///
/// # Errors
/// If the database fails.
pub async fn keep_alive(
    store: &Store,
    id: &str,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<usize, StoreError> {
    let mut tx = store.begin().await?;
    let kept = sqlx::query("update instances set alive_until_ms = ? where id = ?")
        .bind(until.timestamp_millis())
        .bind(id)
        .execute(tx.connection())
        .await?;
    if kept.rows_affected() == 0 {
        sqlx::query("insert into instances (id, started_at_ms, alive_until_ms) values (?, ?, ?)")
            .bind(id)
            .bind(now.timestamp_millis())
            .bind(until.timestamp_millis())
            .execute(tx.connection())
            .await?;
    }
    tx.commit().await?;
    let rows: Vec<i64> =
        sqlx::query_scalar("select alive_until_ms from instances").fetch_all(store.pool()).await?;
    if rows.iter().any(|until_ms| *until_ms <= forgotten(now)) {
        forget(store, now).await?;
    }
    Ok(rows.iter().filter(|until_ms| **until_ms > now.timestamp_millis()).count())
}

fn forgotten(now: DateTime<Utc>) -> i64 {
    (now - FORGET_AFTER).timestamp_millis()
}

async fn forget(store: &Store, now: DateTime<Utc>) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query("delete from instances where alive_until_ms <= ?")
        .bind(forgotten(now))
        .execute(tx.connection())
        .await?;
    tx.commit().await
}

/// Says that an instance has stopped: its share is the others' at their next look.
///
/// # Errors
/// If the database fails.
pub async fn leave(store: &Store, id: &str) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query("delete from instances where id = ?").bind(id).execute(tx.connection()).await?;
    tx.commit().await
}
