//! Refunds. A refund's row commits before the gateway hears its number, and stays due until the
//! money moved or the gateway refused it for good.

use chrono::{DateTime, Utc};

use super::{Store, StoreError, WriteTx, inserted_once, time, time_opt};
use crate::domain::ids::{OrderId, OutRequestNo, OutTradeNo};
use crate::domain::money::Fen;
use crate::domain::refund::{Refund, RefundCause, RefundStatus};

/// Most refunds of one order that are read.
const REFUNDS_MAX: i64 = 1_000;

/// A refund with everything that its row holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundRecord {
    /// What its steps need.
    pub refund: Refund,
    /// Hash of the request that it was made by.
    pub request_hash: String,
    /// The key's or operator's name, or the trigger's.
    pub requested_by: String,
    /// Why the gateway refused it.
    pub refused_because: Option<String>,
    /// The reference under which an operator paid it back by other means.
    pub paid_elsewhere: Option<String>,
    /// One word for the gateway's last answer.
    pub last_answer: Option<String>,
    /// When the gateway is asked next; `None` once it has ended.
    pub next_try_at: Option<DateTime<Utc>>,
    /// When the gateway was first asked.
    pub sent_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    out_request_no: String,
    order_id: Option<String>,
    out_trade_no: String,
    request_no: String,
    request_hash: String,
    cause: String,
    status: String,
    amount_fen: i64,
    reason: String,
    items: String,
    requested_by: String,
    refused_because: Option<String>,
    paid_elsewhere: Option<String>,
    tries: i64,
    last_answer: Option<String>,
    doubt_since_ms: Option<i64>,
    next_try_at_ms: Option<i64>,
    sent_at_ms: Option<i64>,
    ended_at_ms: Option<i64>,
    created_at_ms: i64,
}

impl Row {
    fn into_record(self) -> Result<RefundRecord, StoreError> {
        let corrupt = |column| StoreError::corrupt("refunds", column, &self.out_request_no);
        let status = RefundStatus::parse(&self.status).ok_or_else(|| corrupt("status"))?;
        let cause = RefundCause::parse(&self.cause).ok_or_else(|| corrupt("cause"))?;
        let amount = Fen::new(self.amount_fen).ok_or_else(|| corrupt("amount_fen"))?;
        let items = serde_json::from_str(&self.items).map_err(|_| corrupt("items"))?;
        Ok(RefundRecord {
            refund: Refund {
                out_request_no: OutRequestNo::from_trusted(self.out_request_no),
                order_id: self.order_id.map(OrderId::from_trusted),
                out_trade_no: OutTradeNo::from_trusted(self.out_trade_no),
                request_no: self.request_no,
                cause,
                status,
                amount,
                reason: self.reason,
                items,
                tries: self.tries,
                doubt_since: time_opt(self.doubt_since_ms),
            },
            request_hash: self.request_hash,
            requested_by: self.requested_by,
            refused_because: self.refused_because,
            paid_elsewhere: self.paid_elsewhere,
            last_answer: self.last_answer,
            next_try_at: time_opt(self.next_try_at_ms),
            sent_at: time_opt(self.sent_at_ms),
            ended_at: time_opt(self.ended_at_ms),
            created_at: time(self.created_at_ms),
        })
    }
}

/// Every column of a refund; the rest says which rows.
macro_rules! select_refunds {
    ($rest:literal) => {
        concat!(
            "select out_request_no, order_id, out_trade_no, request_no, request_hash, cause, \
             status, amount_fen, reason, items, requested_by, refused_because, paid_elsewhere, \
             tries, last_answer, doubt_since_ms, next_try_at_ms, sent_at_ms, ended_at_ms, \
             created_at_ms from refunds ",
            $rest
        )
    };
}

const SELECT_BY_NUMBER: &str = select_refunds!("where out_request_no = ?");
const SELECT_BY_REQUEST: &str = select_refunds!("where out_trade_no = ? and request_no = ?");
const SELECT_BY_ORDER: &str =
    select_refunds!("where order_id = ? order by created_at_ms, out_request_no limit ?");
const SELECT_BY_PAYMENT: &str =
    select_refunds!("where out_trade_no = ? order by created_at_ms, out_request_no limit ?");
const SELECT_TO_LOOK_AT: &str = select_refunds!(
    "where status in ('requested', 'stopping_warehouse', 'sending', 'refused') \
     and created_at_ms <= ? and (created_at_ms < ? or out_request_no < ?) \
     order by created_at_ms desc, out_request_no desc limit ?"
);

/// How many refunds wait for the gateway or for an operator, and when one of them last changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsettled {
    /// Those that are sent until it is certain.
    pub under_way: i64,
    /// Those that the gateway refused.
    pub refused: i64,
    /// The last change of any of them (milliseconds).
    pub changed_at_ms: i64,
}

/// Reads one refund.
///
/// # Errors
/// If the database fails or the row breaks an invariant.
pub async fn find(store: &Store, no: &OutRequestNo) -> Result<Option<RefundRecord>, StoreError> {
    let row: Option<Row> =
        sqlx::query_as(SELECT_BY_NUMBER).bind(no.as_str()).fetch_optional(store.pool()).await?;
    row.map(Row::into_record).transpose()
}

