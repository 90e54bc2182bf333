//! How much of a payment went back and may still go back. The conditions of these updates are what
//! keeps concurrent refunds within the payment.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Store, StoreError, WriteTx};
use crate::domain::ids::{OutRequestNo, OutTradeNo};
use crate::domain::money::Fen;

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

/// How much of a payment the gateway gave back; what was paid by other means is left out.
///
/// # Errors
/// If the database fails or the rows break an invariant.
pub async fn gone_through_gateway(store: &Store, no: &OutTradeNo) -> Result<Fen, StoreError> {
    let amounts: Vec<i64> = sqlx::query_scalar(
        "select amount_fen from refunds where out_trade_no = ? and status = 'succeeded' \
         and paid_elsewhere is null",
    )
    .bind(no.as_str())
    .fetch_all(store.pool())
    .await?;
    let corrupt = || StoreError::corrupt("refunds", "amount_fen", no.as_str());
    amounts
        .into_iter()
        .map(Fen::new)
        .try_fold(Fen::ZERO, |sum, amount| sum.checked_add(amount?))
        .ok_or_else(corrupt)
}

/// Takes the turn to send a refund: two refunds of one trade keep a distance. A repeat keeps it to
/// others only. `false`: the last request is too recent.
///
/// # Errors
/// If the database fails.
pub async fn take_turn(
    store: &Store,
    (no, request_no, is_repeat): (&OutTradeNo, &OutRequestNo, bool),
    spacing: Duration,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let now_ms = now.timestamp_millis();
    let spacing_ms = i64::try_from(spacing.as_millis()).unwrap_or(i64::MAX);
    let last_ms = now_ms.saturating_sub(spacing_ms);
    let mut tx = store.begin().await?;
    let taken = sqlx::query(
        "update payments set refund_sent_at_ms = ? where out_trade_no = ? \
         and (refund_sent_at_ms <= ? or (? = 1 and not exists (select 1 from refunds \
         where refunds.out_trade_no = payments.out_trade_no \
         and refunds.out_request_no <> ? and refunds.updated_at_ms > ?)))",
    )
    .bind(now_ms)
    .bind(no.as_str())
    .bind(last_ms)
    .bind(i64::from(is_repeat))
    .bind(request_no.as_str())
    .bind(last_ms)
    .execute(tx.connection())
    .await?;
    tx.commit().await?;
    Ok(taken.rows_affected() == 1)
}
