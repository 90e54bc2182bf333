//! The steps of a refund. It stays due until the money moved or the gateway refused it for good;
//! an operator can have a refused one sent again, or note that it was paid by other means.

use chrono::{DateTime, Utc};

use super::pending::Lease;
use super::{Store, StoreError, WriteTx};
use crate::domain::ids::{OrderId, OutRequestNo, OutTradeNo};
use crate::domain::refund::Refund;

/// Longest text about a refusal that is kept.
const BECAUSE_CHARS_MAX: usize = 250;
/// Longest answer that is kept.
const ANSWER_CHARS_MAX: usize = 64;

/// Leases a batch of the refunds that are due longest, and returns their numbers. Any number of
/// instances may call it at the same time: each refund goes to one of them.
///
/// # Errors
/// If the database fails.
pub async fn claim_due(
    store: &Store,
    lease: &Lease,
    now: DateTime<Utc>,
) -> Result<Vec<OutRequestNo>, StoreError> {
    let (now_ms, due_by_ms) = (now.timestamp_millis(), lease.due_by.min(now).timestamp_millis());
    let due: Vec<String> = sqlx::query_scalar(
        "select out_request_no from refunds where next_try_at_ms <= ? and leased_until_ms <= ? \
         order by next_try_at_ms limit ?",
    )
    .bind(due_by_ms)
    .bind(now_ms)
    .bind(lease.rows_max)
    .fetch_all(store.pool())
    .await?;
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let mut claimed = Vec::with_capacity(due.len());
    let mut tx = store.begin().await?;
    for no in due {
        let leased = sqlx::query(
            "update refunds set leased_by = ?, leased_until_ms = ? \
             where out_request_no = ? and next_try_at_ms <= ? and leased_until_ms <= ?",
        )
        .bind(&lease.token)
        .bind(lease.until.timestamp_millis())
        .bind(&no)
        .bind(due_by_ms)
        .bind(now_ms)
        .execute(tx.connection())
        .await?;
        if leased.rows_affected() == 1 {
            claimed.push(OutRequestNo::from_trusted(no));
        }
    }
    tx.commit().await?;
    Ok(claimed)
}

/// Frees what a worker of an earlier process held. Only for a database that a single instance uses.
///
/// # Errors
/// If the database fails.
pub async fn release_leases(store: &Store) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "update refunds set leased_by = null, leased_until_ms = 0 where leased_until_ms > 0",
    )
    .execute(tx.connection())
    .await?;
    tx.commit().await
}

/// Puts a due refund off without asking the gateway, and gives up the lease on it.
///
/// # Errors
/// If the database fails.
pub async fn put_off(
    store: &Store,
    no: &OutRequestNo,
    until: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "update refunds set next_try_at_ms = ?, leased_by = null, leased_until_ms = 0 \
         where out_request_no = ? and next_try_at_ms is not null",
    )
    .bind(until.timestamp_millis())
    .bind(no.as_str())
    .execute(tx.connection())
    .await?;
    tx.commit().await
}

/// Has the unfinished refunds of a payment looked at from this time on.
///
/// # Errors
/// If the database fails.
pub async fn hasten(
    store: &Store,
    out_trade_no: &OutTradeNo,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "update refunds set next_try_at_ms = ? where out_trade_no = ? and next_try_at_ms > ?",
    )
    .bind(at.timestamp_millis())
    .bind(out_trade_no.as_str())
    .bind(at.timestamp_millis())
    .execute(tx.connection())
    .await?;
    tx.commit().await
}

/// Notes that the gateway hears this number from now on: until an answer is noted it may have taken
/// the request, also if nobody lives to note one. `false`: it has ended.
///
/// # Errors
/// If the database fails.
pub async fn mark_sending(
    store: &Store,
    no: &OutRequestNo,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    // MySQL assigns from left to right: what is read stands before what is written.
    let marked = sqlx::query(
        "update refunds set doubt_since_ms = case when status = 'sending' and last_answer is null \
         then ? else doubt_since_ms end, status = 'sending', last_answer = null, \
         tries = tries + 1, sent_at_ms = coalesce(sent_at_ms, ?), updated_at_ms = ? \
         where out_request_no = ? and next_try_at_ms is not null",
    )
    .bind(now.timestamp_millis())
    .bind(now.timestamp_millis())
    .bind(now.timestamp_millis())
    .bind(no.as_str())
    .execute(tx.connection())
    .await?;
    tx.commit().await?;
    Ok(marked.rows_affected() == 1)
}

/// What an undecided exchange leaves.
#[derive(Clone, Debug)]
pub struct Undecided<'a> {
    /// One word for the answer.
    pub answer: &'a str,
    /// Whether the gateway may have taken the request.
    pub in_doubt: bool,
    /// When it is asked again.
    pub next_try_at: DateTime<Utc>,
}

