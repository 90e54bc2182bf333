//! Notifications: a row means that the effect is committed.

use checkback::store::notifications::{self, Notification};
use checkback::store::{Store, StoreError};
use futures_util::future::join_all;

use super::database::{Database, at, until_not_busy};

on_each_database!(
    a_notification_is_seen_once_its_effect_is_committed,
    a_notification_whose_effect_failed_is_not_seen,
    the_raw_body_is_kept_to_the_byte,
    of_many_deliveries_at_once_exactly_one_is_the_first,
);

fn notification(hash: &str) -> Notification {
    Notification {
        hash: hash.into(),
        notify_id: "2023notify".into(),
        out_trade_no: "CB1".into(),
        trade_status: "TRADE_SUCCESS".into(),
        raw: b"a=1&b=\xff\x00\xe8\x8c\xb6".to_vec(),
    }
}

async fn deliver(store: &Store, hash: &str) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let is_first = notifications::insert(&mut tx, &notification(hash), "paid", at(1)).await?;
    tx.commit().await?;
    Ok(is_first)
}

async fn a_notification_is_seen_once_its_effect_is_committed(db: &Database) {
    assert!(!notifications::is_seen(&db.store, "h1").await.expect("an answer"));
    assert!(deliver(&db.store, "h1").await.expect("stored"));
    assert!(notifications::is_seen(&db.store, "h1").await.expect("an answer"));
    assert!(!deliver(&db.store, "h1").await.expect("an answer"), "delivered twice");
    assert!(!notifications::is_seen(&db.store, "h2").await.expect("an answer"));
    assert!(deliver(&db.store, "h2").await.expect("another one about the same trade"));
}

async fn a_notification_whose_effect_failed_is_not_seen(db: &Database) {
    let mut tx = db.store.begin().await.expect("a transaction");
    let stored = notifications::insert(&mut tx, &notification("h1"), "paid", at(1)).await;
    assert!(stored.expect("stored"));
    tx.rollback().await.expect("rolled back");
    assert!(!notifications::is_seen(&db.store, "h1").await.expect("an answer"));
    assert!(deliver(&db.store, "h1").await.expect("stored"));
}

async fn the_raw_body_is_kept_to_the_byte(db: &Database) {
    deliver(&db.store, "h1").await.expect("stored");
    let raw: Vec<u8> = sqlx::query_scalar("select raw from notifications")
        .fetch_one(&db.raw)
        .await
        .expect("readable");
    assert_eq!(raw, notification("h1").raw);
}

async fn of_many_deliveries_at_once_exactly_one_is_the_first(db: &Database) {
    let other = db.other_instance().await;
    let deliveries = (0..10).map(|delivery| {
        let store = if delivery % 2 == 0 { &db.store } else { &other };
        until_not_busy(move || deliver(store, "h1"))
    });
    let first = join_all(deliveries).await;
    assert_eq!(first.iter().filter(|first| *first.as_ref().expect("an answer")).count(), 1);
}
