//! tulingmall: how its orders end, and what becomes of their stock and money.

use std::time::Duration;

use checkback::consumers::bridge::Consumed;
use checkback::producer::rocketmq::CheckAnswer;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::{check, count, deliver};
use crate::support::{KEY, OPS_KEY, TestApp, answer_of, text, wait_until};

/// A SKU's available and locked pieces.
async fn pieces(app: &TestApp, sku_id: &str) -> (Value, Value) {
    let sku = app.sku(sku_id).await;
    (sku["available"].clone(), sku["locked"].clone())
}

/// Runs a statement on the service's database.
async fn run(app: &TestApp, sql: &str) {
    let database = sqlx::AnyPool::connect(app.app().config.database.url.expose()).await;
    let database = database.expect("the database");
    sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&database).await.expect(sql);
    database.close().await;
}

/// The check-back writes a state that the consumer and the sweep pass over: the stock of an
/// unpaid order stays locked for ever.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_01_what_the_check_back_decides_the_consumer_carries_out() {
    let app = TestApp::start_without_broker().await;
    let order = app.place("k").await;
    app.start_payment(&order).await;
    // Nobody else may end it first.
    app.fault("alipay.trade.query", "unknown_before").await;
    app.advance_past_window().await;
    assert_eq!(check(&app, &order).await, CheckAnswer::Unknown);
    app.clear_faults().await;
    let answer = check(&app, &order).await;
    assert!(matches!(answer, CheckAnswer::Commit | CheckAnswer::Rollback), "{answer:?}");
    assert_eq!(deliver(&app, &order).await, Consumed::Done);
    assert_eq!(app.status(&order).await, "cancelled");
    assert_eq!(pieces(&app, "tea").await, (json!(1_000), json!(0)));
    assert_eq!(count(&app, &order, "cancelled").await, 1);
    assert_eq!(check(&app, &order).await, CheckAnswer::Rollback, "nothing is left to do");
    app.finish().await;
}

/// No answer is taken for *not paid*: some minutes without the gateway cancel paid orders.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_04_an_outage_of_many_rounds_cancels_no_paid_order() {
    let app = TestApp::start().await;
    app.fault("notify", "drop").await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.fault("alipay.trade.query", "http_502").await;
    app.buyer_pays(&number).await;
    app.advance_past_window().await;
    for round in 0..8 {
        assert_eq!(check(&app, &order).await, CheckAnswer::Unknown, "{round}");
        assert_eq!(deliver(&app, &order).await, Consumed::Later, "{round}");
        assert_eq!(app.status(&order).await, "awaiting_payment", "{round}");
        app.advance(Duration::from_secs(30)).await;
    }
    app.clear_faults().await;
    app.wait_for_status(&order, "paid").await;
    assert_eq!(count(&app, &order, "cancelled").await, 0);
    assert_eq!(pieces(&app, "tea").await, (json!(999), json!(1)));
    app.finish().await;
}

/// A payment that the query finds is not written, and the order is closed later.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_06_a_payment_that_only_a_check_back_finds_pays_the_order() {
    let app = TestApp::start().await;
    app.fault("notify", "drop").await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.buyer_pays(&number).await;
    // Somebody else may be at it, too: dropped only once the payment is written.
    wait_until("the message is dropped", async || {
        check(&app, &order).await == CheckAnswer::Rollback
    })
    .await;
    let view = app.order(&order).await;
    assert_eq!(
        (&view["payments"][0]["status"], &view["status"]),
        (&json!("applied"), &json!("paid"))
    );
    app.advance_past_window().await;
    assert_eq!(deliver(&app, &order).await, Consumed::Done, "an old message changes nothing");
    assert_eq!(app.status(&order).await, "paid");
    assert_eq!(pieces(&app, "tea").await, (json!(999), json!(1)));
    app.finish().await;
}

/// A late payment turns a cancelled order back into a paid one after its stock was given back: the
/// same piece is sold twice.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_11_a_piece_that_was_sold_again_is_not_sold_to_who_pays_late() {
    let app = TestApp::start().await;
    app.put_sku("rare", 100, 1).await;
    let place = async |key: &str| {
        let (status, order) = app.try_place(key, "rare", 1).await;
        (status.as_u16(), text(&order, if status.is_success() { "id" } else { "code" }))
    };
    let (_, first) = place("first").await;
    let late = app.start_payment(&first).await;
    app.scan(&late).await;
    assert_eq!(place("too early").await, (409, "out_of_stock".to_owned()));
    assert_eq!(app.cancel(&first).await.0, 200);
    let (status, second) = place("second").await;
    assert_eq!(status, 201, "{second}");
    let number = app.start_payment(&second).await;
    app.buyer_pays(&number).await;
    app.wait_for_status(&second, "paid").await;

    app.control("pay", json!({ "out_trade_no": late, "force": true })).await;
    app.wait_until_given_back(&first, &late, "late").await;
    assert_eq!(app.status(&first).await, "cancelled");
    assert_eq!(count(&app, &first, "paid").await, 0);
    assert_eq!(app.status(&second).await, "paid");
    assert!(app.refunds(&second).await.is_empty());
    assert_eq!(pieces(&app, "rare").await, (json!(0), json!(1)));
    app.finish().await;
}