/// Notes an exchange that decided nothing, and gives up the lease.
///
/// # Errors
/// If the database fails.
pub async fn note_undecided(
    tx: &mut WriteTx<'_>,
    no: &OutRequestNo,
    undecided: &Undecided<'_>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let answer: String = undecided.answer.chars().take(ANSWER_CHARS_MAX).collect();
    sqlx::query(
        "update refunds set last_answer = ?, doubt_since_ms = coalesce(?, doubt_since_ms), \
         next_try_at_ms = ?, leased_by = null, leased_until_ms = 0, updated_at_ms = ? \
         where out_request_no = ? and next_try_at_ms is not null",
    )
    .bind(answer)
    .bind(undecided.in_doubt.then(|| now.timestamp_millis()))
    .bind(undecided.next_try_at.timestamp_millis())
    .bind(now.timestamp_millis())
    .bind(no.as_str())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Ends a refund whose money moved. `false`: it has ended before.
///
/// # Errors
/// If the database fails.
pub async fn succeed(
    tx: &mut WriteTx<'_>,
    no: &OutRequestNo,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let ended = sqlx::query(
        "update refunds set status = 'succeeded', last_answer = 'succeeded', \
         next_try_at_ms = null, leased_by = null, leased_until_ms = 0, ended_at_ms = ?, \
         updated_at_ms = ? where out_request_no = ? and next_try_at_ms is not null",
    )
    .bind(now.timestamp_millis())
    .bind(now.timestamp_millis())
    .bind(no.as_str())
    .execute(tx.connection())
    .await?;
    Ok(ended.rows_affected() == 1)
}

/// Ends a refund that the gateway refused. `false`: it has ended before.
///
/// # Errors
/// If the database fails.
pub async fn refuse(
    tx: &mut WriteTx<'_>,
    no: &OutRequestNo,
    because: &str,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let because: String = because.chars().take(BECAUSE_CHARS_MAX).collect();
    let ended = sqlx::query(
        "update refunds set status = 'refused', last_answer = 'refused', refused_because = ?, \
         next_try_at_ms = null, leased_by = null, leased_until_ms = 0, ended_at_ms = ?, \
         updated_at_ms = ? where out_request_no = ? and next_try_at_ms is not null",
    )
    .bind(because)
    .bind(now.timestamp_millis())
    .bind(now.timestamp_millis())
    .bind(no.as_str())
    .execute(tx.connection())
    .await?;
    Ok(ended.rows_affected() == 1)
}

/// Has a refused refund sent again, under its own number. `false`: it isn't refused, or belongs to
/// another order by now.
///
/// # Errors
/// If the database fails.
pub async fn revive(
    tx: &mut WriteTx<'_>,
    read: &Refund,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let revived = sqlx::query(
        "update refunds set status = 'requested', next_try_at_ms = ?, ended_at_ms = null, \
         refused_because = null, tries = 0, updated_at_ms = ? \
         where out_request_no = ? and coalesce(order_id, '') = ? and status = 'refused'",
    )
    .bind(now.timestamp_millis())
    .bind(now.timestamp_millis())
    .bind(read.out_request_no.as_str())
    .bind(read.order_id.as_ref().map_or("", OrderId::as_str))
    .execute(tx.connection())
    .await?;
    Ok(revived.rows_affected() == 1)
}

/// Notes that a refused refund was paid by other means. `false`: it isn't refused, or belongs to
/// another order by now.
///
/// # Errors
/// If the database fails.
pub async fn settle_elsewhere(
    tx: &mut WriteTx<'_>,
    read: &Refund,
    reference: &str,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let settled = sqlx::query(
        "update refunds set status = 'succeeded', paid_elsewhere = ?, ended_at_ms = ?, \
         updated_at_ms = ? where out_request_no = ? and coalesce(order_id, '') = ? \
         and status = 'refused'",
    )
    .bind(reference)
    .bind(now.timestamp_millis())
    .bind(now.timestamp_millis())
    .bind(read.out_request_no.as_str())
    .bind(read.order_id.as_ref().map_or("", OrderId::as_str))
    .execute(tx.connection())
    .await?;
    Ok(settled.rows_affected() == 1)
}

/// Unfinished refunds that were asked for before `before`, without an open alarm. The sum keeps the
/// database from walking through the ended ones by their age.
///
/// # Errors
/// If the database fails.
pub async fn unfinished_since(
    store: &Store,
    before: DateTime<Utc>,
    rows_max: i64,
) -> Result<Vec<(OutRequestNo, Option<OrderId>)>, StoreError> {
    let rows: Vec<(String, Option<String>)> = sqlx::query_as(
        "select out_request_no, order_id from refunds where next_try_at_ms is not null \
         and created_at_ms + 0 <= ? and not exists (select 1 from alarms \
         where alarms.subject = refunds.out_request_no and alarms.kind = 'refund_overdue' \
         and alarms.resolved_at_ms is null) order by next_try_at_ms limit ?",
    )
    .bind(before.timestamp_millis())
    .bind(rows_max)
    .fetch_all(store.pool())
    .await?;
    let named = |(no, order): (String, Option<String>)| {
        (OutRequestNo::from_trusted(no), order.map(OrderId::from_trusted))
    };
    Ok(rows.into_iter().map(named).collect())
}
