//! Refunds that the storefront asks for: what goes back, and what the order says meanwhile.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{TestApp, answer_of, text, wait_until};

const REFUND: &str = "alipay.trade.refund";

async fn try_amount(app: &TestApp, order: &str, request_no: &str, amount_fen: i64) -> u16 {
    let body = json!({ "request_no": request_no, "amount_fen": amount_fen, "reason": "broken" });
    app.try_refund(order, body).await.0.as_u16()
}

/// Asks for 30 fen under a number, again as long as the service is too busy.
async fn ask_patiently(app: &TestApp, order: &str, number: usize) -> u16 {
    loop {
        match try_amount(app, order, &format!("r{number}"), 30).await {
            503 => tokio::time::sleep(Duration::from_millis(100)).await,
            status => return status,
        }
    }
}

async fn ask_for_all(app: &TestApp, order: &str) -> u16 {
    let body = json!({ "request_no": "r1", "reason": "broken" });
    loop {
        match app.try_refund(order, body.clone()).await.0.as_u16() {
            503 => tokio::time::sleep(Duration::from_millis(100)).await,
            status => return status,
        }
    }
}

async fn try_items(app: &TestApp, order: &str, request_no: &str, lines: Value) -> (u16, Value) {
    let body = json!({ "request_no": request_no, "items": lines, "reason": "broken" });
    let (status, answer) = app.try_refund(order, body).await;
    (status.as_u16(), answer)
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
    assert_eq!(try_amount(&app, &order, "r1", 120).await, 202);
    app.wait_for_refund(&order, "r1", "succeeded").await;
    app.wait_for_status(&order, "paid").await;
    assert_eq!(try_amount(&app, &order, "r2", 181).await, 409);
    assert_eq!(try_amount(&app, &order, "r2", 180).await, 202);
    app.wait_for_status(&order, "refunded").await;
    assert_eq!(try_amount(&app, &order, "r3", 1).await, 409);
    let event = app.event(&order, "refunded").await;
    assert_eq!((text(&event, "from"), text(&event, "to")), ("refunding".into(), "paid".into()));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_one_refund_whatever_is_asked_under_it() {
    let app = TestApp::start().await;
    let (order, trade) = app.place_paid("k", 3).await;
    let body = json!({ "request_no": "r1", "amount_fen": 100, "reason": "broken" });
    let (first, second) =
        (app.try_refund(&order, body.clone()).await, app.try_refund(&order, body).await);
    assert_eq!((first.0.as_u16(), second.0.as_u16()), (202, 202));
    assert_eq!(first.1["out_request_no"], second.1["out_request_no"]);
    let other = json!({ "request_no": "r1", "amount_fen": 200, "reason": "broken" });
    let (status, problem) = app.try_refund(&order, other).await;
    assert_eq!((status.as_u16(), text(&problem, "code")), (422, "request_no_reused".to_owned()));
    let (status, _) = app.try_refund(&order, json!({ "reason": "broken" })).await;
    assert_eq!(status, 400, "no number");

    let keyed = json!({ "amount_fen": 50, "reason": "broken" });
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let request = app.post(&format!("/v1/orders/{order}/refunds"), &keyed);
        let request = request.header("Idempotency-Key", "the key");
        let (status, answer) = answer_of(request.send().await.expect("an answer")).await;
        assert_eq!(status, 202, "{answer}");
        numbers.push(answer["out_request_no"].clone());
    }
    assert_eq!(numbers[0], numbers[1]);
    wait_until("both have gone back", async || app.refunds_at_gateway(&trade).await.len() == 2)
        .await;
    app.wait_for_status(&order, "paid").await;
    assert_eq!(app.order(&order).await["refunded_fen"], 150);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_without_money_has_nothing_to_refund() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    assert_eq!(try_amount(&app, &order, "r1", 1).await, 409);
    assert_eq!(app.cancel(&order).await.0, 200);
    assert_eq!(try_amount(&app, &order, "r1", 1).await, 409);
    assert_eq!(try_amount(&app, "00000000000000000000000000", "r1", 1).await, 404);
    assert!(app.refunds(&order).await.is_empty());
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_refunds_at_once_give_back_no_more_than_was_paid() {
    let app = TestApp::start().await;
    let (order, trade) = app.place_paid("k", 3).await;
    // Nothing is sent before all are decided.
    app.fault_on(&trade, REFUND, "http_502", None).await;
    let asking = (0..50).map(|number| ask_patiently(&app, &order, number));
    let answers = join_all(asking).await;
    let count = |wanted| answers.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(202), count(409)), (10, 40), "{answers:?}");
    app.clear_faults().await;
    app.advance(Duration::from_mins(1)).await;
    app.wait_for_status(&order, "refunded").await;
    assert_eq!(app.refunds_at_gateway(&trade).await.len(), 10);
    assert_eq!(app.order(&order).await["refunded_fen"], 300);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_number_twenty_times_at_once_is_one_refund() {
    let app = TestApp::start().await;
    let (order, trade) = app.place_paid("k", 3).await;
    // It takes all that is left, so that nothing is when it is asked for again.
    let asking = (0..20).map(|_| ask_for_all(&app, &order));
    let answers = join_all(asking).await;
    assert_eq!(answers, [202; 20]);
    app.wait_for_refund(&order, "r1", "succeeded").await;
    assert_eq!(app.refunds(&order).await.len(), 1);
    assert_eq!(app.refunds_at_gateway(&trade).await.len(), 1);
    app.wait_for_status(&order, "refunded").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_come_back_once() {
    let app = TestApp::start().await;
    let (order, _) = app.place_paid("k", 3).await;
    let pieces = |quantity: i64| json!([{ "sku_id": "tea", "quantity": quantity }]);
    let (status, problem) = try_items(&app, &order, "r1", pieces(4)).await;
    assert_eq!((status, text(&problem, "code")), (409, "items_not_left".to_owned()));
    let (status, answer) = try_items(&app, &order, "r1", pieces(2)).await;
    assert_eq!((status, &answer["amount_fen"]), (202, &json!(200)), "{answer}");
    let (status, problem) = try_items(&app, &order, "r2", pieces(2)).await;
    assert_eq!((status, text(&problem, "code")), (409, "items_not_left".to_owned()));
    let other = json!([{ "sku_id": "coffee", "quantity": 1 }]);
    assert_eq!(try_items(&app, &order, "r2", other).await.0, 409);
    let (status, problem) = try_items(&app, &order, "r2", json!([])).await;
    assert_eq!((status, text(&problem, "field")), (400, "items".to_owned()), "none isn't all");
    let both = join_all([
        try_items(&app, &order, "r3", pieces(1)),
        try_items(&app, &order, "r4", pieces(1)),
    ])
    .await;
    let mut statuses: Vec<_> = both.iter().map(|(status, _)| *status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 409], "{both:?}");
    app.wait_for_status(&order, "refunded").await;
    let refunds = app.refunds(&order).await;
    assert_eq!(refunds[0]["items"], pieces(2), "{refunds:#?}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_refunding_until_its_last_refund_has_ended() {
    let app = TestApp::start().await;
    let (order, trade) = app.place_paid("k", 3).await;
    app.fault_on(&trade, REFUND, "http_502", Some(2)).await;
    app.refund(&order, "r1", Some(100)).await;
    assert_eq!(app.status(&order).await, "refunding");
    app.refund(&order, "r2", Some(50)).await;
    assert_eq!(try_amount(&app, &order, "r3", 151).await, 409, "what is under way counts");
    app.wait_for_refund(&order, "r1", "succeeded").await;
    app.wait_for_refund(&order, "r2", "succeeded").await;
    app.wait_for_status(&order, "paid").await;
    let events = app.events(&order).await;
    let refunded: Vec<_> = events.iter().filter(|event| event["cause"] == "refunded").collect();
    let ends: Vec<_> = refunded.iter().map(|event| text(event, "to")).collect();
    assert_eq!(ends, ["refunding", "paid"]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_refunds_of_one_trade_keep_their_distance() {
    let spacing = Duration::from_secs(3);
    let app = TestApp::start_configured(|config| config.refund.spacing = spacing).await;
    let (order, trade) = app.place_paid("k", 3).await;
    for request_no in ["r1", "r2", "r3"] {
        app.refund(&order, request_no, Some(100)).await;
    }
    app.wait_for_status(&order, "refunded").await;
    let moved = app.trade(&trade).await["refunds"].clone();
    let at =
        |one: &Value| -> chrono::DateTime<chrono::Utc> { text(one, "at").parse().expect("a time") };
    let times: Vec<_> = moved.as_array().expect("a list").iter().map(at).collect();
    assert_eq!(times.len(), 3);
    for pair in times.windows(2) {
        let distance = pair[1] - pair[0];
        assert!(distance.num_milliseconds() >= 2_900, "{distance}");
    }
    app.finish().await;
}