/// The lock is taken before the order is written: what fails after it leaks the lock.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_15_a_placing_that_fails_after_its_lock_locks_nothing() {
    let app = TestApp::start_without_broker().await;
    // The history is written last, long after the lock.
    run(&app, "alter table order_history rename to order_history_away").await;
    let (status, problem) = app.try_place("k", "tea", 2).await;
    run(&app, "alter table order_history_away rename to order_history").await;
    assert!(status.is_server_error(), "{status} {problem}");
    assert_eq!(pieces(&app, "tea").await, (json!(1_000), json!(0)));
    let (status, order) = app.try_place("k", "tea", 2).await;
    assert_eq!(status, 201, "the key is not used up: {order}");
    assert_eq!(pieces(&app, "tea").await, (json!(998), json!(2)));
    app.finish().await;
}

/// The buyer's cancel is a message that nobody consumes.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_20_the_buyers_cancel_ends_the_order_at_once() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.scan(&number).await;
    assert_eq!(pieces(&app, "tea").await, (json!(999), json!(1)));
    let (status, view) = app.cancel(&order).await;
    assert_eq!((status.as_u16(), text(&view, "status")), (200, "cancelled".to_owned()));
    assert_eq!(pieces(&app, "tea").await, (json!(1_000), json!(0)));
    assert_eq!(app.trade(&number).await["state"], "TRADE_CLOSED");
    let (status, answer) = app.try_control("pay", json!({ "out_trade_no": number })).await;
    assert_eq!(status, 409, "nobody can pay it any more: {answer}");
    app.finish().await;
}

/// An operator closes a paid order without a look at its status: no stock and no money comes back.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_22_no_operator_cancels_a_paid_order_but_its_money_can_go_back() {
    let app = TestApp::start().await;
    let (order, number) = app.place_paid("k", 2).await;
    let before = app.events(&order).await.len();
    // One who may only operate, and one who may do everything.
    for (key, refusal) in [(OPS_KEY, (403, "forbidden")), (KEY, (409, "order_paid"))] {
        let request = app.client.post(app.url(&format!("/v1/orders/{order}/cancel")));
        let request = request.bearer_auth(key).json(&json!({}));
        let (status, problem) = answer_of(request.send().await.expect("an answer")).await;
        assert_eq!((status.as_u16(), text(&problem, "code").as_str()), refusal);
    }
    assert_eq!((app.status(&order).await, app.events(&order).await.len()), ("paid".into(), before));
    assert_eq!(pieces(&app, "tea").await, (json!(998), json!(2)));
    assert!(app.refunds_at_gateway(&number).await.is_empty());

    let items = json!([{ "sku_id": "tea", "quantity": 2 }]);
    let body = json!({ "request_no": "r1", "items": items, "reason": "cancelled" });
    let (status, refund) = app.try_refund(&order, body).await;
    assert_eq!(status, 202, "{refund}");
    app.wait_for_status(&order, "refunded").await;
    assert_eq!(app.refunds_at_gateway(&number).await.len(), 1);
    app.finish().await;
}

/// There are no refunds.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_23_money_goes_back_in_parts_and_never_more_than_came() {
    let app = TestApp::start().await;
    let (order, number) = app.place_paid("k", 1).await;
    app.refund(&order, "r1", Some(30)).await;
    app.wait_for_refund(&order, "r1", "succeeded").await;
    app.wait_for_status(&order, "paid").await;
    let more = json!({ "request_no": "r2", "amount_fen": 71, "reason": "broken" });
    let (status, problem) = app.try_refund(&order, more).await;
    assert_eq!(status, 409, "{problem}");
    app.refund(&order, "r3", None).await;
    app.wait_for_status(&order, "refunded").await;
    let moved: Vec<_> =
        app.refunds_at_gateway(&number).await.into_iter().map(|one| one.1).collect();
    assert_eq!(moved, ["0.30", "0.70"]);
    assert_eq!(app.order(&order).await["refunded_fen"], 100);
    app.finish().await;
}
