//! What the operator console reads: lists in pages, and whatever belongs to one order.

use checkback::domain::alarm::{Alarm, AlarmKind};
use checkback::domain::event::{OrderEvent, OrderEventKind};
use checkback::domain::ids::DeploymentId;
use checkback::domain::payment::PaymentStatus;
use checkback::store::alarms::AlarmRecord;
use checkback::store::notifications::Notification;
use checkback::store::outbox::Publication;
use checkback::store::payments::PaymentRecord;
use checkback::store::sweeps::{self, SweepRun};
use checkback::store::{alarms, notifications, orders, outbox, payments, pending, pending_list};

use super::database::{Database, at, fen, order_id, order_record, out_trade_no, payment_record};

on_each_database!(
    open_alarms_are_read_page_by_page,
    open_alarms_are_read_oldest_first_up_to_an_age,
    alarms_of_one_kind_are_read_open_and_resolved,
    alarms_about_an_order_are_those_of_its_payments_and_events_too,
    pending_rows_come_soonest_first_with_their_orders,
    pending_rows_are_counted_by_kind,
    payments_to_look_at_are_those_whose_money_is_here,
    an_order_is_found_by_its_number_at_any_storefront,
    notifications_and_events_of_an_order_are_read_in_their_order,
    the_last_sweeps_come_newest_first,
);

async fn raise(db: &Database, kind: AlarmKind, subject: &str, id: &str, second: i64) {
    let mut tx = db.store.begin().await.expect("a transaction");
    let alarm = Alarm::new(kind, subject, "");
    alarms::raise(&mut tx, &alarm, id, at(second)).await.expect("raised");
    tx.commit().await.expect("committed");
}

async fn resolve(db: &Database, kind: AlarmKind, subject: &str) {
    let mut tx = db.store.begin().await.expect("a transaction");
    alarms::resolve(&mut tx, kind, subject, "settled", at(99)).await.expect("resolved");
    tx.commit().await.expect("committed");
}

fn ids(alarms: &[AlarmRecord]) -> Vec<&str> {
    alarms.iter().map(|alarm| alarm.id.as_str()).collect()
}

async fn open_alarms_are_read_page_by_page(db: &Database) {
    let kind = AlarmKind::LatePayment;
    for (id, second) in [("a1", 1), ("a2", 3), ("a3", 2), ("a4", 3), ("a5", 3)] {
        raise(db, kind, id, id, second).await;
    }
    resolve(db, kind, "a2").await;
    let mut seen = Vec::new();
    let mut last: Option<AlarmRecord> = None;
    loop {
        let page = alarms::open_before(&db.store, last.as_ref(), 2).await.expect("a page");
        seen.extend(page.iter().map(|alarm| alarm.id.clone()));
        last = page.last().cloned();
        if last.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["a5", "a4", "a3", "a1"]);
    // A page goes on after an alarm that is resolved by now.
    let resolved = alarms::find(&db.store, "a2").await.expect("readable").expect("an alarm");
    let after = alarms::open_before(&db.store, Some(&resolved), 9).await.expect("a page");
    assert_eq!(ids(&after), ["a3", "a1"]);
    assert!(alarms::find(&db.store, "none").await.expect("readable").is_none());
}

async fn open_alarms_are_read_oldest_first_up_to_an_age(db: &Database) {
    let kind = AlarmKind::LatePayment;
    for (id, second) in [("a1", 3), ("a2", 1), ("a3", 2), ("a4", 3), ("a5", 3), ("a6", 4)] {
        raise(db, kind, id, id, second).await;
    }
    resolve(db, kind, "a3").await;
    let mut seen = Vec::new();
    let mut last: Option<AlarmRecord> = None;
    loop {
        let page = alarms::open_since(&db.store, at(3), last.as_ref(), 2).await.expect("a page");
        seen.extend(page.iter().map(|alarm| alarm.id.clone()));
        last = page.last().cloned();
        if last.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["a2", "a1", "a4", "a5"]);
}

async fn alarms_of_one_kind_are_read_open_and_resolved(db: &Database) {
    let kind = AlarmKind::HalfMessageGivenUp;
    for (id, second) in [("a1", 1), ("a2", 2), ("a3", 3)] {
        raise(db, kind, id, id, second).await;
    }
    raise(db, AlarmKind::ClockSkew, "clock", "other", 9).await;
    resolve(db, kind, "a2").await;
    let found = alarms::of_kind(&db.store, kind, 2).await.expect("listed");
    assert_eq!(ids(&found), ["a3", "a2"]);
    assert_eq!(found[1].resolved_at, Some(at(99)));
}

