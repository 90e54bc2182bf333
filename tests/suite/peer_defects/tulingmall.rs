//! tulingmall: the code behind the transaction-message idea, and what goes wrong in it.

use std::time::Duration;

use checkback::consumers::bridge::Consumed;
use checkback::domain::ids::OrderId;
use checkback::producer::rocketmq::CheckAnswer;
use checkback::store::pending::{self, Kind};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{check, count, deliver};
use crate::support::{KEY, OPS_KEY, TestApp, answer_of, notification, text, wait_until};

/// What can become of a question to the gateway, but for what takes long.
const NO_ANSWERS: [&str; 7] = [
    "unknown_before",
    "system_error_before",
    "http_502",
    "truncated",
    "unsigned",
    "wrong_sign",
    "reset",
];

/// The ten-minute backstop is written, but nothing ever starts it.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_02_the_sweep_runs_in_a_started_service() {
    let app = TestApp::start().await;
    let url = app.app().config.database.url.expose();
    let database = sqlx::AnyPool::connect(url).await.expect("the database");
    wait_until("the sweep at start has left its report", async || {
        let runs: i64 = sqlx::query_scalar("select count(*) from sweep_runs")
            .fetch_one(&database)
            .await
            .expect("a count");
        runs >= 1
    })
    .await;
    database.close().await;
    app.finish().await;
}

/// The timeout is written without a last question: money that came since then is kept, the order
/// dead.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_03_a_payment_between_the_last_checks_is_not_overwritten() {
    let app = TestApp::start().await;
    app.fault("notify", "drop").await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.scan(&number).await;
    app.fault("alipay.trade.query", "unknown_before").await;
    app.advance_past_window().await;
    app.control("pay", json!({ "out_trade_no": number, "force": true })).await;
    app.clear_faults().await;
    assert_eq!(deliver(&app, &order).await, Consumed::Done);
    assert_eq!(app.status(&order).await, "paid");
    assert_eq!(app.sku("tea").await["locked"], 1);
    app.finish().await;
}

/// Whatever goes wrong in a check-back rolls the message back, and the timer is gone.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_05_an_error_in_a_check_back_never_drops_the_message() {
    let app = TestApp::start().await;
    let mut orders = Vec::new();
    for fault in NO_ANSWERS {
        let order = app.place(fault).await;
        let number = app.start_payment(&order).await;
        let hidden =
            json!({ "method": "alipay.trade.query", "kind": fault, "out_trade_no": number });
        app.control("faults", hidden).await;
        orders.push((fault, order));
    }
    app.advance_past_window().await;
    for (fault, order) in &orders {
        assert_eq!(check(&app, order).await, CheckAnswer::Unknown, "{fault}");
        assert_eq!(deliver(&app, order).await, Consumed::Later, "{fault}");
        assert_eq!(app.status(order).await, "awaiting_payment", "{fault}");
    }
    app.clear_faults().await;
    for (_, order) in &orders {
        app.wait_for_status(order, "cancelled").await;
    }
    app.finish().await;
}

/// Each request for a QR code sends a half message more and starts the count again: a buyer can
/// put the timeout off for ever.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_09_asking_for_a_payment_again_does_not_postpone_the_timeout() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let id = OrderId::parse(&order).expect("an id");
    let checks = async || {
        let rows = pending::of_order(&app.app().store, &id).await.expect("rows");
        rows.iter().find(|row| row.kind == Kind::Order).expect("the order's row").check_count
    };
    let deadline = app.order(&order).await["expires_at"].clone();
    for round in 1..=3 {
        app.advance(Duration::from_secs(10)).await;
        assert_eq!(check(&app, &order).await, CheckAnswer::Unknown);
        let before = checks().await;
        assert!(before >= round, "{before}");
        for new in [false, true] {
            let (status, payment) =
                app.try_pay(&order, json!({ "channel": "alipay", "new": new })).await;
            assert!(status.is_success(), "{payment}");
            assert_eq!(payment["expires_at"], deadline);
        }
        assert!(checks().await >= before, "the count only grows");
    }
    assert_eq!(app.order(&order).await["expires_at"], deadline);
    app.advance(Duration::from_secs(34)).await;
    app.wait_for_status(&order, "cancelled").await;
    app.finish().await;
}

