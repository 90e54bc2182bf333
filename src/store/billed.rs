//! What is recorded of the trades and refunds on a bill: read in batches, never line by line.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::{Store, StoreError, time};
use crate::domain::ids::OrderId;
use crate::domain::money::Fen;
use crate::domain::reconciliation::{KnownPayment, KnownRefund};
use crate::domain::refund::RefundStatus;

/// Numbers that one statement asks for.
pub const NUMBERS_MAX: usize = 50;

const SELECT_PAYMENTS: &str = "select out_trade_no, order_id, app_id, seller_id, \
    paid_fen, refunded_fen, trade_no from payments where out_trade_no in (?, ?, ?, ?, ?, ?, ?, \
    ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
    ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

const SELECT_REFUNDS: &str = "select out_trade_no, out_request_no, request_no, status, \
    amount_fen, paid_elsewhere from refunds where out_trade_no in (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
    ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
    ?, ?, ?, ?, ?, ?, ?, ?, ?)";

#[derive(sqlx::FromRow)]
struct PaymentRow {
    out_trade_no: String,
    order_id: Option<String>,
    app_id: String,
    seller_id: String,
    paid_fen: Option<i64>,
    refunded_fen: i64,
    trade_no: Option<String>,
}

#[derive(sqlx::FromRow)]
struct RefundRow {
    out_trade_no: String,
    out_request_no: String,
    request_no: String,
    status: String,
    amount_fen: i64,
    paid_elsewhere: Option<String>,
}

impl PaymentRow {
    fn into_known(self, app_id: &str, seller_id: &str) -> Result<KnownPayment, StoreError> {
        let corrupt = |column| StoreError::corrupt("payments", column, &self.out_trade_no);
        let paid = self.paid_fen.map(|fen| Fen::new(fen).ok_or_else(|| corrupt("paid_fen")));
        let refunded = Fen::new(self.refunded_fen).ok_or_else(|| corrupt("refunded_fen"))?;
        Ok(KnownPayment {
            same_account: self.app_id == app_id && self.seller_id == seller_id,
            paid: paid.transpose()?,
            refunded,
            order_id: self.order_id.map(OrderId::from_trusted),
            trade_no: self.trade_no,
            refunds: Vec::new(),
        })
    }
}

impl RefundRow {
    fn into_known(self) -> Result<KnownRefund, StoreError> {
        let corrupt = |column| StoreError::corrupt("refunds", column, &self.out_request_no);
        Ok(KnownRefund {
            status: RefundStatus::parse(&self.status).ok_or_else(|| corrupt("status"))?,
            amount: Fen::new(self.amount_fen).ok_or_else(|| corrupt("amount_fen"))?,
            paid_elsewhere: self.paid_elsewhere.is_some(),
            request_no: self.request_no,
            out_request_no: self.out_request_no,
        })
    }
}

/// What is recorded under some numbers of trades, [`NUMBERS_MAX`] at most, beside the bill of this
/// account.
///
/// # Errors
/// If the database fails or a row breaks an invariant.
pub async fn known(
    store: &Store,
    (app_id, seller_id): (&str, &str),
    numbers: &[&str],
) -> Result<HashMap<String, KnownPayment>, StoreError> {
    let padded = |at: usize| numbers.get(at).copied().unwrap_or_default();
    let mut query = sqlx::query_as(SELECT_PAYMENTS);
    for at in 0..NUMBERS_MAX {
        query = query.bind(padded(at));
    }
    let payments: Vec<PaymentRow> = query.fetch_all(store.pool()).await?;
    let mut known = HashMap::with_capacity(payments.len());
    for payment in payments {
        let number = payment.out_trade_no.clone();
        known.insert(number, payment.into_known(app_id, seller_id)?);
    }
    let mut query = sqlx::query_as(SELECT_REFUNDS);
    for at in 0..NUMBERS_MAX {
        query = query.bind(padded(at));
    }
    let refunds: Vec<RefundRow> = query.fetch_all(store.pool()).await?;
    for refund in refunds {
        let payment = known.get_mut(&refund.out_trade_no);
        let refund = refund.into_known()?;
        if let Some(payment) = payment {
            payment.refunds.push(refund);
        }
    }
    Ok(known)
}

