//! One clock: a broker that would give half messages up too early gets none, and what it gave up on
//! is told and ended all the same.

use std::time::Duration;

use checkback::config::OnClockMismatch;
use checkback::domain::ids::OrderId;
use checkback::service::report_given_up::{report_given_up, resolve_given_up};
use embedded_rocketmq::{EmbeddedRocketMq, Settings};
use serde_json::json;

use crate::support::engines::ApacheRocketMq;
use crate::support::{Broker, CHECK_INTERVAL, TestApp, json_of, loopback, wait_until};

const MISMATCH: (&str, &str) = ("clock_mismatch", "brokers");

async fn places_degraded(app: &TestApp, key: &str) -> bool {
    let (status, order) = app.try_place(key, "tea", 1).await;
    assert_eq!(status, 201, "{order}");
    order["degraded"] == true
}

async fn metric(app: &TestApp, name: &str) -> Option<i64> {
    let answer = app.client.get(app.url("/metrics")).send().await.expect("an answer");
    let text = answer.text().await.expect("a body");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("checkback_{name} ")));
    line.map(|value| value.parse().expect("a number"))
}

/// Looks until every broker has told its settings: a broker that has just started, on a busy
/// machine, is not known at the name server at once.
async fn look_until_verified(app: &TestApp) {
    let watch = async || app.service().broker_watch().watch().await.expect("recorded").verified;
    wait_until("the broker tells its settings", watch).await;
}

async fn has_alarm(app: &TestApp, (kind, subject): (&str, &str)) -> bool {
    app.open_alarms().await.contains(&(kind.to_owned(), subject.to_owned()))
}