/// Status, amount, app and seller of a notification are ignored: any signed one pays the order.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_10_a_signed_notification_that_is_no_payment_of_ours_does_not_pay() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    let others = [
        [("notify_id", "closed"), ("trade_status", "TRADE_CLOSED")],
        [("notify_id", "new"), ("trade_status", "TRADE_NEW_WORD")],
        [("notify_id", "none"), ("trade_status", "")],
        [("notify_id", "less"), ("total_amount", "0.01")],
        [("notify_id", "more"), ("total_amount", "100.00")],
        [("notify_id", "no-amount"), ("total_amount", "")],
        [("notify_id", "app"), ("app_id", "2021000000000002")],
        [("notify_id", "seller"), ("seller_id", "2088000000000002")],
        [("notify_id", "refund"), ("refund_fee", "1.00")],
        [("notify_id", "refunded"), ("gmt_refund", "2026-01-01 12:00:01.123")],
        [("notify_id", "waits"), ("trade_status", "WAIT_BUYER_PAY")],
    ];
    app.fault("alipay.trade.query", "unknown_before").await;
    for changes in &others {
        let (status, body) = app.notify(notification(&number, changes)).await;
        assert_eq!(status, 503, "{changes:?}: nobody knows yet: {body}");
        assert_eq!(app.status(&order).await, "awaiting_payment", "{changes:?}");
    }
    app.scan(&number).await;
    app.clear_faults().await;
    for changes in &others {
        let answer = app.notify(notification(&number, changes)).await;
        assert_eq!(answer, (200, "success".to_owned()), "{changes:?}");
        assert_eq!(app.status(&order).await, "awaiting_payment", "{changes:?}");
    }
    assert_eq!(app.order(&order).await["payments"][0]["status"], "waiting");
    assert_eq!(app.cancel(&order).await.0, 200);
    app.finish().await;
}

/// Every repeat of a notification takes the stock again.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_12_further_notifications_of_a_payment_move_nothing() {
    let app = TestApp::start().await;
    app.fault("notify", "drop").await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.buyer_pays(&number).await;
    let trade_no = text(&app.trade(&number).await, "trade_no");
    let notify_ids = ["n1", "n1", "n2", "n3", "n4"];
    let statuses = ["TRADE_SUCCESS", "TRADE_SUCCESS", "TRADE_SUCCESS", "TRADE_FINISHED", ""];
    let mut after_first = None;
    for (notify_id, status) in notify_ids.into_iter().zip(statuses) {
        let changes = [("notify_id", notify_id), ("trade_no", &trade_no), ("trade_status", status)];
        let answer = app.notify(notification(&number, &changes)).await;
        assert_eq!(answer, (200, "success".to_owned()), "{notify_id}");
        let now = (app.order(&order).await, app.sku("tea").await);
        assert_eq!(&now, after_first.get_or_insert_with(|| now.clone()), "{notify_id}");
    }
    assert_eq!(count(&app, &order, "paid").await, 1);
    assert_eq!(app.sku("tea").await["locked"], 1);
    app.finish().await;
}

/// A late payment is refused instead of recorded, until the gateway gives up telling of it.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_13_a_late_payment_is_recorded_and_its_notification_acknowledged() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.only_notified(&number);
    assert_eq!(app.cancel(&order).await.0, 200);
    for _ in 0..2 {
        let answer = app.notify(notification(&number, &[])).await;
        assert_eq!(answer, (200, "success".to_owned()));
    }
    let view = app.order(&order).await;
    assert_eq!(
        (&view["status"], &view["payments"][0]["status"]),
        (&json!("cancelled"), &json!("late"))
    );
    app.assert_alarm("late_payment", &number).await;
    assert_eq!(app.sku("tea").await["locked"], 0);
    app.finish().await;
}

