//! The outbox: events of one order keep their order, and each lease goes to one relay.

use std::collections::BTreeSet;

use checkback::domain::event::{OrderEvent, OrderEventKind};
use checkback::domain::ids::DeploymentId;
use checkback::store::outbox::{self, Publication, Unpublished};
use checkback::store::{Store, StoreError};
use chrono::{DateTime, Utc};
use futures_util::future::join_all;

use super::database::{Database, at, fen, order_id, until_not_busy};

on_each_database!(
    an_event_reads_back_as_it_was_written,
    an_event_is_written_once,
    an_event_of_a_transaction_that_rolled_back_was_never_there,
    events_of_one_order_are_published_one_after_the_other,
    a_lease_keeps_others_away_until_it_ends,
    a_failed_publication_is_tried_again_later,
    a_batch_takes_what_is_due_first,
    two_relays_at_once_never_get_the_same_event,
    events_that_wait_for_long_are_listed_oldest_first,
);

fn event(order: &str, sequence: i64, kind: OrderEventKind) -> OrderEvent {
    let deployment = DeploymentId::from_trusted("D");
    OrderEvent::new(kind, &deployment, &order_id(order), sequence, fen(1_000), at(1))
}

async fn add(db: &Database, order: &str, sequence: i64, now: DateTime<Utc>) -> OrderEvent {
    let event = event(order, sequence, OrderEventKind::Paid);
    let mut tx = db.store.begin().await.expect("a transaction");
    outbox::insert(&mut tx, &event, now).await.expect("an event");
    tx.commit().await.expect("committed");
    event
}

async fn claim(store: &Store, rows_max: i64, until: i64, now: i64) -> Vec<Unpublished> {
    let claimed: Result<_, StoreError> =
        until_not_busy(async || outbox::claim_due(store, rows_max, at(until), at(now)).await).await;
    claimed.expect("claimed")
}

async fn claim_ids(db: &Database, until: i64, now: i64) -> Vec<String> {
    claim(&db.store, 10, until, now).await.into_iter().map(|event| event.event_id).collect()
}

async fn record(db: &Database, id: &str, publication: Publication) {
    let batch = [(id.to_owned(), publication)];
    outbox::record(&db.store, &batch, at(3)).await.expect("recorded");
}

async fn an_event_reads_back_as_it_was_written(db: &Database) {
    let written = add(db, "ORDER", 2, at(1)).await;
    let claimed = claim(&db.store, 10, 60, 1).await;
    let [event] = claimed.as_slice() else { panic!("{claimed:?}") };
    assert_eq!(event.event_id, written.id);
    assert_eq!(event.order_id, "ORDER");
    assert_eq!((event.topic.as_str(), event.tag.as_str()), (written.topic, written.tag));
    assert_eq!(event.body, written.body);
    assert_eq!(event.failures, 0);
}

async fn an_event_is_written_once(db: &Database) {
    add(db, "ORDER", 2, at(1)).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    let again = event("ORDER", 2, OrderEventKind::Cancelled);
    outbox::insert(&mut tx, &again, at(1)).await.expect_err("this sequence is taken");
    tx.rollback().await.expect("rolled back");
    assert_eq!(outbox::unpublished(&db.store).await.expect("counted"), 1);
}

async fn an_event_of_a_transaction_that_rolled_back_was_never_there(db: &Database) {
    let mut tx = db.store.begin().await.expect("a transaction");
    let event = event("ORDER", 2, OrderEventKind::Paid);
    outbox::insert(&mut tx, &event, at(1)).await.expect("an event");
    tx.rollback().await.expect("rolled back");
    assert_eq!(outbox::unpublished(&db.store).await.expect("counted"), 0);
    assert_eq!(claim_ids(db, 60, 1).await, Vec::<String>::new());
}

