//! Notices about alarms: written with their cause, delivered in the order of each alarm, by one
//! sender at a time.

use checkback::domain::alarm::{Alarm, AlarmKind};
use checkback::store::alarm_notices::{self, Delivery, Notice};
use checkback::store::{alarm_causes, alarms, orders, payments};
use serde_json::Value;

use super::database::{Database, at, order_id};

on_each_database!(
    what_changes_an_alarm_leaves_a_notice_with_it,
    an_alarms_notices_are_taken_one_after_the_other_by_one_sender,
    a_notice_is_taken_again_when_its_sender_is_dead_or_failed,
    what_nobody_wants_is_set_aside,
    an_alarm_escalates_once_whoever_finds_it,
    a_cause_that_is_still_there_is_told,
    what_is_long_overdue_is_found_until_it_has_its_alarm,
);

async fn raise(db: &Database, kind: AlarmKind, subject: &str, id: &str, now: i64) {
    let mut tx = db.store.begin().await.expect("a transaction");
    alarms::raise(&mut tx, &Alarm::new(kind, subject, "words"), id, at(now)).await.expect("raised");
    tx.commit().await.expect("committed");
}

async fn claim(db: &Database, until: i64, now: i64) -> Vec<Notice> {
    alarm_notices::claim_due(&db.store, 10, at(until), at(now)).await.expect("claimed")
}

fn ids(notices: &[Notice]) -> Vec<&str> {
    notices.iter().map(|notice| notice.id.as_str()).collect()
}

async fn deliver(db: &Database, id: &str, became: Delivery) {
    let batch = [(id.to_owned(), became)];
    alarm_notices::record(&db.store, &batch, at(1)).await.expect("noted");
}

async fn what_changes_an_alarm_leaves_a_notice_with_it(db: &Database) {
    for now in [1, 2] {
        raise(db, AlarmKind::LatePayment, "CB1", "a1", now).await;
    }
    let mut tx = db.store.begin().await.expect("a transaction");
    alarms::acknowledge(&mut tx, "a1", "ann", at(3)).await.expect("noted").expect("it is open");
    let by_hand = alarms::resolve_by_hand(&mut tx, "a1", "ann", "付清", at(4)).await;
    let resolved = by_hand.expect("resolved").expect("it was open");
    tx.commit().await.expect("committed");
    assert_eq!(
        (resolved.resolved_by.as_deref(), resolved.resolved_because.as_deref()),
        (Some("ann"), Some("付清"))
    );
    let mut tx = db.store.begin().await.expect("a transaction");
    let again = alarms::resolve_by_hand(&mut tx, "a1", "bob", "again", at(5)).await;
    assert!(again.expect("an answer").is_none(), "it isn't open");
    tx.rollback().await.expect("undone");
    let mut told = Vec::new();
    for _ in 0..4 {
        for notice in claim(db, 20, 10).await {
            let body: Value = serde_json::from_str(&notice.body).expect("JSON");
            told.push((notice.id.clone(), body["type"].as_str().expect("a type").to_owned()));
            assert_eq!(body["data"]["subject"], "CB1");
            assert_eq!(body["runbook"], "docs/alarms.md#late_payment");
            deliver(db, &notice.id, Delivery::Done).await;
        }
    }
    let wanted = [("a1-1", "opened"), ("a1-2", "acknowledged"), ("a1-3", "resolved")];
    assert_eq!(told, wanted.map(|(id, event)| (id.to_owned(), format!("alarm.{event}"))));
}

async fn an_alarms_notices_are_taken_one_after_the_other_by_one_sender(db: &Database) {
    raise(db, AlarmKind::LatePayment, "CB1", "a1", 1).await;
    raise(db, AlarmKind::LatePayment, "CB2", "b1", 2).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    let resolved = alarms::resolve(&mut tx, AlarmKind::LatePayment, "CB1", "settled", at(3)).await;
    resolved.expect("resolved");
    tx.commit().await.expect("committed");
    let taken = claim(db, 20, 10).await;
    assert_eq!(ids(&taken), ["a1-1", "b1-1"]);
    assert_eq!(claim(db, 20, 10).await, [], "somebody else has them");
    deliver(db, "a1-1", Delivery::Done).await;
    let next = claim(db, 20, 10).await;
    assert_eq!(ids(&next), ["a1-2"]);
    assert_eq!(alarm_notices::undelivered(&db.store).await.expect("counted"), 2);
}

