//! Idempotency keys of order creation; the row commits with the order it stands for.

use chrono::{DateTime, Utc};

use super::{Store, StoreError, WriteTx, inserted_once};
use crate::domain::ids::OrderId;

/// A key that was used before.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct UsedKey {
    /// Hash of the request it came with.
    pub request_hash: String,
    /// The answer it got.
    pub response: String,
}

impl From<(String, String)> for UsedKey {
    fn from((request_hash, response): (String, String)) -> Self {
        Self { request_hash, response }
    }
}

/// Looks a key up.
///
/// # Errors
/// If the database fails.
pub async fn find(store: &Store, key_hash: &str) -> Result<Option<UsedKey>, StoreError> {
    let row =
        sqlx::query_as("select request_hash, response from idempotency_keys where key_hash = ?")
            .bind(key_hash)
            .fetch_optional(store.pool())
            .await?;
    Ok(row)
}

/// Stores a key with the answer that it will always get. `false`: another request was first.
///
/// # Errors
/// If the database fails.
pub async fn insert(
    tx: &mut WriteTx<'_>,
    key_hash: &str,
    used: &UsedKey,
    order_id: &OrderId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query(
        "insert into idempotency_keys (key_hash, request_hash, order_id, response, created_at_ms) \
         values (?, ?, ?, ?, ?)",
    )
    .bind(key_hash)
    .bind(&used.request_hash)
    .bind(order_id.as_str())
    .bind(&used.response)
    .bind(now.timestamp_millis())
    .execute(tx.connection())
    .await;
    inserted_once(inserted)
}
