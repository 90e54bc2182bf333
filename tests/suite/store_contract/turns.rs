//! Turns: one instance at a time, and again when the holder is dead.

use checkback::store::turns;
use futures_util::future::join_all;

use super::database::{Database, at, until_not_busy};

on_each_database!(
    one_of_many_takes_a_turn_that_is_due,
    a_turn_is_due_again_when_its_lease_is_over,
    what_came_of_a_turn_is_there_for_everybody,
);

async fn take(db: &Database, until: i64, now: i64) -> bool {
    turns::take(&db.store, "work", at(until), at(now)).await.expect("an answer")
}

async fn one_of_many_takes_a_turn_that_is_due(db: &Database) {
    let other = db.other_instance().await;
    for now in [0, 100] {
        let taking = (0..8).map(|n| {
            let store = if n % 2 == 0 { &db.store } else { &other };
            until_not_busy(async move || turns::take(store, "work", at(now + 50), at(now)).await)
        });
        let taken = join_all(taking).await.into_iter().map(|taken| taken.expect("an answer"));
        assert_eq!(taken.filter(|taken| *taken).count(), 1, "{now}");
    }
    assert!(turns::take(&other, "other work", at(50), at(0)).await.expect("an answer"));
}

async fn a_turn_is_due_again_when_its_lease_is_over(db: &Database) {
    assert!(take(db, 30, 0).await);
    assert!(!take(db, 59, 29).await);
    assert!(take(db, 60, 30).await);
    turns::finish(&db.store, "work", "{}", at(40), at(35)).await.expect("noted");
    assert!(!take(db, 70, 39).await);
    assert!(take(db, 70, 40).await);
}

async fn what_came_of_a_turn_is_there_for_everybody(db: &Database) {
    let last = async || turns::last(&db.store, "work").await.expect("an answer");
    assert_eq!(last().await, None);
    assert!(take(db, 30, 0).await);
    assert_eq!(last().await, None);
    turns::finish(&db.store, "work", "[1]", at(40), at(35)).await.expect("noted");
    let done = turns::Done { at: at(35), result: "[1]".to_owned() };
    assert_eq!(last().await, Some(done));
}
