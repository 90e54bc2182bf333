//! The barrier: one row says whether an order's creating transaction took place. It is written by
//! that transaction and by the check-back, and the unique key picks the winner, so that a
//! check-back's answer is definite even while the creating transaction is open (after dtm's
//! query-prepared).

use chrono::{DateTime, Utc};

use super::{Store, StoreError, WriteTx, inserted_once};
use crate::domain::ids::OrderId;

/// What became of an order's creating transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It committed: the order exists.
    Committed,
    /// It never will: the order doesn't exist, and a late try meets this tombstone.
    RolledBack,
}

const INSERT: &str = "insert into barriers (order_id, outcome, at_ms) values (?, ?, ?)";

/// Claims the order id for its creating transaction. `false`: a tombstone stands there, the try is
/// over.
///
/// # Errors
/// If the database fails.
pub async fn claim(
    tx: &mut WriteTx<'_>,
    order_id: &OrderId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query(INSERT)
        .bind(order_id.as_str())
        .bind("committed")
        .bind(now.timestamp_millis())
        .execute(tx.connection())
        .await;
    inserted_once(inserted)
}

/// Settles what became of the creating transaction: if it left nothing, a tombstone is written so
/// that it never will. Waits for a transaction that is still open.
///
/// # Errors
/// If the database fails; the outcome is unknown then.
pub async fn settle(
    store: &Store,
    order_id: &OrderId,
    now: DateTime<Utc>,
) -> Result<Outcome, StoreError> {
    let mut tx = store.begin().await?;
    let inserted = sqlx::query(INSERT)
        .bind(order_id.as_str())
        .bind("rolled_back")
        .bind(now.timestamp_millis())
        .execute(tx.connection())
        .await;
    if inserted_once(inserted)? {
        tx.commit().await?;
        return Ok(Outcome::RolledBack);
    }
    tx.rollback().await?;
    load(store, order_id).await
}

async fn load(store: &Store, order_id: &OrderId) -> Result<Outcome, StoreError> {
    let outcome: Option<String> =
        sqlx::query_scalar("select outcome from barriers where order_id = ?")
            .bind(order_id.as_str())
            .fetch_optional(store.pool())
            .await?;
    match outcome.as_deref() {
        Some("committed") => Ok(Outcome::Committed),
        Some("rolled_back") => Ok(Outcome::RolledBack),
        _ => Err(StoreError::corrupt("barriers", "outcome", order_id.as_str())),
    }
}
