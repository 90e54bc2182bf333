//! Refunds that the storefront asks for: what goes back, and what the order says meanwhile.

use serde_json::{Value, json};

use crate::support::{TestApp, text, wait_until};

/// Waits until the refund under this number has this status.
async fn wait_for_refund(app: &TestApp, order: &str, request_no: &str, wanted: &str) -> Value {
    let mut found = Value::Null;
    wait_until(&format!("{request_no} is {wanted}"), async || {
        let refunds = app.refunds(order).await;
        let refund = refunds.into_iter().find(|refund| refund["request_no"] == request_no);
        found = refund.unwrap_or_default();
        found["status"] == wanted
    })
    .await;
    found
}

async fn refund(app: &TestApp, order: &str, request_no: &str, amount_fen: i64) -> u16 {
    let body = json!({ "request_no": request_no, "amount_fen": amount_fen, "reason": "broken" });
    app.try_refund(order, body).await.0.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_refund_moves_the_money_and_ends_the_order() {
    let app = TestApp::start().await;
    let (order, trade) = app.place_paid("full", 2).await;
    let (status, answer) =
        app.try_refund(&order, json!({ "request_no": "r1", "reason": "broken" })).await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!(answer["amount_fen"], 200);
    app.wait_for_status(&order, "refunded").await;
    assert_eq!(app.refunds(&order).await[0]["status"], "succeeded");
    let order = app.order(&order).await;
    assert_eq!((&order["refunded_fen"], &order["amount_fen"]), (&json!(200), &json!(200)));
    assert_eq!(order["payments"][0]["refunded_fen"], 200);
    let at_gateway = app.trade(&trade).await;
    assert_eq!(at_gateway["state"], "TRADE_CLOSED");
    assert_eq!(at_gateway["refunds"].as_array().map(Vec::len), Some(1));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_refunds_leave_the_order_paid_until_nothing_is_left() {
    let app = TestApp::start().await;
    let (order, _) = app.place_paid("partial", 3).await;
    assert_eq!(refund(&app, &order, "r1", 120).await, 202);
    wait_for_refund(&app, &order, "r1", "succeeded").await;
    app.wait_for_status(&order, "paid").await;
    assert_eq!(refund(&app, &order, "r2", 181).await, 409);
    assert_eq!(refund(&app, &order, "r2", 180).await, 202);
    app.wait_for_status(&order, "refunded").await;
    assert_eq!(refund(&app, &order, "r3", 1).await, 409);
    let event = app.event(&order, "refunded").await;
    assert_eq!((text(&event, "from"), text(&event, "to")), ("refunding".into(), "paid".into()));
    app.finish().await;
}
