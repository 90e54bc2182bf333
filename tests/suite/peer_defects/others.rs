//! mall, jeepay and shops with reserved stock.

use futures_util::future::join_all;
use serde_json::json;

use super::{check, count};
use crate::support::{TestApp, answer_of, notification, text, wait_until};

/// The answer to a notification is taken for the name of a page, so that Alipay never reads
/// *success*.
#[tokio::test(flavor = "multi_thread")]
async fn mall_01_the_webhook_answers_the_seven_bytes_that_alipay_waits_for() {
    let app = TestApp::start().await;
    app.fault("notify", "drop").await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.buyer_pays(&number).await;
    let request = app.client.post(app.url("/v1/alipay/notify")).body(notification(&number, &[]));
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    let media_type = response.headers()["content-type"].to_str().expect("a text").to_owned();
    assert!(media_type.starts_with("text/plain"), "{media_type}");
    assert_eq!(response.bytes().await.expect("a body"), "success");
    app.finish().await;
}

/// The client says what it wants to pay.
#[tokio::test(flavor = "multi_thread")]
async fn mall_02_a_price_from_the_client_is_refused() {
    let app = TestApp::start().await;
    let tampered = [
        json!({ "items": [{ "sku_id": "tea", "quantity": 1, "price_fen": 1 }] }),
        json!({ "items": [{ "sku_id": "tea", "quantity": 1 }], "amount_fen": 1 }),
        json!({ "items": [{ "sku_id": "tea", "quantity": 1 }], "total_amount": "0.01" }),
    ];
    for mut body in tampered {
        body["member_id"] = json!("m");
        let request = app.post("/v1/orders", &body).header("Idempotency-Key", "k");
        let (status, problem) = answer_of(request.send().await.expect("an answer")).await;
        assert_eq!(status, 400, "{problem}");
    }
    let order = app.place("k").await;
    let body = json!({ "channel": "alipay", "amount_fen": 1 });
    assert_eq!(app.try_pay(&order, body).await.0, 400);
    let number = app.start_payment(&order).await;
    assert_eq!(app.trade(&number).await["total_amount"], "1.00");
    app.put_sku("tea", 1, 0).await;
    assert_eq!(app.order(&order).await["amount_fen"], 100, "a later price is of later orders");
    app.finish().await;
}

/// `TRADE_FINISHED` is not taken for a payment.
#[tokio::test(flavor = "multi_thread")]
async fn mall_09_a_finished_trade_is_a_paid_one() {
    let app = TestApp::start().await;
    app.fault("notify", "drop").await;
    app.fault("alipay.trade.query", "unknown_before").await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.buyer_pays(&number).await;
    let finished = notification(&number, &[("trade_status", "TRADE_FINISHED")]);
    assert_eq!(app.notify(finished).await, (200, "success".to_owned()));
    assert_eq!(app.status(&order).await, "paid");
    app.clear_faults().await;
    app.finish().await;
}

/// A code that nobody scanned can't be closed, and the merchant is told that the cancel failed.
#[tokio::test(flavor = "multi_thread")]
async fn jeepay_01_an_unscanned_code_is_no_obstacle_to_a_cancel() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    app.start_payment(&order).await;
    for _ in 0..2 {
        let (status, payment) =
            app.try_pay(&order, json!({ "channel": "alipay", "new": true })).await;
        assert_eq!(status, 201, "{payment}");
    }
    let (status, view) = app.cancel(&order).await;
    assert_eq!((status.as_u16(), text(&view, "status")), (200, "cancelled".to_owned()));
    app.finish().await;
}

/// A late notification tells the merchant *paid* while the order stays closed.
#[tokio::test(flavor = "multi_thread")]
async fn jeepay_03_a_late_notification_tells_nobody_that_the_order_is_paid() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    assert_eq!(app.cancel(&order).await.0, 200);
    app.only_notified(&number);
    assert_eq!(app.notify(notification(&number, &[])).await.0, 200);
    assert_eq!(app.status(&order).await, "cancelled");
    assert_eq!(count(&app, &order, "paid").await, 0);
    let database = sqlx::AnyPool::connect(app.app().config.database.url.expose()).await;
    let database = database.expect("the database");
    let tags: Vec<String> = sqlx::query_scalar("select tag from outbox where order_id = ?")
        .bind(&order)
        .fetch_all(&database)
        .await
        .expect("events");
    assert_eq!(tags, ["cancelled"]);
    database.close().await;
    app.finish().await;
}

