//! Payment attempts. An attempt's row commits before the gateway hears its number.

use chrono::{DateTime, Utc};

use super::{Store, StoreError, WriteTx, time, time_opt};
use crate::domain::gateway::{PaidTrade, ReturnedTrade};
use crate::domain::ids::{OrderId, OutTradeNo};
use crate::domain::money::Fen;
use crate::domain::payment::{AccountRef, Attempt, PaymentStatus};

/// Most attempts of one order that are read.
const ATTEMPTS_MAX: i64 = 200;

/// A payment attempt with everything that its row holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRecord {
    /// What the decision needs.
    pub attempt: Attempt,
    /// Its order; an orphan has none.
    pub order_id: Option<OrderId>,
    /// The way of paying.
    pub channel: String,
    /// What the buyer reads when paying; repeated to the letter when asking again.
    pub subject: String,
    /// The gateway's number of the trade, once known.
    pub trade_no: Option<String>,
    /// The text of the QR code, once received.
    pub qr_code: Option<String>,
    /// The deadline given to the gateway.
    pub expires_at: DateTime<Utc>,
    /// What was paid, once paid.
    pub paid: Option<Fen>,
    /// When it was paid, as the gateway says.
    pub paid_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    out_trade_no: String,
    order_id: Option<String>,
    channel: String,
    status: String,
    gateway_url: String,
    app_id: String,
    seller_id: String,
    subject: String,
    amount_fen: i64,
    paid_fen: Option<i64>,
    refunded_fen: i64,
    refunding_fen: i64,
    trade_no: Option<String>,
    seen: i64,
    qr_code: Option<String>,
    expires_at_ms: i64,
    code_dies_at_ms: i64,
    paid_at_ms: Option<i64>,
    created_at_ms: i64,
}

impl PaymentRecord {
    /// What of it is neither back nor on its way back.
    #[must_use]
    pub fn left(&self) -> Fen {
        let gone = self.attempt.refunded.checked_add(self.attempt.refunding);
        gone.and_then(|gone| self.paid?.checked_sub(gone)).unwrap_or_default()
    }
}

impl Row {
    fn into_record(self) -> Result<PaymentRecord, StoreError> {
        let corrupt = |column| StoreError::corrupt("payments", column, &self.out_trade_no);
        let status = PaymentStatus::parse(&self.status).ok_or_else(|| corrupt("status"))?;
        let amount = Fen::new(self.amount_fen).ok_or_else(|| corrupt("amount_fen"))?;
        let refunded = Fen::new(self.refunded_fen).ok_or_else(|| corrupt("refunded_fen"))?;
        let refunding = Fen::new(self.refunding_fen).ok_or_else(|| corrupt("refunding_fen"))?;
        let paid = match self.paid_fen {
            Some(fen) => Some(Fen::new(fen).ok_or_else(|| corrupt("paid_fen"))?),
            None => None,
        };
        Ok(PaymentRecord {
            attempt: Attempt {
                out_trade_no: OutTradeNo::from_trusted(self.out_trade_no),
                status,
                amount,
                seen: self.seen != 0,
                paid: paid.is_some(),
                refunded,
                refunding,
                code_dies_at: time(self.code_dies_at_ms),
                account: AccountRef {
                    gateway_url: self.gateway_url,
                    app_id: self.app_id,
                    seller_id: self.seller_id,
                },
            },
            order_id: self.order_id.map(OrderId::from_trusted),
            channel: self.channel,
            subject: self.subject,
            trade_no: self.trade_no,
            qr_code: self.qr_code,
            expires_at: time(self.expires_at_ms),
            paid,
            paid_at: time_opt(self.paid_at_ms),
            created_at: time(self.created_at_ms),
        })
    }
}

const SELECT_BY_ORDER: &str = "select out_trade_no, order_id, channel, status, gateway_url, \
    app_id, seller_id, subject, amount_fen, paid_fen, refunded_fen, refunding_fen, trade_no, seen, \
    qr_code, expires_at_ms, code_dies_at_ms, paid_at_ms, created_at_ms from payments \
    where order_id = ? order by created_at_ms, out_trade_no limit ?";

const SELECT_BY_NUMBER: &str = "select out_trade_no, order_id, channel, status, gateway_url, \
    app_id, seller_id, subject, amount_fen, paid_fen, refunded_fen, refunding_fen, trade_no, seen, \
    qr_code, expires_at_ms, code_dies_at_ms, paid_at_ms, created_at_ms from payments \
    where out_trade_no = ?";

