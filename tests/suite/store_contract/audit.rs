//! The audit: it finds nothing in what the store writes, and finds what someone else broke.

use checkback::domain::alarm::{Alarm, AlarmKind};
use checkback::domain::event::{OrderEvent, OrderEventKind};
use checkback::domain::gateway::PaidTrade;
use checkback::domain::ids::DeploymentId;
use checkback::domain::order::OrderStatus;
use checkback::domain::payment::PaymentStatus;
use checkback::store::audit::{self, AlarmAges, invariants, violations};
use checkback::store::history::Entry;
use checkback::store::idempotency::UsedKey;
use checkback::store::notifications::Notification;
use checkback::store::skus::Quantity;
use checkback::store::{
    StoreError, WriteTx, alarms, barriers, history, idempotency, notifications, orders, outbox,
    payments, pending, stock_locks,
};
use serde_json::json;

use super::database::{
    Database, at, fen, order_id, order_record, out_trade_no, payment_record, sku_id,
};

mod breaks;

use breaks::{BREAKS, REFUSED};

on_each_database!(
    nothing_is_found_in_what_the_store_writes,
    each_violation_is_found_by_its_name,
    what_no_query_can_find_is_refused_by_the_database,
    a_check_count_at_the_maximum_without_an_alarm_is_found,
    cancels_are_listed_page_by_page_with_their_evidence,
    what_came_late_is_listed,
    an_unsent_refund_and_what_has_no_alarm_are_late,
);

fn entry(cause: &'static str, from: Option<OrderStatus>, to: OrderStatus) -> Entry {
    Entry { cause, from, to, detail: json!({ "cause": cause }) }
}

/// Places an order that holds two pieces, the way the service does.
async fn place(tx: &mut WriteTx<'_>, id: &str) -> Result<(), StoreError> {
    let id = order_id(id);
    let two = Quantity { sku_id: sku_id("tea"), pieces: 2 };
    assert!(barriers::claim(tx, &id, at(0)).await?);
    let used = UsedKey { request_hash: String::new(), response: "{}".into() };
    assert!(idempotency::insert(tx, id.as_str(), &used, &id, at(0)).await?);
    orders::insert(tx, &order_record(id.as_str()), &[]).await?;
    stock_locks::lock(tx, &id, &[two], at(0)).await?.expect("enough pieces");
    pending::insert_order(tx, &id, at(5), at(0)).await?;
    let placed = entry("placed", None, OrderStatus::AwaitingPayment);
    history::append(tx, &id, 1, "http", &[placed], at(0)).await
}

/// Writes the end of an order: its history line, its event, and that it isn't pending any more.
async fn write_end(
    tx: &mut WriteTx<'_>,
    id: &str,
    kind: OrderEventKind,
    to: OrderStatus,
) -> Result<(), StoreError> {
    let id = order_id(id);
    let ended = entry(kind.tag(), Some(OrderStatus::AwaitingPayment), to);
    history::append(tx, &id, 2, "sweep", &[ended], at(65)).await?;
    let deployment = DeploymentId::from_trusted("D");
    let event = OrderEvent::new(kind, &deployment, &id, 2, fen(1_000), at(65));
    outbox::insert(tx, &event, at(65)).await?;
    pending::remove(tx, id.as_str()).await
}

async fn record(
    tx: &mut WriteTx<'_>,
    order: &str,
    number: &str,
    status: PaymentStatus,
) -> Result<(), StoreError> {
    payments::insert(tx, &payment_record(order, number)).await?;
    let trade = PaidTrade { amount: fen(1_000), trade_no: "2023".into(), paid_at: Some(at(50)) };
    let (order, number) = (order_id(order), out_trade_no(number));
    assert!(payments::record_payment(tx, &order, &number, status, &trade, at(65)).await?);
    Ok(())
}

