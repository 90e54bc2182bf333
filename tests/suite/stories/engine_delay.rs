//! The engine `delay`: messages with a delivery time drive an order's timeout.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use checkback::config::Config;
use checkback::consumers::bridge::{Consumed, Delivery};
use checkback::consumers::payment_check;
use checkback::domain::ids::OrderId;
use checkback::domain::order::Engine;
use checkback::domain::payment_check::{CheckReason, PAYMENT_CHECK_TOPIC, PaymentCheck};

use serde_json::json;

use crate::support::{PAY_WINDOW, TestApp, wait_until};

/// An id that no order has.
const NOBODYS: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

fn use_delay(config: &mut Config) {
    config.timeout.engine = Engine::Delay;
    config.timeout.query_schedule = [1, 2, 3].map(Duration::from_secs).to_vec();
}

/// The poll comes long after every message, on a slow machine too: messages have to do the work.
fn use_messages_alone(config: &mut Config) {
    use_delay(config);
    config.timeout.check_interval = Duration::from_secs(20);
}

async fn deliver(app: &TestApp, order_id: &str, reason: CheckReason) -> Consumed {
    let id = OrderId::parse(order_id).expect("an id");
    let check = PaymentCheck::new(app.app().deployment.clone(), id, reason);
    let delivery = Delivery {
        topic: PAYMENT_CHECK_TOPIC.to_owned(),
        tag: reason.tag().to_owned(),
        key: order_id.to_owned(),
        body: check.to_bytes(),
        reconsume_times: 0,
        message_id: "M".to_owned(),
        real_topic: None,
    };
    let events = app.service().event_producer();
    payment_check::handler(Arc::clone(app.app()), events)(delivery).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unpaid_order_is_cancelled_by_the_message_of_its_deadline() {
    let app = TestApp::start_configured(use_messages_alone).await;
    let never_tried = app.place_flash("never tried").await;
    let scanned = app.place_flash("scanned").await;
    let number = app.start_payment(&scanned).await;
    app.scan(&number).await;
    for order in [&never_tried, &scanned] {
        assert_eq!(app.order(order).await["degraded"], false);
        app.wait_for_status(order, "cancelled").await;
        assert_eq!(app.event(order, "cancelled").await["actor"], "payment_check");
    }
    assert_eq!(app.trade(&number).await["state"], "TRADE_CLOSED");
    assert_eq!(app.sku("tea").await["locked"], 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_notification_is_noticed_on_the_query_schedule() {
    let app = TestApp::start_configured(use_messages_alone).await;
    app.fault("notify", "drop").await;
    let order = app.place("lost").await;
    let number = app.start_payment(&order).await;
    app.buyer_pays(&number).await;
    app.wait_for_status(&order, "paid").await;
    assert_eq!(app.event(&order, "paid").await["actor"], "payment_check");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_of_the_last_second_is_found_though_nobody_tells_of_it() {
    for engine in [Engine::Delay, Engine::Poll] {
        let app = TestApp::start_configured(|config| {
            use_delay(config);
            config.timeout.engine = engine;
        })
        .await;
        app.fault("notify", "drop").await;
        let order = app.place("last second").await;
        let number = app.start_payment(&order).await;
        app.scan(&number).await;
        app.advance(PAY_WINDOW.saturating_sub(Duration::from_secs(2))).await;
        app.buyer_pays(&number).await;
        app.advance(Duration::from_secs(6)).await;
        app.wait_for_status(&order, "paid").await;
        app.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_query_schedule_ends_with_its_attempt() {
    let app = TestApp::start_configured(use_messages_alone).await;
    let refused = json!({
        "method": "alipay.trade.precreate", "kind": "business_failure",
        "sub_code": "ACQ.TOTAL_FEE_EXCEED",
    });
    app.control("faults", refused).await;
    let order = app.place_flash("refused").await;
    let (status, problem) = app.try_pay(&order, json!({ "channel": "alipay" })).await;
    assert!(!status.is_success(), "{problem}");
    app.wait_for_status(&order, "cancelled").await;
    assert_eq!(app.order(&order).await["payments"][0]["status"], "failed");
    // One of the schedule, which would go on every second, and that of the deadline.
    let delivered = app.metric("checkback_deliveries_total{answer=\"done\"}").await;
    assert!(delivered <= 3, "{delivered} messages");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_early_late_twice_or_of_nobody_does_no_harm() {
    let app = TestApp::start_configured(use_delay).await;
    let since = app.app().now();
    let reasons = [CheckReason::Deadline, CheckReason::Schedule { since }];
    let waiting = app.place("waiting").await;
    let cancelled = app.place("cancelled").await;
    assert_eq!(app.cancel(&cancelled).await.0, 200);
    let before = [app.events(&waiting).await, app.events(&cancelled).await];
    for reason in reasons {
        for order in [&waiting, &cancelled, &cancelled, &NOBODYS.to_owned()] {
            assert_eq!(deliver(&app, order, reason).await, Consumed::Done, "{reason:?}");
        }
    }
    assert_eq!([app.events(&waiting).await, app.events(&cancelled).await], before);

    // Past the deadline one is enough; while the gateway is unknown, that of the deadline is kept.
    let number = app.start_payment(&waiting).await;
    app.fault("alipay.trade.query", "unknown_before").await;
    app.advance_past_window().await;
    assert_eq!(deliver(&app, &waiting, reasons[0]).await, Consumed::Later);
    assert_eq!(deliver(&app, &waiting, reasons[1]).await, Consumed::Done);
    app.clear_faults().await;
    app.advance(Duration::from_secs(31)).await;
    app.wait_for_status(&waiting, "cancelled").await;
    assert_eq!(deliver(&app, &waiting, reasons[0]).await, Consumed::Done);
    assert_eq!(app.order(&waiting).await["payments"][0]["out_trade_no"], number);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_beyond_the_brokers_timer_is_armed_again_piece_by_piece() {
    let app = TestApp::start_configured(|config| {
        use_messages_alone(config);
        config.timeout.timer_max = Duration::from_secs(2);
    })
    .await;
    let order = app.place_flash("in pieces").await;
    app.wait_for_status(&order, "cancelled").await;
    assert_eq!(app.event(&order, "cancelled").await["actor"], "payment_check");
    let delivered = app.metric("checkback_deliveries_total{answer=\"done\"}").await;
    assert!(delivered >= 3, "{delivered} messages for seven seconds in pieces of two");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_an_order_is_degraded_and_polled_on_schedule() {
    let mut app = TestApp::start_without_broker().await;
    app.restart(|config, _| use_delay(config)).await;
    app.fault("notify", "drop").await;
    let unpaid = app.place("unpaid").await;
    let paid = app.place("paid").await;
    assert_eq!(app.order(&unpaid).await["degraded"], true);
    let number = app.start_payment(&paid).await;
    app.buyer_pays(&number).await;
    app.advance(Duration::from_secs(2)).await;
    app.wait_for_status(&paid, "paid").await;
    assert_eq!(app.event(&paid, "paid").await["actor"], "poll");
    app.advance_past_window().await;
    app.wait_for_status(&unpaid, "cancelled").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_engine_strands_no_open_order() {
    let mut app = TestApp::start_configured(use_delay).await;
    let delayed = app.place_flash("delay").await;
    app.restart(|config, _| config.timeout.engine = Engine::Poll).await;
    let polled = app.place_flash("poll").await;
    app.restart(|config, _| config.timeout.engine = Engine::Transaction).await;
    let behind_half_message = app.place_flash("transaction").await;
    for order in [&delayed, &polled, &behind_half_message] {
        app.wait_for_status(order, "cancelled").await;
    }
    assert_eq!(app.event(&polled, "cancelled").await["actor"], "poll");
    wait_until("nothing is locked", async || app.sku("tea").await["locked"] == 0).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_clock_that_is_off_no_message_calls_for_another_one_at_once() {
    let app = TestApp::start_configured(use_messages_alone).await;
    let order = app.place("past its window, perhaps").await;
    let made_at = app.app().now();
    app.start_payment(&order).await;
    app.app().clock_trusted.store(false, Ordering::Relaxed);
    app.advance_past_window().await;
    assert_eq!(deliver(&app, &order, CheckReason::Deadline).await, Consumed::Later);
    let schedule = CheckReason::Schedule { since: made_at };
    assert_eq!(deliver(&app, &order, schedule).await, Consumed::Done);
    assert_eq!(app.status(&order).await, "awaiting_payment");

    app.app().clock_trusted.store(true, Ordering::Relaxed);
    assert_eq!(deliver(&app, &order, CheckReason::Deadline).await, Consumed::Done);
    app.wait_for_status(&order, "cancelled").await;
    app.finish().await;
}
