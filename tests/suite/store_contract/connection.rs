//! The connection itself: addresses, migrations, transactions.

use checkback::clock::{Clock as _, SystemClock};
use checkback::store::{Backend, Store, StoreError, clock_probe, orders};
use futures_util::future::join_all;

use super::database::{Database, at, order_id, order_record};

on_each_database!(
    a_migrated_database_is_migrated_again_without_effect,
    several_instances_migrate_a_migrated_database_at_the_same_time,
    a_dropped_transaction_leaves_nothing,
    a_transaction_that_is_rolled_back_leaves_nothing,
    a_committed_transaction_is_seen_by_every_instance,
    the_database_answers_until_it_is_closed,
    the_clock_of_the_database_is_that_of_this_machine,
);

async fn a_migrated_database_is_migrated_again_without_effect(db: &Database) {
    db.place("ORDER").await;
    db.store.migrate().await.expect("nothing to do");
    db.other_instance().await.migrate().await.expect("nothing to do");
    assert_eq!(db.order("ORDER").await.order.version, 1);
}

async fn several_instances_migrate_a_migrated_database_at_the_same_time(db: &Database) {
    let instances = join_all((0..3).map(|_| db.other_instance())).await;
    for migrated in join_all(instances.iter().map(Store::migrate)).await {
        migrated.expect("nothing to do");
    }
}

async fn a_dropped_transaction_leaves_nothing(db: &Database) {
    let mut tx = db.store.begin().await.expect("a transaction");
    orders::insert(&mut tx, &order_record("ORDER"), &[]).await.expect("an order");
    drop(tx);
    assert_eq!(orders::find(&db.store, &order_id("ORDER")).await.expect("readable"), None);
    db.place("ORDER").await;
}

async fn a_transaction_that_is_rolled_back_leaves_nothing(db: &Database) {
    let mut tx = db.store.begin().await.expect("a transaction");
    orders::insert(&mut tx, &order_record("ORDER"), &[]).await.expect("an order");
    tx.rollback().await.expect("rolled back");
    assert_eq!(orders::find(&db.store, &order_id("ORDER")).await.expect("readable"), None);
    db.place("ORDER").await;
}

async fn a_committed_transaction_is_seen_by_every_instance(db: &Database) {
    let other = db.other_instance().await;
    db.place("ORDER").await;
    assert!(orders::find(&other, &order_id("ORDER")).await.expect("readable").is_some());
    let read = db.order("ORDER").await.order;
    let mut tx = other.begin().await.expect("a transaction");
    assert!(orders::bump(&mut tx, &read, at(1)).await.expect("bumped"));
    tx.commit().await.expect("committed");
    assert_eq!(db.order("ORDER").await.order.version, 2);
}

async fn the_database_answers_until_it_is_closed(db: &Database) {
    let other = db.other_instance().await;
    other.ready().await.expect("an answer");
    other.close().await;
    other.ready().await.expect_err("it is closed");
    let begun = other.begin().await.map(drop);
    assert!(matches!(begun, Err(StoreError::Database(_))), "{begun:?}");
}

async fn the_clock_of_the_database_is_that_of_this_machine(db: &Database) {
    let before = SystemClock.now().timestamp_millis();
    let theirs = clock_probe::now_ms(&db.store).await.expect("a time");
    let after = SystemClock.now().timestamp_millis();
    assert!(theirs >= before - 2 && theirs <= after + 2, "{before} {theirs} {after}");
}

#[tokio::test]
async fn a_sqlite_file_is_made_where_there_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("new.db");
    let store = Store::connect(&format!("sqlite://{}", file.display())).await.expect("made");
    assert_eq!(store.backend(), Backend::Sqlite);
    assert!(file.exists());
    let missing = format!("sqlite://{}?mode=rw", folder.path().join("missing.db").display());
    Store::connect(&missing).await.expect_err("the address says not to make one");
}

#[tokio::test]
async fn an_address_that_leads_nowhere_is_an_error() {
    for url in ["", "nonsense", "postgres://127.0.0.1/x", "mysql://root@127.0.0.1:1/x"] {
        Store::connect(url).await.expect_err(url);
    }
}