/// A is paid and a notification told of it, B was cancelled and paid too late, C awaits payment.
async fn live(db: &Database) -> Result<(), StoreError> {
    db.stock("tea", 10).await;
    let mut tx = db.store.begin().await?;
    for id in ["A", "B", "C"] {
        place(&mut tx, id).await?;
    }
    let [a, b, c] = ["A", "B", "C"].map(|id| order_record(id).order);
    record(&mut tx, "A", "PAID", PaymentStatus::Applied).await?;
    assert!(orders::mark_paid(&mut tx, &a, &out_trade_no("PAID"), at(50), at(65)).await?);
    write_end(&mut tx, "A", OrderEventKind::Paid, OrderStatus::Paid).await?;
    let notification = Notification {
        hash: "h1".into(),
        notify_id: "n1".into(),
        out_trade_no: "PAID".into(),
        trade_status: "TRADE_SUCCESS".into(),
        raw: vec![],
    };
    assert!(notifications::insert(&mut tx, &notification, "paid", at(65)).await?);

    assert!(orders::mark_cancelled(&mut tx, &b, at(65)).await?);
    stock_locks::release(&mut tx, &b.id, at(65)).await?;
    write_end(&mut tx, "B", OrderEventKind::Cancelled, OrderStatus::Cancelled).await?;
    record(&mut tx, "B", "LATE", PaymentStatus::Late).await?;
    alarms::raise(&mut tx, &Alarm::new(AlarmKind::LatePayment, "LATE", ""), "a1", at(65)).await?;

    assert!(orders::bump(&mut tx, &c, at(1)).await?);
    payments::insert(&mut tx, &payment_record("C", "OPEN")).await?;
    pending::insert_attempt(&mut tx, &c.id, &out_trade_no("OPEN"), at(5), at(1)).await?;
    let made = entry("payment_created", Some(c.status), c.status);
    history::append(&mut tx, &c.id, 2, "http", &[made], at(1)).await?;
    tx.commit().await
}

/// The names of the violated invariants with what violates them.
async fn found(db: &Database) -> Vec<(&'static str, Vec<String>)> {
    let mut found = Vec::new();
    for invariant in invariants() {
        let ids = violations(&db.store, invariant).await.expect(invariant.name);
        if !ids.is_empty() {
            found.push((invariant.name, ids));
        }
    }
    found
}

async fn nothing_is_found_in_what_the_store_writes(db: &Database) {
    assert_eq!(found(db).await, [], "an empty database");
    live(db).await.expect("written");
    assert_eq!(found(db).await, []);
}

