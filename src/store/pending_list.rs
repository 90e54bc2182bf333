//! The pending table as operators see it: one kind of row, soonest first, with its order.

use chrono::{DateTime, Utc};

use super::{Store, StoreError, time, time_opt};
use crate::domain::ids::OrderId;
use crate::domain::money::Fen;

/// A row of the pending table with what its order says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingOrder {
    /// The order's or the attempt's own number.
    pub subject: String,
    /// The order it belongs to.
    pub order_id: OrderId,
    /// What the buyer owes.
    pub amount: Fen,
    /// Placed without its half message: no check-back will come.
    pub degraded: bool,
    /// A cancel request is stored.
    pub cancel_requested: bool,
    /// The deadline that the buyer was shown.
    pub expires_at: DateTime<Utc>,
    /// How many check-backs there were.
    pub check_count: i64,
    /// How often the row was looked at.
    pub query_count: i64,
    /// One word for the last answer.
    pub last_answer: Option<String>,
    /// When it came.
    pub last_answer_at: Option<DateTime<Utc>>,
    /// When poll and sweep ask, if nothing else did before.
    pub next_query_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    subject: String,
    order_id: String,
    amount_fen: i64,
    degraded: i64,
    cancel_requested_at_ms: Option<i64>,
    expires_at_ms: i64,
    check_count: i64,
    query_count: i64,
    last_answer: Option<String>,
    last_answer_at_ms: Option<i64>,
    next_query_at_ms: i64,
}

impl Row {
    fn into_pending(self) -> Result<PendingOrder, StoreError> {
        let amount = Fen::new(self.amount_fen)
            .ok_or_else(|| StoreError::corrupt("orders", "amount_fen", &self.order_id))?;
        Ok(PendingOrder {
            subject: self.subject,
            order_id: OrderId::from_trusted(self.order_id),
            amount,
            degraded: self.degraded != 0,
            cancel_requested: self.cancel_requested_at_ms.is_some(),
            expires_at: time(self.expires_at_ms),
            check_count: self.check_count,
            query_count: self.query_count,
            last_answer: self.last_answer,
            last_answer_at: time_opt(self.last_answer_at_ms),
            next_query_at: time(self.next_query_at_ms),
        })
    }
}

/// The rows of one kind (`order`, `attempt`, `closed`) that come after a place in the list: a time
/// in milliseconds and a subject.
///
/// # Errors
/// If the database fails or a row breaks an invariant.
pub async fn of_kind(
    store: &Store,
    kind: &str,
    after: (i64, &str),
    rows_max: i64,
) -> Result<Vec<PendingOrder>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select p.subject, p.order_id, o.amount_fen, o.degraded, o.cancel_requested_at_ms, \
         o.expires_at_ms, p.check_count, p.query_count, p.last_answer, p.last_answer_at_ms, \
         p.next_query_at_ms from pending_payments p join orders o on o.id = p.order_id \
         where p.kind = ? and p.next_query_at_ms >= ? \
         and (p.next_query_at_ms > ? or p.subject > ?) \
         order by p.next_query_at_ms, p.subject limit ?",
    )
    .bind(kind)
    .bind(after.0)
    .bind(after.0)
    .bind(after.1)
    .bind(rows_max)
    .fetch_all(store.pool())
    .await?;
    rows.into_iter().map(Row::into_pending).collect()
}

/// How many rows of each kind there are, and how many of them are due.
///
/// # Errors
/// If the database fails.
pub async fn counts(
    store: &Store,
    now: DateTime<Utc>,
) -> Result<Vec<(String, i64, i64)>, StoreError> {
    Ok(sqlx::query_as(
        "select kind, count(*), count(case when next_query_at_ms <= ? then 1 end) \
         from pending_payments group by kind",
    )
    .bind(now.timestamp_millis())
    .fetch_all(store.pool())
    .await?)
}
