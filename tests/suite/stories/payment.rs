//! Buyers pay: in time, twice, late, with the wrong amount.

use serde_json::json;

use crate::support::{TestApp, text, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_order_is_paid_once_and_its_stock_stays_locked() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.buyer_pays(&number).await;
    app.wait_for_status(&order, "paid").await;
    let view = app.order(&order).await;
    assert_eq!(view["payments"][0]["status"], "applied");
    assert_eq!(view["payments"][0]["trade_no"], app.trade(&number).await["trade_no"]);
    app.advance_past_window().await;
    let swept = checkback::fallback_task::sweep(app.app()).await.expect("a sweep");
    assert_eq!(swept.looked_at(), 0, "nothing is left that would wake us");
    assert_eq!(app.status(&order).await, "paid");
    assert_eq!(app.sku("tea").await["locked"], 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_for_a_payment_again_returns_the_open_attempt() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let (first_status, first) = app.try_pay(&order, json!({ "channel": "alipay" })).await;
    let (second_status, second) = app.try_pay(&order, json!({ "channel": "alipay" })).await;
    assert_eq!((first_status.as_u16(), second_status.as_u16()), (201, 200));
    assert_eq!(first, second);
    let (third_status, third) =
        app.try_pay(&order, json!({ "channel": "alipay", "new": true })).await;
    assert_eq!(third_status, 201);
    assert_ne!(third["out_trade_no"], first["out_trade_no"]);
    assert_eq!(app.order(&order).await["payments"].as_array().map(Vec::len), Some(2));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_precreate_is_asked_for_again_under_the_same_number() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    app.control(
        "faults",
        json!({ "method": "alipay.trade.precreate", "kind": "system_error_after", "times": 1 }),
    )
    .await;
    let (status, problem) = app.try_pay(&order, json!({ "channel": "alipay" })).await;
    assert_eq!((status.as_u16(), text(&problem, "code")), (503, "gateway_unknown".to_owned()));
    let (status, payment) = app.try_pay(&order, json!({ "channel": "alipay" })).await;
    assert_eq!(status, 200, "{payment}");
    assert_eq!(app.order(&order).await["payments"].as_array().map(Vec::len), Some(1));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_after_the_cancel_is_recorded_as_late_and_given_back() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.scan(&number).await;
    assert_eq!(app.cancel(&order).await.0, 200);
    app.control("pay", json!({ "out_trade_no": number, "force": true })).await;
    wait_until("the late payment is recorded", async || {
        app.order(&order).await["payments"][0]["status"] == "late"
    })
    .await;
    assert_eq!(app.status(&order).await, "cancelled");
    app.wait_until_given_back(&order, &number, "late").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unscanned_code_that_is_paid_after_the_cancel_is_found_without_a_notification() {
    let app = TestApp::start().await;
    app.fault("notify", "drop").await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    assert_eq!(app.cancel(&order).await.0, 200);
    app.control("pay", json!({ "out_trade_no": number, "force": true })).await;
    app.advance_past_window().await;
    wait_until("the late payment is recorded", async || {
        app.order(&order).await["payments"][0]["status"] == "late"
    })
    .await;
    app.wait_until_given_back(&order, &number, "late").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_paid_attempts_are_one_payment_and_one_duplicate() {
    let app = TestApp::start().await;
    app.fault("notify", "drop").await;
    let order = app.place("k").await;
    let first = app.start_payment(&order).await;
    let (_, second) = app.try_pay(&order, json!({ "channel": "alipay", "new": true })).await;
    let second = text(&second, "out_trade_no");
    app.buyer_pays(&first).await;
    app.buyer_pays(&second).await;
    app.wait_for_status(&order, "paid").await;
    wait_until("the duplicate is recorded", async || {
        let view = app.order(&order).await;
        let mut statuses: Vec<_> = view["payments"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|payment| text(payment, "status"))
            .collect();
        statuses.sort();
        statuses == ["applied", "duplicate"]
    })
    .await;
    let view = app.order(&order).await;
    let payments = view["payments"].as_array().expect("a list");
    let twice = payments.iter().find(|payment| payment["status"] == "duplicate");
    let twice = text(twice.expect("the duplicate"), "out_trade_no");
    app.wait_until_given_back(&order, &twice, "duplicate").await;
    assert_eq!(app.status(&order).await, "paid");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn winning_closes_the_other_attempt() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let first = app.start_payment(&order).await;
    let (_, second) = app.try_pay(&order, json!({ "channel": "alipay", "new": true })).await;
    let second = text(&second, "out_trade_no");
    app.scan(&first).await;
    app.buyer_pays(&second).await;
    app.wait_for_status(&order, "paid").await;
    wait_until("the other trade is closed", async || {
        app.trade(&first).await["state"] == "TRADE_CLOSED"
    })
    .await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_amount_is_quarantined_and_the_order_ends_unpaid() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.control("pay", json!({ "out_trade_no": number, "amount": "0.01" })).await;
    wait_until("the payment is quarantined", async || {
        app.order(&order).await["payments"][0]["status"] == "wrong_amount"
    })
    .await;
    assert_eq!(app.status(&order).await, "awaiting_payment");
    app.assert_alarm("wrong_amount", &number).await;
    app.advance_past_window().await;
    app.wait_for_status(&order, "cancelled").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_in_the_instant_of_the_timeout_is_never_both_and_never_neither() {
    let app = TestApp::start().await;
    let mut orders = Vec::new();
    for index in 0..12 {
        let order = app.place(&format!("k{index}")).await;
        let number = app.start_payment(&order).await;
        app.scan(&number).await;
        orders.push((order, number));
    }
    app.clock.advance(chrono::Duration::seconds(64));
    let paying = orders.iter().map(|(_, number)| {
        app.try_control("pay", json!({ "out_trade_no": number, "force": true }))
    });
    for (status, answer) in futures_util::future::join_all(paying).await {
        assert!(status.is_success(), "{answer}");
    }
    for (order, number) in &orders {
        wait_until("the payment is applied or late", async || {
            let view = app.order(order).await;
            let payment = text(&view["payments"][0], "status");
            match (text(&view, "status").as_str(), payment.as_str()) {
                ("paid", "applied") => true,
                ("cancelled", "late") => {
                    app.wait_until_given_back(order, number, "late").await;
                    true
                }
                _ => false,
            }
        })
        .await;
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_forgets_a_trade_it_showed_cancels_nothing() {
    let app = TestApp::start().await;
    app.fault("notify", "drop").await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.scan(&number).await;
    wait_until("a check-back saw the trade", async || {
        app.order(&order).await["payments"][0]["status"] == "waiting"
    })
    .await;
    lag_behind(&app).await;
    app.buyer_pays(&number).await;
    app.advance_past_window().await;
    wait_until("the contradiction is noticed", async || {
        app.open_alarms().await.contains(&("trade_vanished".to_owned(), number.clone()))
    })
    .await;
    assert_eq!(app.status(&order).await, "awaiting_payment");
    app.clear_faults().await;
    app.wait_for_status(&order, "paid").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_never_showed_a_trade_cancels_but_its_payment_is_found_later() {
    let app = TestApp::start().await;
    app.fault("notify", "drop").await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    lag_behind(&app).await;
    app.buyer_pays(&number).await;
    assert_eq!(app.cancel(&order).await.0, 200, "the gateway said that nobody scanned");
    app.clear_faults().await;
    app.advance_past_window().await;
    wait_until("the late payment is recorded", async || {
        app.order(&order).await["payments"][0]["status"] == "late"
    })
    .await;
    app.wait_until_given_back(&order, &number, "late").await;
    app.finish().await;
}

async fn lag_behind(app: &TestApp) {
    let fault =
        json!({ "method": "alipay.trade.query", "kind": "stale_query", "delay_ms": 600_000 });
    app.control("faults", fault).await;
}
