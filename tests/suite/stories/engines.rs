//! What only the engines of production do. Each test starts one of its own; without Apache RocketMQ
//! or a database server beside the tests there is nothing to run them on.

use std::time::{Duration, Instant};

use checkback::config::RocketmqMode;
use checkback::store::Backend;
use reqwest::Response;
use serde_json::json;

use crate::support::engines::{ApacheRocketMq, MariaDb, MysqlDatabase};
use crate::support::{Broker, TestApp, notification, shared_broker, text, wait_until};

/// What every answer is given within, and a little for a busy machine.
const ANSWER_BUDGET: Duration = Duration::from_secs(12);

/// A broker that keeps half messages in `RocksDB` drops those it gives up on without a trace.
#[tokio::test(flavor = "multi_thread")]
async fn the_timeout_with_half_messages_in_rocksdb() {
    let Some(broker) = ApacheRocketMq::start(&["transRocksDBEnable=true"]) else { return };
    let app = TestApp::start_on(Broker::apache(broker.namesrv())).await;
    // A broker that gives up so early from the start would be refused.
    broker.set("transactionCheckMax", "2");
    let committed = app.place_flash("committed").await;
    let (unpaid, paid) = (app.place("unpaid").await, app.place("paid").await);
    app.fault("notify", "drop").await;
    let number = app.start_payment(&paid).await;
    app.wait_for_status(&committed, "cancelled").await;
    app.buyer_pays(&number).await;
    app.advance_past_window().await;
    app.wait_for_status(&unpaid, "cancelled").await;
    app.wait_for_status(&paid, "paid").await;
    assert_eq!(app.event(&unpaid, "cancelled").await["actor"], "poll");
    app.finish().await;
}

/// `.ci/engines` runs it, and fails without it: the other tests do nothing where an engine is
/// missing, or run on SQLite and the embedded broker.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs both engines: .ci/engines"]
async fn the_tests_run_on_both_engines() {
    let broker = shared_broker().await;
    assert_eq!(broker.mode, RocketmqMode::Cluster);
    let app = TestApp::start_on(broker).await;
    assert_eq!(app.app().store.backend(), Backend::Mysql);
    app.place("one").await;
    app.finish().await;
}

/// The broker stores the half message, but says that it may not be on disk: the order goes without,
/// under another id, and the check-backs of the first id are answered by its tombstone.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_message_that_is_not_flushed_in_time_leaves_a_degraded_order() {
    let settings = ["flushDiskType=SYNC_FLUSH", "syncFlushTimeout=0"];
    let Some(broker) = ApacheRocketMq::start(&settings) else { return };
    let app = TestApp::start_on(Broker::apache(broker.namesrv())).await;
    let mut orders = Vec::new();
    wait_until("an order is degraded", async || {
        let (status, order) = app.try_place(&app.app().fresh_id(), "tea", 1).await;
        assert_eq!(status, 201, "{order}");
        orders.push(text(&order, "id"));
        order["degraded"] == true
    })
    .await;
    let paid = app.place("paid").await;
    let number = app.start_payment(&paid).await;
    app.buyer_pays(&number).await;
    app.wait_for_status(&paid, "paid").await;
    app.advance_past_window().await;
    for order in &orders {
        app.wait_for_status(order, "cancelled").await;
    }
    let stock = app.sku("tea").await;
    assert_eq!((&stock["available"], &stock["locked"]), (&json!(999), &json!(1)), "{stock}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_and_comes_back_loses_nothing() {
    let Some(server) = MariaDb::start(&[]) else { return };
    let database = MysqlDatabase::create_on(&server.url()).await;
    let app = TestApp::start_with(shared_broker().await, Some(database)).await;
    let (unpaid, paid) = (app.place("unpaid").await, app.place("paid").await);
    let number = app.start_payment(&paid).await;
    server.stop("KILL");
    app.buyer_pays(&number).await;
    let line = json!({ "sku_id": "tea", "quantity": 1 });
    let body = json!({ "member_id": "m1", "items": [line] });
    let request = app.post("/v1/orders", &body).header("Idempotency-Key", "away");
    let refused = request.send().await.expect("an answer");
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("Retry-After"));
    server.restart();
    app.advance_past_window().await;
    app.wait_for_status(&unpaid, "cancelled").await;
    app.wait_for_status(&paid, "paid").await;
    wait_until("orders can be placed", async || app.try_place("back", "tea", 1).await.0 == 201)
        .await;
    app.finish().await;
}

/// Asks everything at once while the database is away.
async fn assert_unavailable(app: &TestApp, order: &str, number: &str) {
    let started = Instant::now();
    let line = json!({ "sku_id": "tea", "quantity": 1 });
    let body = json!({ "member_id": "m1", "items": [line] });
    let place = app.post("/v1/orders", &body).header("Idempotency-Key", "while away");
    let pay = app.post(&format!("/v1/orders/{order}/payments"), &json!({ "channel": "alipay" }));
    let show = app.get(&format!("/v1/orders/{order}"));
    let cashier = app.client.get(app.url(&format!("/pay/{order}")));
    let requests = [place, pay, show, cashier].map(reqwest::RequestBuilder::send);
    let (answers, notified, ready, alive) = tokio::join!(
        futures_util::future::join_all(requests),
        app.notify(notification(number, &[])),
        app.client.get(app.url("/readyz")).send(),
        app.client.get(app.url("/livez")).send(),
    );
    assert!(started.elapsed() < ANSWER_BUDGET, "{:?}", started.elapsed());
    let answers: Vec<Response> = answers.into_iter().map(|answer| answer.expect("one")).collect();
    for answer in &answers {
        assert_eq!(answer.status(), 503, "{}", answer.url());
        assert!(answer.headers().contains_key("Retry-After"), "{}", answer.url());
    }
    assert_eq!(notified.0, 503, "{}", notified.1);
    assert_eq!(ready.expect("an answer").status(), 503);
    assert_eq!(alive.expect("an answer").status(), 200);
}

async fn is_ready(app: &TestApp) -> bool {
    let answer = app.client.get(app.url("/readyz")).send().await.expect("an answer");
    answer.status() == 200
}

/// A server that hangs keeps its connections open and answers nothing on them.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_or_dies_is_waited_for_and_found_again() {
    let Some(server) = MariaDb::start(&[]) else { return };
    let database = MysqlDatabase::create_on(&server.url()).await;
    let app = TestApp::start_with(shared_broker().await, Some(database)).await;
    app.fault("notify", "drop").await;
    let (unpaid, paid) = (app.place("unpaid").await, app.place("paid").await);
    let number = app.start_payment(&paid).await;
    server.stop("STOP");
    assert_unavailable(&app, &paid, &number).await;
    // Once more: by now no connection of before is left.
    assert_unavailable(&app, &paid, &number).await;
    server.stop("CONT");
    wait_until("it is ready again", async || is_ready(&app).await).await;
    app.place("between").await;
    server.stop("KILL");
    assert_unavailable(&app, &paid, &number).await;
    app.buyer_pays(&number).await;
    server.restart();
    wait_until("it is ready again", async || is_ready(&app).await).await;
    app.place("afterwards").await;
    app.wait_for_status(&paid, "paid").await;
    app.advance_past_window().await;
    app.wait_for_status(&unpaid, "cancelled").await;
    app.finish().await;
}