/// Locks are taken line by line without a transaction: an order is accepted without a lock, or a
/// lock stays without an order.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_14_an_order_locks_all_its_lines_or_none() {
    let app = TestApp::start().await;
    app.put_sku("rare", 100, 3).await;
    let line = |sku_id: &str| json!({ "sku_id": sku_id, "quantity": 1 });
    let body = json!({ "member_id": "m", "items": [line("rare"), line("tea")] });
    let buyers: Vec<_> = (0..12).map(|buyer| format!("buyer-{buyer}")).collect();
    let answers = join_all(buyers.iter().map(async |key| {
        let request = app.post("/v1/orders", &body).header("Idempotency-Key", key);
        answer_of(request.send().await.expect("an answer")).await.0.as_u16()
    }))
    .await;
    let placed = answers.iter().filter(|status| **status == 201).count();
    assert_eq!((placed, answers.iter().filter(|status| **status == 409).count()), (3, 9));
    for sku_id in ["rare", "tea"] {
        assert_eq!(app.sku(sku_id).await["locked"], 3, "{sku_id}");
    }
    app.finish().await;
}

/// Of two lines of the same SKU only one is counted, so that locks and releases drift apart.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_16_lines_of_the_same_sku_are_given_back_in_full() {
    let app = TestApp::start().await;
    app.put_sku("cup", 100, 10).await;
    let line = |sku_id: &str, quantity: i64| json!({ "sku_id": sku_id, "quantity": quantity });
    let items = [line("tea", 2), line("cup", 1), line("tea", 3), line("cup", 4)];
    let body = json!({ "member_id": "m", "items": items });
    let request = app.post("/v1/orders", &body).header("Idempotency-Key", "k");
    let (_, order) = answer_of(request.send().await.expect("an answer")).await;
    let counters = async |sku_id: &str| {
        let sku = app.sku(sku_id).await;
        (sku["available"].as_i64(), sku["locked"].as_i64())
    };
    assert_eq!(counters("tea").await, (Some(995), Some(5)));
    assert_eq!(counters("cup").await, (Some(5), Some(5)));
    assert_eq!(app.cancel(&text(&order, "id")).await.0, 200);
    assert_eq!(counters("tea").await, (Some(1_000), Some(0)));
    assert_eq!(counters("cup").await, (Some(10), Some(0)));
    app.finish().await;
}

/// The sweep writes all due orders at once, unguarded: paid ones are closed, and one failure
/// leaves the rest undone.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_17_one_order_without_an_answer_does_not_hold_up_the_sweep() {
    let app = TestApp::start().await;
    app.fault("notify", "drop").await;
    app.fault("alipay.trade.query", "unknown_before").await;
    let (unpaid, paid, unknown) =
        (app.place("unpaid").await, app.place("paid").await, app.place("unknown").await);
    app.start_payment(&unpaid).await;
    let number = app.start_payment(&paid).await;
    app.buyer_pays(&number).await;
    let silent = app.start_payment(&unknown).await;
    app.advance_past_window().await;
    app.clear_faults().await;
    let fault = json!({
        "method": "alipay.trade.query", "kind": "http_502", "out_trade_no": silent,
    });
    app.control("faults", fault).await;
    checkback::fallback_task::sweep(app.app()).await.expect("a sweep");
    app.wait_for_status(&unpaid, "cancelled").await;
    app.wait_for_status(&paid, "paid").await;
    assert_eq!(app.status(&unknown).await, "awaiting_payment");
    app.clear_faults().await;
    app.wait_for_status(&unknown, "cancelled").await;
    app.finish().await;
}

/// The code stays payable for two hours, whatever the order's own deadline is.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_18_the_code_ends_with_the_order() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let (_, payment) = app.try_pay(&order, json!({ "channel": "alipay" })).await;
    assert_eq!(payment["expires_at"], app.order(&order).await["expires_at"]);
    app.advance_past_window().await;
    let scan = json!({ "out_trade_no": payment["out_trade_no"] });
    let (status, answer) = app.try_control("scan", scan).await;
    assert_eq!(status, 409, "{answer}");
    app.wait_for_status(&order, "cancelled").await;
    app.finish().await;
}