/// Which rows of a day: those between two times, behind the last one of the page before.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    /// Our application.
    pub app_id: &'a str,
    /// The seller.
    pub seller_id: &'a str,
    /// When the whole span begins.
    pub begins_at: DateTime<Utc>,
    /// The first instant that is left of it.
    pub from: DateTime<Utc>,
    /// The first instant that no longer belongs to it.
    pub until: DateTime<Utc>,
    /// The number of the last row of the page before; empty at first.
    pub after: String,
    /// Most rows.
    pub rows_max: i64,
}

/// Money that is recorded, and that a bill must tell of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The merchant's number of the trade.
    pub out_trade_no: String,
    /// The number of the refund; empty for a payment.
    pub out_request_no: String,
    /// How much.
    pub amount_fen: i64,
    /// When, as far as it is known.
    pub at: DateTime<Utc>,
}

/// Payments whose money came in a span of time, by the gateway's clock.
///
/// # Errors
/// If the database fails.
pub async fn payments(store: &Store, page: &Page<'_>) -> Result<Vec<Expected>, StoreError> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "select out_trade_no, paid_fen, paid_at_ms from payments where paid_at_ms >= ? \
         and paid_at_ms < ? and app_id = ? and seller_id = ? and paid_fen > 0 \
         and (paid_at_ms > ? or out_trade_no > ?) order by paid_at_ms, out_trade_no limit ?",
    )
    .bind(page.from.timestamp_millis())
    .bind(page.until.timestamp_millis())
    .bind(page.app_id)
    .bind(page.seller_id)
    .bind(page.from.timestamp_millis())
    .bind(&page.after)
    .bind(page.rows_max)
    .fetch_all(store.pool())
    .await?;
    let expected = |(out_trade_no, amount_fen, at_ms): (String, i64, i64)| Expected {
        out_trade_no,
        out_request_no: String::new(),
        amount_fen,
        at: time(at_ms),
    };
    Ok(rows.into_iter().map(expected).collect())
}

/// Refunds of ours that were sent and ended within a span of time: their money went back in it. The
/// order of the join is fixed: an account has many payments, and a day few refunds.
///
/// # Errors
/// If the database fails.
pub async fn refunds(store: &Store, page: &Page<'_>) -> Result<Vec<Expected>, StoreError> {
    let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(
        "select r.out_trade_no, r.out_request_no, r.amount_fen, r.ended_at_ms from refunds r \
         cross join payments p on p.out_trade_no = r.out_trade_no where r.ended_at_ms >= ? \
         and r.ended_at_ms < ? and r.sent_at_ms >= ? and r.status <> 'refused' \
         and r.cause <> 'elsewhere' and r.paid_elsewhere is null and p.app_id = ? \
         and p.seller_id = ? and (r.ended_at_ms > ? or r.out_request_no > ?) \
         order by r.ended_at_ms, r.out_request_no limit ?",
    )
    .bind(page.from.timestamp_millis())
    .bind(page.until.timestamp_millis())
    .bind(page.begins_at.timestamp_millis())
    .bind(page.app_id)
    .bind(page.seller_id)
    .bind(page.from.timestamp_millis())
    .bind(&page.after)
    .bind(page.rows_max)
    .fetch_all(store.pool())
    .await?;
    let expected =
        |(out_trade_no, out_request_no, amount_fen, at_ms): (String, String, i64, i64)| Expected {
            out_trade_no,
            out_request_no,
            amount_fen,
            at: time(at_ms),
        };
    Ok(rows.into_iter().map(expected).collect())
}

/// When the first money of an account came; `None` if none did.
///
/// # Errors
/// If the database fails.
pub async fn first_paid_at(
    store: &Store,
    app_id: &str,
    seller_id: &str,
    since: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let first: Option<i64> = sqlx::query_scalar(
        "select paid_at_ms from payments where paid_at_ms >= ? and app_id = ? and seller_id = ? \
         order by paid_at_ms limit 1",
    )
    .bind(since.timestamp_millis())
    .bind(app_id)
    .bind(seller_id)
    .fetch_optional(store.pool())
    .await?;
    Ok(first.map(time))
}
