//! How much of a payment went back and may still go back, and what that makes of its order. The
//! conditions of these updates are what keeps concurrent refunds within the payment.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Store, StoreError, WriteTx};
use crate::domain::ids::{OrderId, OutTradeNo};
use crate::domain::money::Fen;
use crate::domain::order::OrderStatus;

/// An order whose row this transaction holds, under the version that it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldOrder {
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
pub async fn hold_order(
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
        version,
        status: OrderStatus::parse(&status).ok_or_else(|| corrupt("status"))?,
        amount: Fen::new(amount_fen).ok_or_else(|| corrupt("amount_fen"))?,
        refunded: Fen::new(refunded_fen).ok_or_else(|| corrupt("refunded_fen"))?,
        applied: applied.map(OutTradeNo::from_trusted),
    }))
}

/// Writes what a refund makes of an order that this transaction holds.
///
/// # Errors
/// If the database fails.
pub async fn move_order(
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

/// How much of a payment is neither back nor on its way back; `None` if nothing was paid.
///
/// # Errors
/// If the database fails or the row breaks an invariant.
pub async fn left(tx: &mut WriteTx<'_>, no: &OutTradeNo) -> Result<Option<Fen>, StoreError> {
    let left: Option<Option<i64>> = sqlx::query_scalar(
        "select paid_fen - refunded_fen - refunding_fen from payments where out_trade_no = ?",
    )
    .bind(no.as_str())
    .fetch_optional(tx.connection())
    .await?;
    let corrupt = || StoreError::corrupt("payments", "refunding_fen", no.as_str());
    left.flatten().map(|fen| Fen::new(fen).ok_or_else(corrupt)).transpose()
}

/// Sets money of a payment aside for a refund. `false`: less than that is left.
///
/// # Errors
/// If the database fails.
pub async fn reserve(
    tx: &mut WriteTx<'_>,
    no: &OutTradeNo,
    amount: Fen,
) -> Result<bool, StoreError> {
    let reserved = sqlx::query(
        "update payments set refunding_fen = refunding_fen + ? where out_trade_no = ? \
         and paid_fen is not null and paid_fen - refunded_fen - refunding_fen >= ?",
    )
    .bind(amount.fen())
    .bind(no.as_str())
    .bind(amount.fen())
    .execute(tx.connection())
    .await?;
    Ok(reserved.rows_affected() == 1)
}

/// Books money that was set aside: it went back, or it stays.
///
/// # Errors
/// If the database fails, or less than that was set aside.
pub async fn conclude(
    tx: &mut WriteTx<'_>,
    no: &OutTradeNo,
    amount: Fen,
    went_back: bool,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let concluded = sqlx::query(
        "update payments set refunding_fen = refunding_fen - ?, refunded_fen = refunded_fen + ?, \
         updated_at_ms = ? where out_trade_no = ? and refunding_fen >= ?",
    )
    .bind(amount.fen())
    .bind(if went_back { amount.fen() } else { 0 })
    .bind(now.timestamp_millis())
    .bind(no.as_str())
    .bind(amount.fen())
    .execute(tx.connection())
    .await?;
    match concluded.rows_affected() {
        1 => Ok(()),
        _ => Err(StoreError::corrupt("payments", "refunding_fen", no.as_str())),
    }
}

/// How much unfinished refunds of a payment have set aside.
///
/// # Errors
/// If the database fails or the row breaks an invariant.
pub async fn set_aside(tx: &mut WriteTx<'_>, no: &OutTradeNo) -> Result<Fen, StoreError> {
    let fen: i64 = sqlx::query_scalar("select refunding_fen from payments where out_trade_no = ?")
        .bind(no.as_str())
        .fetch_one(tx.connection())
        .await?;
    Fen::new(fen).ok_or_else(|| StoreError::corrupt("payments", "refunding_fen", no.as_str()))
}

/// Whether all of a payment went back.
///
/// # Errors
/// If the database fails.
pub async fn is_all_back(tx: &mut WriteTx<'_>, no: &OutTradeNo) -> Result<bool, StoreError> {
    let all: Option<i64> = sqlx::query_scalar(
        "select refunded_fen from payments where out_trade_no = ? and refunded_fen = paid_fen",
    )
    .bind(no.as_str())
    .fetch_optional(tx.connection())
    .await?;
    Ok(all.is_some())
}

/// Takes the turn to refund a trade: two requests of one trade keep a distance. `false`: the last
/// one is too recent.
///
/// # Errors
/// If the database fails.
pub async fn take_turn(
    store: &Store,
    no: &OutTradeNo,
    spacing: Duration,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let now_ms = now.timestamp_millis();
    let spacing_ms = i64::try_from(spacing.as_millis()).unwrap_or(i64::MAX);
    let mut tx = store.begin().await?;
    let taken = sqlx::query(
        "update payments set refund_sent_at_ms = ? where out_trade_no = ? \
         and refund_sent_at_ms <= ?",
    )
    .bind(now_ms)
    .bind(no.as_str())
    .bind(now_ms.saturating_sub(spacing_ms))
    .execute(tx.connection())
    .await?;
    tx.commit().await?;
    Ok(taken.rows_affected() == 1)
}