/// Orders to expire are picked on an old reading: an attempt that is added meanwhile is lost.
#[tokio::test(flavor = "multi_thread")]
async fn saleor_an_attempt_that_is_added_during_a_cancel_is_asked_about() {
    let app = TestApp::start().await;
    for round in 0..6 {
        let order = app.place(&format!("k{round}")).await;
        let (paying, cancelling) =
            tokio::join!(app.try_pay(&order, json!({ "channel": "alipay" })), app.cancel(&order));
        assert!(matches!(paying.0.as_u16(), 200 | 201 | 409), "{}", paying.1);
        assert_eq!(cancelling.0, 200, "{}", cancelling.1);
        let evidence = app.event(&order, "cancelled").await["detail"]["answers"].clone();
        let asked: Vec<_> = evidence
            .as_array()
            .expect("a list")
            .iter()
            .map(|asked| &asked["out_trade_no"])
            .collect();
        let view = app.order(&order).await;
        for payment in view["payments"].as_array().expect("a list") {
            assert!(asked.contains(&&payment["out_trade_no"]), "{payment} not in {evidence}");
        }
    }
    app.finish().await;
}

/// An order with a failed payment never expires.
#[tokio::test(flavor = "multi_thread")]
async fn saleor_an_order_whose_payments_failed_expires() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    for fault in ["error_response", "http_502"] {
        app.fault("alipay.trade.precreate", fault).await;
        assert_eq!(app.try_pay(&order, json!({ "channel": "alipay" })).await.0, 503, "{fault}");
        app.clear_faults().await;
    }
    app.advance_past_window().await;
    app.wait_for_status(&order, "cancelled").await;
    assert_eq!(app.sku("tea").await["locked"], 0);
    app.finish().await;
}

/// Stock comes back twice when an order is cancelled twice at once (vendure #550, #1557).
#[tokio::test(flavor = "multi_thread")]
async fn vendure_0550_ten_cancels_at_once_give_the_stock_back_once() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.scan(&number).await;
    let answers = join_all((0..10).map(|_| app.cancel(&order))).await;
    for (status, answer) in answers {
        assert!(matches!(status.as_u16(), 200 | 202), "{status} {answer}");
    }
    app.wait_for_status(&order, "cancelled").await;
    assert_eq!(count(&app, &order, "cancelled").await, 1);
    let sku = app.sku("tea").await;
    assert_eq!((&sku["available"], &sku["locked"]), (&json!(1_000), &json!(0)));
    app.finish().await;
}

/// A payment is applied twice, or its webhook answered with a conflict, when both ways of learning
/// of it run at once (medusa #13301, #4798).
#[tokio::test(flavor = "multi_thread")]
async fn medusa_13301_notifications_and_check_backs_at_once_pay_once() {
    let app = TestApp::start().await;
    app.fault("notify", "drop").await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.buyer_pays(&number).await;
    let trade_no = text(&app.trade(&number).await, "trade_no");
    let notifying = (0..8).map(|index| {
        let notify_id = format!("n{}", index / 2);
        app.notify(notification(&number, &[("notify_id", &notify_id), ("trade_no", &trade_no)]))
    });
    let checking = join_all((0..4).map(|_| check(&app, &order)));
    let (answers, _) = tokio::join!(join_all(notifying), checking);
    for answer in answers {
        assert_eq!(answer, (200, "success".to_owned()));
    }
    let view = app.order(&order).await;
    assert_eq!(
        (&view["status"], &view["payments"][0]["status"]),
        (&json!("paid"), &json!("applied"))
    );
    assert_eq!(count(&app, &order, "paid").await, 1);
    assert_eq!(count(&app, &order, "payment_applied").await, 1);
    app.finish().await;
}

/// A buyer who goes on paying while an operator cancels is charged for nothing, unseen.
#[tokio::test(flavor = "multi_thread")]
async fn dujiao_108_money_that_comes_after_the_end_is_seen_even_without_a_notification() {
    let app = TestApp::start().await;
    app.fault("notify", "drop").await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    assert_eq!(app.cancel(&order).await.0, 200);
    app.buyer_pays(&number).await;
    app.advance(std::time::Duration::from_secs(10)).await;
    wait_until("the late payment is recorded", async || {
        app.order(&order).await["payments"][0]["status"] == "late"
    })
    .await;
    app.wait_until_given_back(&order, &number, "late").await;
    app.finish().await;
}