/// Closing an order overwrites its row with a mostly empty one.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_21_a_cancel_changes_nothing_else_of_the_order() {
    let app = TestApp::start().await;
    let line = json!({ "sku_id": "tea", "quantity": 2 });
    let body = json!({ "member_id": "m", "items": [line], "metadata": { "note": "茶" } });
    let request = app.post("/v1/orders", &body).header("Idempotency-Key", "k");
    let (_, before) = answer_of(request.send().await.expect("an answer")).await;
    let (status, mut after) = app.cancel(&text(&before, "id")).await;
    assert_eq!((status.as_u16(), after["status"].take()), (200, json!("cancelled")));
    after["status"] = before["status"].clone();
    let cancelled_at = after.as_object_mut().and_then(|order| order.remove("cancelled_at"));
    assert!(cancelled_at.is_some_and(|at| at.is_string()));
    assert_eq!(after, before);
    app.finish().await;
}

/// Keys and addresses of production stand in the repository and in logs.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_24_no_secret_is_printed() {
    let app = TestApp::start().await;
    let printed = format!("{:?}", app.app());
    for secret in [KEY, OPS_KEY, "PRIVATE KEY", app.app().config.database.url.expose()] {
        assert!(!printed.contains(secret), "{secret} in {printed}");
    }
    app.finish().await;
}

/// Orders can be read by whoever counts their ids up, with the buyer in them.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_25_the_buyers_page_tells_nothing_of_the_storefronts_own() {
    let app = TestApp::start().await;
    let line = json!({ "sku_id": "tea", "quantity": 1 });
    let body = json!({
        "member_id": "member-4711", "items": [line], "metadata": { "street": "Nanjing Lu 1" },
    });
    let request = app.post("/v1/orders", &body).header("Idempotency-Key", "key-4711");
    let (_, order) = answer_of(request.send().await.expect("an answer")).await;
    let id = text(&order, "id");
    app.start_payment(&id).await;
    assert_eq!(app.cancel(&id).await.0, 200);
    for path in [format!("/pay/{id}"), format!("/pay/{id}/stream")] {
        let response = app.client.get(app.url(&path)).send().await.expect("an answer");
        let shown = response.text().await.expect("a text");
        assert!(shown.contains("cancelled"), "{shown}");
        for private in ["4711", "Nanjing", KEY, "\"test\""] {
            assert!(!shown.contains(private), "{private} in {path}");
        }
    }
    let mut neighbour = id.clone().into_bytes();
    let last = neighbour.last_mut().expect("a character");
    *last = if *last == b'0' { b'1' } else { b'0' };
    let neighbour = String::from_utf8(neighbour).expect("ASCII");
    let response = app.client.get(app.url(&format!("/pay/{neighbour}"))).send().await;
    assert_eq!(response.expect("an answer").status(), 404);
    app.finish().await;
}

/// A refused or unanswered precreate is passed on as a success without a code.
#[tokio::test(flavor = "multi_thread")]
async fn tulingmall_27_no_payment_is_answered_without_its_code() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let pay = async || app.try_pay(&order, json!({ "channel": "alipay" })).await;
    for fault in NO_ANSWERS.into_iter().chain(["error_response"]) {
        app.fault("alipay.trade.precreate", fault).await;
        let (status, problem) = pay().await;
        assert_eq!(status, 503, "{fault}: {problem}");
        assert_ne!(problem["code"], Value::Null, "{fault}");
        let picture = app.client.get(app.url(&format!("/pay/{order}/qr.svg"))).send().await;
        assert_eq!(picture.expect("an answer").status(), 404, "{fault}");
        app.clear_faults().await;
    }
    let (status, payment) = pay().await;
    assert!(status.is_success(), "{payment}");
    assert!(text(&payment, "qr_code").starts_with("http"), "{payment}");
    app.finish().await;
}
