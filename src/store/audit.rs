//! The invariants of the design as queries. Each returns the ids that violate it; an empty answer
//! is the proof. They read whole tables and run in the background or by hand, never in a request.

use super::{Store, StoreError};
use crate::domain::ids::OrderId;

/// Most violations of one check that are listed.
const VIOLATIONS_MAX: i64 = 100;

/// An invariant: what must hold, and the query for what violates it. Its one parameter is the most
/// rows to return.
#[derive(Clone, Copy, Debug)]
pub struct Invariant {
    /// Its number in the design.
    pub id: &'static str,
    /// What must hold.
    pub name: &'static str,
    sql: &'static str,
}

/// The invariants that one query can check.
pub const INVARIANTS: [Invariant; 26] = [
    Invariant {
        id: "I1",
        name: "every payment that is not applied is refunded or on the alarm list",
        sql: "select out_trade_no from payments where status in ('late', 'duplicate', \
              'wrong_amount', 'orphan') and refunded_fen + refunding_fen < paid_fen and not exists \
              (select 1 from alarms where alarms.subject = payments.out_trade_no \
              and alarms.resolved_at_ms is null) limit ?",
    },
    Invariant {
        id: "I1",
        name: "every attempt that money can still come for has its pending row",
        sql: "select out_trade_no from payments where status in ('created', 'waiting') and not \
              exists (select 1 from pending_payments where subject = out_trade_no) limit ?",
    },
    Invariant {
        id: "I1",
        name: "every order that awaits payment has its pending row",
        sql: "select id from orders where status = 'awaiting_payment' and not exists \
              (select 1 from pending_payments where subject = orders.id) limit ?",
    },
    Invariant {
        id: "I2",
        name: "a paid order's amount is that of its applied payment",
        sql: "select orders.id from orders left join payments \
              on payments.out_trade_no = orders.applied_out_trade_no \
              where orders.status in ('paid', 'refunding', 'refunded') and orders.amount_fen > 0 \
              and (payments.paid_fen is null or payments.paid_fen <> orders.amount_fen \
              or payments.status <> 'applied') limit ?",
    },
    Invariant {
        id: "I2",
        name: "no payment gave back more than it brought",
        sql: "select out_trade_no from payments where refunded_fen > coalesce(paid_fen, 0) limit ?",
    },
    Invariant {
        id: "I2",
        name: "what unfinished refunds ask for is set aside of their payment",
        sql: "select out_trade_no from payments where refunding_fen <> coalesce((select \
              cast(sum(amount_fen) as signed) from refunds \
              where refunds.out_trade_no = payments.out_trade_no \
              and refunds.ended_at_ms is null), 0) limit ?",
    },
    Invariant {
        id: "I2",
        name: "what a recorded payment gave back is what its refunds say",
        sql: "select out_trade_no from payments where status <> 'closed' and refunded_fen <> \
              coalesce((select cast(sum(amount_fen) as signed) from refunds \
              where refunds.out_trade_no = payments.out_trade_no \
              and refunds.status = 'succeeded'), 0) limit ?",
    },
    Invariant {
        id: "I2",
        name: "an order gave back what its applied payment gave back",
        sql: "select orders.id from orders join payments \
              on payments.out_trade_no = orders.applied_out_trade_no \
              where orders.refunded_fen <> payments.refunded_fen limit ?",
    },
    Invariant {
        id: "I2",
        name: "an order's status says whether money is on its way back",
        sql: "select orders.id from orders join payments \
              on payments.out_trade_no = orders.applied_out_trade_no \
              where (orders.status = 'refunded') <> (orders.refunded_fen = orders.amount_fen) \
              or (orders.status = 'refunding') <> (payments.refunding_fen > 0) limit ?",
    },
    Invariant {
        id: "I14",
        name: "a refund that was refused and not paid by other means has an alarm",
        sql: "select out_request_no from refunds where status = 'refused' and not exists \
              (select 1 from alarms where alarms.subject = refunds.out_request_no) limit ?",
    },
    Invariant {
        id: "I3",
        name: "a cancelled order has no applied payment",
        sql: "select orders.id from orders join payments on payments.order_id = orders.id \
              where orders.status = 'cancelled' and payments.status = 'applied' limit ?",
    },
    Invariant {
        id: "I3",
        name: "a cancelled order holds no stock",
        sql: "select distinct orders.id from orders join stock_locks \
              on stock_locks.order_id = orders.id \
              where orders.status = 'cancelled' and stock_locks.status = 'open' limit ?",
    },
    Invariant {
        id: "I3",
        name: "an order that is paid or awaits payment has released no stock",
        sql: "select distinct orders.id from orders join stock_locks \
              on stock_locks.order_id = orders.id where orders.status in \
              ('awaiting_payment', 'paid') and stock_locks.status = 'released' and not exists \
              (select 1 from stock_locks later where later.order_id = orders.id \
              and later.round > stock_locks.round) limit ?",
    },
    Invariant {
        id: "I4",
        name: "an order has at most one applied payment",
        sql: "select order_id from payments where status = 'applied' group by order_id \
              having count(*) > 1 limit ?",
    },
    Invariant {
        id: "I5",
        name: "a SKU's available, locked and sold pieces add up to its total, none negative",
        sql: "select sku_id from skus where available + locked + sold <> total \
              or available < 0 or locked < 0 or sold < 0 limit ?",
    },
    Invariant {
        id: "I5",
        name: "a SKU's locked pieces are those of its open locks",
        sql: "select sku_id from skus where locked <> coalesce((select cast(sum(quantity) as \
              signed) from stock_locks where stock_locks.sku_id = skus.sku_id \
              and stock_locks.status = 'open'), 0) limit ?",
    },
    Invariant {
        id: "I5",
        name: "a SKU's counters are what its ledger says",
        sql: "select sku_id from skus where available <> coalesce((select \
              cast(sum(available_delta) as signed) from stock_ledger \
              where stock_ledger.sku_id = skus.sku_id), 0) or locked <> coalesce((select \
              cast(sum(locked_delta) as signed) from stock_ledger \
              where stock_ledger.sku_id = skus.sku_id), 0) limit ?",
    },
    Invariant {
        id: "I6",
        name: "each lock has as many ledger rows for its end as its status says",
        sql: "select order_id from stock_locks where (select count(*) from stock_ledger \
              where stock_ledger.sku_id = stock_locks.sku_id \
              and stock_ledger.order_id = stock_locks.order_id \
              and stock_ledger.kind in ('release', 'consume')) \
              <> (select count(*) from stock_locks ended \
              where ended.order_id = stock_locks.order_id \
              and ended.sku_id = stock_locks.sku_id and ended.status <> 'open') limit ?",
    },
    Invariant {
        id: "I10",
        name: "an idempotency key that was answered has its order",
        sql: "select order_id from idempotency_keys where not exists \
              (select 1 from orders where orders.id = idempotency_keys.order_id) limit ?",
    },
    Invariant {
        id: "I11",
        name: "a payment that a processed notification told of is recorded",
        sql: "select notifications.out_trade_no from notifications join payments \
              on payments.out_trade_no = notifications.out_trade_no \
              where notifications.effect in ('paid', 'payment_late', 'payment_duplicate', \
              'payment_wrong_amount', 'orphan') and payments.paid_fen is null limit ?",
    },
    Invariant {
        id: "I13",
        name: "an order's last history row tells its version and status",
        sql: "select orders.id from orders where not exists (select 1 from order_history \
              where order_history.order_id = orders.id \
              and order_history.version = orders.version \
              and order_history.to_status = orders.status) limit ?",
    },
    Invariant {
        id: "I13",
        name: "an order's history has a row for each of its versions",
        sql: "select orders.id from orders where orders.version <> (select \
              count(distinct order_history.version) from order_history \
              where order_history.order_id = orders.id) limit ?",
    },
    Invariant {
        id: "I15",
        name: "an order that ended has its event",
        sql: "select id from orders where (status in ('paid', 'refunding', 'refunded') and not \
              exists (select 1 from outbox where outbox.order_id = orders.id \
              and outbox.tag = 'paid')) or (status = 'cancelled' and not exists \
              (select 1 from outbox where outbox.order_id = orders.id \
              and outbox.tag = 'cancelled')) limit ?",
    },
    Invariant {
        id: "I15",
        name: "an event tells of a change that is in its order's history",
        sql: "select event_id from outbox where not exists (select 1 from order_history \
              where order_history.order_id = outbox.order_id \
              and order_history.version = outbox.sequence \
              and order_history.cause = outbox.tag) limit ?",
    },
    Invariant {
        id: "I16",
        name: "every change of status in the history is an allowed one",
        sql: "select order_id from order_history where not exists \
              (select 1 from order_transitions \
              where order_transitions.from_status = order_history.from_status \
              and order_transitions.to_status = order_history.to_status) limit ?",
    },
    Invariant {
        id: "I16",
        name: "an order is in the table of barriers as committed",
        sql: "select id from orders where not exists (select 1 from barriers \
              where barriers.order_id = orders.id and barriers.outcome = 'committed') limit ?",
    },
];

/// The ids that violate an invariant.
///
/// # Errors
/// If the database fails.
pub async fn violations(store: &Store, invariant: &Invariant) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar(invariant.sql).bind(VIOLATIONS_MAX).fetch_all(store.scan()).await?)
}

/// Orders whose check count reached `maximum` while they await payment, without an alarm.
///
/// # Errors
/// If the database fails.
pub async fn silent_at_maximum(store: &Store, maximum: i64) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar(
        "select order_id from pending_payments where kind = 'order' and (check_count < 0 \
         or check_count >= ?) and not exists (select 1 from alarms \
         where alarms.subject = pending_payments.order_id \
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
        "select orders.id as order_id, orders.expires_at_ms, orders.cancel_requested_at_ms, \
         orders.cancelled_at_ms, order_history.detail from orders left join order_history \
         on order_history.order_id = orders.id and order_history.cause = 'cancelled' \
         where orders.cancelled_at_ms is not null and orders.id > ? order by orders.id limit ?",
    )
    .bind(after)
    .bind(rows_max)
    .fetch_all(store.scan())
    .await?)
}

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
