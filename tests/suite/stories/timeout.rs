//! Nobody pays, or nobody says so.

use serde_json::json;

use crate::support::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn unscanned_order_is_cancelled_with_evidence_and_its_stock_is_back() {
    let app = TestApp::start().await;
    let order = app.place_flash("k").await;
    let number = app.start_payment(&order).await;
    assert_eq!(app.sku("tea").await["locked"], 1);
    app.wait_for_status(&order, "cancelled").await;
    let sku = app.sku("tea").await;
    assert_eq!((&sku["available"], &sku["locked"]), (&json!(1000), &json!(0)));
    let cancelled = app.event(&order, "cancelled").await;
    // On a machine that is busy for two check intervals the poll is first.
    let actor = cancelled["actor"].as_str();
    assert!(matches!(actor, Some("cancel_consumer" | "poll")), "{actor:?}");
    let evidence = &cancelled["detail"];
    assert_eq!(evidence["answers"][0]["out_trade_no"], json!(number));
    assert_eq!(evidence["answers"][0]["answer"]["state"], "not_exist");
    assert!(evidence["checks"].as_i64().expect("a count") >= 1, "{evidence}");
    assert!(evidence["asked_at"].is_string(), "{evidence}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scanned_order_is_cancelled_after_its_trade_was_closed() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.scan(&number).await;
    // The simulator's own deadline must not close it: the service does.
    app.clock.advance(chrono::Duration::seconds(64));
    app.wait_for_status(&order, "cancelled").await;
    assert_eq!(app.trade(&number).await["state"], "TRADE_CLOSED");
    assert_eq!(app.order(&order).await["payments"][0]["status"], "closed");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn order_without_an_attempt_is_cancelled_without_a_call_to_the_gateway() {
    let app = TestApp::start().await;
    app.fault("*", "http_502").await;
    let order = app.place("k").await;
    app.advance_past_window().await;
    app.wait_for_status(&order, "cancelled").await;
    assert_eq!(app.event(&order, "cancelled").await["detail"]["reason"], "no_attempt");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payment_whose_notifications_are_lost_is_found_by_the_next_check_back() {
    let app = TestApp::start().await;
    app.fault("notify", "drop").await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.buyer_pays(&number).await;
    app.wait_for_status(&order, "paid").await;
    assert_eq!(app.event(&order, "paid").await["actor"], "check_back");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_is_not_unpaid_whatever_the_gateway_does() {
    for fault in ["unknown_before", "system_error_before", "http_502", "unsigned", "wrong_sign"] {
        let app = TestApp::start().await;
        let order = app.place("k").await;
        let number = app.start_payment(&order).await;
        app.scan(&number).await;
        app.fault("alipay.trade.query", fault).await;
        app.advance_past_window().await;
        let asked = async || {
            let body = app.get("/metrics").send().await.expect("metrics").text().await;
            let text = body.expect("a text");
            text.lines().filter(|line| line.contains("check_backs")).any(|line| {
                line.contains("unknown") && !line.ends_with(" 0") && !line.ends_with(" 1")
            })
        };
        crate::support::wait_until("a check-back met the fault", asked).await;
        assert_eq!(app.status(&order).await, "awaiting_payment", "{fault}");
        app.clear_faults().await;
        app.wait_for_status(&order, "cancelled").await;
        app.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_that_the_gateway_does_not_answer_keeps_the_order_waiting() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.scan(&number).await;
    app.fault("alipay.trade.close", "system_error_before").await;
    app.clock.advance(chrono::Duration::seconds(64));
    let swept = checkback::fallback_task::sweep(app.app()).await.expect("a sweep");
    assert_eq!(swept.failed, 0);
    assert_eq!(app.status(&order).await, "awaiting_payment");
    app.clear_faults().await;
    app.wait_for_status(&order, "cancelled").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_a_close_is_asked_about_again() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.scan(&number).await;
    app.control(
        "faults",
        json!({ "method": "alipay.trade.close", "kind": "system_error_after", "times": 1 }),
    )
    .await;
    app.clock.advance(chrono::Duration::seconds(64));
    app.wait_for_status(&order, "cancelled").await;
    assert_eq!(app.trade(&number).await["state"], "TRADE_CLOSED");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_of_an_ended_order_stay_pending_until_their_code_is_dead() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    let (status, _) = app.cancel(&order).await;
    assert_eq!(status, 200);
    let store = &app.app().store;
    let id = checkback::domain::ids::OrderId::parse(&order).expect("an id");
    let pending =
        async || checkback::store::pending::of_order(store, &id).await.expect("rows").len();
    assert_eq!(pending().await, 1, "the buyer may still scan {number}");
    app.advance_past_window().await;
    crate::support::wait_until("the row is gone", async || pending().await == 0).await;
    assert_eq!(app.order(&order).await["payments"][0]["status"], "closed");
    app.finish().await;
}
