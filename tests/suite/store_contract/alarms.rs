//! Alarms: one open row a cause, which is counted up, resolved, and opened again.

use checkback::domain::alarm::{Alarm, AlarmKind};
use checkback::store::alarms::{self, AlarmRecord};
use checkback::store::{Store, StoreError};
use futures_util::future::join_all;

use super::database::{Database, at, until_not_busy};

on_each_database!(
    an_alarm_reads_back_as_it_was_raised,
    an_alarm_that_is_raised_again_is_counted_and_not_doubled,
    kinds_and_subjects_have_alarms_of_their_own,
    a_resolved_alarm_is_opened_anew,
    an_alarm_of_a_transaction_that_rolled_back_was_never_raised,
    long_texts_are_cut_and_stay_one_alarm,
    open_alarms_are_listed_newest_first,
    the_first_acknowledgement_stands,
    open_alarms_are_counted_by_kind,
    many_who_raise_the_same_alarm_at_once_open_one,
);

async fn raise(store: &Store, alarm: &Alarm, id: &str, now: i64) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    alarms::raise(&mut tx, alarm, id, at(now)).await?;
    tx.commit().await
}

async fn resolve(db: &Database, kind: AlarmKind, subject: &str, now: i64) {
    let mut tx = db.store.begin().await.expect("a transaction");
    alarms::resolve(&mut tx, kind, subject, "settled", at(now)).await.expect("resolved");
    tx.commit().await.expect("committed");
}

async fn acknowledge(db: &Database, id: &str, by: &str, now: i64) -> Option<AlarmRecord> {
    let mut tx = db.store.begin().await.expect("a transaction");
    let seen = alarms::acknowledge(&mut tx, id, by, at(now)).await.expect("an answer");
    tx.commit().await.expect("committed");
    seen
}

async fn found(db: &Database, id: &str) -> AlarmRecord {
    alarms::find(&db.store, id).await.expect("an answer").expect("an alarm")
}

async fn open(db: &Database) -> Vec<AlarmRecord> {
    alarms::open(&db.store, 100).await.expect("listed")
}

fn late(subject: &str) -> Alarm {
    Alarm::new(AlarmKind::LatePayment, subject, "付款太晚")
}

async fn an_alarm_reads_back_as_it_was_raised(db: &Database) {
    raise(&db.store, &late("CB1"), "a1", 1).await.expect("raised");
    let listed = open(db).await;
    let [alarm] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!((alarm.id.as_str(), alarm.kind.as_str()), ("a1", "late_payment"));
    assert_eq!((alarm.subject.as_str(), alarm.severity.as_str()), ("CB1", "warning"));
    assert_eq!((alarm.detail.as_str(), alarm.count), ("付款太晚", 1));
    assert_eq!((alarm.opened_at, alarm.last_at), (at(1), at(1)));
    assert_eq!((alarm.acknowledged_at, alarm.resolved_at), (None, None));
}

async fn an_alarm_that_is_raised_again_is_counted_and_not_doubled(db: &Database) {
    raise(&db.store, &late("CB1"), "a1", 1).await.expect("raised");
    let again = Alarm { detail: "again".into(), ..late("CB1") };
    raise(&db.store, &again, "a2", 5).await.expect("raised");
    let listed = open(db).await;
    let [alarm] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!((alarm.id.as_str(), alarm.count), ("a1", 2));
    assert_eq!((alarm.opened_at, alarm.last_at), (at(1), at(5)));
    assert_eq!(alarm.detail, "again", "what was said last");
}

async fn kinds_and_subjects_have_alarms_of_their_own(db: &Database) {
    for (number, kind) in AlarmKind::ALL.iter().enumerate() {
        for subject in ["CB1", "CB2"] {
            let alarm = Alarm::new(*kind, subject, "");
            raise(&db.store, &alarm, &format!("{subject}-{number}"), 1).await.expect("raised");
        }
    }
    assert_eq!(open(db).await.len(), 2 * AlarmKind::ALL.len());
    resolve(db, AlarmKind::LatePayment, "CB1", 2).await;
    assert_eq!(open(db).await.len(), 2 * AlarmKind::ALL.len() - 1);
}

