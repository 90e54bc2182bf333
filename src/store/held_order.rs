//! An order that a transaction holds: whoever changes it for a refund or an operator takes its next
//! version first, so that nobody else changes it until the transaction ends.

use chrono::{DateTime, Utc};

use super::{StoreError, WriteTx};
use crate::domain::ids::{OrderId, OutTradeNo};
use crate::domain::money::Fen;
use crate::domain::order::{Order, OrderStatus};

/// An order whose row this transaction holds, under the version that it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldOrder {
    /// Its id.
    pub id: OrderId,
    /// The version of the change to be written.
    pub version: i64,
    /// Where the order stands.
    pub status: OrderStatus,
    /// What was paid for it.
    pub amount: Fen,
    /// How much of that went back.
    pub refunded: Fen,
    /// The attempt whose payment is applied.
    pub applied: Option<OutTradeNo>,
}

/// Takes an order's next version and reads it; nobody else changes it until this transaction ends.
/// `None`: there is no such order.
///
/// # Errors
/// If the database fails or the row breaks an invariant.
pub async fn hold(
    tx: &mut WriteTx<'_>,
    id: &OrderId,
    now: DateTime<Utc>,
) -> Result<Option<HeldOrder>, StoreError> {
    let taken =
        sqlx::query("update orders set version = version + 1, updated_at_ms = ? where id = ?")
            .bind(now.timestamp_millis())
            .bind(id.as_str())
            .execute(tx.connection())
            .await?;
    if taken.rows_affected() != 1 {
        return Ok(None);
    }
    let (version, status, amount_fen, refunded_fen, applied): (
        i64,
        String,
        i64,
        i64,
        Option<String>,
    ) = sqlx::query_as(
        "select version, status, amount_fen, refunded_fen, applied_out_trade_no \
             from orders where id = ?",
    )
    .bind(id.as_str())
    .fetch_one(tx.connection())
    .await?;
    let corrupt = |column| StoreError::corrupt("orders", column, id.as_str());
    Ok(Some(HeldOrder {
        id: id.clone(),
        version,
        status: OrderStatus::parse(&status).ok_or_else(|| corrupt("status"))?,
        amount: Fen::new(amount_fen).ok_or_else(|| corrupt("amount_fen"))?,
        refunded: Fen::new(refunded_fen).ok_or_else(|| corrupt("refunded_fen"))?,
        applied: applied.map(OutTradeNo::from_trusted),
    }))
}

/// The same of the order that a payment belongs to, if it belongs to one. It is held before its
/// payment and their refunds, everywhere, so that nobody waits crosswise.
///
/// # Errors
/// If the database fails, the row breaks an invariant, or the order is missing.
pub async fn hold_of(
    tx: &mut WriteTx<'_>,
    order_id: Option<&OrderId>,
    now: DateTime<Utc>,
) -> Result<Option<HeldOrder>, StoreError> {
    let Some(id) = order_id else { return Ok(None) };
    let held = hold(tx, id, now).await?;
    held.map(Some).ok_or_else(|| StoreError::corrupt("orders", "id", id.as_str()))
}

/// Writes what a refund makes of an order that this transaction holds.
///
/// # Errors
/// If the database fails.
pub async fn move_to(
    tx: &mut WriteTx<'_>,
    id: &OrderId,
    status: OrderStatus,
    gone_back: Fen,
) -> Result<(), StoreError> {
    sqlx::query("update orders set status = ?, refunded_fen = refunded_fen + ? where id = ?")
        .bind(status.as_str())
        .bind(gone_back.fen())
        .bind(id.as_str())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Pays an order that this transaction holds; it costs what was paid from now on.
///
/// # Errors
/// If the database fails.
pub async fn pay(
    tx: &mut WriteTx<'_>,
    id: &OrderId,
    applied: &OutTradeNo,
    paid: Fen,
    paid_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "update orders set status = 'paid', amount_fen = ?, applied_out_trade_no = ?, \
         paid_at_ms = ? where id = ?",
    )
    .bind(paid.fen())
    .bind(applied.as_str())
    .bind(paid_at.timestamp_millis())
    .bind(id.as_str())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Keeps an order as it was read until this transaction ends. `false`: it has changed since.
///
/// # Errors
/// If the database fails.
pub async fn hold_unchanged(tx: &mut WriteTx<'_>, read: &Order) -> Result<bool, StoreError> {
    let held = sqlx::query("update orders set version = version where id = ? and version = ?")
        .bind(read.id.as_str())
        .bind(read.version)
        .execute(tx.connection())
        .await?;
    Ok(held.rows_affected() == 1)
}
