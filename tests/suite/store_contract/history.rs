//! The history, and the transitions that it lets through.

use checkback::domain::order::OrderStatus;
use checkback::store::StoreError;
use checkback::store::history::{self, Entry};
use serde_json::json;

use super::database::{Database, at, order_id};

on_each_database!(
    the_allowed_transitions_are_those_of_the_state_machine,
    an_illegal_transition_is_refused_with_everything_around_it,
    lines_are_listed_in_the_order_in_which_they_were_written,
    a_line_is_written_once,
    a_line_whose_detail_is_not_json_is_corrupt,
    changes_since_a_time_are_the_latest_ones_once_each,
);

fn may_follow(from: Option<OrderStatus>, to: OrderStatus) -> bool {
    match from {
        None => to == OrderStatus::AwaitingPayment,
        Some(from) => from == to || from.may_become(to),
    }
}

async fn the_allowed_transitions_are_those_of_the_state_machine(db: &Database) {
    db.place("ORDER").await;
    let sources = OrderStatus::ALL.into_iter().map(Some).chain([None]);
    let mut allowed = 0;
    for (version, from) in (1_i64..).zip(sources) {
        for (line, to) in (0_i64..).zip(OrderStatus::ALL) {
            let (before, after) = (from.map_or("none", OrderStatus::as_str), to.as_str());
            let written = db
                .run(&format!(
                    "insert into order_history (order_id, version, line, at_ms, actor, cause, \
                     from_status, to_status, detail) values ('ORDER', {version}, {line}, 0, 'x', \
                     'x', '{before}', '{after}', '{{}}')"
                ))
                .await;
            assert_eq!(written.is_ok(), may_follow(from, to), "{before} to {after}");
            allowed += i64::from(written.is_ok());
        }
    }
    assert_eq!(db.number("select count(*) from order_transitions").await, allowed);
}

fn entry(cause: &'static str, from: Option<OrderStatus>, to: OrderStatus) -> Entry {
    Entry { cause, from, to, detail: json!({ "cause": cause }) }
}

async fn append(db: &Database, version: i64, entries: &[Entry]) -> Result<(), StoreError> {
    let mut tx = db.store.begin().await?;
    history::append(&mut tx, &order_id("ORDER"), version, "ops:李", entries, at(version)).await?;
    tx.commit().await
}

async fn an_illegal_transition_is_refused_with_everything_around_it(db: &Database) {
    db.place("ORDER").await;
    let entries = [
        entry("fine", Some(OrderStatus::Cancelled), OrderStatus::Cancelled),
        entry("never", Some(OrderStatus::Paid), OrderStatus::Cancelled),
    ];
    let refused = append(db, 2, &entries).await;
    assert!(matches!(refused, Err(StoreError::Database(_))), "{refused:?}");
    assert_eq!(history::list(&db.store, &order_id("ORDER")).await.expect("readable").len(), 0);
}

async fn lines_are_listed_in_the_order_in_which_they_were_written(db: &Database) {
    db.place("ORDER").await;
    let awaiting = OrderStatus::AwaitingPayment;
    append(db, 1, &[entry("placed", None, awaiting)]).await.expect("written");
    let many: Vec<_> = (0..12).map(|_| entry("seen", Some(awaiting), awaiting)).collect();
    append(db, 2, &many).await.expect("written");
    let paid = entry("paid", Some(awaiting), OrderStatus::Paid);
    append(db, 10, &[paid, entry("applied", Some(OrderStatus::Paid), OrderStatus::Paid)])
        .await
        .expect("written");

    let events = history::list(&db.store, &order_id("ORDER")).await.expect("readable");
    assert_eq!(events.len(), 15);
    assert_eq!((events[0].from.as_str(), events[0].to.as_str()), ("none", "awaiting_payment"));
    assert_eq!(events[0].at, at(1));
    assert_eq!(events[0].actor, "ops:李");
    assert_eq!(events[13].cause, "paid");
    assert_eq!(events[14].detail, json!({ "cause": "applied" }));
}

async fn a_line_is_written_once(db: &Database) {
    db.place("ORDER").await;
    let line = [entry("placed", None, OrderStatus::AwaitingPayment)];
    append(db, 1, &line).await.expect("written");
    append(db, 1, &line).await.expect_err("the same version again");
}

async fn a_line_whose_detail_is_not_json_is_corrupt(db: &Database) {
    db.place("ORDER").await;
    let line = [entry("placed", None, OrderStatus::AwaitingPayment)];
    append(db, 1, &line).await.expect("written");
    db.run("update order_history set detail = '{'").await.expect("broken");
    let corrupt = history::list(&db.store, &order_id("ORDER")).await;
    let column = "detail";
    assert!(matches!(corrupt, Err(StoreError::Corrupt { column: c, .. }) if c == column));
}

async fn changes_since_a_time_are_the_latest_ones_once_each(db: &Database) {
    db.place("ORDER").await;
    let awaiting = Some(OrderStatus::AwaitingPayment);
    let entries = [
        entry("one", awaiting, OrderStatus::AwaitingPayment),
        entry("other", awaiting, OrderStatus::AwaitingPayment),
    ];
    for version in 2..=5 {
        append(db, version, &entries).await.expect("it is written");
    }
    let since = async |from, rows_max| {
        let changes = history::since(&db.store, at(from), rows_max).await.expect("changes");
        assert!(changes.iter().all(|change| change.order_id == order_id("ORDER")));
        changes.iter().map(|change| (change.version, change.at)).collect::<Vec<_>>()
    };
    assert_eq!(since(4, 10).await, [(5, at(5)), (4, at(4))]);
    assert_eq!(since(2, 3).await, [(5, at(5)), (4, at(4)), (3, at(3))]);
    assert_eq!(since(6, 10).await, []);
}
