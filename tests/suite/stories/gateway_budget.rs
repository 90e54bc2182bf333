//! What the gateway allows: shared between instances, first for what ends orders, and less of it
//! when the gateway has had enough. And what it was asked is kept.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use checkback::app::App;
use checkback::domain::ids::OrderId;
use checkback::domain::order::Engine;
use checkback::domain::timeout_message::{ORDER_TIMEOUT_TOPIC, TimeoutMessage};
use checkback::domain::trigger::Trigger;
use checkback::ids::Ids;
use checkback::listener::OrderListener;
use checkback::producer::rocketmq::{CheckAnswer, HalfMessage, TransactionHandler};
use checkback::run::{Environment, open_app};
use checkback::service::settle::{Request, settle};
use checkback::service::share_budget::Membership;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{TestApp, json_of, wait_until};

fn calls_a_second(calls: u32) -> NonZeroU32 {
    NonZeroU32::new(calls).expect("not zero")
}

fn calls_per_minute(app: &App) -> i64 {
    app.gateways[0].budget().calls_per_minute()
}

async fn queries(app: &TestApp, order_id: &str) -> Vec<Value> {
    let answer = app.get(&format!("/v1/orders/{order_id}/events")).send().await;
    let mut answer = json_of(answer.expect("an answer")).await;
    serde_json::from_value(answer["queries"].take()).expect("a list")
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_share_the_budget_and_a_dead_ones_share_comes_back() {
    let app = TestApp::start_configured(|config| {
        config.alipay.calls_per_second = calls_a_second(60);
    })
    .await;
    let environment = Environment { clock: Arc::clone(&app.clock) as _, ids: Ids::from_entropy() };
    let other = open_app(app.app().config.clone(), environment).await.expect("another instance");
    let whole = async || calls_per_minute(app.app()) == 3_600;
    wait_until("it is alone", whole).await;

    let mut membership = Membership::new("other".into());
    membership.heartbeat(&other).await.expect("a heartbeat");
    assert_eq!(calls_per_minute(&other), 1_800);
    let half = async || calls_per_minute(app.app()) == 1_800;
    wait_until("the first one notices", half).await;

    // The other one says nothing any more.
    app.advance(Duration::from_secs(16)).await;
    wait_until("its share is back", whole).await;
    other.store.close().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_together_call_no_more_often_than_the_budget() {
    let app = TestApp::start_configured(|config| {
        config.timeout.engine = Engine::Poll;
        config.alipay.calls_per_second = calls_a_second(20);
    })
    .await;
    let environment = Environment { clock: Arc::clone(&app.clock) as _, ids: Ids::from_entropy() };
    let other = open_app(app.app().config.clone(), environment).await.expect("another instance");
    let mut orders = Vec::new();
    for number in 0..60 {
        let order = app.place(&format!("asked {number}")).await;
        app.scan(&app.start_payment(&order).await).await;
        orders.push(OrderId::parse(&order).expect("an id"));
    }
    let mut membership = Membership::new("other".into());
    membership.heartbeat(&other).await.expect("a heartbeat");
    wait_until("they share", async || calls_per_minute(app.app()) == 600).await;

    let begun = Instant::now();
    let instances = [app.app(), &other];
    let asked = orders.iter().enumerate().map(async |(number, id)| {
        settle(instances[number % 2], &Request::by(Trigger::Sweep, id)).await.expect("settled");
        queries(&app, id.as_str()).await
    });
    let asked: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
    let took = begun.elapsed();
    let (refused, sent): (Vec<_>, Vec<_>) =
        asked.iter().partition(|query| query["answer"] == "overloaded");
    let calls = u32::try_from(sent.len()).expect("few");
    assert!(!refused.is_empty(), "30 each at 10 a second take longer than anybody waits");
    let allowed = took * 20 + Duration::from_secs(1) * 4;
    assert!(Duration::from_secs(1) * calls <= allowed, "{calls} calls in {took:?}");
    assert!(calls > 10, "{calls} calls in {took:?}");
    other.store.close().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_has_had_enough_is_asked_less_and_nothing_is_lost() {
    let app = TestApp::start_configured(|config| config.timeout.engine = Engine::Poll).await;
    let order = app.place("rate limited").await;
    let number = app.start_payment(&order).await;
    app.scan(&number).await;
    app.fault("alipay.trade.query", "rate_limited").await;
    app.advance_past_window().await;
    let slowed = || app.app().gateways[0].budget().is_slowed();
    wait_until("it is slowed down", async || slowed()).await;
    assert_eq!(app.status(&order).await, "awaiting_payment", "unknown is not unpaid");

    app.clear_faults().await;
    app.advance(Duration::from_secs(30)).await;
    app.wait_for_status(&order, "cancelled").await;
    wait_until("it is as fast as before", async || !slowed()).await;
    let asked = queries(&app, &order).await;
    let answers: Vec<_> = asked.iter().map(|query| query["answer"].clone()).collect();
    assert!(answers.contains(&json!("rate_limited")), "{answers:?}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_without_an_attempt_end_while_the_budget_is_used_up() {
    let app = TestApp::start_configured(|config| {
        config.timeout.engine = Engine::Poll;
        config.alipay.calls_per_second = calls_a_second(5);
    })
    .await;
    let mut asked = Vec::new();
    for number in 0..30 {
        let order = app.place(&format!("asked {number}")).await;
        app.scan(&app.start_payment(&order).await).await;
        asked.push(order);
    }
    let mut alone = Vec::new();
    for number in 0..40 {
        alone.push(app.place(&format!("alone {number}")).await);
    }
    let begun = Instant::now();
    app.advance_past_window().await;
    for order in &alone {
        app.wait_for_status(order, "cancelled").await;
    }
    let waiting = async || {
        let mut waiting = 0;
        for order in &asked {
            waiting += usize::from(app.status(order).await == "awaiting_payment");
        }
        waiting
    };
    let (took, left) = (begun.elapsed(), waiting().await);
    assert!(left > 0, "30 questions at 5 a second, after {took:?}");
    wait_until("the others end at the budget's rate", async || waiting().await == 0).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_question_is_kept_with_its_answer_and_duration() {
    let app = TestApp::start_without_broker().await;
    let order = app.place("asked").await;
    let number = app.start_payment(&order).await;
    app.scan(&number).await;
    app.fault_on(&number, "alipay.trade.query", "unknown_before", Some(1)).await;
    app.advance_past_window().await;
    app.wait_for_status(&order, "cancelled").await;
    let asked = queries(&app, &order).await;
    let calls: Vec<_> = asked.iter().map(|query| (&query["call"], &query["answer"])).collect();
    assert!(calls.contains(&(&json!("query"), &json!("unavailable"))), "{calls:?}");
    let closed = (&json!("query"), &json!("closed"));
    assert!(calls.contains(&closed) || calls.contains(&(&json!("close"), &json!("closed"))));
    for query in &asked {
        assert_eq!((&query["out_trade_no"], &query["caused_by"]), (&json!(number), &json!("poll")));
        assert!(query["took_ms"].as_i64().is_some_and(|ms| ms >= 0) && query["at"].is_string());
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_soon_after_another_question_asks_nobody_but_the_last_one_always_does() {
    // Without a broker no other check comes.
    let mut app = TestApp::start_without_broker().await;
    app.restart(|config, _| config.timeout.check_interval = Duration::from_secs(20)).await;
    let order = app.place("checked").await;
    let number = app.start_payment(&order).await;
    app.scan(&number).await;
    let id = OrderId::parse(&order).expect("an id");
    let listener = OrderListener::new(Arc::clone(app.app()), app.service().event_producer());
    let check = async || {
        let message = HalfMessage {
            topic: ORDER_TIMEOUT_TOPIC.to_owned(),
            key: order.clone(),
            body: TimeoutMessage::new(app.app().deployment.clone(), id.clone()).to_bytes(),
            broker_check_times: Some(1),
            transaction_id: "T".to_owned(),
        };
        listener.check(message).await
    };
    let asked = async || queries(&app, &order).await.len();
    settle(app.app(), &Request::by(Trigger::Poll, &id)).await.expect("settled");
    let before = asked().await;
    for _ in 0..3 {
        assert_eq!(check().await, CheckAnswer::Unknown);
    }
    assert_eq!(asked().await, before, "the stored answer is fresh");
    app.advance(Duration::from_secs(11)).await;
    assert_eq!(check().await, CheckAnswer::Unknown);
    assert_eq!(asked().await, before + 1);

    app.advance(Duration::from_secs(52)).await;
    let (answer, last) = (check().await, asked().await);
    assert!(matches!(answer, CheckAnswer::Commit | CheckAnswer::Rollback), "{answer:?}");
    assert!(last > before + 1, "past its deadline it is asked about");
    app.wait_for_status(&order, "cancelled").await;
    let checks = app.event(&order, "cancelled").await["detail"]["checks"].clone();
    assert!(checks.as_i64().is_some_and(|checks| checks >= 4), "all are counted: {checks}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_of_the_database_nobody_takes_the_shares_of_the_others() {
    let app = TestApp::start_configured(|config| {
        config.alipay.calls_per_second = calls_a_second(60);
    })
    .await;
    let environment = Environment { clock: Arc::clone(&app.clock) as _, ids: Ids::from_entropy() };
    let other = open_app(app.app().config.clone(), environment).await.expect("another instance");
    let mut membership = Membership::new("other".into());
    membership.heartbeat(&other).await.expect("a heartbeat");
    assert_eq!(calls_per_minute(&other), 1_800);
    // As after a minute without a database: every row has expired.
    app.advance(Duration::from_mins(1)).await;
    membership.heartbeat(&other).await.expect("a heartbeat");
    assert_eq!(calls_per_minute(&other), 1_800, "one look at nobody else is no proof");
    other.store.close().await;
    app.finish().await;
}