async fn a_resolved_alarm_is_opened_anew(db: &Database) {
    for (round, id) in [(0, "a1"), (10, "a2"), (20, "a3")] {
        raise(&db.store, &late("CB1"), id, round).await.expect("raised");
        assert_eq!(open(db).await.iter().map(|a| a.id.as_str()).collect::<Vec<_>>(), [id]);
        for now in [round + 1, round + 2] {
            resolve(db, AlarmKind::LatePayment, "CB1", now).await;
            assert_eq!(open(db).await.len(), 0);
        }
        assert!(acknowledge(db, id, "ops", 99).await.is_none(), "it isn't open");
        assert_eq!(found(db, id).await.resolved_at, Some(at(round + 1)));
    }
    assert_eq!(db.number("select count(*) from alarms").await, 3);
}

async fn an_alarm_of_a_transaction_that_rolled_back_was_never_raised(db: &Database) {
    let mut tx = db.store.begin().await.expect("a transaction");
    alarms::raise(&mut tx, &late("CB1"), "a1", at(1)).await.expect("raised");
    tx.rollback().await.expect("rolled back");
    assert_eq!(open(db).await.len(), 0);
}

async fn long_texts_are_cut_and_stay_one_alarm(db: &Database) {
    let subject = "单".repeat(300);
    let alarm = Alarm::new(AlarmKind::MalformedMessage, subject.as_str(), "细".repeat(2_000));
    for id in ["a1", "a2"] {
        raise(&db.store, &alarm, id, 1).await.expect("raised");
    }
    let listed = open(db).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].subject, "单".repeat(160));
    assert_eq!(listed[0].detail, "细".repeat(1_000));
    resolve(db, AlarmKind::MalformedMessage, &subject, 2).await;
    assert_eq!(open(db).await.len(), 0);
}

async fn open_alarms_are_listed_newest_first(db: &Database) {
    for (id, second) in [("a1", 1), ("a2", 3), ("a3", 2), ("a4", 3)] {
        raise(&db.store, &late(id), id, second).await.expect("raised");
    }
    resolve(db, AlarmKind::LatePayment, "a3", 9).await;
    let listed: Vec<_> = open(db).await.into_iter().map(|alarm| alarm.id).collect();
    assert_eq!(listed, ["a4", "a2", "a1"]);
    let first = alarms::open(&db.store, 1).await.expect("listed");
    assert_eq!(first[0].id, "a4");
}

async fn the_first_acknowledgement_stands(db: &Database) {
    raise(&db.store, &late("CB1"), "a1", 1).await.expect("raised");
    for (by, now) in [("ops:ann", 5), ("ops:bob", 6)] {
        assert_eq!(acknowledge(db, "a1", by, now).await.is_some(), now == 5);
        let seen = found(db, "a1").await;
        assert_eq!(seen.acknowledged_by.as_deref(), Some("ops:ann"));
        assert_eq!(seen.acknowledged_at, Some(at(5)));
    }
    assert_eq!(open(db).await.len(), 1, "it stays open");
    assert!(acknowledge(db, "none", "ops", 5).await.is_none());
}

async fn open_alarms_are_counted_by_kind(db: &Database) {
    assert_eq!(alarms::open_by_kind(&db.store).await.expect("counted"), []);
    for subject in ["CB1", "CB2", "CB3"] {
        raise(&db.store, &late(subject), subject, 1).await.expect("raised");
    }
    let skew = Alarm::new(AlarmKind::ClockSkew, "clock", "");
    raise(&db.store, &skew, "a9", 1).await.expect("raised");
    resolve(db, AlarmKind::LatePayment, "CB3", 2).await;
    let mut counted = alarms::open_by_kind(&db.store).await.expect("counted");
    counted.sort();
    assert_eq!(counted, [("clock_skew".to_owned(), 1), ("late_payment".to_owned(), 2)]);
}

async fn many_who_raise_the_same_alarm_at_once_open_one(db: &Database) {
    let other = db.other_instance().await;
    let alarm = late("CB1");
    let raised = (0..10).map(|n| {
        let (store, alarm) = (if n % 2 == 0 { &db.store } else { &other }, &alarm);
        until_not_busy(async move || raise(store, alarm, &format!("a{n}"), n).await)
    });
    for raised in join_all(raised).await {
        raised.expect("raised");
    }
    let listed = open(db).await;
    assert_eq!((listed.len(), listed[0].count), (1, 10));
}
