//! The history of orders: who changed what, when and why. Its status pairs refer to the table of
//! allowed transitions, so that the database refuses an illegal one.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Store, StoreError, WriteTx, time};
use crate::domain::ids::OrderId;
use crate::domain::order::OrderStatus;

/// Most events of one order that one answer lists.
const EVENTS_MAX: i64 = 1_000;

/// One line to write.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What happened: `placed`, `paid`, `cancelled`, `payment_created` …
    pub cause: &'static str,
    /// The status before; `None` for an order that didn't exist.
    pub from: Option<OrderStatus>,
    /// The status after.
    pub to: OrderStatus,
    /// Anything worth knowing later: a cancel's evidence, a payment's number.
    pub detail: serde_json::Value,
}

/// One line as the API shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// When.
    pub at: DateTime<Utc>,
    /// The trigger, key or operator.
    pub actor: String,
    /// What happened.
    pub cause: String,
    /// The status before.
    pub from: String,
    /// The status after.
    pub to: String,
    /// Anything worth knowing.
    pub detail: serde_json::Value,
}

/// Writes the lines of one version of an order.
///
/// # Errors
/// If the database fails, or the transition is not an allowed one.
pub async fn append(
    tx: &mut WriteTx<'_>,
    order_id: &OrderId,
    version: i64,
    actor: &str,
    entries: &[Entry],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    for (line, entry) in (0_i64..).zip(entries) {
        sqlx::query(
            "insert into order_history \
             (order_id, version, line, at_ms, actor, cause, from_status, to_status, detail) \
             values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(order_id.as_str())
        .bind(version)
        .bind(line)
        .bind(now.timestamp_millis())
        .bind(actor)
        .bind(entry.cause)
        .bind(entry.from.map_or("none", OrderStatus::as_str))
        .bind(entry.to.as_str())
        .bind(entry.detail.to_string())
        .execute(tx.connection())
        .await?;
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    at_ms: i64,
    actor: String,
    cause: String,
    from_status: String,
    to_status: String,
    detail: String,
}

/// The history of one order, oldest first.
///
/// # Errors
/// If the database fails.
pub async fn list(store: &Store, order_id: &OrderId) -> Result<Vec<Event>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select at_ms, actor, cause, from_status, to_status, detail from order_history \
         where order_id = ? order by version, line limit ?",
    )
    .bind(order_id.as_str())
    .bind(EVENTS_MAX)
    .fetch_all(store.pool())
    .await?;
    rows.into_iter().map(|row| read(row, order_id)).collect()
}

fn read(row: Row, order_id: &OrderId) -> Result<Event, StoreError> {
    let detail = serde_json::from_str(&row.detail)
        .map_err(|_| StoreError::corrupt("order_history", "detail", order_id.as_str()))?;
    Ok(Event {
        at: time(row.at_ms),
        actor: row.actor,
        cause: row.cause,
        from: row.from_status,
        to: row.to_status,
        detail,
    })
}

/// A change of an order: each has a version of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Change {
    /// The order.
    pub order_id: OrderId,
    /// Its version since the change.
    pub version: i64,
    /// When, by the clock of the instance that changed it, shortly before it committed.
    pub at: DateTime<Utc>,
}

/// The changes since a time, the latest `rows_max` of them.
///
/// # Errors
/// If the database fails.
pub async fn since(
    store: &Store,
    from: DateTime<Utc>,
    rows_max: i64,
) -> Result<Vec<Change>, StoreError> {
    // Every change has a first line.
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "select order_id, version, at_ms from order_history where at_ms >= ? and line = 0 \
         order by at_ms desc limit ?",
    )
    .bind(from.timestamp_millis())
    .bind(rows_max)
    .fetch_all(store.pool())
    .await?;
    let change = |(order_id, version, at_ms): (String, i64, i64)| Change {
        order_id: OrderId::from_trusted(order_id),
        version,
        at: time(at_ms),
    };
    Ok(rows.into_iter().map(change).collect())
}