async fn readiness(app: &TestApp) -> serde_json::Value {
    json_of(app.client.get(app.url("/readyz")).send().await.expect("an answer")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_change_are_an_alarm_and_stop_half_messages_until_they_fit() {
    let Some(broker) = ApacheRocketMq::start(&[]) else { return };
    let app = TestApp::start_on(Broker::apache(broker.namesrv())).await;
    look_until_verified(&app).await;
    assert_eq!(metric(&app, "broker_settings_verified").await, Some(1));
    assert!(!places_degraded(&app, "fits").await);

    broker.set("transactionCheckMax", "3");
    let look = app.service().broker_watch().watch().await.expect("an alarm");
    let [mismatch] = &look.mismatches[..] else { panic!("not one: {look:?}") };
    for word in ["broker-a", "transactionCheckMax is 3", "timeout.pay_window", "65 or more"] {
        assert!(mismatch.contains(word), "{word}: {mismatch}");
    }
    assert!(look.verified && has_alarm(&app, MISMATCH).await);
    assert_eq!(readiness(&app).await["broker_settings"], json!("degraded"));
    assert_eq!(readiness(&app).await["status"], json!("degraded"));
    assert!(places_degraded(&app, "does not fit").await);

    broker.set("transactionCheckMax", "200");
    broker.set("transactionOpBatchInterval", "3000");
    let look = app.service().broker_watch().watch().await.expect("it is resolved");
    assert_eq!(look.mismatches, [""; 0]);
    let [warning] = &look.warnings[..] else { panic!("not one: {look:?}") };
    assert!(warning.contains("transactionOpBatchInterval is 3000 ms"), "{warning}");
    assert!(!has_alarm(&app, MISMATCH).await);
    assert_eq!(readiness(&app).await["broker_settings"], json!("ok"));
    assert!(!places_degraded(&app, "fits again").await);

    // Who can't be asked is not known to have changed.
    broker.stop_broker("KILL");
    let look = app.service().broker_watch().watch().await.expect("nothing changes");
    assert!(!look.verified && look.mismatches.is_empty(), "{look:?}");
    assert_eq!(metric(&app, "broker_settings_verified").await, Some(0));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_in_spite_of_the_settings_places_degraded_orders_that_the_poll_ends() {
    let settings = ["transactionCheckMax=2", "transactionCheckInterval=2000"];
    let Some(broker) = ApacheRocketMq::start(&settings) else { return };
    let on_clock_mismatch = OnClockMismatch::Degrade;
    let broker = Broker { on_clock_mismatch, ..Broker::apache(broker.namesrv()) };
    let app = TestApp::start_on(broker).await;
    look_until_verified(&app).await;
    assert!(has_alarm(&app, MISMATCH).await);
    let order = app.place("degraded").await;
    assert_eq!(app.order(&order).await["degraded"], true);
    app.advance_past_window().await;
    app.wait_for_status(&order, "cancelled").await;
    assert_eq!(app.event(&order, "cancelled").await["actor"], "poll");
    app.finish().await;
}

async fn assert_given_up_is_told_and_ended(app: TestApp) {
    let order = app.place("given up").await;
    let alarm = ("half_message_given_up", order.as_str());
    wait_until("the broker gives up, and it is told", async || has_alarm(&app, alarm).await).await;
    assert_eq!(metric(&app, "given_up_watched").await, Some(1));
    let counted = metric(&app, "half_messages_given_up_total{order=\"waiting\"}").await;
    assert!(counted.is_some_and(|count| count >= 1), "{counted:?}");
    assert_eq!(app.status(&order).await, "awaiting_payment");
    app.advance_past_window().await;
    app.wait_for_status(&order, "cancelled").await;
    assert_eq!(app.event(&order, "cancelled").await["actor"], "poll");
    assert!(!has_alarm(&app, alarm).await, "its end resolves it");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_apaches_broker_gave_up_on_is_told_and_ended_by_the_poll() {
    let Some(broker) = ApacheRocketMq::start(&[]) else { return };
    let app = TestApp::start_on(Broker::apache(broker.namesrv())).await;
    broker.set("transactionCheckMax", "2");
    assert_given_up_is_told_and_ended(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_embedded_broker_gave_up_on_is_told_and_ended_by_the_poll() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = Settings {
        data_dir: dir.path().to_owned(),
        namesrv: loopback(),
        broker: loopback(),
        check_interval: CHECK_INTERVAL,
        // It holds half messages for four rounds.
        pay_window: Duration::from_millis(100),
    };
    let broker: EmbeddedRocketMq = embedded_rocketmq::start(settings).await.expect("it starts");
    let app = TestApp::start_on(Broker::embedded(broker.namesrv_address().to_string())).await;
    assert_eq!(metric(&app, "broker_settings_verified").await, Some(0), "it does not tell");
    assert_given_up_is_told_and_ended(app).await;
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_gives_up_on_thousands_opens_a_bounded_number_of_alarms() {
    const OWN_ALARMS: usize = 50;
    let app = TestApp::start_without_broker().await;
    let mut orders = Vec::new();
    for number in 0..OWN_ALARMS + 2 {
        orders.push(app.place(&format!("order {number}")).await);
    }
    for order in &orders {
        let id = OrderId::parse(order).expect("an id");
        report_given_up(app.app(), &id).await.expect("it is told");
    }
    let others = ("half_message_given_up", "others");
    assert_eq!(app.open_alarms().await.len(), OWN_ALARMS + 1);
    resolve_given_up(app.app()).await.expect("nothing to resolve");
    assert!(has_alarm(&app, others).await);

    app.advance_past_window().await;
    for order in &orders {
        app.wait_for_status(order, "cancelled").await;
    }
    // The end of an order resolves its alarm, and a message that comes after it opens none.
    let late = OrderId::parse(&orders[0]).expect("an id");
    report_given_up(app.app(), &late).await.expect("it is counted");
    let counted = metric(&app, "half_messages_given_up_total{order=\"ended\"}").await;
    assert_eq!(counted, Some(1));
    assert_eq!(app.open_alarms().await, [(others.0.to_owned(), others.1.to_owned())]);
    resolve_given_up(app.app()).await.expect("it is resolved");
    assert_eq!(app.open_alarms().await, []);
    app.finish().await;
}
