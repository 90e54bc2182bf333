//! Verified notifications, raw, in the transaction of their effect: a row means *seen*.

use chrono::{DateTime, Utc};

use super::{Store, StoreError, WriteTx, inserted_once, time};
use crate::domain::ids::OrderId;

/// A notification whose effect commits with it.
#[derive(Clone, Debug)]
pub struct Notification {
    /// Hash of the app id and the notification's id: the key it is known by.
    pub hash: String,
    /// The gateway's id of it.
    pub notify_id: String,
    /// The attempt it is about.
    pub out_trade_no: String,
    /// What it says.
    pub trade_status: String,
    /// The body as it came.
    pub raw: Vec<u8>,
}

/// Whether this notification's effect is committed.
///
/// # Errors
/// If the database fails.
pub async fn is_seen(store: &Store, hash: &str) -> Result<bool, StoreError> {
    let seen: Option<i64> =
        sqlx::query_scalar("select received_at_ms from notifications where notify_hash = ?")
            .bind(hash)
            .fetch_optional(store.pool())
            .await?;
    Ok(seen.is_some())
}

/// Stores a notification with its effect. `false`: another delivery of it was first.
///
/// # Errors
/// If the database fails.
pub async fn insert(
    tx: &mut WriteTx<'_>,
    notification: &Notification,
    effect: &str,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query(
        "insert into notifications (notify_hash, notify_id, out_trade_no, trade_status, effect, \
         raw, received_at_ms) values (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&notification.hash)
    .bind(&notification.notify_id)
    .bind(&notification.out_trade_no)
    .bind(&notification.trade_status)
    .bind(effect)
    .bind(notification.raw.as_slice())
    .bind(now.timestamp_millis())
    .execute(tx.connection())
    .await;
    inserted_once(inserted)
}

/// A stored notification as operators see it: its body holds the buyer's data and stays away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The gateway's id of it.
    pub notify_id: String,
    /// The attempt it is about.
    pub out_trade_no: String,
    /// What it says.
    pub trade_status: String,
    /// What it changed.
    pub effect: String,
    /// When it came.
    pub received_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    notify_id: String,
    out_trade_no: String,
    trade_status: String,
    effect: String,
    received_at_ms: i64,
}

/// The notifications about an order's attempts, oldest first.
///
/// # Errors
/// If the database fails.
pub async fn of_order(
    store: &Store,
    order_id: &OrderId,
    rows_max: i64,
) -> Result<Vec<Received>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select n.notify_id, n.out_trade_no, n.trade_status, n.effect, n.received_at_ms \
         from payments p join notifications n on n.out_trade_no = p.out_trade_no \
         where p.order_id = ? order by n.received_at_ms, n.notify_hash limit ?",
    )
    .bind(order_id.as_str())
    .bind(rows_max)
    .fetch_all(store.pool())
    .await?;
    let received = rows.into_iter().map(|row| Received {
        notify_id: row.notify_id,
        out_trade_no: row.out_trade_no,
        trade_status: row.trade_status,
        effect: row.effect,
        received_at: time(row.received_at_ms),
    });
    Ok(received.collect())
}
