//! The database itself refuses rows that break an invariant, whoever writes them.

use sqlx::error::ErrorKind;

use super::database::Database;

on_each_database!(
    counters_of_a_sku_are_never_negative_and_add_up,
    orders_have_a_known_status_and_the_times_that_belong_to_it,
    lines_and_locks_hold_at_least_one_piece_of_something,
    a_lock_has_ended_exactly_if_it_is_not_open,
    payments_have_a_known_status_and_the_money_that_belongs_to_it,
    an_order_has_one_applied_payment_at_most,
    rows_of_an_unknown_order_are_refused,
    words_are_those_of_the_domain,
    keys_are_taken_once,
);

/// Every statement is refused for this reason.
async fn refused(db: &Database, kind: &ErrorKind, statements: &[&str]) {
    for sql in statements {
        let error = db.run(sql).await.expect_err(sql);
        let sqlx::Error::Database(error) = error else { panic!("{sql}: {error}") };
        assert_eq!(
            std::mem::discriminant(&error.kind()),
            std::mem::discriminant(kind),
            "{sql}: {error}"
        );
    }
}

/// One row of each of the main tables.
async fn seed(db: &Database) {
    db.place("ORDER").await;
    db.start_payment("ORDER", "CB1").await;
    for sql in [
        "insert into skus (sku_id, title, price_fen, total, available, locked, sold, \
         created_at_ms, updated_at_ms) values ('tea', 'Tea', 500, 10, 6, 3, 1, 0, 0)",
        "insert into order_items (order_id, sku_id, title, price_fen, quantity) \
         values ('ORDER', 'tea', 'Tea', 500, 2)",
        "insert into stock_locks (order_id, sku_id, round, quantity, status, locked_at_ms) \
         values ('ORDER', 'tea', 1, 2, 'open', 0)",
        "insert into pending_payments (subject, kind, order_id, next_query_at_ms, check_count, \
         query_count, leased_until_ms, created_at_ms) values ('ORDER', 'order', 'ORDER', 0, 0, 0, \
         0, 0)",
        "insert into barriers (order_id, outcome, at_ms) values ('ORDER', 'committed', 0)",
        "insert into outbox (event_id, order_id, sequence, topic, tag, body, published, \
         due_at_ms, failures, created_at_ms) values ('e1', 'ORDER', 2, 't', 'paid', '{}', 0, 0, \
         0, 0)",
        "insert into alarms (id, kind, subject, severity, detail, open_key, count, opened_at_ms, \
         last_at_ms) values ('a1', 'k', 's', 'warning', '', 'k:s', 1, 0, 0)",
        "insert into deployment (slot, deployment_id, created_at_ms) values (1, 'D', 0)",
    ] {
        db.run(sql).await.expect(sql);
    }
}

async fn counters_of_a_sku_are_never_negative_and_add_up(db: &Database) {
    seed(db).await;
    let statements = [
        "update skus set available = -1, locked = 10",
        "update skus set available = 10, locked = -1",
        "update skus set available = 8, sold = -1",
        "update skus set available = available + 1",
        "update skus set locked = locked - 1",
        "update skus set sold = sold + 1",
        "update skus set total = total + 1",
        "update skus set price_fen = -1",
    ];
    refused(db, &ErrorKind::CheckViolation, &statements).await;
    db.run("update skus set available = 5, locked = 4").await.expect("adds up");
}

async fn orders_have_a_known_status_and_the_times_that_belong_to_it(db: &Database) {
    seed(db).await;
    let statements = [
        "update orders set status = 'lost'",
        "update orders set status = 'PAID', paid_at_ms = 1",
        "update orders set status = 'paid'",
        "update orders set status = 'refunding'",
        "update orders set status = 'refunded'",
        "update orders set status = 'cancelled'",
        "update orders set amount_fen = -1",
        "update orders set refunded_fen = -1",
        "update orders set refunded_fen = amount_fen + 1",
        "update orders set stock_kind = 'air'",
    ];
    refused(db, &ErrorKind::CheckViolation, &statements).await;
    for sql in [
        "update orders set status = 'cancelled', cancelled_at_ms = 1",
        "update orders set status = 'refunded', paid_at_ms = 1, refunded_fen = amount_fen",
    ] {
        db.run(sql).await.expect(sql);
    }
}

async fn lines_and_locks_hold_at_least_one_piece_of_something(db: &Database) {
    seed(db).await;
    let statements = [
        "update order_items set quantity = 0",
        "update order_items set quantity = -1",
        "update order_items set price_fen = -1",
        "update stock_locks set quantity = 0",
        "update stock_locks set quantity = -1",
    ];
    refused(db, &ErrorKind::CheckViolation, &statements).await;
}

async fn a_lock_has_ended_exactly_if_it_is_not_open(db: &Database) {
    seed(db).await;
    let statements = [
        "update stock_locks set ended_at_ms = 1",
        "update stock_locks set status = 'released'",
        "update stock_locks set status = 'consumed'",
        "update stock_locks set status = 'lost', ended_at_ms = 1",
    ];
    refused(db, &ErrorKind::CheckViolation, &statements).await;
    db.run("update stock_locks set status = 'released', ended_at_ms = 1").await.expect("ended");
}

