//! What the broker may do: be away, ask at odd times, deliver twice, ask about others' messages.

use std::sync::Arc;
use std::time::{Duration, Instant};

use checkback::consumers::bridge::{Consumed, Delivery};
use checkback::consumers::cancel_order;
use checkback::domain::ids::{DeploymentId, OrderId};
use checkback::domain::timeout_message::{CANCEL_TAG, ORDER_TIMEOUT_TOPIC, TimeoutMessage};
use checkback::listener::OrderListener;
use checkback::producer::rocketmq::{CheckAnswer, HalfMessage, TransactionHandler};
use serde_json::json;

use crate::support::{PATIENCE, TestApp};

/// An id that no order has.
const NOBODYS: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

async fn check(app: &TestApp, body: Vec<u8>) -> CheckAnswer {
    let listener = OrderListener::new(Arc::clone(app.app()), app.service().event_producer());
    let message = HalfMessage {
        topic: ORDER_TIMEOUT_TOPIC.to_owned(),
        key: NOBODYS.to_owned(),
        body,
        broker_check_times: Some(1),
        transaction_id: "T".to_owned(),
    };
    listener.check(message).await
}

fn body(app: &TestApp, order_id: &str) -> Vec<u8> {
    let id = OrderId::parse(order_id).expect("an id");
    TimeoutMessage::new(app.app().deployment.clone(), id).to_bytes()
}

async fn deliver(app: &TestApp, body: Vec<u8>) -> Consumed {
    let handler = cancel_order::handler(Arc::clone(app.app()));
    let delivery = Delivery {
        topic: ORDER_TIMEOUT_TOPIC.to_owned(),
        tag: CANCEL_TAG.to_owned(),
        key: NOBODYS.to_owned(),
        body,
        reconsume_times: 0,
        message_id: "M".to_owned(),
        real_topic: None,
    };
    handler(delivery).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_orders_are_degraded_and_end_by_the_light_poll() {
    let app = TestApp::start_without_broker().await;
    let begun = Instant::now();
    let (status, order) = app.try_place("k", "tea", 1).await;
    assert_eq!((status.as_u16(), &order["degraded"]), (201, &json!(true)));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let id = crate::support::text(&order, "id");
    app.start_payment(&id).await;
    app.advance_past_window().await;
    app.wait_for_status(&id, "cancelled").await;
    assert_eq!(app.event(&id, "cancelled").await["actor"], "poll");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_alone_is_sufficient() {
    let app = TestApp::start_without_broker().await;
    let unpaid = app.place("unpaid").await;
    let paid = app.place("paid").await;
    app.fault("notify", "drop").await;
    let number = app.start_payment(&paid).await;
    app.buyer_pays(&number).await;
    app.advance_past_window().await;
    checkback::fallback_task::sweep(app.app()).await.expect("a sweep");
    app.wait_for_status(&unpaid, "cancelled").await;
    app.wait_for_status(&paid, "paid").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_delivered_twice_or_after_settlement_has_no_second_effect() {
    let app = TestApp::start().await;
    let cancelled = app.place("cancelled").await;
    assert_eq!(app.cancel(&cancelled).await.0, 200);
    let paid = app.place("paid").await;
    let number = app.start_payment(&paid).await;
    app.buyer_pays(&number).await;
    app.wait_for_status(&paid, "paid").await;
    for order in [&cancelled, &paid] {
        let before = app.events(order).await;
        for _ in 0..3 {
            assert_eq!(deliver(&app, body(&app, order)).await, Consumed::Done);
        }
        assert_eq!(app.events(order).await, before);
    }
    assert_eq!(app.sku("tea").await["locked"], 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_comes_too_early_cancels_nothing() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    assert_eq!(deliver(&app, body(&app, &order)).await, Consumed::Later);
    assert_eq!(app.status(&order).await, "awaiting_payment");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_after_settlement_drops_the_half_message() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    assert_eq!(check(&app, body(&app, &order)).await, CheckAnswer::Unknown);
    assert_eq!(app.cancel(&order).await.0, 200);
    assert_eq!(check(&app, body(&app, &order)).await, CheckAnswer::Rollback);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_for_an_order_that_was_never_written_leaves_a_tombstone() {
    let app = TestApp::start().await;
    for _ in 0..2 {
        assert_eq!(check(&app, body(&app, NOBODYS)).await, CheckAnswer::Rollback);
    }
    let id = OrderId::parse(NOBODYS).expect("an id");
    let store = &app.app().store;
    let mut tx = store.begin().await.expect("a transaction");
    let now = app.app().now();
    let claimed = checkback::store::barriers::claim(&mut tx, &id, now).await.expect("an answer");
    assert!(!claimed, "a late try meets the tombstone");
    drop(tx);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_while_the_creating_transaction_is_open_is_answered_unknown_in_time() {
    let app = TestApp::start().await;
    let id = OrderId::parse(NOBODYS).expect("an id");
    let store = &app.app().store;
    let mut tx = store.begin().await.expect("a transaction");
    let now = app.app().now();
    assert!(checkback::store::barriers::claim(&mut tx, &id, now).await.expect("an answer"));
    let begun = Instant::now();
    assert_eq!(check(&app, body(&app, NOBODYS)).await, CheckAnswer::Unknown);
    assert!(begun.elapsed() < PATIENCE / 6, "{:?}", begun.elapsed());
    drop(tx);
    assert_eq!(check(&app, body(&app, NOBODYS)).await, CheckAnswer::Rollback);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_not_ours_are_never_acted_on() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let id = OrderId::parse(&order).expect("an id");
    let foreign = TimeoutMessage::new(DeploymentId::from_trusted("OTHER"), id).to_bytes();
    let newer = br#"{"version":99}"#.to_vec();
    let broken = b"\xff not json".to_vec();
    for message in [foreign, newer, broken] {
        assert_eq!(check(&app, message.clone()).await, CheckAnswer::Unknown);
        assert_eq!(deliver(&app, message).await, Consumed::Later);
    }
    app.assert_alarm("foreign_message", "OTHER").await;
    app.assert_alarm("unknown_message_version", NOBODYS).await;
    app.assert_alarm("malformed_message", NOBODYS).await;
    assert_eq!(app.status(&order).await, "awaiting_payment");
    app.finish().await;
}
