//! What is written once: idempotency keys, the deployment id, a sweep's report.

use checkback::domain::ids::DeploymentId;
use checkback::store::idempotency::{self, UsedKey};
use checkback::store::sweeps::{self, SweepRun};
use checkback::store::{Store, StoreError, deployment};
use futures_util::future::join_all;

use super::database::{Database, at, order_id, until_not_busy};

on_each_database!(
    a_key_keeps_its_first_answer,
    a_key_of_a_transaction_that_rolled_back_is_free,
    of_twins_with_the_same_key_exactly_one_is_first,
    a_database_has_one_deployment_id,
    instances_that_start_at_once_agree_on_the_deployment_id,
    a_report_of_a_sweep_is_stored,
);

fn used(text: &str) -> UsedKey {
    UsedKey { request_hash: format!("hash of {text}"), response: format!("答 {text}") }
}

async fn insert(store: &Store, key: &str, answer: &str) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let is_first =
        idempotency::insert(&mut tx, key, &used(answer), &order_id(answer), at(1)).await?;
    if is_first {
        tx.commit().await?;
    } else {
        tx.rollback().await?;
    }
    Ok(is_first)
}

async fn a_key_keeps_its_first_answer(db: &Database) {
    assert_eq!(idempotency::find(&db.store, "k1").await.expect("readable"), None);
    assert!(insert(&db.store, "k1", "A").await.expect("an answer"));
    assert!(!insert(&db.store, "k1", "B").await.expect("an answer"));
    assert!(insert(&db.store, "k2", "C").await.expect("an answer"));
    assert_eq!(idempotency::find(&db.store, "k1").await.expect("readable"), Some(used("A")));
}

async fn a_key_of_a_transaction_that_rolled_back_is_free(db: &Database) {
    let mut tx = db.store.begin().await.expect("a transaction");
    let first = idempotency::insert(&mut tx, "k1", &used("A"), &order_id("A"), at(1)).await;
    assert!(first.expect("an answer"));
    tx.rollback().await.expect("rolled back");
    assert_eq!(idempotency::find(&db.store, "k1").await.expect("readable"), None);
    assert!(insert(&db.store, "k1", "B").await.expect("an answer"));
}

async fn of_twins_with_the_same_key_exactly_one_is_first(db: &Database) {
    let other = db.other_instance().await;
    let names: Vec<_> = (0..10).map(|twin| format!("ORDER{twin}")).collect();
    let twins = names.iter().enumerate().map(|(number, name)| {
        let store = if number % 2 == 0 { &db.store } else { &other };
        until_not_busy(move || insert(store, "k1", name))
    });
    let first = join_all(twins).await;
    let first: Vec<_> =
        names.iter().zip(first).filter(|(_, first)| *first.as_ref().expect("an answer")).collect();
    let [(winner, _)] = first.as_slice() else { panic!("{first:?}") };
    let found = idempotency::find(&db.store, "k1").await.expect("readable");
    assert_eq!(found, Some(used(winner)));
}

fn id(text: &str) -> DeploymentId {
    DeploymentId::from_trusted(text)
}

async fn a_database_has_one_deployment_id(db: &Database) {
    assert_eq!(deployment::load(&db.store).await.expect("readable"), None);
    for fresh in ["D1", "D2"] {
        let stored = deployment::ensure(&db.store, id(fresh), at(1)).await.expect("stored");
        assert_eq!(stored, id("D1"));
    }
    assert_eq!(deployment::load(&db.store).await.expect("readable"), Some(id("D1")));
}

async fn instances_that_start_at_once_agree_on_the_deployment_id(db: &Database) {
    let other = db.other_instance().await;
    let starts = (0..8).map(|start| {
        let store = if start % 2 == 0 { &db.store } else { &other };
        until_not_busy(async move || {
            deployment::ensure(store, id(&format!("D{start}")), at(1)).await
        })
    });
    let agreed: Vec<_> = join_all(starts).await;
    let stored = deployment::load(&db.store).await.expect("readable").expect("an id");
    for id in agreed {
        assert_eq!(id.expect("an id"), stored);
    }
}

async fn a_report_of_a_sweep_is_stored(db: &Database) {
    let (started_at, finished_at) = (at(1), at(2));
    let run = SweepRun {
        id: "s1".into(),
        started_at,
        finished_at,
        settled: 3,
        still_pending: 2,
        failed: 1,
    };
    sweeps::insert(&db.store, &run).await.expect("stored");
    let stored = "select count(*) from sweep_runs where id = 's1' and settled = 3 \
                  and still_pending = 2 and failed = 1 and finished_at_ms > started_at_ms";
    assert_eq!(db.number(stored).await, 1);
    sweeps::insert(&db.store, &run).await.expect_err("a run has one report");
}
