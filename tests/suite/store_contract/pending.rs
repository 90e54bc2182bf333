//! The small table of what is unsettled, and the leases on its due rows.

use std::collections::BTreeSet;

use checkback::domain::ids::OrderId;
use checkback::store::pending::{self, Backlog, CLAIM_MAX, Kind, Lane, Lease, Pending, Round};
use checkback::store::{Store, StoreError, WriteTx};
use chrono::{DateTime, Utc};
use futures_util::future::join_all;

use super::database::{Database, at, order_id, out_trade_no, until_not_busy};

on_each_database!(
    rows_of_an_order_and_its_attempts_read_back,
    a_row_is_removed_by_its_subject,
    a_round_is_counted_on_all_rows_of_its_order_and_on_no_other,
    a_row_is_hastened_and_never_delayed,
    only_rows_whose_time_has_come_are_claimed,
    a_batch_takes_the_oldest_rows,
    a_lane_is_claimed_by_itself_and_never_more_than_its_share,
    an_order_with_several_due_rows_is_claimed_once,
    an_order_goes_to_one_claimer_with_all_of_its_due_rows,
    a_lease_keeps_others_away_until_it_ends,
    a_round_gives_the_lease_up,
    a_claim_of_nothing_is_empty,
    two_claimers_at_once_share_the_rows_and_no_row_goes_to_both,
    a_dry_run_lists_what_is_due_and_changes_nothing,
    a_dry_run_leaves_out_what_someone_else_holds,
    the_backlog_is_counted,
);

async fn add(db: &Database, order: &str, due: DateTime<Utc>) {
    db.place(order).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    pending::insert_order(&mut tx, &order_id(order), due, at(0)).await.expect("a row");
    tx.commit().await.expect("committed");
}

async fn add_attempt(db: &Database, order: &str, number: &str, due: DateTime<Utc>) {
    let mut tx = db.store.begin().await.expect("a transaction");
    let (order, number) = (order_id(order), out_trade_no(number));
    pending::insert_attempt(&mut tx, &order, &number, due, at(1)).await.expect("a row");
    tx.commit().await.expect("committed");
}

