//! Every call to the gateway about a payment attempt that a settlement made. Append-only.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Store, StoreError, WriteTx, time};
use crate::domain::ids::{OrderId, OutTradeNo};
use crate::domain::trigger::Trigger;

/// Rows that are read of one order, the latest.
const ROWS_MAX: i64 = 200;

/// One call and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentQuery {
    /// The attempt.
    pub out_trade_no: OutTradeNo,
    /// `query` or `close`.
    pub call: &'static str,
    /// One word for the answer, or why there is none.
    pub answer: &'static str,
    /// The instant just before it was sent.
    pub asked_at: DateTime<Utc>,
    /// How long it took, in milliseconds.
    pub took_ms: i64,
}

/// A call as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Logged {
    /// When it was sent, RFC 3339.
    pub at: DateTime<Utc>,
    /// The trigger that caused it.
    pub caused_by: String,
    /// The attempt.
    pub out_trade_no: String,
    /// `query` or `close`.
    pub call: String,
    /// One word for the answer, or why there is none.
    pub answer: String,
    /// How long it took, in milliseconds.
    pub took_ms: i64,
}

/// Adds a call to the log.
///
/// # Errors
/// If the database fails.
pub async fn insert(
    tx: &mut WriteTx<'_>,
    id: &str,
    order_id: &OrderId,
    caused_by: Trigger,
    query: &PaymentQuery,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into payment_queries (id, order_id, out_trade_no, caused_by, call_name, answer, \
         asked_at_ms, took_ms) values (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(id)
    .bind(order_id.as_str())
    .bind(query.out_trade_no.as_str())
    .bind(caused_by.as_str())
    .bind(query.call)
    .bind(query.answer)
    .bind(query.asked_at.timestamp_millis())
    .bind(query.took_ms)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The latest calls about an order's attempts, oldest first.
///
/// # Errors
/// If the database fails.
pub async fn of_order(store: &Store, order_id: &OrderId) -> Result<Vec<Logged>, StoreError> {
    let latest: Vec<(i64, String, String, String, String, i64)> = sqlx::query_as(
        "select asked_at_ms, caused_by, out_trade_no, call_name, answer, took_ms \
         from payment_queries where order_id = ? order by asked_at_ms desc, id desc limit ?",
    )
    .bind(order_id.as_str())
    .bind(ROWS_MAX)
    .fetch_all(store.pool())
    .await?;
    let logged = latest.into_iter().rev().map(|row| {
        let (asked_at_ms, caused_by, out_trade_no, call, answer, took_ms) = row;
        Logged { at: time(asked_at_ms), caused_by, out_trade_no, call, answer, took_ms }
    });
    Ok(logged.collect())
}
