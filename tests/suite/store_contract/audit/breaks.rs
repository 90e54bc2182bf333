//! One way to break each invariant of the audit's queries, or the constraint that refuses it.

use sqlx::error::ErrorKind;

/// A statement, the invariant that it violates, and the id that is found. They run one after the
/// other, each on what those before it have left.
pub(super) const BREAKS: [(&str, &str, &str); 30] = [
    ("delete from alarms", "every payment that is not applied is refunded", "LATE"),
    (
        "insert into refunds (out_request_no, order_id, out_trade_no, request_no, request_hash, \
         cause, status, amount_fen, reason, items, requested_by, refused_because, tries, \
         leased_until_ms, ended_at_ms, created_at_ms, updated_at_ms) values ('R2', 'B', 'LATE', \
         'r2', '', 'late', 'refused', 100, '', '[]', 'shop', 'no', 0, 0, 1, 1, 1)",
        "a refund that was refused and not paid by other means",
        "R2",
    ),
    (
        "update payments set refunded_fen = 1 where out_trade_no = 'OPEN'",
        "no payment gave back more than it brought",
        "OPEN",
    ),
    (
        "update payments set refunding_fen = 5 where out_trade_no = 'OPEN'",
        "what unfinished refunds ask for is set aside",
        "OPEN",
    ),
    (
        "update payments set refunded_fen = 100 where out_trade_no = 'LATE'",
        "what a recorded payment gave back is what its refunds say",
        "LATE",
    ),
    ("delete from pending_payments where kind = 'attempt'", "every attempt that money", "OPEN"),
    (
        "update notifications set out_trade_no = 'OPEN'",
        "a payment that a processed notification told of",
        "OPEN",
    ),
    (
        "insert into bill_days (app_id, seller_id, bill_day, state, looks, lines_ours, \
         lines_others, repaired, differences, leased_until_ms, created_at_ms) \
         values ('2021', '2088', '2026-01-31', 'differences', 1, 1, 0, 0, 1, 0, 1)",
        "a day whose bill and records differ",
        "2026-01-31",
    ),
    ("delete from pending_payments where kind = 'order'", "every order that awaits payment", "C"),
    (
        "update payments set status = 'orphan' where out_trade_no = 'LATE'",
        "what an order's payments brought and did not give back",
        "B",
    ),
    (
        "update payments set paid_fen = 999 where out_trade_no = 'PAID'",
        "a paid order's amount is that of its applied payment",
        "A",
    ),
    (
        "update orders set refunded_fen = 100 where id = 'A'",
        "an order gave back what its applied payment gave back",
        "A",
    ),
    (
        "update orders set status = 'refunding' where id = 'A'",
        "an order's status says whether money is on its way back",
        "A",
    ),
    (
        "update payments set status = 'applied', applied_order_id = 'B' \
         where out_trade_no = 'LATE'",
        "a cancelled order has no applied payment",
        "B",
    ),
    (
        "update payments set order_id = 'A' where out_trade_no = 'LATE'",
        "an order has at most one applied payment",
        "A",
    ),
    (
        "update stock_ledger set locked_delta = 0 where order_id = 'C'",
        "a SKU's counters are what its ledger says",
        "tea",
    ),
    (
        "delete from stock_ledger where kind = 'release'",
        "each lock has as many ledger rows for its end",
        "B",
    ),
    (
        "update skus set locked = locked - 1, available = available + 1",
        "a SKU's locked pieces are those of its open locks",
        "tea",
    ),
    (
        "update stock_locks set status = 'open', ended_at_ms = null where order_id = 'B'",
        "a cancelled order holds no stock",
        "B",
    ),
    (
        "update stock_locks set status = 'released', ended_at_ms = 1 where order_id = 'C'",
        "an order that is paid or awaits payment has released no stock",
        "C",
    ),
    ("update idempotency_keys set order_id = 'X'", "an idempotency key that was answered", "X"),
    (
        "delete from order_history where order_id = 'C' and version = 1",
        "an order's history has a row for each of its versions",
        "C",
    ),
    (
        "update orders set version = version + 1 where id = 'C'",
        "an order's last history row tells its version and status",
        "C",
    ),
    (
        "update notifications set effect = 'orphan', out_trade_no = 'CBX'",
        "a notification that no attempt explains",
        "CBX",
    ),
    (
        "update payments set status = 'waiting', applied_order_id = null \
         where out_trade_no = 'LATE'",
        "a payment that came has a state",
        "LATE",
    ),
    (
        "insert into refunds (out_request_no, order_id, out_trade_no, request_no, request_hash, \
         cause, status, amount_fen, reason, items, requested_by, tries, leased_until_ms, \
         ended_at_ms, created_at_ms, updated_at_ms) values ('R1', 'B', 'LATE', 'r1', '', \
         'late', 'succeeded', 100, '', '[]', 'shop', 0, 0, 1, 1, 1)",
        "a refund that moved money through the gateway was sent",
        "R1",
    ),
    (
        "update outbox set sequence = 9 where order_id = 'B'",
        "an event tells of a change that is in its order's history",
        "B-2",
    ),
    (
        "update outbox set tag = 'refunded' where order_id = 'B'",
        "each refund of an order's payment took effect once",
        "B",
    ),
    ("delete from outbox where order_id = 'A'", "an order that ended has its event", "A"),
    ("delete from barriers where order_id = 'A'", "an order is in the table of barriers", "A"),
];

/// Statements that would violate an invariant, the invariant, and the constraint that refuses them.
pub(super) const REFUSED: [(&str, &str, ErrorKind); 5] = [
    (
        "update skus set sold = sold + 1",
        "a SKU's available, locked and sold pieces add up",
        ErrorKind::CheckViolation,
    ),
    (
        "update skus set available = available + 100, locked = locked - 100",
        "a SKU's available, locked and sold pieces add up",
        ErrorKind::CheckViolation,
    ),
    (
        "insert into refunds (out_request_no, order_id, out_trade_no, request_no, request_hash, \
         cause, status, amount_fen, reason, items, requested_by, tries, leased_until_ms, \
         ended_at_ms, created_at_ms, updated_at_ms) values ('R1', 'A', 'PAID', 'r1', '', \
         'requested', 'succeeded', 100, '', '[]', 'shop', 0, 0, 1, 1, 1), ('R2', 'A', 'PAID', \
         'r1', '', 'requested', 'succeeded', 100, '', '[]', 'shop', 0, 0, 1, 1, 1)",
        "one number at the gateway is one refund",
        ErrorKind::UniqueViolation,
    ),
    (
        "update order_history set to_status = 'refunded' where order_id = 'B'",
        "every change of status in the history is an allowed one",
        ErrorKind::ForeignKeyViolation,
    ),
    (
        "delete from order_transitions",
        "every change of status in the history is an allowed one",
        ErrorKind::ForeignKeyViolation,
    ),
];
