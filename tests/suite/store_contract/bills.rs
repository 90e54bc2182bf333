//! Days of bills and their differences: leased by one, written by whoever holds the lease.

use checkback::domain::bill::BillDay;
use checkback::domain::reconciliation::{DayState, DifferenceKind};
use checkback::store::bill_days::{self, DayKey, Look};
use checkback::store::bill_differences::{self, Difference};

use super::database::{Database, at};

on_each_database!(
    a_day_is_leased_by_one_and_written_by_it_alone,
    differences_are_opened_once_and_resolved_when_they_are_gone,
);

fn key(day: &str) -> DayKey {
    let day = BillDay::parse(day).expect("a day");
    DayKey { app_id: "1".to_owned(), seller_id: "2".to_owned(), day }
}

fn look(state: DayState) -> Look {
    Look {
        state,
        compared: true,
        lines_ours: 3,
        lines_others: 4,
        repaired: 1,
        differences: 2,
        problem: Some("x".repeat(1_000)),
        next_look_at: Some(at(100)),
    }
}

async fn a_day_is_leased_by_one_and_written_by_it_alone(db: &Database) {
    let key = key("2026-01-31");
    assert!(bill_days::insert(&db.store, &key, at(10), at(0)).await.expect("inserted"));
    assert!(!bill_days::insert(&db.store, &key, at(20), at(0)).await.expect("there is one"));
    let claim = async |token: &str, due_by, now| {
        let lease = (token, at(now) + chrono::Duration::seconds(30));
        bill_days::claim(&db.store, &key, lease, at(due_by), at(now)).await.expect("claimed")
    };
    assert!(!claim("a", 9, 9).await, "it isn't due");
    assert!(claim("a", 99, 9).await, "unless somebody asks for it");
    assert!(!claim("b", 99, 38).await, "it is leased");
    assert_eq!(bill_days::due(&db.store, 9, at(38)).await.expect("read"), []);
    assert_eq!(
        bill_days::due(&db.store, 9, at(39)).await.expect("read"),
        std::slice::from_ref(&key)
    );
    assert!(claim("b", 39, 39).await, "the lease is over");
    let finish = async |token: &str| {
        let mut tx = db.store.begin().await.expect("a transaction");
        let state = look(DayState::Differences);
        let done = bill_days::finish(&mut tx, &key, token, &state, at(40)).await;
        tx.commit().await.expect("committed");
        done.expect("written")
    };
    assert!(!finish("a").await);
    assert!(finish("b").await);
    let record = bill_days::find(&db.store, &key).await.expect("read").expect("there");
    assert_eq!((record.state, record.looks, record.repaired), (DayState::Differences, 1, 1));
    assert_eq!((record.next_look_at, record.looked_at), (Some(at(100)), Some(at(40))));
    let before = bill_days::before(&db.store, key.day, 9).await.expect("read");
    assert_eq!(before, []);
    let before = bill_days::before(&db.store, key.day.plus_days(1), 9).await.expect("read");
    assert_eq!(before, [record]);
    let states = bill_days::by_state(&db.store, key.day).await.expect("read");
    assert_eq!(states, [("differences".to_owned(), 1)]);
    assert_eq!(bill_days::known_since(&db.store, &key).await.expect("read"), [key.day]);
}

async fn differences_are_opened_once_and_resolved_when_they_are_gone(db: &Database) {
    let key = key("2026-01-31");
    let difference = |number: &str| Difference {
        kind: DifferenceKind::Amount,
        out_trade_no: number.to_owned(),
        out_request_no: String::new(),
        detail: "1.00 yuan on the bill".to_owned(),
    };
    let replace = async |numbers: &[&str], now| {
        let found: Vec<_> = numbers.iter().map(|number| difference(number)).collect();
        let mut tx = db.store.begin().await.expect("a transaction");
        let fresh_id = || format!("D{now}");
        bill_differences::replace(&mut tx, &key, &found, fresh_id, at(now)).await.expect("written");
        tx.commit().await.expect("committed");
    };
    replace(&["CB1"], 1).await;
    replace(&["CB1", "CB2"], 2).await;
    assert_eq!(bill_differences::open(&db.store).await.expect("read"), 2);
    replace(&["CB2"], 3).await;
    assert_eq!(bill_differences::open(&db.store).await.expect("read"), 1);
    let rows = bill_differences::of_day(&db.store, &key, 9).await.expect("read");
    let told: Vec<_> = rows.iter().map(|row| (row.out_trade_no.as_str(), row.found_at)).collect();
    assert_eq!(told, [("CB2", at(2)), ("CB1", at(1))]);
    assert_eq!(rows[1].resolved_at, Some(at(3)));
}