/// Whether this id is found under this name.
fn is_in(found: &[(&'static str, Vec<String>)], name: &str, id: &str) -> bool {
    let violated = found.iter().filter(|(found, _)| found.starts_with(name));
    violated.flat_map(|(_, ids)| ids).any(|found| found == id)
}

async fn each_violation_is_found_by_its_name(db: &Database) {
    live(db).await.expect("written");
    let mut before = found(db).await;
    for (sql, name, id) in BREAKS {
        assert!(!is_in(&before, name, id), "{sql}: found before it is broken: {before:?}");
        assert_ne!(db.run(sql).await.expect(sql), 0, "{sql}: changes nothing");
        let after = found(db).await;
        assert!(is_in(&after, name, id), "{sql}: {after:?}");
        before = after;
    }
}

async fn what_no_query_can_find_is_refused_by_the_database(db: &Database) {
    live(db).await.expect("written");
    for (sql, _, kind) in REFUSED {
        let error = db.run(sql).await.expect_err(sql);
        let sqlx::Error::Database(error) = error else { panic!("{sql}: {error}") };
        assert_eq!(format!("{:?}", error.kind()), format!("{kind:?}"), "{sql}: {error}");
    }
    assert_eq!(found(db).await, []);
}

#[test]
fn each_invariant_has_its_break() {
    let broken: Vec<_> = BREAKS.iter().map(|(_, name, _)| *name).collect();
    let refused: Vec<_> = REFUSED.iter().map(|(_, name, _)| *name).collect();
    for invariant in invariants() {
        let of_it =
            |names: &[&str]| names.iter().filter(|n| invariant.name.starts_with(**n)).count();
        let (broken, refused) = (of_it(&broken), of_it(&refused));
        let once = (broken, refused) == (1, 0) || (broken == 0 && refused > 0);
        assert!(once, "{}: {broken} breaks, {refused} refusals", invariant.name);
    }
    for name in broken.iter().chain(&refused) {
        let named = invariants().filter(|invariant| invariant.name.starts_with(name)).count();
        assert_eq!(named, 1, "{name}");
    }
}

async fn a_check_count_at_the_maximum_without_an_alarm_is_found(db: &Database) {
    live(db).await.expect("written");
    db.run("update pending_payments set check_count = 15").await.expect("counted");
    let silent = audit::silent_at_maximum(&db.store, 16).await.expect("listed");
    assert_eq!(silent, Vec::<String>::new());
    let silent = audit::silent_at_maximum(&db.store, 15).await.expect("listed");
    assert_eq!(silent, ["C"]);
    let mut tx = db.store.begin().await.expect("a transaction");
    let alarm = Alarm::new(AlarmKind::CheckCountAtMaximum, "C", "");
    alarms::raise(&mut tx, &alarm, "a2", at(70)).await.expect("raised");
    tx.commit().await.expect("committed");
    let silent = audit::silent_at_maximum(&db.store, 15).await.expect("listed");
    assert_eq!(silent, Vec::<String>::new());
}

async fn cancels_are_listed_page_by_page_with_their_evidence(db: &Database) {
    live(db).await.expect("written");
    let page = audit::cancels_after(&db.store, "", 10).await.expect("listed");
    let [cancel] = page.as_slice() else { panic!("{page:?}") };
    assert_eq!(cancel.order_id, "B");
    assert_eq!(cancel.expires_at_ms, at(60).timestamp_millis());
    assert_eq!(cancel.cancelled_at_ms, at(65).timestamp_millis());
    assert_eq!(cancel.cancel_requested_at_ms, None);
    assert_eq!(cancel.detail.as_deref(), Some(r#"{"cause":"cancelled"}"#));
    let next = audit::cancels_after(&db.store, "B", 10).await.expect("listed");
    assert!(next.is_empty(), "{next:?}");
}

async fn what_came_late_is_listed(db: &Database) {
    live(db).await.expect("written");
    for (limit_ms, now, late) in
        [(5_000, 65, vec![]), (4_999, 64, vec!["B"]), (4_999, 65, vec!["B", "C"])]
    {
        let now_ms = at(now).timestamp_millis();
        let mut ids = audit::late_cancels(&db.store, limit_ms, now_ms).await.expect("listed");
        ids.sort();
        assert_eq!(ids, late.into_iter().map(order_id).collect::<Vec<_>>(), "{limit_ms} {now}");
    }
    let mut late = audit::late_applications(&db.store, 14_999).await.expect("listed");
    late.sort();
    assert_eq!(late, ["LATE", "PAID"]);
    let late = audit::late_applications(&db.store, 15_000).await.expect("listed");
    assert_eq!(late, Vec::<String>::new());
}

async fn an_unsent_refund_and_what_has_no_alarm_are_late(db: &Database) {
    live(db).await.expect("written");
    let asked_ms = at(70).timestamp_millis();
    db.run(&format!(
        "insert into refunds (out_request_no, order_id, out_trade_no, request_no, request_hash, \
         cause, status, amount_fen, reason, items, requested_by, tries, next_try_at_ms, \
         leased_until_ms, created_at_ms, updated_at_ms) values ('R1', 'A', 'PAID', 'r1', '', \
         'requested', 'requested', 100, '', '[]', 'shop', 0, {asked_ms}, 0, {asked_ms}, 1)"
    ))
    .await
    .expect("a refund");
    for (now, late) in [(130, vec![]), (131, vec!["R1"])] {
        let now_ms = at(now).timestamp_millis();
        let found = audit::late_refunds(&db.store, 60_000, now_ms).await.expect("listed");
        assert_eq!(found, late, "{now}");
    }
    let ages = |second: i64| {
        let ms = at(second).timestamp_millis();
        AlarmAges {
            orders_before_ms: ms,
            attempts_before_ms: ms,
            refunds_before_ms: ms,
            events_before_ms: ms,
        }
    };
    let silent = async |second| {
        let mut found = audit::silent(&db.store, &ages(second)).await.expect("listed");
        found.sort();
        found
    };
    assert_eq!(silent(59).await, Vec::<String>::new());
    assert_eq!(silent(60).await, ["C"]);
    assert_eq!(silent(69).await, ["A-2", "B-2", "C"], "unpublished events, too");
    assert_eq!(silent(7_200).await, ["A-2", "B-2", "C", "OPEN", "R1"]);
    let mut tx = db.store.begin().await.expect("a transaction");
    let alarm = Alarm::new(AlarmKind::RefundOverdue, "R1", "");
    alarms::raise(&mut tx, &alarm, "a9", at(80)).await.expect("raised");
    tx.commit().await.expect("committed");
    assert_eq!(silent(7_200).await, ["A-2", "B-2", "C", "OPEN"]);
}
