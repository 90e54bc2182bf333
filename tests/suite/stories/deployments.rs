//! Two deployments on one broker, and two releases in one deployment: nobody acts on what is not
//! his, or not yet his, and every order ends all the same.

use std::sync::Arc;
use std::time::Duration;

use checkback::domain::event::BODY_VERSION;
use checkback::domain::timeout_message::{CANCEL_TAG, ORDER_TIMEOUT_TOPIC};
use checkback::metrics::AnswerLabel;
use checkback::producer::rocketmq::{
    CheckAnswer, HalfMessage, HalfSend, Job, OutgoingMessage, TransactionHandler,
    TransactionProducer,
};
use checkback::producer::runtime::{BoxFuture, MessagingRuntime};
use checkback::run::broker_settings;
use serde_json::json;

use crate::support::{CHECK_INTERVAL, PATIENCE, TestApp, shared_broker, wait_until, wait_within};

/// The producer group of half messages, as the contract names it.
const GROUP: &str = "checkback-order-timeout-producer";
/// Orders of each deployment: checks of all of them go to either.
const ORDERS: usize = 4;
/// The broker waits ten seconds before it delivers again.
const DELIVERIES_MIN: u64 = 2;
/// A consumer gets its queues within 20 s, and what it puts off again 10 s later.
const REDELIVERY_PATIENCE: Duration = Duration::from_mins(2);

/// Orders of one deployment, of which the first is paid without a notification.
async fn place_orders(app: &TestApp) -> Vec<String> {
    app.fault("notify", "drop").await;
    let mut orders = Vec::new();
    for number in 0..ORDERS {
        orders.push(app.place_flash(&format!("order {number}")).await);
    }
    let number = app.start_payment(&orders[0]).await;
    app.buyer_pays(&number).await;
    orders
}

async fn wait_for_ends(app: &TestApp, orders: &[String]) {
    app.wait_for_status(&orders[0], "paid").await;
    for order in &orders[1..] {
        app.wait_for_status(order, "cancelled").await;
    }
    // The first order's piece is the only one that stays locked.
    assert_eq!(app.sku("tea").await["locked"], 1);
}

async fn has_alarm(app: &TestApp, kind: &str, subject: &str) -> bool {
    app.open_alarms().await.iter().any(|open| open.0 == kind && open.1 == subject)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_deployments_with_the_same_names_leave_each_others_orders_alone() {
    let broker = shared_broker().await;
    let one = TestApp::start_on(broker.clone()).await;
    let other = TestApp::start_on(broker).await;
    let [ours, theirs] = [&one, &other].map(|app| app.app().deployment.clone());
    assert_ne!(ours, theirs);
    let (first, second) = (place_orders(&one).await, place_orders(&other).await);
    wait_for_ends(&one, &first).await;
    wait_for_ends(&other, &second).await;
    // Each is asked about the other's orders, and says so.
    for (app, neighbour) in [(&one, &theirs), (&other, &ours)] {
        let alarmed = async || has_alarm(app, "foreign_message", neighbour.as_str()).await;
        wait_until("the neighbour is on the alarm list", alarmed).await;
    }
    for (app, foreign) in [(&one, &second), (&other, &first)] {
        for order in foreign {
            let answer = app.get(&format!("/v1/orders/{order}")).send().await.expect("an answer");
            assert_eq!(answer.status(), 404, "{order}");
        }
    }
    one.finish().await;
    other.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_deployments_with_prefixes_of_their_own_never_meet() {
    let one = TestApp::start().await;
    let other = TestApp::start().await;
    let (first, second) = (place_orders(&one).await, place_orders(&other).await);
    wait_for_ends(&one, &first).await;
    wait_for_ends(&other, &second).await;
    for app in [&one, &other] {
        let alarms = app.open_alarms().await;
        assert!(alarms.iter().all(|(kind, _)| kind != "foreign_message"), "{alarms:?}");
    }
    one.finish().await;
    other.finish().await;
}

/// An instance of the next release, which understands its own messages only.
struct NextRelease {
    version: u32,
}

impl TransactionHandler for NextRelease {
    fn execute(&self, _job: Job) -> BoxFuture<CheckAnswer> {
        Box::pin(async { CheckAnswer::Unknown })
    }

    fn check(&self, message: HalfMessage) -> BoxFuture<CheckAnswer> {
        let body: serde_json::Value = serde_json::from_slice(&message.body).unwrap_or_default();
        let answer = if body["version"] == self.version {
            CheckAnswer::Commit
        } else {
            CheckAnswer::Unknown
        };
        Box::pin(async move { answer })
    }
}

fn checks_answered_unknown(app: &TestApp) -> u64 {
    let label = AnswerLabel { answer: "unknown".to_owned() };
    app.app().metrics.check_backs.get_or_create(&label).get()
}

fn put_off(app: &TestApp) -> u64 {
    let label = AnswerLabel { answer: "later".to_owned() };
    app.app().metrics.deliveries.get_or_create(&label).get()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_releases_messages_are_never_acted_on_nor_acknowledged_away() {
    let app = TestApp::start().await;
    let settings = broker_settings(&app.app().config.rocketmq);
    let runtime = Arc::new(MessagingRuntime::start(settings).expect("a client"));
    let version = BODY_VERSION + 1;
    let handler = Arc::new(NextRelease { version });
    let topics = [ORDER_TIMEOUT_TOPIC];
    let newer = TransactionProducer::start(&runtime, GROUP, &topics, CHECK_INTERVAL, handler).await;
    let newer = newer.expect("a producer");
    assert!(newer.wait_ready(PATIENCE).await, "no route");

    // Half messages of both releases are open: the broker asks either instance about any of them.
    let ours = app.place_flash("ours").await;
    let deployment = app.app().deployment.as_str();
    for _ in 0..ORDERS {
        let body = json!({ "version": version, "deployment": deployment, "order_id": ours });
        let message = OutgoingMessage {
            topic: ORDER_TIMEOUT_TOPIC.to_owned(),
            tag: CANCEL_TAG.to_owned(),
            key: ours.clone(),
            body: body.to_string().into_bytes(),
        };
        let sent = newer.send_in_transaction(message, Arc::new(())).await.expect("sent");
        assert_eq!(sent, HalfSend::Accepted { executed: Some(CheckAnswer::Unknown) });
    }
    // Committed by the newer instance, they come here, and come again.
    let come_again = async || put_off(&app) >= ORDERS as u64 * DELIVERIES_MIN;
    wait_within(REDELIVERY_PATIENCE, "the newer messages come again", come_again).await;
    assert!(checks_answered_unknown(&app) > 0);
    app.assert_alarm("unknown_message_version", &ours).await;
    app.wait_for_status(&ours, "cancelled").await;

    newer.shutdown().await;
    runtime.shutdown().await;
    app.finish().await;
}
