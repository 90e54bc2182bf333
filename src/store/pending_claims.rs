//! Leases on the due rows of the pending table: how any number of instances share them.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::pending::{Lane, Pending, Row};
use super::{Store, StoreError};
use crate::domain::ids::OrderId;

/// Most rows of one claim: the places of its statements.
pub const CLAIM_MAX: usize = 20;

/// A lease on due rows: nobody else takes them until it ends.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Names this one claim; never used twice.
    pub token: String,
    /// When it ends by itself, should its holder die.
    pub until: DateTime<Utc>,
    /// It takes what was due by then, but nothing that isn't due yet.
    pub due_by: DateTime<Utc>,
    /// How many rows it takes at most; never more than [`CLAIM_MAX`].
    pub rows_max: i64,
}

/// Leases the orders of a batch of the rows of a lane that are due longest, and returns them, each
/// once. Any number of workers and instances may call it at the same time: an order goes to one of
/// them, with all of its due rows. What was settled since the batch was read is left alone.
///
/// # Errors
/// If the database fails.
pub async fn claim_due(
    store: &Store,
    lane: Lane,
    lease: &Lease,
    now: DateTime<Utc>,
) -> Result<Vec<OrderId>, StoreError> {
    let due_by_ms = lease.due_by.min(now).timestamp_millis();
    let due = due_orders(store, lane, (lease.rows_max, due_by_ms), now).await?;
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let mut tx = store.begin().await?;
    let mut claiming = sqlx::query(
        "update pending_payments set leased_by = ?, leased_until_ms = ? \
         where leased_until_ms <= ? and next_query_at_ms <= ? and order_id in \
         (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&lease.token)
    .bind(lease.until.timestamp_millis())
    .bind(now.timestamp_millis())
    .bind(due_by_ms);
    for place in 0..CLAIM_MAX {
        claiming = claiming.bind(due.get(place));
    }
    claiming.execute(tx.connection()).await?;
    tx.commit().await?;
    let mut claimed = sqlx::query_scalar(
        "select order_id from pending_payments where leased_by = ? and order_id in \
         (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&lease.token);
    for place in 0..CLAIM_MAX {
        claimed = claimed.bind(due.get(place));
    }
    let orders: Vec<String> = claimed.fetch_all(store.pool()).await?;
    let orders: BTreeSet<String> = orders.into_iter().collect();
    Ok(orders.into_iter().map(OrderId::from_trusted).collect())
}

/// The orders of the rows that are due longest, each once.
async fn due_orders(
    store: &Store,
    lane: Lane,
    (rows_max, due_by_ms): (i64, i64),
    now: DateTime<Utc>,
) -> Result<Vec<String>, StoreError> {
    let rows_max = rows_max.min(i64::try_from(CLAIM_MAX).unwrap_or(i64::MAX));
    let due: Vec<String> = sqlx::query_scalar(
        "select order_id from pending_payments \
         where lane = ? and next_query_at_ms <= ? and leased_until_ms <= ? \
         order by next_query_at_ms limit ?",
    )
    .bind(lane.number())
    .bind(due_by_ms)
    .bind(now.timestamp_millis())
    .bind(rows_max)
    .fetch_all(store.pool())
    .await?;
    let distinct: BTreeSet<String> = due.into_iter().collect();
    Ok(distinct.into_iter().collect())
}

/// Frees what a worker of an earlier process held. Only for a database that a single instance uses.
///
/// # Errors
/// If the database fails.
pub async fn release_leases(store: &Store) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "update pending_payments set leased_by = null, leased_until_ms = 0 \
         where leased_until_ms > 0",
    )
    .execute(tx.connection())
    .await?;
    tx.commit().await
}

/// The due rows without a lease, oldest first, for a dry run.
///
/// # Errors
/// If the database fails.
pub async fn due(
    store: &Store,
    rows_max: i64,
    now: DateTime<Utc>,
) -> Result<Vec<Pending>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select subject, order_id, kind, lane, next_query_at_ms, check_count, query_count, \
         last_answer, last_answer_at_ms, created_at_ms from pending_payments \
         where next_query_at_ms <= ? and leased_until_ms <= ? order by next_query_at_ms limit ?",
    )
    .bind(now.timestamp_millis())
    .bind(now.timestamp_millis())
    .bind(rows_max)
    .fetch_all(store.pool())
    .await?;
    Ok(rows.into_iter().map(Pending::from).collect())
}
