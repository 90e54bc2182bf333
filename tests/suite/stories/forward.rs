//! Forward notification: the half message tells of the payment, and another message cancels.

use std::time::Duration;

use checkback::domain::decision::OnLatePayment;
use checkback::domain::event::{ORDER_EVENTS_TOPIC, ORDER_PAID_TOPIC};
use checkback::domain::order::HalfMessageMeaning;
use embedded_rocketmq::Settings;
use serde_json::{Value, json};

use crate::support::subscriber::Subscriber;
use crate::support::{Broker, CHECK_INTERVAL, TestApp, loopback, wait_until, wait_within};

/// Longer than the broker asks in vain in the test of a message that it gives up on.
const GIVE_UP_PATIENCE: Duration = Duration::from_secs(90);

async fn start() -> TestApp {
    TestApp::start_configured(|config| {
        config.timeout.half_message = HalfMessageMeaning::Paid;
    })
    .await
}

async fn subscribe(app: &TestApp) -> (Subscriber, Subscriber) {
    let half = Subscriber::start(app, ORDER_PAID_TOPIC).await;
    (half, Subscriber::start(app, ORDER_EVENTS_TOPIC).await)
}

fn ids(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["id"].as_str().expect("an id")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_delivers_the_half_message_and_the_outbox_repeats_it_word_for_word() {
    let app = start().await;
    let (half, outbox) = subscribe(&app).await;
    let order = app.place("paid").await;
    let number = app.start_payment(&order).await;
    app.buyer_pays(&number).await;
    app.wait_for_status(&order, "paid").await;
    wait_until("the half message comes", async || !half.events_of(&order).is_empty()).await;
    app.advance(CHECK_INTERVAL * 3).await;
    wait_until("the outbox follows", async || !outbox.events_of(&order).is_empty()).await;

    let told = half.events_of(&order);
    assert_eq!(told[0]["type"], "checkback.order.paid");
    assert_eq!(told[0]["data"], json!({ "order_id": order, "sequence": 1, "amount_fen": 100 }));
    assert!(outbox.events_of(&order).iter().chain(&told).all(|event| *event == told[0]));

    // A refund is told of later, with a higher sequence.
    app.refund(&order, "R", None).await;
    app.wait_for_refund(&order, "R", "succeeded").await;
    let refunded = async || {
        let events = outbox.events_of(&order);
        events.iter().any(|event| event["type"] == "checkback.order.refunded")
    };
    wait_until("the refund is told of", refunded).await;
    half.stop().await;
    outbox.stop().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_notification_is_lost_is_found_by_the_check_and_told_of() {
    let app = start().await;
    let (half, outbox) = subscribe(&app).await;
    app.fault("notify", "drop").await;
    let order = app.place_flash("lost").await;
    let number = app.start_payment(&order).await;
    app.buyer_pays(&number).await;
    app.wait_for_status(&order, "paid").await;
    assert_eq!(app.event(&order, "paid").await["actor"], "check_back");
    wait_until("the half message comes", async || !half.events_of(&order).is_empty()).await;
    half.stop().await;
    outbox.stop().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unpaid_order_drops_the_half_message_and_another_message_cancels_it() {
    let app = start().await;
    let (half, outbox) = subscribe(&app).await;
    let orders = [app.place_flash("no attempt").await, app.place_flash("scanned").await];
    let number = app.start_payment(&orders[1]).await;
    app.scan(&number).await;
    for order in &orders {
        app.wait_for_status(order, "cancelled").await;
        assert_eq!(app.event(order, "cancelled").await["actor"], "cancel_consumer");
        wait_until("the cancel is told of", async || !outbox.events_of(order).is_empty()).await;
        assert_eq!(outbox.events_of(order)[0]["type"], "checkback.order.cancelled");
        assert_eq!(half.events_of(order), [json!(null); 0], "nothing was paid");
    }
    assert_eq!(app.sku("tea").await["locked"], 0);
    half.stop().await;
    outbox.stop().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reopened_order_is_told_of_in_words_of_its_own() {
    let app = TestApp::start_configured(|config| {
        config.timeout.half_message = HalfMessageMeaning::Paid;
        config.payment.late = OnLatePayment::Reopen;
    })
    .await;
    let (half, outbox) = subscribe(&app).await;
    let order = app.place("reopened").await;
    let number = app.start_payment(&order).await;
    app.scan(&number).await;
    assert_eq!(app.cancel(&order).await.0, 200);
    app.control("pay", json!({ "out_trade_no": number, "force": true })).await;
    app.wait_for_status(&order, "paid").await;
    wait_until("both are told of", async || outbox.events_of(&order).len() >= 2).await;
    let told = outbox.events_of(&order);
    let mut types: Vec<_> = told.iter().map(|event| event["type"].as_str()).collect();
    types.sort_unstable();
    assert_eq!(types, [Some("checkback.order.cancelled"), Some("checkback.order.paid")]);
    assert!(!ids(&told).contains(&&*format!("{order}-1")), "{told:#?}");
    tokio::time::sleep(CHECK_INTERVAL * 2).await;
    assert_eq!(half.events_of(&order), [json!(null); 0], "its half message was dropped");
    half.stop().await;
    outbox.stop().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_gave_up_on_after_the_payment_is_told_of_by_the_outbox_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = Settings {
        data_dir: dir.path().to_owned(),
        namesrv: loopback(),
        broker: loopback(),
        check_interval: CHECK_INTERVAL,
        // It holds half messages for 34 rounds.
        pay_window: Duration::from_secs(3),
    };
    let broker = embedded_rocketmq::start(settings).await.expect("it starts");
    let namesrv = broker.namesrv_address().to_string();
    let mut app = TestApp::start_on(Broker::embedded(namesrv.clone())).await;
    app.restart(|config, _| config.timeout.half_message = HalfMessageMeaning::Paid).await;
    let order = app.place("given up").await;
    let number = app.start_payment(&order).await;

    // Nobody answers the broker any more; the payment is recorded all the same.
    app.restart(|config, _| config.rocketmq.namesrv = "127.0.0.1:1".to_owned()).await;
    app.buyer_pays(&number).await;
    app.wait_for_status(&order, "paid").await;
    tokio::time::sleep(CHECK_INTERVAL * 36).await;

    app.restart(|config, _| config.rocketmq.namesrv.clone_from(&namesrv)).await;
    let given_up =
        async || app.metric("checkback_half_messages_given_up_total{order=\"ended\"}").await >= 1;
    wait_within(GIVE_UP_PATIENCE, "the broker has given up", given_up).await;
    let (half, outbox) = subscribe(&app).await;
    app.advance(CHECK_INTERVAL * 3).await;
    wait_until("the outbox tells", async || !outbox.events_of(&order).is_empty()).await;
    assert_eq!(ids(&outbox.events_of(&order)), [format!("{order}-1")]);
    assert_eq!(half.events_of(&order), [json!(null); 0]);
    half.stop().await;
    outbox.stop().await;
    app.finish().await;
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_direction_strands_no_open_order() {
    let mut app = start().await;
    let (half, outbox) = subscribe(&app).await;
    let forward = [app.place("paid later").await, app.place("never paid").await];
    app.restart(|config, _| config.timeout.half_message = HalfMessageMeaning::Cancel).await;
    let reverse = app.place("reverse").await;
    let number = app.start_payment(&forward[0]).await;
    app.buyer_pays(&number).await;
    app.wait_for_status(&forward[0], "paid").await;
    wait_until("its half message comes", async || !half.events_of(&forward[0]).is_empty()).await;
    app.advance_past_window().await;
    for order in [&forward[1], &reverse] {
        app.wait_for_status(order, "cancelled").await;
        assert_eq!(half.events_of(order), [json!(null); 0]);
    }
    half.stop().await;
    outbox.stop().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_order_ends_its_half_message_before_the_broker_asks() {
    for meaning in [HalfMessageMeaning::Cancel, HalfMessageMeaning::Paid] {
        let app = TestApp::start_configured(|config| config.timeout.half_message = meaning).await;
        let paid = app.place("paid").await;
        let number = app.start_payment(&paid).await;
        app.buyer_pays(&number).await;
        app.wait_for_status(&paid, "paid").await;
        let cancelled = app.place("cancelled").await;
        assert_eq!(app.cancel(&cancelled).await.0, 200);
        let ended = async || app.metric("checkback_half_messages_ended_early_total").await == 2;
        wait_until("both are ended", ended).await;
        // A check may have been on its way; after that there is none.
        tokio::time::sleep(CHECK_INTERVAL * 2).await;
        let checks = async || app.metric("checkback_check_backs_total{answer=\"rollback\"}").await;
        let before = checks().await;
        tokio::time::sleep(CHECK_INTERVAL * 4).await;
        assert_eq!(checks().await, before);
        assert!(before <= 1, "{meaning:?}: the broker asked about {before} of two ended orders");
        app.finish().await;
    }
}