/// Reads the refund of a payment that was asked for under a number.
///
/// # Errors
/// If the database fails or the row breaks an invariant.
pub async fn find_by_request(
    store: &Store,
    out_trade_no: &OutTradeNo,
    request_no: &str,
) -> Result<Option<RefundRecord>, StoreError> {
    let row: Option<Row> = sqlx::query_as(SELECT_BY_REQUEST)
        .bind(out_trade_no.as_str())
        .bind(request_no)
        .fetch_optional(store.pool())
        .await?;
    row.map(Row::into_record).transpose()
}

/// The refunds of an order, oldest first.
///
/// # Errors
/// If the database fails or a row breaks an invariant.
pub async fn of_order(store: &Store, id: &OrderId) -> Result<Vec<RefundRecord>, StoreError> {
    let query = sqlx::query_as(SELECT_BY_ORDER).bind(id.as_str()).bind(REFUNDS_MAX);
    let rows: Vec<Row> = query.fetch_all(store.pool()).await?;
    rows.into_iter().map(Row::into_record).collect()
}

/// The refunds of a payment, oldest first, read while its row is locked.
///
/// # Errors
/// If the database fails or a row breaks an invariant.
pub async fn of_payment(
    tx: &mut WriteTx<'_>,
    out_trade_no: &OutTradeNo,
) -> Result<Vec<RefundRecord>, StoreError> {
    let query = sqlx::query_as(SELECT_BY_PAYMENT).bind(out_trade_no.as_str()).bind(REFUNDS_MAX);
    let rows: Vec<Row> = query.fetch_all(tx.connection()).await?;
    rows.into_iter().map(Row::into_record).collect()
}

/// The refunds of a payment, oldest first.
///
/// # Errors
/// If the database fails or a row breaks an invariant.
pub async fn read_of_payment(
    store: &Store,
    out_trade_no: &OutTradeNo,
) -> Result<Vec<RefundRecord>, StoreError> {
    let query = sqlx::query_as(SELECT_BY_PAYMENT).bind(out_trade_no.as_str()).bind(REFUNDS_MAX);
    let rows: Vec<Row> = query.fetch_all(store.pool()).await?;
    rows.into_iter().map(Row::into_record).collect()
}

/// Refunds that are under way or refused: those that were asked for before another one, newest
/// first.
///
/// # Errors
/// If the database fails or a row breaks an invariant.
pub async fn to_look_at(
    store: &Store,
    before: Option<(i64, &str)>,
    rows_max: i64,
) -> Result<Vec<RefundRecord>, StoreError> {
    let (before_ms, before_number) = before.unwrap_or((i64::MAX, ""));
    let rows: Vec<Row> = sqlx::query_as(SELECT_TO_LOOK_AT)
        .bind(before_ms)
        .bind(before_ms)
        .bind(before_number)
        .bind(rows_max)
        .fetch_all(store.pool())
        .await?;
    rows.into_iter().map(Row::into_record).collect()
}

/// Counts what `to_look_at` lists.
///
/// # Errors
/// If the database fails.
pub async fn count_unsettled(store: &Store) -> Result<Unsettled, StoreError> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "select status, count(*), max(updated_at_ms) from refunds \
         where status in ('requested', 'stopping_warehouse', 'sending', 'refused') \
         group by status",
    )
    .fetch_all(store.pool())
    .await?;
    let mut unsettled = Unsettled::default();
    for (status, count, changed_at_ms) in rows {
        match RefundStatus::parse(&status) {
            Some(RefundStatus::Refused) => unsettled.refused += count,
            _ => unsettled.under_way += count,
        }
        unsettled.changed_at_ms = unsettled.changed_at_ms.max(changed_at_ms);
    }
    Ok(unsettled)
}

/// The orders of the newest refunds that were asked for under a number.
///
/// # Errors
/// If the database fails.
pub async fn orders_with_request_no(
    store: &Store,
    request_no: &str,
    rows_max: i64,
) -> Result<Vec<OrderId>, StoreError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "select order_id from refunds where request_no = ? and order_id is not null \
         order by created_at_ms desc, out_request_no desc limit ?",
    )
    .bind(request_no)
    .bind(rows_max)
    .fetch_all(store.pool())
    .await?;
    Ok(ids.into_iter().map(OrderId::from_trusted).collect())
}

/// Writes a new refund. `false`: the payment has one under this request number already.
///
/// # Errors
/// If the database fails.
pub async fn insert(tx: &mut WriteTx<'_>, record: &RefundRecord) -> Result<bool, StoreError> {
    let refund = &record.refund;
    let items = serde_json::json!(refund.items).to_string();
    let created_at_ms = record.created_at.timestamp_millis();
    let inserted = sqlx::query(
        "insert into refunds (out_request_no, order_id, out_trade_no, request_no, request_hash, \
         cause, status, amount_fen, reason, items, requested_by, tries, next_try_at_ms, \
         leased_until_ms, ended_at_ms, created_at_ms, updated_at_ms) \
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0, ?, ?, ?)",
    )
    .bind(refund.out_request_no.as_str())
    .bind(refund.order_id.as_ref().map(OrderId::as_str))
    .bind(refund.out_trade_no.as_str())
    .bind(&refund.request_no)
    .bind(&record.request_hash)
    .bind(refund.cause.as_str())
    .bind(refund.status.as_str())
    .bind(refund.amount.fen())
    .bind(&refund.reason)
    .bind(items)
    .bind(&record.requested_by)
    .bind(record.next_try_at.map(|at| at.timestamp_millis()))
    .bind(record.ended_at.map(|at| at.timestamp_millis()))
    .bind(created_at_ms)
    .bind(created_at_ms)
    .execute(tx.connection())
    .await;
    inserted_once(inserted)
}
