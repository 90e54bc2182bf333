//! What came later than promised (L1 to L5): never a violation, an outage makes things late.

use super::{Store, StoreError, VIOLATIONS_MAX};
use crate::domain::ids::OrderId;

/// Orders that were cancelled later than `limit_ms` after they were due, or are still not.
///
/// # Errors
/// If the database fails.
pub async fn late_cancels(
    store: &Store,
    limit_ms: i64,
    now_ms: i64,
) -> Result<Vec<OrderId>, StoreError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "select id from orders where (status = 'cancelled' and cancel_requested_at_ms is null \
         and cancelled_at_ms - expires_at_ms > ?) \
         or (status = 'awaiting_payment' and ? - expires_at_ms > ?) limit ?",
    )
    .bind(limit_ms)
    .bind(now_ms)
    .bind(limit_ms)
    .bind(VIOLATIONS_MAX)
    .fetch_all(store.scan())
    .await?;
    Ok(ids.into_iter().map(OrderId::from_trusted).collect())
}

/// Payments that were recorded later than `limit_ms` after the money.
///
/// # Errors
/// If the database fails.
pub async fn late_applications(store: &Store, limit_ms: i64) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar(
        "select out_trade_no from payments where recorded_at_ms - paid_at_ms > ? limit ?",
    )
    .bind(limit_ms)
    .bind(VIOLATIONS_MAX)
    .fetch_all(store.scan())
    .await?)
}

/// Refunds that the gateway first heard of later than `limit_ms` after they were asked for, or has
/// still not.
///
/// # Errors
/// If the database fails.
pub async fn late_refunds(
    store: &Store,
    limit_ms: i64,
    now_ms: i64,
) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar(
        "select out_request_no from refunds where sent_at_ms - created_at_ms > ? \
         or (sent_at_ms is null and ended_at_ms is null and ? - created_at_ms > ?) limit ?",
    )
    .bind(limit_ms)
    .bind(now_ms)
    .bind(limit_ms)
    .bind(VIOLATIONS_MAX)
    .fetch_all(store.scan())
    .await?)
}

/// The ages at which unfinished things open an alarm, as times before which they began.
#[derive(Clone, Copy, Debug)]
pub struct AlarmAges {
    /// Of orders past their deadline (ms).
    pub orders_before_ms: i64,
    /// Of attempts past their code's life (ms).
    pub attempts_before_ms: i64,
    /// Of refunds since they were asked for (ms).
    pub refunds_before_ms: i64,
    /// Of unpublished events since they were written (ms).
    pub events_before_ms: i64,
}

/// Unfinished things past their age that have no open alarm.
///
/// # Errors
/// If the database fails.
pub async fn silent(store: &Store, ages: &AlarmAges) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar(
        "select id from orders where status = 'awaiting_payment' and expires_at_ms <= ? \
         and not exists (select 1 from alarms where alarms.subject = orders.id \
         and alarms.kind = 'order_overdue' and alarms.resolved_at_ms is null) \
         union all select out_trade_no from payments where status in ('created', 'waiting') \
         and code_dies_at_ms <= ? and not exists (select 1 from alarms \
         where alarms.subject = payments.out_trade_no and alarms.kind = 'attempt_overdue' \
         and alarms.resolved_at_ms is null) \
         union all select out_request_no from refunds where ended_at_ms is null \
         and created_at_ms <= ? and not exists (select 1 from alarms \
         where alarms.subject = refunds.out_request_no and alarms.kind = 'refund_overdue' \
         and alarms.resolved_at_ms is null) \
         union all select event_id from outbox where published = 0 and created_at_ms <= ? \
         and (failures > 0 or due_at_ms <= ?) \
         and not exists (select 1 from alarms where alarms.subject = outbox.event_id \
         and alarms.kind = 'outbox_stuck' and alarms.resolved_at_ms is null) limit ?",
    )
    .bind(ages.orders_before_ms)
    .bind(ages.attempts_before_ms)
    .bind(ages.refunds_before_ms)
    .bind(ages.events_before_ms)
    .bind(ages.events_before_ms)
    .bind(VIOLATIONS_MAX)
    .fetch_all(store.scan())
    .await?)
}
