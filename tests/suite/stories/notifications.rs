//! Notifications: repeated, forged, disagreeing.

use serde_json::json;

use crate::support::{TestApp, notification, wait_until};

async fn webhook(app: &TestApp, body: &str) -> (u16, String) {
    let request = app.client.post(app.url("/v1/alipay/notify"));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let response = request.body(body.to_owned()).send().await.expect("an answer");
    (response.status().as_u16(), response.text().await.expect("a body"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_delivered_twice_pays_once() {
    let app = TestApp::start().await;
    app.fault("notify", "duplicate").await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.buyer_pays(&number).await;
    app.wait_for_status(&order, "paid").await;
    wait_until("both deliveries are answered", async || {
        let trade = app.trade(&number).await;
        let answers = trade["notifications"].as_array().expect("a list").clone();
        answers.len() >= 2 && answers.iter().all(|delivery| delivery["answered"] == "success")
    })
    .await;
    let events = app.events(&order).await;
    let paid = events.iter().filter(|event| event["cause"] == "paid").count();
    assert_eq!(paid, 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_notification_changes_nothing() {
    let app = TestApp::start().await;
    app.fault("notify", "bad_signature").await;
    app.fault("alipay.trade.query", "unknown_before").await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.buyer_pays(&number).await;
    wait_until("it was refused", async || {
        let trade = app.trade(&number).await;
        trade["notifications"].as_array().is_some_and(|deliveries| !deliveries.is_empty())
    })
    .await;
    assert_eq!(app.status(&order).await, "awaiting_payment");
    for forged in ["", "a=b", "sign=x&sign_type=RSA2&out_trade_no=T1", "%ff=%fe&sign=%00"] {
        let (status, body) = webhook(&app, forged).await;
        assert_eq!(status, 400, "{body}");
        assert_ne!(body, "success");
    }
    app.clear_faults().await;
    app.wait_for_status(&order, "paid").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_with_another_amount_is_decided_by_the_query() {
    let app = TestApp::start().await;
    app.fault("notify", "wrong_amount").await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.buyer_pays(&number).await;
    app.wait_for_status(&order, "paid").await;
    assert_eq!(app.order(&order).await["payments"][0]["amount_fen"], json!(100));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disagreeing_notification_is_not_seen_until_the_gateway_answers() {
    let app = TestApp::start().await;
    app.fault("notify", "wrong_seller_id").await;
    app.fault("alipay.trade.query", "http_502").await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.buyer_pays(&number).await;
    wait_until("it was delivered", async || {
        let trade = app.trade(&number).await;
        trade["notifications"].as_array().is_some_and(|deliveries| !deliveries.is_empty())
    })
    .await;
    let trade = app.trade(&number).await;
    assert_ne!(trade["notifications"][0]["answered"], "success");
    assert_eq!(app.status(&order).await, "awaiting_payment");
    app.clear_faults().await;
    app.wait_for_status(&order, "paid").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_unread() {
    let app = TestApp::start().await;
    let (status, body) = webhook(&app, &"a".repeat(200_000)).await;
    assert_eq!(status, 413, "{body}");
    app.finish().await;
}

/// Waits until a trade's notification was delivered, and returns what it was answered.
async fn answered(app: &TestApp, number: &str) -> serde_json::Value {
    wait_until("it was delivered", async || {
        let trade = app.trade(number).await;
        trade["notifications"].as_array().is_some_and(|deliveries| !deliveries.is_empty())
    })
    .await;
    app.trade(number).await["notifications"][0]["answered"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_but_genuine_notifications_pay_alone() {
    let app = TestApp::start().await;
    app.fault("alipay.trade.query", "unknown_before").await;
    for kind in ["gbk", "extra_fields", "unsigned_cert_sn", "old_notify_time", "buyer_open_id"] {
        app.control("faults", json!({ "method": "notify", "kind": kind, "times": 1 })).await;
        let order = app.place(kind).await;
        let number = app.start_payment(&order).await;
        app.buyer_pays(&number).await;
        app.wait_for_status(&order, "paid").await;
        assert_eq!(answered(&app, &number).await, "success", "{kind}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_and_a_weaker_algorithm_are_not_believed() {
    let app = TestApp::start().await;
    app.fault("alipay.trade.query", "unknown_before").await;
    let mut orders = Vec::new();
    for kind in ["other_key", "sha1_signature"] {
        app.control("faults", json!({ "method": "notify", "kind": kind, "times": 1 })).await;
        let order = app.place(kind).await;
        let number = app.start_payment(&order).await;
        app.buyer_pays(&number).await;
        assert_ne!(answered(&app, &number).await, "success", "{kind}");
        assert_eq!(app.status(&order).await, "awaiting_payment", "{kind}");
        orders.push(order);
    }
    app.clear_faults().await;
    for order in orders {
        app.wait_for_status(&order, "paid").await;
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_about_somebody_elses_trade_is_acknowledged_and_left_alone() {
    let app = TestApp::start().await;
    let before = app.open_alarms().await;
    for _ in 0..2 {
        let answer = app.notify(notification("SOMEBODYELSES1", &[])).await;
        assert_eq!(answer, (200, "success".to_owned()));
    }
    assert_eq!(app.open_alarms().await, before);
    app.finish().await;
}