async fn payments_have_a_known_status_and_the_money_that_belongs_to_it(db: &Database) {
    seed(db).await;
    let statements = [
        "update payments set status = 'lost'",
        "update payments set amount_fen = -1",
        "update payments set refunded_fen = -1",
        "update payments set paid_fen = 10, refunded_fen = 11",
        "update payments set status = 'late'",
        "update payments set status = 'duplicate'",
        "update payments set status = 'wrong_amount'",
        "update payments set status = 'orphan'",
        "update payments set status = 'applied', applied_order_id = order_id",
        "update payments set status = 'applied', paid_fen = 10",
        "update payments set applied_order_id = order_id",
        "update payments set status = 'late', paid_fen = 10, applied_order_id = order_id",
    ];
    refused(db, &ErrorKind::CheckViolation, &statements).await;
    let sql = "update payments set status = 'applied', paid_fen = 10, applied_order_id = order_id";
    db.run(sql).await.expect(sql);
}

async fn an_order_has_one_applied_payment_at_most(db: &Database) {
    seed(db).await;
    db.start_payment("ORDER", "CB2").await;
    let apply = "update payments set status = 'applied', paid_fen = 10, \
                 applied_order_id = order_id where out_trade_no = 'CB1'";
    db.run(apply).await.expect(apply);
    let both = apply.replace("CB1", "CB2");
    refused(db, &ErrorKind::UniqueViolation, &[&both]).await;
    let late = "update payments set status = 'late', paid_fen = 10 where out_trade_no = 'CB2'";
    db.run(late).await.expect(late);
}

async fn rows_of_an_unknown_order_are_refused(db: &Database) {
    seed(db).await;
    let statements = [
        "insert into order_items (order_id, sku_id, title, price_fen, quantity) \
         values ('NONE', 'tea', 'Tea', 500, 2)",
        "insert into stock_locks (order_id, sku_id, round, quantity, status, locked_at_ms) \
         values ('NONE', 'tea', 1, 2, 'open', 0)",
        "insert into stock_locks (order_id, sku_id, round, quantity, status, locked_at_ms) \
         values ('ORDER', 'coffee', 1, 2, 'open', 0)",
        "insert into pending_payments (subject, kind, order_id, next_query_at_ms, check_count, \
         query_count, leased_until_ms, created_at_ms) values ('NONE', 'order', 'NONE', 0, 0, 0, \
         0, 0)",
        "insert into order_history (order_id, version, line, at_ms, actor, cause, from_status, \
         to_status, detail) values ('NONE', 1, 0, 0, 'http', 'placed', 'none', \
         'awaiting_payment', '{}')",
        "update payments set order_id = 'NONE'",
        "delete from orders",
    ];
    refused(db, &ErrorKind::ForeignKeyViolation, &statements).await;
}

async fn words_are_those_of_the_domain(db: &Database) {
    seed(db).await;
    let statements = [
        "update pending_payments set kind = 'refund'",
        "update pending_payments set check_count = -1",
        "update barriers set outcome = 'maybe'",
        "update outbox set published = 2",
        "update deployment set slot = 2",
        "insert into stock_ledger (cause, sku_id, kind, available_delta, locked_delta, \
         sold_delta, detail, actor, at_ms) values ('c', 'tea', 'gift', 1, 0, 0, '', 'ops', 0)",
    ];
    refused(db, &ErrorKind::CheckViolation, &statements).await;
}

async fn keys_are_taken_once(db: &Database) {
    seed(db).await;
    db.place("OTHER").await;
    db.run("update orders set order_no = 'n1' where id = 'ORDER'").await.expect("a number");
    let statements = [
        "update orders set order_no = 'n1' where id = 'OTHER'",
        "insert into barriers (order_id, outcome, at_ms) values ('ORDER', 'rolled_back', 0)",
        "insert into outbox (event_id, order_id, sequence, topic, tag, body, published, \
         due_at_ms, failures, created_at_ms) values ('e2', 'ORDER', 2, 't', 'paid', '{}', 0, 0, \
         0, 0)",
        "insert into alarms (id, kind, subject, severity, detail, open_key, count, opened_at_ms, \
         last_at_ms) values ('a2', 'k', 's', 'warning', '', 'k:s', 1, 0, 0)",
        "insert into deployment (slot, deployment_id, created_at_ms) values (1, 'E', 0)",
        "insert into pending_payments (subject, kind, order_id, next_query_at_ms, check_count, \
         query_count, leased_until_ms, created_at_ms) values ('ORDER', 'order', 'ORDER', 0, 0, 0, \
         0, 0)",
        "insert into stock_locks (order_id, sku_id, round, quantity, status, locked_at_ms) \
         values ('ORDER', 'tea', 1, 2, 'open', 0)",
    ];
    refused(db, &ErrorKind::UniqueViolation, &statements).await;
    let other_shop = "update orders set order_no = 'n1', storefront = 'b' where id = 'OTHER'";
    db.run(other_shop).await.expect("numbers belong to their storefront");
}
