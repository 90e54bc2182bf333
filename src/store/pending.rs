//! The small table of what is unsettled: a row for an order that awaits payment, and one for each
//! attempt that money can still come for. A row goes when its subject is settled; an empty table
//! means that nothing is left that would ever have to wake us.

use chrono::{DateTime, Utc};

pub use super::backlog::{Backlog, backlog};
pub use super::pending_claims::{CLAIM_MAX, Lease, claim_due, due, release_leases};
use super::{Store, StoreError, WriteTx, time, time_opt};
use crate::domain::ids::{OrderId, OutTradeNo};

/// Why an order is in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The order awaits payment.
    Order,
    /// Money can still come for an attempt.
    Attempt,
    /// An attempt was closed: it is looked at once more, for a buyer whose confirmation was on its
    /// way when the gateway closed the trade.
    Closed,
}

impl Kind {
    fn parse(text: &str) -> Self {
        match text {
            "order" => Self::Order,
            "closed" => Self::Closed,
            _ => Self::Attempt,
        }
    }
}

/// Who looks at a row that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Nobody can pay its order: the gateway need not be asked.
    NoAttempt,
    /// The poll and the sweep.
    Fast,
    /// Only the sweep: the poll's queries are used up.
    Slow,
}

impl Lane {
    /// Every lane, in the order in which a sweep takes them.
    pub const ALL: [Self; 3] = [Self::NoAttempt, Self::Fast, Self::Slow];

    pub(super) fn number(self) -> i64 {
        match self {
            Self::NoAttempt => 0,
            Self::Fast => 1,
            Self::Slow => 2,
        }
    }

    fn of_number(number: i64) -> Self {
        match number {
            0 => Self::NoAttempt,
            2 => Self::Slow,
            _ => Self::Fast,
        }
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The order's or the attempt's own number.
    pub subject: String,
    /// The order it belongs to.
    pub order_id: OrderId,
    /// Why it is here.
    pub kind: Kind,
    /// Who looks at it.
    pub lane: Lane,
    /// When poll and sweep ask, if nothing else did before.
    pub next_query_at: DateTime<Utc>,
    /// How many check-backs there were.
    pub check_count: i64,
    /// How often the gateway was asked or the row was looked at.
    pub query_count: i64,
    /// One word for the last answer.
    pub last_answer: Option<String>,
    /// When it came.
    pub last_answer_at: Option<DateTime<Utc>>,
    /// When the row was written: an attempt's, when it was made.
    pub created_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    subject: String,
    order_id: String,
    kind: String,
    lane: i64,
    next_query_at_ms: i64,
    check_count: i64,
    query_count: i64,
    last_answer: Option<String>,
    last_answer_at_ms: Option<i64>,
    created_at_ms: i64,
}

impl From<Row> for Pending {
    fn from(row: Row) -> Self {
        Self {
            subject: row.subject,
            order_id: OrderId::from_trusted(row.order_id),
            kind: Kind::parse(&row.kind),
            lane: Lane::of_number(row.lane),
            next_query_at: time(row.next_query_at_ms),
            check_count: row.check_count,
            query_count: row.query_count,
            last_answer: row.last_answer,
            last_answer_at: time_opt(row.last_answer_at_ms),
            created_at: time(row.created_at_ms),
        }
    }
}

/// Adds the row of an order that awaits payment.
///
/// # Errors
/// If the database fails.
pub async fn insert_order(
    tx: &mut WriteTx<'_>,
    order_id: &OrderId,
    next_query_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let subject = (order_id.as_str(), "order", Lane::NoAttempt);
    insert(tx, subject, order_id, next_query_at, now).await
}

/// Adds the row of an attempt.
///
/// # Errors
/// If the database fails.
pub async fn insert_attempt(
    tx: &mut WriteTx<'_>,
    order_id: &OrderId,
    out_trade_no: &OutTradeNo,
    next_query_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    // Whoever settles its order has to ask from now on.
    sqlx::query("update pending_payments set lane = 1 where subject = ? and lane = 0")
        .bind(order_id.as_str())
        .execute(tx.connection())
        .await?;
    let subject = (out_trade_no.as_str(), "attempt", Lane::Fast);
    insert(tx, subject, order_id, next_query_at, now).await
}

/// Has an attempt that brings no more money looked at once more, at once.
///
/// # Errors
/// If the database fails.
pub async fn look_again(
    tx: &mut WriteTx<'_>,
    order_id: &OrderId,
    out_trade_no: &OutTradeNo,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    remove(tx, out_trade_no.as_str()).await?;
    insert(tx, (out_trade_no.as_str(), "closed", Lane::Fast), order_id, now, now).await
}

async fn insert(
    tx: &mut WriteTx<'_>,
    (subject, kind, lane): (&str, &str, Lane),
    order_id: &OrderId,
    next_query_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into pending_payments (subject, kind, lane, order_id, next_query_at_ms, \
         check_count, query_count, leased_until_ms, created_at_ms) \
         values (?, ?, ?, ?, ?, 0, 0, 0, ?)",
    )
    .bind(subject)
    .bind(kind)
    .bind(lane.number())
    .bind(order_id.as_str())
    .bind(next_query_at.timestamp_millis())
    .bind(now.timestamp_millis())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Drops the row of an order or an attempt, if it is there.
///
/// # Errors
/// If the database fails.
pub async fn remove(tx: &mut WriteTx<'_>, subject: &str) -> Result<(), StoreError> {
    sqlx::query("delete from pending_payments where subject = ?")
        .bind(subject)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// The rows of one order.
///
/// # Errors
/// If the database fails.
pub async fn of_order(store: &Store, order_id: &OrderId) -> Result<Vec<Pending>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select subject, order_id, kind, lane, next_query_at_ms, check_count, query_count, \
         last_answer, last_answer_at_ms, created_at_ms from pending_payments where order_id = ?",
    )
    .bind(order_id.as_str())
    .fetch_all(store.pool())
    .await?;
    Ok(rows.into_iter().map(Pending::from).collect())
}

