//! Payments that no order can take by itself: of a wrong amount, or of a number that no attempt
//! has. An operator decides, once.

use checkback::alipay::Precreate;
use checkback::domain::gateway::PrecreateOutcome;
use checkback::domain::money::Fen;
use serde_json::{Value, json};

use crate::support::{TestApp, notification, text, wait_until};

/// An order with a payment of another amount than asked.
pub(super) async fn wrong_amount(
    app: &TestApp,
    key: &str,
    sku: &str,
    yuan: &str,
) -> (String, String) {
    let (status, order) = app.try_place(key, sku, 1).await;
    assert_eq!(status, 201, "{order}");
    let order = text(&order, "id");
    let trade = app.start_payment(&order).await;
    app.control("pay", json!({ "out_trade_no": trade, "amount": yuan })).await;
    wait_until("the payment is quarantined", async || {
        app.order(&order).await["payments"][0]["status"] == "wrong_amount"
    })
    .await;
    app.assert_alarm("wrong_amount", &trade).await;
    (order, trade)
}

/// A payment of a number with our prefix that no attempt has: an earlier life of the database had.
pub(crate) async fn orphan(app: &TestApp, number: &str, fen: i64) {
    let trade = Precreate {
        out_trade_no: number,
        total: Fen::new(fen).expect("an amount"),
        subject: "an order of another life",
        time_expire: app.app().now() + chrono::Duration::minutes(5),
    };
    let code = app.app().gateways[0].precreate(&trade, app.app().now()).await;
    assert!(matches!(code, PrecreateOutcome::QrCode(_)), "{code:?}");
    app.buyer_pays(number).await;
    let alarm = ("orphan_payment".to_owned(), number.to_owned());
    wait_until("it is alarmed", async || app.open_alarms().await.contains(&alarm)).await;
}

async fn has_alarm(app: &TestApp, subject: &str) -> bool {
    app.open_alarms().await.iter().any(|(_, about)| about == subject)
}

async fn accept(app: &TestApp, trade: &str) -> (u16, Value) {
    app.decide(&format!("payments/{trade}/accept"), json!({})).await
}

pub(super) async fn give_back(app: &TestApp, trade: &str) -> (u16, Value) {
    app.decide(&format!("payments/{trade}/refund"), json!({ "reason": "a mistake" })).await
}

pub(super) async fn attach(app: &TestApp, trade: &str, order: &str) -> (u16, Value) {
    app.decide(&format!("payments/{trade}/attach"), json!({ "order_id": order })).await
}

