//! Orders and stock: what they say fits what happened (I3, I5, I6, I10, I13, I15, I16).

use super::Invariant;

/// What must hold of orders, locks, history and events.
pub(super) const CHECKS: [Invariant; 14] = [
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
        // Counted for all at once: the ledger of a busy SKU is too long to be read for each lock.
        sql: "select locks.order_id from (select order_id, sku_id, count(case \
              when status <> 'open' then 1 end) as ended from stock_locks \
              group by order_id, sku_id) locks left join (select order_id, sku_id, \
              count(*) as told from stock_ledger where kind in ('release', 'consume') \
              group by order_id, sku_id) ledger on ledger.order_id = locks.order_id \
              and ledger.sku_id = locks.sku_id \
              where locks.ended <> coalesce(ledger.told, 0) limit ?",
    },
    Invariant {
        id: "I10",
        name: "an idempotency key that was answered has its order",
        sql: "select order_id from idempotency_keys where not exists \
              (select 1 from orders where orders.id = idempotency_keys.order_id) limit ?",
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
              and order_history.cause = outbox.tag and (order_history.version = outbox.sequence \
              or (outbox.sequence = 1 and outbox.tag = 'paid'))) limit ?",
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
