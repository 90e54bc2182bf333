//! The barrier: one of the creating transaction and the check-back wins, and everyone is told the
//! same.

use std::pin::pin;
use std::time::Duration;

use checkback::store::barriers::{self, Outcome};
use checkback::store::{Store, StoreError, orders};
use futures_util::future::join_all;
use tokio::time::timeout;

use super::database::{Database, at, order_id, order_record, until_not_busy};

on_each_database!(
    a_creating_transaction_that_committed_is_told_to_every_check_back,
    a_creating_transaction_meets_the_tombstone_of_a_check_back,
    a_creating_transaction_that_rolled_back_leaves_the_order_to_the_check_back,
    a_check_back_waits_for_an_open_transaction_that_commits,
    a_check_back_waits_for_an_open_transaction_that_rolls_back,
    a_check_back_of_another_instance_waits_as_well,
    transactions_and_check_backs_at_once_agree_on_one_outcome,
);

/// Long enough to reach the database and to be kept waiting there.
const A_MOMENT: Duration = Duration::from_millis(200);

async fn settle(store: &Store) -> Result<Outcome, StoreError> {
    barriers::settle(store, &order_id("ORDER"), at(2)).await
}

/// Whether the creating transaction took place.
async fn create(store: &Store) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    if !barriers::claim(&mut tx, &order_id("ORDER"), at(1)).await? {
        tx.rollback().await?;
        return Ok(false);
    }
    orders::insert(&mut tx, &order_record("ORDER"), &[]).await?;
    tx.commit().await?;
    Ok(true)
}

async fn a_creating_transaction_that_committed_is_told_to_every_check_back(db: &Database) {
    assert!(create(&db.store).await.expect("created"));
    for _ in 0..2 {
        assert_eq!(settle(&db.store).await.expect("settled"), Outcome::Committed);
    }
    assert!(!create(&db.store).await.expect("an answer"), "an id is used once");
}

async fn a_creating_transaction_meets_the_tombstone_of_a_check_back(db: &Database) {
    for _ in 0..2 {
        assert_eq!(settle(&db.store).await.expect("settled"), Outcome::RolledBack);
    }
    assert!(!create(&db.store).await.expect("an answer"));
    assert_eq!(db.number("select count(*) from orders").await, 0);
    let other = barriers::settle(&db.store, &order_id("OTHER"), at(3)).await;
    assert_eq!(other.expect("settled"), Outcome::RolledBack);
}

async fn a_creating_transaction_that_rolled_back_leaves_the_order_to_the_check_back(db: &Database) {
    let mut tx = db.store.begin().await.expect("a transaction");
    assert!(barriers::claim(&mut tx, &order_id("ORDER"), at(1)).await.expect("claimed"));
    tx.rollback().await.expect("rolled back");
    assert_eq!(settle(&db.store).await.expect("settled"), Outcome::RolledBack);
    assert!(!create(&db.store).await.expect("an answer"));
}

async fn a_check_back_waits_for_an_open_transaction_that_commits(db: &Database) {
    waits_for_a_commit(db, &db.store).await;
}

async fn a_check_back_of_another_instance_waits_as_well(db: &Database) {
    waits_for_a_commit(db, &db.other_instance().await).await;
}

async fn waits_for_a_commit(db: &Database, asker: &Store) {
    let mut tx = db.store.begin().await.expect("a transaction");
    assert!(barriers::claim(&mut tx, &order_id("ORDER"), at(1)).await.expect("claimed"));
    orders::insert(&mut tx, &order_record("ORDER"), &[]).await.expect("an order");
    let mut settled = pin!(settle(asker));
    timeout(A_MOMENT, &mut settled).await.expect_err("the transaction is open");
    tx.commit().await.expect("committed");
    assert_eq!(settled.await.expect("settled"), Outcome::Committed);
    assert_eq!(db.number("select count(*) from orders").await, 1);
}

async fn a_check_back_waits_for_an_open_transaction_that_rolls_back(db: &Database) {
    let mut tx = db.store.begin().await.expect("a transaction");
    assert!(barriers::claim(&mut tx, &order_id("ORDER"), at(1)).await.expect("claimed"));
    let mut settled = pin!(settle(&db.store));
    timeout(A_MOMENT, &mut settled).await.expect_err("the transaction is open");
    tx.rollback().await.expect("rolled back");
    assert_eq!(settled.await.expect("settled"), Outcome::RolledBack);
}

async fn transactions_and_check_backs_at_once_agree_on_one_outcome(db: &Database) {
    let other = db.other_instance().await;
    let created = until_not_busy(|| create(&db.store));
    let checks = (0..8).map(|check| {
        let store = if check % 2 == 0 { &db.store } else { &other };
        until_not_busy(move || settle(store))
    });
    let (created, settled) = tokio::join!(created, join_all(checks));
    let expected =
        if created.expect("an answer") { Outcome::Committed } else { Outcome::RolledBack };
    for outcome in settled {
        assert_eq!(outcome.expect("settled"), expected);
    }
    let exists = db.number("select count(*) from orders").await == 1;
    assert_eq!(exists, expected == Outcome::Committed);
}
