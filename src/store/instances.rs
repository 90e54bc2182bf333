//! Instances that are alive: each keeps a row of its own up to date.

use chrono::{DateTime, Utc};

use super::{Store, StoreError};

/// Says that an instance is alive until this time, drops those that are not, and returns how many
/// are.
///
/// # Errors
/// If the database fails.
pub async fn keep_alive(
    store: &Store,
    id: &str,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<i64, StoreError> {
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
    sqlx::query("delete from instances where alive_until_ms <= ?")
        .bind(now.timestamp_millis())
        .execute(tx.connection())
        .await?;
    let alive =
        sqlx::query_scalar("select count(*) from instances").fetch_one(tx.connection()).await?;
    tx.commit().await?;
    Ok(alive)
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