/// What a round of questions leaves in an order's rows.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Whether a check-back caused it.
    pub is_check: bool,
    /// Whether the gateway was asked, or nobody had to be.
    pub is_counted: bool,
    /// One word for the answer.
    pub answer: &'static str,
    /// Whether the rounds are counted from the start again.
    pub starts_over: bool,
    /// Who looks at them then.
    pub lane: Lane,
    /// When poll and sweep ask, if nothing else does before.
    pub next_query_at: DateTime<Utc>,
}

/// Counts a round on the rows of an order, but for closed attempts, and gives up any lease on them.
///
/// # Errors
/// If the database fails.
pub async fn record_round(
    tx: &mut WriteTx<'_>,
    order_id: &OrderId,
    round: &Round,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "update pending_payments set check_count = check_count + ?, \
         query_count = query_count * ? + ?, last_answer = ?, last_answer_at_ms = ?, \
         next_query_at_ms = ?, lane = ?, leased_by = null, leased_until_ms = 0 \
         where order_id = ? and kind <> 'closed'",
    )
    .bind(i64::from(round.is_check))
    .bind(i64::from(!round.starts_over))
    .bind(i64::from(round.is_counted))
    .bind(round.answer)
    .bind(now.timestamp_millis())
    .bind(round.next_query_at.timestamp_millis())
    .bind(round.lane.number())
    .bind(order_id.as_str())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Counts a check-back that asked nobody; whoever asks next waits for the one after it.
///
/// # Errors
/// If the database fails.
pub async fn count_check(
    tx: &mut WriteTx<'_>,
    order_id: &OrderId,
    next_query_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "update pending_payments set check_count = check_count + 1, next_query_at_ms = ? \
         where order_id = ? and kind <> 'closed'",
    )
    .bind(next_query_at.timestamp_millis())
    .bind(order_id.as_str())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes the answer about one attempt in its own row.
///
/// # Errors
/// If the database fails.
pub async fn note_answer(
    tx: &mut WriteTx<'_>,
    out_trade_no: &OutTradeNo,
    answer: &str,
) -> Result<(), StoreError> {
    sqlx::query("update pending_payments set last_answer = ? where subject = ?")
        .bind(answer)
        .bind(out_trade_no.as_str())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Has an order's open attempts looked at from this time on, as if for the first time.
///
/// # Errors
/// If the database fails.
pub async fn start_over(
    tx: &mut WriteTx<'_>,
    order_id: &OrderId,
    next_query_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "update pending_payments set query_count = 0, lane = 1, next_query_at_ms = ? \
         where order_id = ? and kind <> 'closed'",
    )
    .bind(next_query_at.timestamp_millis())
    .bind(order_id.as_str())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Keeps the row of a closed attempt for a last look at this time, or for another one.
///
/// # Errors
/// If the database fails.
pub async fn keep_for_last_look(
    tx: &mut WriteTx<'_>,
    out_trade_no: &str,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "update pending_payments set kind = 'closed', lane = 1, next_query_at_ms = ?, \
         leased_by = null, leased_until_ms = 0 where subject = ?",
    )
    .bind(at.timestamp_millis())
    .bind(out_trade_no)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Moves the next question of an order's rows without counting a round.
///
/// # Errors
/// If the database fails.
pub async fn hasten(
    tx: &mut WriteTx<'_>,
    order_id: &OrderId,
    next_query_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "update pending_payments set next_query_at_ms = ? \
         where order_id = ? and next_query_at_ms > ? and kind <> 'closed'",
    )
    .bind(next_query_at.timestamp_millis())
    .bind(order_id.as_str())
    .bind(next_query_at.timestamp_millis())
    .execute(tx.connection())
    .await?;
    Ok(())
}
