//! What an operator makes of payments that wait for one: of a wrong amount, or without an attempt.

use chrono::{DateTime, Utc};

use super::{StoreError, WriteTx};
use crate::domain::ids::{OrderId, OutTradeNo};
use crate::domain::money::Fen;
use crate::domain::payment::PaymentStatus;

/// Applies a payment of a wrong amount. `false`: it waits no more, or money of it is on its way.
///
/// # Errors
/// If the database fails.
pub async fn apply(
    tx: &mut WriteTx<'_>,
    order_id: &OrderId,
    no: &OutTradeNo,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let applied = sqlx::query(
        "update payments set status = 'applied', applied_order_id = ?, updated_at_ms = ? \
         where out_trade_no = ? and order_id = ? and status = 'wrong_amount' \
         and refunded_fen = 0 and refunding_fen = 0",
    )
    .bind(order_id.as_str())
    .bind(now.timestamp_millis())
    .bind(no.as_str())
    .bind(order_id.as_str())
    .execute(tx.connection())
    .await?;
    Ok(applied.rows_affected() == 1)
}

/// Holds a payment that still has this status, for one decision about it, until the transaction
/// ends. `false`: somebody was first.
///
/// # Errors
/// If the database fails.
pub async fn hold(
    tx: &mut WriteTx<'_>,
    no: &OutTradeNo,
    status: PaymentStatus,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let held =
        sqlx::query("update payments set updated_at_ms = ? where out_trade_no = ? and status = ?")
            .bind(now.timestamp_millis())
            .bind(no.as_str())
            .bind(status.as_str())
            .execute(tx.connection())
            .await?;
    Ok(held.rows_affected() == 1)
}

/// Makes an orphan's payment an attempt of an order: what was paid is asked of the gateway anew.
/// `false`: it waits no more, or money of it is on its way.
///
/// # Errors
/// If the database fails.
pub async fn attach(
    tx: &mut WriteTx<'_>,
    no: &OutTradeNo,
    order_id: &OrderId,
    asked: Fen,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let attached = sqlx::query(
        "update payments set status = 'waiting', order_id = ?, amount_fen = ?, paid_fen = null, \
         paid_at_ms = null, recorded_at_ms = null, seen = 1, updated_at_ms = ? \
         where out_trade_no = ? and status = 'orphan' and refunded_fen = 0 and refunding_fen = 0",
    )
    .bind(order_id.as_str())
    .bind(asked.fen())
    .bind(now.timestamp_millis())
    .bind(no.as_str())
    .execute(tx.connection())
    .await?;
    if attached.rows_affected() != 1 {
        return Ok(false);
    }
    // What is made of its refused refunds from now on moves the order.
    sqlx::query("update refunds set order_id = ? where out_trade_no = ?")
        .bind(order_id.as_str())
        .bind(no.as_str())
        .execute(tx.connection())
        .await?;
    Ok(true)
}