async fn events_of_one_order_are_published_one_after_the_other(db: &Database) {
    add(db, "A", 10, at(1)).await;
    add(db, "A", 2, at(2)).await;
    add(db, "A", 3, at(3)).await;
    add(db, "B", 2, at(4)).await;
    assert_eq!(claim_ids(db, 60, 5).await, ["A-2", "B-2"]);
    assert_eq!(claim_ids(db, 60, 5).await, Vec::<String>::new(), "the first is under way");
    record(db, "A-2", Publication::Done).await;
    assert_eq!(claim_ids(db, 60, 5).await, ["A-3"]);
    record(db, "A-3", Publication::Again(at(9))).await;
    assert_eq!(claim_ids(db, 60, 8).await, Vec::<String>::new(), "the next one waits for it");
    assert_eq!(claim_ids(db, 60, 9).await, ["A-3"]);
    record(db, "A-3", Publication::Done).await;
    assert_eq!(claim_ids(db, 60, 9).await, ["A-10"]);
}

async fn a_lease_keeps_others_away_until_it_ends(db: &Database) {
    add(db, "ORDER", 2, at(1)).await;
    assert_eq!(claim_ids(db, 60, 1).await, ["ORDER-2"]);
    let other = db.other_instance().await;
    for now in [1, 59] {
        assert_eq!(claim(&other, 10, 120, now).await, [], "{now}");
    }
    assert_eq!(claim(&other, 10, 120, 60).await.len(), 1);
}

async fn a_failed_publication_is_tried_again_later(db: &Database) {
    add(db, "ORDER", 2, at(1)).await;
    for failures in 0..3 {
        let claimed = claim(&db.store, 10, 60, 10 + failures).await;
        assert_eq!(claimed[0].failures, failures);
        record(db, "ORDER-2", Publication::Again(at(11 + failures))).await;
    }
    assert_eq!(outbox::unpublished(&db.store).await.expect("counted"), 1);
    record(db, "ORDER-2", Publication::Done).await;
    assert_eq!(outbox::unpublished(&db.store).await.expect("counted"), 0);
    record(db, "ORDER-2", Publication::Again(at(20))).await;
    assert_eq!(claim_ids(db, 60, 99).await, Vec::<String>::new(), "published stays published");
}

async fn a_batch_takes_what_is_due_first(db: &Database) {
    for (order, second) in [("A", 3), ("B", 1), ("C", 2), ("D", 9)] {
        add(db, order, 2, at(second)).await;
    }
    let first = claim(&db.store, 2, 60, 5).await;
    let first: Vec<_> = first.iter().map(|event| event.order_id.as_str()).collect();
    assert_eq!(first, ["B", "C"]);
    assert_eq!(claim_ids(db, 60, 5).await, ["A-2"], "D isn't due");
}

async fn two_relays_at_once_never_get_the_same_event(db: &Database) {
    for order in 0..30 {
        add(db, &format!("ORDER{order:02}"), 2, at(1)).await;
    }
    let other = db.other_instance().await;
    let relays = (0..6).map(async |relay| {
        let store = if relay % 2 == 0 { &db.store } else { &other };
        let mut mine = Vec::new();
        for _ in 0..8 {
            mine.extend(claim(store, 7, 60, 5).await);
        }
        mine
    });
    let claimed: Vec<_> = join_all(relays).await.into_iter().flatten().collect();
    let distinct: BTreeSet<_> = claimed.iter().map(|event| event.event_id.as_str()).collect();
    assert_eq!((claimed.len(), distinct.len()), (30, 30), "each event to one relay");
}

async fn events_that_wait_for_long_are_listed_oldest_first(db: &Database) {
    for (order, second) in [("A", 3), ("B", 1), ("C", 2), ("D", 9)] {
        add(db, order, 2, at(second)).await;
    }
    record(db, "C-2", Publication::Done).await;
    let stuck = outbox::stuck_since(&db.store, at(3), at(3), 10).await.expect("listed");
    let expected = [("B-2".to_owned(), order_id("B")), ("A-2".to_owned(), order_id("A"))];
    assert_eq!(stuck, expected);
    assert_eq!(outbox::stuck_since(&db.store, at(3), at(3), 1).await.expect("listed").len(), 1);
}
