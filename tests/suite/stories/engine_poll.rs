//! The engine `poll`: no messages, the table of what is unsettled is the timer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use checkback::app::App;
use checkback::config::Config;
use checkback::domain::ids::OrderId;
use checkback::domain::order::Engine;
use checkback::domain::trigger::Trigger;
use checkback::fallback_task::sweep;
use checkback::ids::Ids;
use checkback::run::{Environment, open_app};
use checkback::service::settle::{Request, settle};
use checkback::service::settle_due::Workers;
use checkback::store::pending::Lane;
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{TestApp, wait_until};

fn use_poll(config: &mut Config) {
    config.timeout.engine = Engine::Poll;
    config.timeout.query_schedule = [1, 2, 3].map(Duration::from_secs).to_vec();
}

fn queries(app: &TestApp) -> u64 {
    queries_by(app.app())
}

fn queries_by(instance: &App) -> u64 {
    let text = instance.metrics.encode().expect("metrics");
    let lines = text.lines().filter(|line| line.contains("gateway_calls_total{method=\"query\""));
    lines.map(|line| line.rsplit(' ').next().expect("a count").parse::<u64>().expect("one")).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_asked_about_on_schedule_and_ended_at_its_deadline_by_the_poll() {
    let app = TestApp::start_configured(use_poll).await;
    let never_tried = app.place_flash("never tried").await;
    assert_eq!(app.order(&never_tried).await["degraded"], false);
    app.wait_for_status(&never_tried, "cancelled").await;
    assert_eq!(queries(&app), 0, "nobody could pay it");
    let event = app.event(&never_tried, "cancelled").await;
    assert_eq!(
        (&event["actor"], &event["detail"]["reason"]),
        (&json!("poll"), &json!("no_attempt"))
    );

    app.fault("notify", "drop").await;
    let (paid, scanned) = (app.place("paid").await, app.place_flash("scanned").await);
    let number = app.start_payment(&paid).await;
    app.buyer_pays(&number).await;
    let number = app.start_payment(&scanned).await;
    app.scan(&number).await;
    app.wait_for_status(&paid, "paid").await;
    assert_eq!(app.event(&paid, "paid").await["actor"], "poll");
    app.wait_for_status(&scanned, "cancelled").await;
    assert_eq!(app.trade(&number).await["state"], "TRADE_CLOSED");
    assert_eq!(app.metric("checkback_check_backs_total").await, 0);
    assert_eq!(app.metric("checkback_deliveries_total").await, 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_queries_are_used_up_leaves_the_fast_lane_with_an_alarm() {
    let app = TestApp::start_configured(|config| {
        use_poll(config);
        config.poll.max_queries = 3;
    })
    .await;
    let order = app.place("unanswered").await;
    let number = app.start_payment(&order).await;
    app.scan(&number).await;
    app.fault("alipay.trade.query", "unknown_before").await;
    app.advance_past_window().await;
    let alarm = ("poll_exhausted".to_owned(), order.clone());
    let exhausted = async || {
        app.advance(Duration::from_secs(30)).await;
        app.open_alarms().await.contains(&alarm)
    };
    wait_until("its queries are used up", exhausted).await;

    // The poll leaves it alone now, however long it is due.
    let before = queries(&app);
    app.advance(Duration::from_mins(20)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(queries(&app), before);
    assert_eq!(app.status(&order).await, "awaiting_payment");

    app.clear_faults().await;
    sweep(app.app()).await.expect("a sweep");
    app.wait_for_status(&order, "cancelled").await;
    assert_eq!(app.event(&order, "cancelled").await["actor"], "sweep");
    assert!(!app.open_alarms().await.contains(&alarm), "its end resolves it");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_exchange_takes_one_worker_and_nobody_waits_for_it() {
    let app = TestApp::start_configured(|config| {
        use_poll(config);
        config.poll.workers = 4;
    })
    .await;
    let mut orders = Vec::new();
    for number in 0..10 {
        let order = app.place(&format!("order {number}")).await;
        let out_trade_no = app.start_payment(&order).await;
        app.scan(&out_trade_no).await;
        orders.push((order, out_trade_no));
    }
    let (hanging, others) = orders.split_first().expect("ten orders");
    app.fault_on(&hanging.1, "alipay.trade.query", "timeout_before", None).await;
    let begun = Instant::now();
    app.advance_past_window().await;
    for (order, _) in others {
        app.wait_for_status(order, "cancelled").await;
    }
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(app.status(&hanging.0).await, "awaiting_payment");
    app.clear_faults().await;
    app.advance(Duration::from_secs(30)).await;
    app.wait_for_status(&hanging.0, "cancelled").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_share_what_is_due_and_each_order_is_settled_once() {
    const NEVER_TRIED: usize = 40;
    const SCANNED: usize = 25;
    let app = TestApp::start_configured(|config| {
        config.timeout.engine = Engine::Poll;
        config.timeout.query_schedule = vec![Duration::from_hours(1)];
    })
    .await;
    let mut orders = Vec::new();
    for number in 0..NEVER_TRIED + SCANNED {
        let order = app.place(&format!("order {number}")).await;
        if number >= NEVER_TRIED {
            app.scan(&app.start_payment(&order).await).await;
        }
        orders.push(order);
    }
    let environment = Environment { clock: Arc::clone(&app.clock) as _, ids: Ids::from_entropy() };
    let other = open_app(app.app().config.clone(), environment).await.expect("another instance");
    let other = Arc::new(other);
    app.advance_past_window().await;
    // Beside the sweeps of both, the poll of one is at work.
    let lanes = [Lane::NoAttempt, Lane::Fast];
    let sweepers = lanes.into_iter().flat_map(|lane| [(app.app(), lane), (&other, lane)]);
    let sweeps = sweepers.map(|(instance, lane)| async move {
        let mut workers = Workers::new(instance, Trigger::Sweep, lane);
        while workers.take_due().await.expect("a batch") > 0 || workers.wait_for_one().await {}
        workers.finish().await
    });
    let reports = join_all(sweeps).await;
    for order in &orders {
        app.wait_for_status(order, "cancelled").await;
        let ends = app.events(order).await;
        assert_eq!(ends.iter().filter(|event| event["cause"] == "cancelled").count(), 1);
    }
    let failed: i64 = reports.iter().map(|report| report.failed + report.still_pending).sum();
    assert_eq!(failed, 0, "{reports:?}");
    let asked = queries(&app) + queries_by(&other);
    assert_eq!(usize::try_from(asked), Ok(SCANNED), "nobody asks twice");
    other.store.close().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_before_a_cancel_request_does_not_put_it_off() {
    let app = TestApp::start_configured(|config| {
        use_poll(config);
        config.timeout.query_schedule = [40, 50].map(Duration::from_secs).to_vec();
    })
    .await;
    let order = app.place("cancelled during a slow question").await;
    let number = app.start_payment(&order).await;
    app.scan(&number).await;
    let slow = json!({ "method": "alipay.trade.query", "kind": "slow", "delay_ms": 1_500 });
    app.control("faults", slow).await;
    let (asking, id) = (Arc::clone(app.app()), OrderId::parse(&order).expect("an id"));
    let asked = tokio::spawn(async move {
        settle(&asking, &Request::by(Trigger::Poll, &id)).await.expect("settled")
    });
    wait_until("the gateway is asked", async || app.fault_hits().await > 0).await;
    app.clear_faults().await;
    app.fault("alipay.trade.query", "unknown_before").await;
    assert_eq!(app.cancel(&order).await.0, 202, "unknown is not unpaid");
    asked.await.expect("no panic");

    app.clear_faults().await;
    app.advance(Duration::from_secs(10)).await;
    app.wait_for_status(&order, "cancelled").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_payments_notification_is_the_answer_that_was_missing() {
    let app = TestApp::start_configured(|config| {
        use_poll(config);
        config.poll.max_queries = 2;
    })
    .await;
    let order = app.place("paid late").await;
    let number = app.start_payment(&order).await;
    assert_eq!(app.cancel(&order).await.0, 200);
    app.fault("alipay.trade.query", "unknown_before").await;
    let alarm = ("poll_exhausted".to_owned(), order.clone());
    let is_open = async || app.open_alarms().await.contains(&alarm);
    wait_until("its queries are used up", async || {
        app.advance(Duration::from_secs(2)).await;
        is_open().await
    })
    .await;

    app.scan(&number).await;
    app.control("pay", json!({ "out_trade_no": number, "force": true })).await;
    app.wait_until_given_back(&order, &number, "late").await;
    assert!(!is_open().await, "nothing is left to ask");
    app.finish().await;
}