async fn alarms_about_an_order_are_those_of_its_payments_and_events_too(db: &Database) {
    db.place("ONE").await;
    db.place("TWO").await;
    db.start_payment("ONE", "CB1").await;
    db.start_payment("TWO", "CB2").await;
    let event = post(db, "ONE", 2).await;
    raise(db, AlarmKind::OrderOverdue, "ONE", "a1", 1).await;
    raise(db, AlarmKind::AttemptOverdue, "CB1", "a2", 2).await;
    raise(db, AlarmKind::LatePayment, "CB1", "a3", 3).await;
    raise(db, AlarmKind::OutboxStuck, &event, "a4", 4).await;
    resolve(db, AlarmKind::AttemptOverdue, "CB1").await;
    raise(db, AlarmKind::LatePayment, "CB2", "b1", 5).await;
    let about = alarms::about_order(&db.store, &order_id("ONE"), 100).await.expect("read");
    assert_eq!(ids(&about), ["a4", "a3", "a2", "a1"]);
    let newest = alarms::about_order(&db.store, &order_id("ONE"), 1).await.expect("read");
    assert_eq!(ids(&newest), ["a4"]);
    let other = alarms::about_order(&db.store, &order_id("TWO"), 100).await.expect("read");
    assert_eq!(ids(&other), ["b1"]);
}

async fn pend(db: &Database, order: &str, second: i64) {
    db.place(order).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    pending::insert_order(&mut tx, &order_id(order), at(second), at(0)).await.expect("a row");
    let number = out_trade_no(&format!("CB{order}"));
    let row = pending::insert_attempt(&mut tx, &order_id(order), &number, at(second), at(0)).await;
    row.expect("a row");
    tx.commit().await.expect("committed");
}

async fn pending_rows_come_soonest_first_with_their_orders(db: &Database) {
    for (order, second) in [("C", 2), ("A", 3), ("B", 2), ("D", 1)] {
        pend(db, order, second).await;
    }
    let mut seen = Vec::new();
    let mut after = (0, String::new());
    loop {
        let read = pending_list::of_kind(&db.store, "order", (after.0, &after.1), 2).await;
        let page = read.expect("a page");
        let Some(last) = page.last() else { break };
        after = (last.next_query_at.timestamp_millis(), last.subject.clone());
        seen.extend(page.into_iter().map(|row| row.subject));
    }
    assert_eq!(seen, ["D", "B", "C", "A"]);
    let attempts = pending_list::of_kind(&db.store, "attempt", (0, ""), 1).await.expect("a page");
    let [row] = attempts.as_slice() else { panic!("{attempts:?}") };
    assert_eq!((row.subject.as_str(), &row.order_id), ("CBD", &order_id("D")));
    assert_eq!((row.amount, row.expires_at, row.next_query_at), (fen(1_000), at(60), at(1)));
    assert_eq!((row.degraded, row.cancel_requested, row.check_count), (false, false, 0));
}

async fn pending_rows_are_counted_by_kind(db: &Database) {
    assert_eq!(pending_list::counts(&db.store, at(2)).await.expect("counted"), []);
    for (order, second) in [("A", 1), ("B", 2), ("C", 3)] {
        pend(db, order, second).await;
    }
    let mut tx = db.store.begin().await.expect("a transaction");
    pending::keep_for_last_look(&mut tx, "CBA", at(9)).await.expect("kept");
    tx.commit().await.expect("committed");
    let mut counted = pending_list::counts(&db.store, at(2)).await.expect("counted");
    counted.sort();
    let wanted = [("attempt", 2, 1), ("closed", 1, 0), ("order", 3, 2)];
    assert_eq!(counted, wanted.map(|(kind, rows, due)| (kind.to_owned(), rows, due)));
}