async fn in_transaction(db: &Database, work: impl AsyncFn(&mut WriteTx<'_>)) {
    let mut tx = db.store.begin().await.expect("a transaction");
    work(&mut tx).await;
    tx.commit().await.expect("committed");
}

async fn rows(db: &Database, order: &str) -> Vec<Pending> {
    let mut rows = pending::of_order(&db.store, &order_id(order)).await.expect("readable");
    rows.sort_by_key(|row| row.kind == Kind::Attempt);
    rows
}

fn lease(token: &str, until: i64, rows_max: i64) -> Lease {
    Lease { token: token.into(), until: at(until), due_by: DateTime::<Utc>::MAX_UTC, rows_max }
}

async fn claim(store: &Store, lease: &Lease, now: i64) -> Vec<String> {
    let mut orders = claim_in(store, Lane::NoAttempt, lease, now).await;
    orders.extend(claim_in(store, Lane::Fast, lease, now).await);
    orders
}

async fn claim_in(store: &Store, lane: Lane, lease: &Lease, now: i64) -> Vec<String> {
    let claimed: Result<Vec<OrderId>, StoreError> =
        until_not_busy(async || pending::claim_due(store, lane, lease, at(now)).await).await;
    claimed.expect("claimed").into_iter().map(|id| id.as_str().to_owned()).collect()
}

async fn rows_of_an_order_and_its_attempts_read_back(db: &Database) {
    add(db, "ORDER", at(20)).await;
    add_attempt(db, "ORDER", "CB1", at(30)).await;
    add(db, "OTHER", at(40)).await;
    let fresh = |subject: &str, kind, next_query_at, created_at| Pending {
        subject: subject.to_owned(),
        order_id: order_id("ORDER"),
        kind,
        lane: Lane::Fast,
        next_query_at,
        check_count: 0,
        query_count: 0,
        last_answer: None,
        last_answer_at: None,
        created_at,
    };
    let expected = [
        fresh(order_id("ORDER").as_str(), Kind::Order, at(20), at(0)),
        fresh("CB1", Kind::Attempt, at(30), at(1)),
    ];
    assert_eq!(rows(db, "ORDER").await, expected);
    let [other] = &rows(db, "OTHER").await[..] else { panic!("not one row") };
    assert_eq!(other.lane, Lane::NoAttempt);
}

async fn a_row_is_removed_by_its_subject(db: &Database) {
    add(db, "ORDER", at(20)).await;
    add_attempt(db, "ORDER", "CB1", at(30)).await;
    in_transaction(db, async |tx| {
        pending::remove(tx, "ORDER").await.expect("removed");
        pending::remove(tx, "NONE").await.expect("nothing to remove");
    })
    .await;
    let left = rows(db, "ORDER").await;
    assert_eq!(left.iter().map(|row| row.kind).collect::<Vec<_>>(), [Kind::Attempt]);
    in_transaction(db, async |tx| pending::remove(tx, "CB1").await.expect("removed")).await;
    assert_eq!(rows(db, "ORDER").await, []);
}

async fn count_round(db: &Database, order: &str, is_check: bool, next: i64) {
    count_round_in(db, Lane::Fast, order, (is_check, next)).await;
}

async fn count_round_in(db: &Database, lane: Lane, order: &str, (is_check, next): (bool, i64)) {
    let round = Round {
        is_check,
        is_counted: true,
        answer: "not_exist",
        starts_over: false,
        lane,
        next_query_at: at(next),
    };
    in_transaction(db, async |tx| {
        pending::record_round(tx, &order_id(order), &round, at(25)).await.expect("counted");
    })
    .await;
}

async fn a_round_is_counted_on_all_rows_of_its_order_and_on_no_other(db: &Database) {
    add(db, "ORDER", at(20)).await;
    add_attempt(db, "ORDER", "CB1", at(30)).await;
    add(db, "OTHER", at(20)).await;
    let untouched = rows(db, "OTHER").await;
    count_round(db, "ORDER", true, 50).await;
    count_round(db, "ORDER", false, 60).await;
    for row in rows(db, "ORDER").await {
        assert_eq!((row.check_count, row.query_count), (1, 2));
        assert_eq!(row.last_answer.as_deref(), Some("not_exist"));
        assert_eq!((row.last_answer_at, row.next_query_at), (Some(at(25)), at(60)));
    }
    assert_eq!(rows(db, "OTHER").await, untouched);
}

async fn a_row_is_hastened_and_never_delayed(db: &Database) {
    add(db, "ORDER", at(20)).await;
    add_attempt(db, "ORDER", "CB1", at(40)).await;
    in_transaction(db, async |tx| {
        pending::hasten(tx, &order_id("ORDER"), at(30)).await.expect("hastened");
    })
    .await;
    let times: Vec<_> = rows(db, "ORDER").await.iter().map(|row| row.next_query_at).collect();
    assert_eq!(times, [at(20), at(30)]);
    assert!(rows(db, "ORDER").await.iter().all(|row| row.query_count == 0));
}

async fn only_rows_whose_time_has_come_are_claimed(db: &Database) {
    add(db, "A", at(10)).await;
    add(db, "B", at(20)).await;
    add(db, "C", at(21)).await;
    assert_eq!(claim(&db.store, &lease("t1", 80, 10), 20).await, ["A", "B"]);
    assert_eq!(claim(&db.store, &lease("t2", 80, 10), 21).await, ["C"]);
}

async fn a_batch_takes_the_oldest_rows(db: &Database) {
    for (order, due) in [("A", 5), ("B", 3), ("C", 1), ("D", 4), ("E", 2)] {
        add(db, order, at(due)).await;
    }
    assert_eq!(claim(&db.store, &lease("t1", 80, 2), 10).await, ["C", "E"]);
    assert_eq!(claim(&db.store, &lease("t2", 80, 2), 10).await, ["B", "D"]);
    assert_eq!(claim(&db.store, &lease("t3", 80, 2), 10).await, ["A"]);
    assert_eq!(claim(&db.store, &lease("t4", 80, 2), 10).await, Vec::<String>::new());
}

async fn a_lane_is_claimed_by_itself_and_never_more_than_its_share(db: &Database) {
    for number in 0..CLAIM_MAX + 5 {
        add(db, &format!("N{number:02}"), at(5)).await;
    }
    add(db, "ASKED", at(1)).await;
    add_attempt(db, "ASKED", "CB1", at(2)).await;
    count_round_in(db, Lane::Slow, "ASKED", (false, 3)).await;
    let all = lease("t1", 80, 1_000);
    assert_eq!(claim_in(&db.store, Lane::Fast, &all, 10).await, Vec::<String>::new());
    assert_eq!(claim_in(&db.store, Lane::Slow, &all, 10).await, ["ASKED"]);
    assert_eq!(claim_in(&db.store, Lane::NoAttempt, &all, 10).await.len(), CLAIM_MAX);
    assert_eq!(claim_in(&db.store, Lane::NoAttempt, &lease("t2", 80, 1_000), 10).await.len(), 5);
}

async fn an_order_with_several_due_rows_is_claimed_once(db: &Database) {
    add(db, "ORDER", at(1)).await;
    add_attempt(db, "ORDER", "CB1", at(2)).await;
    add_attempt(db, "ORDER", "CB2", at(3)).await;
    assert_eq!(claim(&db.store, &lease("t1", 80, 10), 10).await, ["ORDER"]);
}

async fn an_order_goes_to_one_claimer_with_all_of_its_due_rows(db: &Database) {
    for (order, number) in [("A", "CB1"), ("B", "CB2"), ("C", "CB3")] {
        add(db, order, at(5)).await;
        add_attempt(db, order, number, at(5)).await;
    }
    let mut claimed = Vec::new();
    for round in 0..6 {
        let one_row = lease(&format!("t{round}"), 80, 1);
        claimed.extend(claim_in(&db.store, Lane::Fast, &one_row, 10).await);
    }
    claimed.sort();
    assert_eq!(claimed, ["A", "B", "C"], "whoever works on an order has its other rows, too");
}

async fn a_lease_keeps_others_away_until_it_ends(db: &Database) {
    add(db, "ORDER", at(1)).await;
    assert_eq!(claim(&db.store, &lease("t1", 80, 10), 10).await, ["ORDER"]);
    let other = db.other_instance().await;
    for now in [10, 79] {
        let nothing = Vec::<String>::new();
        assert_eq!(claim(&other, &lease("t2", 140, 10), now).await, nothing, "{now}");
    }
    assert_eq!(claim(&other, &lease("t3", 140, 10), 80).await, ["ORDER"]);
}

async fn a_round_gives_the_lease_up(db: &Database) {
    add(db, "ORDER", at(1)).await;
    assert_eq!(claim(&db.store, &lease("t1", 80, 10), 10).await, ["ORDER"]);
    count_round(db, "ORDER", false, 30).await;
    assert_eq!(claim(&db.store, &lease("t2", 80, 10), 29).await, Vec::<String>::new());
    assert_eq!(claim(&db.store, &lease("t3", 80, 10), 30).await, ["ORDER"]);
}

async fn a_claim_of_nothing_is_empty(db: &Database) {
    assert_eq!(claim(&db.store, &lease("t1", 80, 10), 10).await, Vec::<String>::new());
    add(db, "ORDER", at(1)).await;
    assert_eq!(claim(&db.store, &lease("t2", 80, 0), 10).await, Vec::<String>::new());
}

async fn two_claimers_at_once_share_the_rows_and_no_row_goes_to_both(db: &Database) {
    for order in 0..40 {
        add(db, &format!("ORDER{order:02}"), at(order)).await;
    }
    let other = db.other_instance().await;
    let claimers = (0..8).map(async |claimer| {
        let store = if claimer % 2 == 0 { &db.store } else { &other };
        let mut mine = Vec::new();
        for round in 0..8 {
            let lease = lease(&format!("t{claimer}-{round}"), 200, 7);
            mine.extend(claim(store, &lease, 100).await);
        }
        mine
    });
    let claimed: Vec<_> = join_all(claimers).await.into_iter().flatten().collect();
    let distinct: BTreeSet<_> = claimed.iter().collect();
    assert_eq!(claimed.len(), distinct.len(), "no order twice");
    assert_eq!(distinct.len(), 40, "every order once");
}

async fn a_dry_run_lists_what_is_due_and_changes_nothing(db: &Database) {
    for (order, due) in [("A", 3), ("B", 1), ("C", 2), ("D", 11)] {
        add(db, order, at(due)).await;
    }
    let listed = pending::due(&db.store, 2, at(10)).await.expect("readable");
    let listed: Vec<_> = listed.iter().map(|row| row.order_id.as_str()).collect();
    assert_eq!(listed, ["B", "C"]);
    assert_eq!(claim(&db.store, &lease("t1", 80, 10), 10).await, ["A", "B", "C"]);
}

async fn a_dry_run_leaves_out_what_someone_else_holds(db: &Database) {
    add(db, "A", at(1)).await;
    add(db, "B", at(2)).await;
    assert_eq!(claim(&db.store, &lease("t1", 80, 1), 10).await, ["A"]);
    let listed = pending::due(&db.store, 10, at(10)).await.expect("readable");
    let listed: Vec<_> = listed.iter().map(|row| row.order_id.as_str()).collect();
    assert_eq!(listed, ["B"]);
}

async fn the_backlog_is_counted(db: &Database) {
    let empty = pending::backlog(&db.store, at(10)).await.expect("counted");
    assert_eq!(empty, Backlog { rows: 0, due: 0, oldest_created_at_ms: 0 });
    add(db, "ORDER", at(5)).await;
    add_attempt(db, "ORDER", "CB1", at(11)).await;
    let oldest_created_at_ms = at(0).timestamp_millis();
    let counted = pending::backlog(&db.store, at(10)).await.expect("counted");
    assert_eq!(counted, Backlog { rows: 2, due: 1, oldest_created_at_ms });
}
