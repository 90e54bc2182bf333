//! What a single query can't judge: cancels with their evidence, and check counts at a maximum that
//! is configured (I7, I8, I12).

use super::{Store, StoreError, VIOLATIONS_MAX};

/// Orders whose check count reached `maximum` while they await payment, without an alarm.
///
/// # Errors
/// If the database fails.
pub async fn silent_at_maximum(store: &Store, maximum: i64) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar(
        "select order_id from pending_payments where kind = 'order' and (check_count < 0 \
         or check_count >= ?) and not exists (select 1 from alarms \
         where alarms.subject = pending_payments.order_id \
         and alarms.kind = 'check_count_at_maximum' \
         and alarms.resolved_at_ms is null) limit ?",
    )
    .bind(maximum)
    .bind(VIOLATIONS_MAX)
    .fetch_all(store.scan())
    .await?)
}

/// A cancel with the times that allow it and the evidence that was stored with it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct CancelEvidence {
    /// The order.
    pub order_id: String,
    /// Its deadline.
    pub expires_at_ms: i64,
    /// What it cost, in fen.
    pub amount_fen: i64,
    /// Its cancel request, if there was one.
    pub cancel_requested_at_ms: Option<i64>,
    /// When it was cancelled.
    pub cancelled_at_ms: i64,
    /// The history row's detail; null without one.
    pub detail: Option<String>,
}

/// A page of cancelled orders with their evidence, by ascending id after `after`.
///
/// # Errors
/// If the database fails.
pub async fn cancels_after(
    store: &Store,
    after: &str,
    rows_max: i64,
) -> Result<Vec<CancelEvidence>, StoreError> {
    Ok(sqlx::query_as(
        "select orders.id as order_id, orders.expires_at_ms, orders.amount_fen, \
         orders.cancel_requested_at_ms, orders.cancelled_at_ms, order_history.detail \
         from orders left join order_history on order_history.order_id = orders.id \
         and order_history.cause = 'cancelled' \
         where orders.cancelled_at_ms is not null and orders.id > ? order by orders.id limit ?",
    )
    .bind(after)
    .bind(rows_max)
    .fetch_all(store.scan())
    .await?)
}