/// Waits until all of a trade went back, in one refund.
async fn wait_until_back(app: &TestApp, trade: &str, yuan: &str) {
    wait_until(&format!("{trade} is back"), async || {
        app.refunds_at_gateway(trade).await.len() == 1 && !has_alarm(app, trade).await
    })
    .await;
    assert_eq!(app.refunds_at_gateway(trade).await[0].1, yuan);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_amount_that_is_accepted_pays_the_order_with_what_was_paid() {
    let app = TestApp::start().await;
    let (order, trade) = wrong_amount(&app, "k", "tea", "0.90").await;
    assert_eq!(app.status(&order).await, "awaiting_payment");
    let (status, answer) = accept(&app, &trade).await;
    assert_eq!((status, &answer["order_id"]), (200, &json!(order)), "{answer}");
    let view = app.order(&order).await;
    assert_eq!((&view["status"], &view["amount_fen"]), (&json!("paid"), &json!(90)));
    assert_eq!(view["payments"][0]["status"], "applied");
    assert_eq!(text(&app.event(&order, "paid").await, "actor"), "test");
    assert!(!has_alarm(&app, &trade).await);
    assert_eq!(accept(&app, &trade).await.0, 409);
    app.advance_past_window().await;
    app.refund(&order, "r1", None).await;
    app.wait_for_status(&order, "refunded").await;
    wait_until_back(&app, &trade, "0.90").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_takes_a_wrong_amount_only_with_stock() {
    let app = TestApp::start().await;
    app.put_sku("rare", 100, 1).await;
    let (order, trade) = wrong_amount(&app, "k", "rare", "1.20").await;
    app.advance_past_window().await;
    app.wait_for_status(&order, "cancelled").await;
    let (status, other) = app.try_place("other", "rare", 1).await;
    assert_eq!(status, 201, "{other}");
    let (status, problem) = accept(&app, &trade).await;
    assert_eq!((status, text(&problem, "code")), (409, "out_of_stock".to_owned()));
    assert_eq!(app.status(&order).await, "cancelled");
    assert_eq!(app.cancel(&text(&other, "id")).await.0, 200);
    assert_eq!(accept(&app, &trade).await.0, 200);
    assert_eq!(app.status(&order).await, "paid");
    let sku = app.sku("rare").await;
    assert_eq!((&sku["available"], &sku["locked"]), (&json!(0), &json!(1)));
    assert_eq!(text(&app.event(&order, "paid").await, "from"), "cancelled");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_amount_that_is_given_back_leaves_its_order_alone() {
    let app = TestApp::start().await;
    let (order, trade) = wrong_amount(&app, "k", "tea", "1.50").await;
    let (status, answer) = give_back(&app, &trade).await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!(give_back(&app, &trade).await.1["out_request_no"], answer["out_request_no"]);
    assert_eq!(accept(&app, &trade).await.0, 409);
    wait_until_back(&app, &trade, "1.50").await;
    assert_eq!(app.status(&order).await, "awaiting_payment");
    assert_eq!(accept(&app, &trade).await.0, 409, "its money is gone");
    assert_eq!(text(&app.event(&order, "refund_requested").await, "actor"), "test");
    let second = app.try_pay(&order, json!({ "channel": "alipay", "new": true })).await.1;
    app.buyer_pays(&text(&second, "out_trade_no")).await;
    app.wait_for_status(&order, "paid").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accepting_and_giving_back_at_once_is_one_of_both() {
    let app = TestApp::start().await;
    for round in 0..8 {
        let (order, trade) = wrong_amount(&app, &format!("k{round}"), "tea", "0.50").await;
        let (accepted, given_back) = tokio::join!(accept(&app, &trade), give_back(&app, &trade));
        match (accepted.0, given_back.0) {
            (200, 409) => {
                assert_eq!(app.status(&order).await, "paid");
                assert!(app.refunds(&order).await.is_empty());
                assert!(!has_alarm(&app, &trade).await);
            }
            (409, 202) => {
                wait_until_back(&app, &trade, "0.50").await;
                assert_eq!(app.status(&order).await, "awaiting_payment");
            }
            _ => panic!("{accepted:?} {given_back:?}"),
        }
    }
    app.advance_past_window().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_becomes_the_payment_of_the_order_that_it_is_given_to() {
    let app = TestApp::start().await;
    orphan(&app, "CBotherlife", 100).await;
    let recorded = r#"checkback_payments_total{status="orphan",in_time="false"}"#;
    wait_until("it is counted", async || app.metric(recorded).await == 1).await;
    let order = app.place("k").await;
    assert_eq!(attach(&app, "CBotherlife", "00000000000000000000000000").await.0, 404);
    let (status, answer) = attach(&app, "CBotherlife", &order).await;
    assert_eq!(status, 200, "{answer}");
    app.wait_for_status(&order, "paid").await;
    assert_eq!(text(&app.event(&order, "payment_attached").await, "actor"), "test");
    assert!(!has_alarm(&app, "CBotherlife").await);
    assert_eq!(attach(&app, "CBotherlife", &order).await.0, 409);
    assert_eq!(give_back(&app, "CBotherlife").await.0, 409);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_that_its_order_can_not_take_goes_back_or_is_quarantined() {
    let app = TestApp::start().await;
    orphan(&app, "CBlate", 100).await;
    let cancelled = app.place("cancelled").await;
    assert_eq!(app.cancel(&cancelled).await.0, 200);
    assert_eq!(attach(&app, "CBlate", &cancelled).await.0, 200);
    app.wait_until_given_back(&cancelled, "CBlate", "late").await;
    assert_eq!(app.status(&cancelled).await, "cancelled");

    orphan(&app, "CBwrong", 70).await;
    let awaiting = app.place("awaiting").await;
    assert_eq!(attach(&app, "CBwrong", &awaiting).await.0, 200);
    wait_until("it is quarantined", async || {
        app.order(&awaiting).await["payments"][0]["status"] == "wrong_amount"
    })
    .await;
    app.assert_alarm("wrong_amount", "CBwrong").await;

    orphan(&app, "CBtwice", 100).await;
    let (paid, _) = app.place_paid("paid", 1).await;
    assert_eq!(attach(&app, "CBtwice", &paid).await.0, 200);
    app.wait_until_given_back(&paid, "CBtwice", "duplicate").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_that_the_gateway_is_silent_about_is_settled_later() {
    let app = TestApp::start().await;
    orphan(&app, "CBsilent", 100).await;
    let order = app.place("k").await;
    app.fault("alipay.trade.query", "http_502").await;
    assert_eq!(attach(&app, "CBsilent", &order).await.0, 200);
    assert_eq!(app.status(&order).await, "awaiting_payment");
    app.clear_faults().await;
    app.advance(std::time::Duration::from_secs(10)).await;
    app.wait_for_status(&order, "paid").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_order_waits_for_an_orphan_that_the_gateway_denies() {
    let app = TestApp::start().await;
    let told = notification("CBdenied", &[("notify_id", "n1")]);
    assert_eq!(app.notify(told).await, (200, "success".to_owned()));
    app.only_notified("CBdenied");
    let order = app.place("k").await;
    let (status, problem) = attach(&app, "CBdenied", &order).await;
    assert_eq!((status, text(&problem, "code")), (409, "payment_not_confirmed".to_owned()));
    app.assert_alarm("orphan_payment", "CBdenied").await;
    app.advance_past_window().await;
    app.wait_for_status(&order, "cancelled").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_given_back_once() {
    let app = TestApp::start().await;
    orphan(&app, "CBback", 100).await;
    let asked = tokio::join!(give_back(&app, "CBback"), give_back(&app, "CBback"));
    let numbers = [&asked.0.1["out_request_no"], &asked.1.1["out_request_no"]];
    assert!(asked.0.0 == 202 || asked.1.0 == 202, "{asked:?}");
    assert!(numbers[0] == numbers[1] || asked.0.0 == 409 || asked.1.0 == 409, "{asked:?}");
    wait_until_back(&app, "CBback", "1.00").await;
    let order = app.place("k").await;
    assert_eq!(attach(&app, "CBback", &order).await.0, 409);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_given_to_an_order_or_given_back() {
    let app = TestApp::start().await;
    for round in 0..6 {
        let number = format!("CBeither{round}");
        orphan(&app, &number, 100).await;
        let order = app.place(&format!("k{round}")).await;
        let (attached, given_back) =
            tokio::join!(attach(&app, &number, &order), give_back(&app, &number));
        match (attached.0, given_back.0) {
            (200, 409) => app.wait_for_status(&order, "paid").await,
            (409, 202) => wait_until_back(&app, &number, "1.00").await,
            _ => panic!("{attached:?} {given_back:?}"),
        }
    }
    app.finish().await;
}