async fn a_notice_is_taken_again_when_its_sender_is_dead_or_failed(db: &Database) {
    raise(db, AlarmKind::LatePayment, "CB1", "a1", 1).await;
    assert_eq!(ids(&claim(db, 20, 10).await), ["a1-1"]);
    assert_eq!(claim(db, 40, 19).await, []);
    assert_eq!(ids(&claim(db, 40, 20).await), ["a1-1"], "its lease is over");
    deliver(db, "a1-1", Delivery::Again(at(60))).await;
    assert_eq!(claim(db, 90, 59).await, []);
    let again = claim(db, 90, 60).await;
    assert_eq!((ids(&again), again[0].failures), (vec!["a1-1"], 1));
}

async fn what_nobody_wants_is_set_aside(db: &Database) {
    raise(db, AlarmKind::LatePayment, "CB1", "a1", 1).await;
    raise(db, AlarmKind::LatePayment, "CB2", "b1", 5).await;
    assert_eq!(alarm_notices::set_aside(&db.store, at(4)).await.expect("set aside"), 1);
    let left = claim(db, 20, 10).await;
    assert_eq!(ids(&left), ["b1-1"]);
    deliver(db, "b1-1", Delivery::Unwanted).await;
    assert_eq!(alarm_notices::undelivered(&db.store).await.expect("counted"), 0);
    let told = "select count(*) from alarm_notices where delivered_at_ms is not null";
    assert_eq!(db.number(told).await, 0);
}

async fn an_alarm_escalates_once_whoever_finds_it(db: &Database) {
    raise(db, AlarmKind::LatePayment, "CB1", "a1", 1).await;
    let found = alarms::find(&db.store, "a1").await.expect("an answer").expect("an alarm");
    for first in [true, false] {
        let mut tx = db.store.begin().await.expect("a transaction");
        let escalated = alarms::escalate(&mut tx, &found, at(9)).await.expect("an answer");
        tx.commit().await.expect("committed");
        assert_eq!(escalated, first);
    }
    let found = alarms::find(&db.store, "a1").await.expect("an answer").expect("an alarm");
    assert_eq!((found.severity.as_str(), found.escalations), ("critical", 1));
    assert_eq!(found.escalated_at, Some(at(9)));
    assert_eq!(alarms::escalated(&db.store).await.expect("counted"), 1);
    let open = alarms::open_by_severity(&db.store).await.expect("counted");
    assert_eq!(open, [("critical".to_owned(), 1)]);
}

async fn a_cause_that_is_still_there_is_told(db: &Database) {
    db.place("O").await;
    db.start_payment("O", "CB1").await;
    let unsettled = async |kind, subject: &str| {
        let mut tx = db.store.begin().await.expect("a transaction");
        let told = alarm_causes::unsettled(&mut tx, kind, subject).await.expect("an answer");
        tx.rollback().await.expect("undone");
        told.is_some()
    };
    assert!(unsettled(AlarmKind::OrderOverdue, "O").await);
    assert!(unsettled(AlarmKind::AttemptOverdue, "CB1").await);
    assert!(!unsettled(AlarmKind::WrongAmount, "CB1").await, "no money came");
    db.run("update payments set status = 'wrong_amount', paid_fen = 5").await.expect("paid");
    assert!(unsettled(AlarmKind::WrongAmount, "CB1").await);
    assert!(!unsettled(AlarmKind::AttemptOverdue, "CB1").await);
    db.run("update payments set refunded_fen = 5").await.expect("back");
    assert!(!unsettled(AlarmKind::WrongAmount, "CB1").await);
    for kind in AlarmKind::ALL {
        assert!(!unsettled(*kind, "nothing").await, "{kind:?}");
    }
}

async fn what_is_long_overdue_is_found_until_it_has_its_alarm(db: &Database) {
    db.place("O").await;
    db.start_payment("O", "CB1").await;
    let mut tx = db.store.begin().await.expect("a transaction");
    let id = order_id("O");
    let pending = checkback::store::pending::insert_order(&mut tx, &id, at(5), at(0)).await;
    pending.expect("written");
    tx.commit().await.expect("committed");
    let overdue = async |now| {
        let orders = orders::silent_since(&db.store, at(now), 10).await.expect("listed");
        let attempts = payments::silent_since(&db.store, at(now), 10).await.expect("listed");
        (orders.len(), attempts.len())
    };
    assert_eq!(overdue(59).await, (0, 0));
    assert_eq!(overdue(60).await, (1, 0));
    assert_eq!(overdue(7_200).await, (1, 1));
    raise(db, AlarmKind::OrderOverdue, "O", "a1", 1).await;
    assert_eq!(overdue(7_200).await, (0, 1));
    raise(db, AlarmKind::AttemptOverdue, "CB1", "a2", 1).await;
    assert_eq!(overdue(7_200).await, (0, 0));
}
