//! Money that comes when its order is cancelled: it goes back, or pays the order after all.

use checkback::domain::decision::OnLatePayment;
use checkback::fallback_task::sweep;
use checkback::service::send_refunds::send_due_refunds;
use serde_json::json;

use crate::support::{TestApp, notification, text, wait_until};

async fn start_reopening() -> TestApp {
    TestApp::start_configured(|config| config.payment.late = OnLatePayment::Reopen).await
}

/// An order that was cancelled while its buyer held a code of this SKU.
async fn cancelled(app: &TestApp, key: &str, sku: &str) -> (String, String) {
    let (status, order) = app.try_place(key, sku, 1).await;
    assert_eq!(status, 201, "{order}");
    let order = text(&order, "id");
    let trade = app.start_payment(&order).await;
    app.scan(&trade).await;
    assert_eq!(app.cancel(&order).await.0, 200);
    (order, trade)
}

async fn pay_late(app: &TestApp, trade: &str) {
    app.control("pay", json!({ "out_trade_no": trade, "force": true })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_find_a_late_payment_it_goes_back_once() {
    let app = TestApp::start().await;
    app.fault("notify", "duplicate").await;
    for round in 0..5 {
        let (order, trade) = cancelled(&app, &format!("k{round}"), "tea").await;
        app.advance_past_window().await;
        pay_late(&app, &trade).await;
        let told = |id: &str| app.notify(notification(&trade, &[("notify_id", id)]));
        let (first, second) = (format!("a{round}"), format!("b{round}"));
        let done = tokio::join!(
            told(&first),
            told(&second),
            sweep(app.app()),
            sweep(app.app()),
            send_due_refunds(app.app(), app.app().now()),
            send_due_refunds(app.app(), app.app().now()),
        );
        assert!(done.2.is_ok() && done.3.is_ok() && done.4.is_ok() && done.5.is_ok(), "{done:?}");
        app.wait_until_given_back(&order, &trade, "late").await;
        assert_eq!(app.status(&order).await, "cancelled");
        let told_later = app.notify(notification(&trade, &[("notify_id", &first)])).await;
        assert_eq!(told_later, (200, "success".to_owned()));
    }
    assert_eq!(app.sku("tea").await["available"], 1_000);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_payment_reopens_an_order_whose_stock_is_there() {
    let app = start_reopening().await;
    let (order, trade) = cancelled(&app, "k", "tea").await;
    assert_eq!(app.sku("tea").await["locked"], 0);
    pay_late(&app, &trade).await;
    app.wait_for_status(&order, "paid").await;
    let view = app.order(&order).await;
    assert_eq!(view["payments"][0]["status"], "applied");
    assert_eq!(app.sku("tea").await["locked"], 1);
    let event = app.event(&order, "paid").await;
    assert_eq!((text(&event, "from"), text(&event, "to")), ("cancelled".into(), "paid".into()));
    assert!(app.refunds(&order).await.is_empty());
    app.refund(&order, "r1", None).await;
    app.wait_for_status(&order, "refunded").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_payment_of_an_order_whose_stock_is_sold_goes_back() {
    let app = start_reopening().await;
    app.put_sku("rare", 100, 1).await;
    let (order, trade) = cancelled(&app, "first", "rare").await;
    let (status, other) = app.try_place("second", "rare", 1).await;
    assert_eq!(status, 201, "{other}");
    pay_late(&app, &trade).await;
    app.wait_until_given_back(&order, &trade, "late").await;
    assert_eq!(app.status(&order).await, "cancelled");
    assert_eq!(app.sku("rare").await["locked"], 1, "the other order's");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_late_payments_one_reopens_the_order_and_one_goes_back() {
    let app = start_reopening().await;
    for round in 0..5 {
        let order = app.place(&format!("k{round}")).await;
        let first = app.start_payment(&order).await;
        app.scan(&first).await;
        let (_, second) = app.try_pay(&order, json!({ "channel": "alipay", "new": true })).await;
        let second = text(&second, "out_trade_no");
        app.scan(&second).await;
        assert_eq!(app.cancel(&order).await.0, 200);
        tokio::join!(pay_late(&app, &first), pay_late(&app, &second));
        app.wait_for_status(&order, "paid").await;
        let mut other = None;
        wait_until("the other is a duplicate", async || {
            let view = app.order(&order).await;
            let payments = view["payments"].as_array().expect("a list");
            let is = |status: &str| payments.iter().find(|one| one["status"] == status);
            other = is("duplicate").map(|one| text(one, "out_trade_no"));
            is("applied").is_some() && other.is_some()
        })
        .await;
        let other = other.expect("it was found");
        app.wait_until_given_back(&order, &other, "duplicate").await;
        assert_eq!(app.status(&order).await, "paid");
    }
    assert_eq!(app.sku("tea").await["locked"], 5);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_payment_that_was_made_in_time_is_counted_apart() {
    let app = TestApp::start().await;
    app.fault("notify", "drop").await;
    let order = app.place("k").await;
    let trade = app.start_payment(&order).await;
    let stale =
        json!({ "method": "alipay.trade.query", "kind": "stale_query", "delay_ms": 600_000 });
    app.control("faults", stale).await;
    app.buyer_pays(&trade).await;
    app.advance(std::time::Duration::from_secs(2)).await;
    assert_eq!(app.cancel(&order).await.0, 200, "the gateway said that nobody scanned");
    app.clear_faults().await;
    app.advance_past_window().await;
    app.wait_until_given_back(&order, &trade, "late").await;
    let in_time = r#"checkback_payments_total{status="late",in_time="true"}"#;
    let late = r#"checkback_payments_total{status="late",in_time="false"}"#;
    assert_eq!((app.metric(in_time).await, app.metric(late).await), (1, 0));

    // A code that nobody had scanned can still be, after its order was cancelled on request.
    let order = app.place("really late").await;
    let trade = app.start_payment(&order).await;
    assert_eq!(app.cancel(&order).await.0, 200);
    app.advance(std::time::Duration::from_secs(2)).await;
    app.buyer_pays(&trade).await;
    app.wait_until_given_back(&order, &trade, "late").await;
    assert_eq!((app.metric(in_time).await, app.metric(late).await), (1, 1));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_payment_that_can_not_go_back_yet_does_not_change_its_order() {
    let app = TestApp::start().await;
    let (order, trade) = cancelled(&app, "k", "tea").await;
    app.fault_on(&trade, "alipay.trade.refund", "balance_too_low", None).await;
    pay_late(&app, &trade).await;
    wait_until("it waits", async || {
        app.open_alarms().await.iter().any(|(kind, _)| kind == "balance_too_low")
    })
    .await;
    app.assert_alarm("late_payment", &trade).await;
    assert_eq!(app.status(&order).await, "cancelled");
    assert_eq!(app.refunds(&order).await[0]["status"], "sending");
    app.clear_faults().await;
    app.advance(std::time::Duration::from_mins(1)).await;
    app.wait_until_given_back(&order, &trade, "late").await;
    app.finish().await;
}