/// The attempts of an order, oldest first.
///
/// # Errors
/// If the database fails or a row breaks an invariant.
pub async fn of_order(store: &Store, id: &OrderId) -> Result<Vec<PaymentRecord>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(SELECT_BY_ORDER)
        .bind(id.as_str())
        .bind(ATTEMPTS_MAX)
        .fetch_all(store.pool())
        .await?;
    rows.into_iter().map(Row::into_record).collect()
}

const SELECT_TO_LOOK_AT: &str = "select out_trade_no, order_id, channel, status, gateway_url, \
    app_id, seller_id, subject, amount_fen, paid_fen, refunded_fen, refunding_fen, trade_no, seen, \
    qr_code, expires_at_ms, code_dies_at_ms, paid_at_ms, created_at_ms from payments \
    where status in ('late', 'duplicate', 'wrong_amount', 'orphan') \
    and refunded_fen + refunding_fen < paid_fen \
    and created_at_ms <= ? and (created_at_ms < ? or out_trade_no < ?) \
    order by created_at_ms desc, out_trade_no desc limit ?";

/// Payments that are recorded but not applied, and whose money is still here and not on its way
/// back: those that were begun before another one, newest first.
///
/// # Errors
/// If the database fails or a row breaks an invariant.
pub async fn to_look_at(
    store: &Store,
    before: Option<(i64, &str)>,
    rows_max: i64,
) -> Result<Vec<PaymentRecord>, StoreError> {
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

/// Reads one attempt.
///
/// # Errors
/// If the database fails or the row breaks an invariant.
pub async fn find(
    store: &Store,
    out_trade_no: &OutTradeNo,
) -> Result<Option<PaymentRecord>, StoreError> {
    let row: Option<Row> = sqlx::query_as(SELECT_BY_NUMBER)
        .bind(out_trade_no.as_str())
        .fetch_optional(store.pool())
        .await?;
    row.map(Row::into_record).transpose()
}

/// Writes a new attempt, or an orphan's payment.
///
/// # Errors
/// If the database fails.
pub async fn insert(tx: &mut WriteTx<'_>, record: &PaymentRecord) -> Result<(), StoreError> {
    let attempt = &record.attempt;
    let created_at_ms = record.created_at.timestamp_millis();
    sqlx::query(
        "insert into payments (out_trade_no, order_id, channel, status, gateway_url, app_id, \
         seller_id, subject, amount_fen, paid_fen, refunded_fen, trade_no, seen, expires_at_ms, \
         code_dies_at_ms, paid_at_ms, created_at_ms, updated_at_ms) \
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(attempt.out_trade_no.as_str())
    .bind(record.order_id.as_ref().map(OrderId::as_str))
    .bind(&record.channel)
    .bind(attempt.status.as_str())
    .bind(&attempt.account.gateway_url)
    .bind(&attempt.account.app_id)
    .bind(&attempt.account.seller_id)
    .bind(&record.subject)
    .bind(attempt.amount.fen())
    .bind(record.paid.map(Fen::fen))
    .bind(record.trade_no.as_deref())
    .bind(i64::from(attempt.seen))
    .bind(record.expires_at.timestamp_millis())
    .bind(attempt.code_dies_at.timestamp_millis())
    .bind(record.paid_at.map(|at| at.timestamp_millis()))
    .bind(created_at_ms)
    .bind(created_at_ms)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Stores the QR code that the gateway gave. `false`: the attempt isn't live any more.
///
/// # Errors
/// If the database fails.
pub async fn set_qr_code(
    store: &Store,
    out_trade_no: &OutTradeNo,
    qr_code: &str,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let stored = sqlx::query(
        "update payments set qr_code = ?, updated_at_ms = ? \
         where out_trade_no = ? and status in ('created', 'waiting')",
    )
    .bind(qr_code)
    .bind(now.timestamp_millis())
    .bind(out_trade_no.as_str())
    .execute(tx.connection())
    .await?;
    tx.commit().await?;
    Ok(stored.rows_affected() == 1)
}

/// Notes that the gateway has a trade for this attempt. `false`: it isn't live any more.
///
/// # Errors
/// If the database fails.
pub async fn mark_waiting(
    tx: &mut WriteTx<'_>,
    out_trade_no: &OutTradeNo,
    trade_no: Option<&str>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let marked = sqlx::query(
        "update payments set status = 'waiting', seen = 1, trade_no = ?, updated_at_ms = ? \
         where out_trade_no = ? and status = 'created'",
    )
    .bind(trade_no)
    .bind(now.timestamp_millis())
    .bind(out_trade_no.as_str())
    .execute(tx.connection())
    .await?;
    Ok(marked.rows_affected() == 1)
}

/// Ends a live attempt for which no money can come any more. `was_shown`: the gateway has shown its
/// trade, and can't deny it from now on. `false`: it isn't live any more.
///
/// # Errors
/// If the database fails.
pub async fn mark_ended(
    tx: &mut WriteTx<'_>,
    out_trade_no: &OutTradeNo,
    (status, was_shown): (PaymentStatus, bool),
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let marked = sqlx::query(
        "update payments set status = ?, seen = case when ? = 1 then 1 else seen end, \
         closed_at_ms = ?, updated_at_ms = ? \
         where out_trade_no = ? and status in ('created', 'waiting')",
    )
    .bind(status.as_str())
    .bind(i64::from(was_shown))
    .bind(now.timestamp_millis())
    .bind(now.timestamp_millis())
    .bind(out_trade_no.as_str())
    .execute(tx.connection())
    .await?;
    Ok(marked.rows_affected() == 1)
}

/// Records what the gateway confirmed. `false`: a payment is recorded for it already.
///
/// # Errors
/// If the database fails, also if another payment of the order is applied.
pub async fn record_payment(
    tx: &mut WriteTx<'_>,
    order_id: &OrderId,
    out_trade_no: &OutTradeNo,
    status: PaymentStatus,
    trade: &PaidTrade,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let applied_order_id = (status == PaymentStatus::Applied).then(|| order_id.as_str());
    let now_ms = now.timestamp_millis();
    let recorded = sqlx::query(
        "update payments set status = ?, applied_order_id = ?, paid_fen = ?, trade_no = ?, \
         seen = 1, paid_at_ms = ?, recorded_at_ms = ?, updated_at_ms = ? \
         where out_trade_no = ? and order_id = ? and paid_fen is null",
    )
    .bind(status.as_str())
    .bind(applied_order_id)
    .bind(trade.amount.fen())
    .bind(&trade.trade_no)
    .bind(trade.paid_at.map_or(now_ms, |at| at.timestamp_millis()))
    .bind(now_ms)
    .bind(now_ms)
    .bind(out_trade_no.as_str())
    .bind(order_id.as_str())
    .execute(tx.connection())
    .await?;
    Ok(recorded.rows_affected() == 1)
}

/// Records a payment together with its return. `false`: a payment is recorded for it already.
///
/// # Errors
/// If the database fails.
pub async fn record_return(
    tx: &mut WriteTx<'_>,
    out_trade_no: &OutTradeNo,
    trade: &ReturnedTrade,
    asked: Fen,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let paid = trade.amount.unwrap_or(asked);
    let refunded = trade.refunded.unwrap_or(paid);
    let now_ms = now.timestamp_millis();
    let recorded = sqlx::query(
        "update payments set status = 'closed', paid_fen = ?, refunded_fen = ?, \
         trade_no = coalesce(?, trade_no), seen = 1, paid_at_ms = ?, recorded_at_ms = ?, \
         closed_at_ms = ?, updated_at_ms = ? where out_trade_no = ? and paid_fen is null",
    )
    .bind(paid.fen())
    .bind(refunded.fen().min(paid.fen()))
    .bind(trade.trade_no.as_deref())
    .bind(trade.paid_at.map_or(now_ms, |at| at.timestamp_millis()))
    .bind(now_ms)
    .bind(now_ms)
    .bind(now_ms)
    .bind(out_trade_no.as_str())
    .execute(tx.connection())
    .await?;
    Ok(recorded.rows_affected() == 1)
}

/// Ends the time in which an attempt is handed out again; money may still come for it.
///
/// # Errors
/// If the database fails.
pub async fn retire(
    store: &Store,
    out_trade_no: &OutTradeNo,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "update payments set expires_at_ms = ?, updated_at_ms = ? \
         where out_trade_no = ? and expires_at_ms > ?",
    )
    .bind(now.timestamp_millis())
    .bind(now.timestamp_millis())
    .bind(out_trade_no.as_str())
    .bind(now.timestamp_millis())
    .execute(tx.connection())
    .await?;
    tx.commit().await
}

/// Attempts whose code died before `before` and that are open without an open alarm about that.
///
/// # Errors
/// If the database fails.
pub async fn silent_since(
    store: &Store,
    before: DateTime<Utc>,
    rows_max: i64,
) -> Result<Vec<OutTradeNo>, StoreError> {
    let numbers: Vec<String> = sqlx::query_scalar(
        "select out_trade_no from payments where status in ('created', 'waiting') \
         and code_dies_at_ms <= ? and not exists (select 1 from alarms \
         where alarms.subject = payments.out_trade_no and alarms.kind = 'attempt_overdue' \
         and alarms.resolved_at_ms is null) limit ?",
    )
    .bind(before.timestamp_millis())
    .bind(rows_max)
    .fetch_all(store.pool())
    .await?;
    Ok(numbers.into_iter().map(OutTradeNo::from_trusted).collect())
}
