//! Money: every yuan is applied, on its way back, back, or on the alarm list (I1, I2, I4, I11,
//! I14).

use super::Invariant;

/// What must hold of payments and refunds.
pub(super) const CHECKS: [Invariant; 19] = [
    Invariant {
        id: "I1",
        name: "every payment that is not applied is refunded or on the alarm list",
        sql: "select out_trade_no from payments where status in ('late', 'duplicate', \
              'wrong_amount', 'orphan') and refunded_fen + refunding_fen < paid_fen and not exists \
              (select 1 from alarms where alarms.subject = payments.out_trade_no \
              and alarms.kind in ('late_payment', 'duplicate_payment', 'wrong_amount', \
              'orphan_payment') and alarms.resolved_at_ms is null) limit ?",
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
              (select 1 from alarms where alarms.subject = refunds.out_request_no \
              and alarms.kind = 'refund_refused') limit ?",
    },
    Invariant {
        id: "I4",
        name: "an order has at most one applied payment",
        sql: "select order_id from payments where status = 'applied' group by order_id \
              having count(*) > 1 limit ?",
    },
    Invariant {
        id: "I11",
        name: "a payment that a processed notification told of is recorded",
        sql: "select notifications.out_trade_no from notifications join payments \
              on payments.out_trade_no = notifications.out_trade_no \
              where notifications.effect in ('paid', 'payment_late', 'payment_duplicate', \
              'payment_wrong_amount', 'refund_requested', 'orphan') \
              and payments.paid_fen is null and not exists (select 1 from pending_payments \
              where pending_payments.subject = payments.out_trade_no) limit ?",
    },
    Invariant {
        id: "I1",
        name: "a payment that came has a state that says what became of its money",
        sql: "select out_trade_no from payments where (status in ('created', 'waiting', 'failed') \
              and paid_fen is not null) or (status = 'closed' and refunded_fen < paid_fen \
              and not exists (select 1 from alarms where alarms.subject = payments.out_trade_no \
              and alarms.resolved_at_ms is null)) limit ?",
    },
    Invariant {
        id: "I1",
        name: "a day whose bill and records differ was on the alarm list",
        sql: "select bill_day from bill_days where state in ('differences', 'missing') \
              and not exists (select 1 from alarms \
              where alarms.kind in ('bill_differences', 'bill_missing') \
              and instr(alarms.subject, bill_days.app_id) > 0 \
              and instr(alarms.subject, bill_days.seller_id) > 0 \
              and instr(alarms.subject, bill_days.bill_day) > 0) limit ?",
    },
    Invariant {
        id: "I1",
        name: "a notification that no attempt explains is a payment or was on the alarm list",
        sql: "select out_trade_no from notifications where effect = 'orphan' and not exists \
              (select 1 from payments where payments.out_trade_no = notifications.out_trade_no) \
              and not exists (select 1 from alarms \
              where alarms.subject = notifications.out_trade_no) limit ?",
    },
    Invariant {
        id: "I2",
        name: "what an order's payments brought and did not give back is what the order kept",
        sql: "select orders.id from orders where coalesce((select cast(sum(payments.paid_fen \
              - payments.refunded_fen) as signed) from payments \
              where payments.order_id = orders.id and payments.paid_fen is not null \
              and payments.status not in ('late', 'duplicate', 'wrong_amount')), 0) <> case \
              when orders.applied_out_trade_no is null then 0 \
              else orders.amount_fen - orders.refunded_fen end limit ?",
    },
    Invariant {
        id: "I14",
        name: "one number at the gateway is one refund",
        sql: "select min(out_request_no) from refunds group by out_trade_no, request_no \
              having count(*) > 1 limit ?",
    },
    Invariant {
        id: "I14",
        name: "each refund of an order's payment took effect once",
        sql: "select orders.id from orders where (select count(*) from outbox \
              where outbox.order_id = orders.id and outbox.tag = 'refunded') <> (select count(*) \
              from refunds where refunds.out_trade_no = orders.applied_out_trade_no \
              and refunds.status = 'succeeded') limit ?",
    },
    Invariant {
        id: "I14",
        name: "a refund that moved money through the gateway was sent before it",
        sql: "select out_request_no from refunds where status = 'succeeded' \
              and cause <> 'elsewhere' and paid_elsewhere is null \
              and (sent_at_ms is null or sent_at_ms > ended_at_ms) limit ?",
    },
];