async fn payments_to_look_at_are_those_whose_money_is_here(db: &Database) {
    db.place("ONE").await;
    let begun = [
        ("CB1", PaymentStatus::Late, 1),
        ("CB2", PaymentStatus::Duplicate, 3),
        ("CB3", PaymentStatus::WrongAmount, 3),
        ("CB4", PaymentStatus::Orphan, 2),
        ("CB5", PaymentStatus::Created, 4),
        ("CB6", PaymentStatus::Late, 5),
    ];
    for (number, status, second) in begun {
        let mut record = payment_record("ONE", number);
        record.attempt.status = status;
        record.paid = (status != PaymentStatus::Created).then(|| fen(1_000));
        record.created_at = at(second);
        let mut tx = db.store.begin().await.expect("a transaction");
        payments::insert(&mut tx, &record).await.expect("a payment");
        tx.commit().await.expect("committed");
    }
    let back = "update payments set refunded_fen = paid_fen where out_trade_no = 'CB6'";
    assert_eq!(db.run(back).await.expect("given back"), 1);
    let mut seen: Vec<PaymentRecord> = Vec::new();
    loop {
        let last = seen.last().map(|last| {
            (last.created_at.timestamp_millis(), last.attempt.out_trade_no.as_str().to_owned())
        });
        let before = last.as_ref().map(|(ms, number)| (*ms, number.as_str()));
        let page = payments::to_look_at(&db.store, before, 3).await.expect("a page");
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    let numbers: Vec<_> = seen.iter().map(|record| record.attempt.out_trade_no.as_str()).collect();
    assert_eq!(numbers, ["CB3", "CB2", "CB4", "CB1"]);
}

async fn an_order_is_found_by_its_number_at_any_storefront(db: &Database) {
    for (id, storefront, number) in [
        ("A", "one", Some("N1")),
        ("B", "two", Some("N1")),
        ("C", "one", Some("N2")),
        ("D", "x", None),
    ] {
        let mut record = order_record(id);
        record.storefront = storefront.into();
        record.order_no = number.map(str::to_owned);
        let mut tx = db.store.begin().await.expect("a transaction");
        orders::insert(&mut tx, &record, &[]).await.expect("an order");
        tx.commit().await.expect("committed");
    }
    let found = async |number: &str| {
        let found = orders::with_order_no(&db.store, number, 10).await.expect("looked for");
        found.into_iter().map(|id| id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(found("N1").await, ["B", "A"]);
    assert_eq!(found("N2").await, ["C"]);
    assert_eq!(found("n1").await, [""; 0], "letters of either case stay apart");
    assert_eq!(found("").await, [""; 0]);
}

async fn post(db: &Database, order: &str, sequence: i64) -> String {
    let (kind, deployment) = (OrderEventKind::Paid, DeploymentId::from_trusted("D"));
    let event = OrderEvent::new(kind, &deployment, &order_id(order), sequence, fen(1), at(1));
    let mut tx = db.store.begin().await.expect("a transaction");
    outbox::insert(&mut tx, &event, at(1)).await.expect("an event");
    tx.commit().await.expect("committed");
    event.id
}

async fn notifications_and_events_of_an_order_are_read_in_their_order(db: &Database) {
    for (order, number) in [("ONE", "CB1"), ("ONE", "CB2"), ("TWO", "CB3")] {
        if number != "CB2" {
            db.place(order).await;
        }
        db.start_payment(order, number).await;
    }
    for (number, hash, second) in [("CB2", "h1", 3), ("CB1", "h2", 2), ("CB3", "h3", 1)] {
        let notification = Notification {
            hash: hash.into(),
            notify_id: format!("id-{hash}"),
            out_trade_no: number.into(),
            trade_status: "TRADE_SUCCESS".into(),
            raw: b"buyer_id=2088".to_vec(),
        };
        let mut tx = db.store.begin().await.expect("a transaction");
        let stored = notifications::insert(&mut tx, &notification, "paid", at(second)).await;
        assert!(stored.expect("stored"));
        tx.commit().await.expect("committed");
    }
    let order = order_id("ONE");
    let read = notifications::of_order(&db.store, &order, 10).await.expect("read");
    let told: Vec<_> = read.iter().map(|row| (row.notify_id.as_str(), row.received_at)).collect();
    assert_eq!(told, [("id-h2", at(2)), ("id-h1", at(3))]);
    assert_eq!((read[0].effect.as_str(), read[0].out_trade_no.as_str()), ("paid", "CB1"));

    let (second, first) = (post(db, "ONE", 5).await, post(db, "ONE", 2).await);
    post(db, "TWO", 1).await;
    let done = [(first.clone(), Publication::Done)];
    outbox::record(&db.store, &done, at(7)).await.expect("recorded");
    let events = outbox::of_order(&db.store, &order, 10).await.expect("read");
    let states: Vec<_> = events.iter().map(|row| (&row.event_id, row.published_at)).collect();
    assert_eq!(states, [(&first, Some(at(7))), (&second, None)]);
}

async fn the_last_sweeps_come_newest_first(db: &Database) {
    assert_eq!(sweeps::last(&db.store, 5).await.expect("read"), []);
    let run = |id: &str, second| SweepRun {
        id: id.into(),
        started_at: at(second),
        finished_at: at(second + 1),
        settled: 1,
        still_pending: 2,
        failed: 3,
    };
    let runs = [run("a", 10), run("b", 30), run("c", 20)];
    for run in &runs {
        sweeps::insert(&db.store, run).await.expect("stored");
    }
    let last = sweeps::last(&db.store, 2).await.expect("read");
    assert_eq!(last, [runs[1].clone(), runs[2].clone()]);
}
