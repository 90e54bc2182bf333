//! Instances that are alive.

use checkback::store::{Store, instances};
use futures_util::future::join_all;

use super::database::{Database, at};

on_each_database!(
    heartbeats_at_once_neither_block_nor_forget_each_other,
    who_is_silent_counts_no_more_and_comes_back,
    who_leaves_counts_no_more,
);

async fn beat(store: &Store, id: &str, now: i64) -> usize {
    instances::keep_alive(store, id, at(now + 15), at(now)).await.expect("a heartbeat")
}

async fn heartbeats_at_once_neither_block_nor_forget_each_other(db: &Database) {
    let other = db.other_instance().await;
    // What died long ago is removed meanwhile.
    beat(&db.store, "dead", -100_000).await;
    for round in 0..5 {
        let ids = (0..8).map(|number| format!("I{number}")).collect::<Vec<_>>();
        let beats = ids.iter().enumerate().map(|(number, id)| {
            let store = if number % 2 == 0 { &db.store } else { &other };
            beat(store, id, round * 3)
        });
        let seen = join_all(beats).await;
        assert!(seen.iter().all(|alive| (1..=8).contains(alive)), "{seen:?}");
    }
    assert_eq!(beat(&db.store, "I0", 15).await, 8);
    other.close().await;
}

async fn who_is_silent_counts_no_more_and_comes_back(db: &Database) {
    assert_eq!(beat(&db.store, "A", 0).await, 1);
    assert_eq!(beat(&db.store, "B", 1).await, 2);
    assert_eq!(beat(&db.store, "B", 15).await, 1, "A has expired");
    assert_eq!(beat(&db.store, "A", 16).await, 2);
}

async fn who_leaves_counts_no_more(db: &Database) {
    beat(&db.store, "A", 0).await;
    beat(&db.store, "B", 0).await;
    instances::leave(&db.store, "A").await.expect("it left");
    instances::leave(&db.store, "A").await.expect("it has left already");
    assert_eq!(beat(&db.store, "B", 1).await, 1);
}
