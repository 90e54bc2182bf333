//! Payments of which somebody else gave a part back, and refunds that outlive what was decided
//! about their payment: nothing stays behind, and nothing goes back twice.

use std::time::Duration;

use serde_json::{Value, json};

use super::quarantine::{attach, give_back, orphan, wrong_amount};
use super::refused_refunds::{is_alarmed, refund_notification};
use crate::support::{TestApp, notification, text, wait_until};

const REFUND_QUERY: &str = "alipay.trade.fastpay.refund.query";
/// Past the window in which the gateway refunds.
const A_YEAR: Duration = Duration::from_hours(366 * 24);

async fn yuan_back(app: &TestApp, trade: &str) -> Vec<String> {
    app.refunds_at_gateway(trade).await.into_iter().map(|(_, yuan)| yuan).collect()
}

async fn refunded_fen(app: &TestApp, order: &str) -> Value {
    app.order(order).await["payments"][0]["refunded_fen"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_refund_of_an_orphan_moves_the_order_that_the_orphan_was_given_to() {
    let app = TestApp::start().await;
    orphan(&app, "CBORPHAN1", 100).await;
    app.advance(A_YEAR).await;
    let (status, refund) = give_back(&app, "CBORPHAN1").await;
    assert_eq!(status, 202, "{refund}");
    let number = text(&refund, "out_request_no");
    wait_until("it is refused", async || is_alarmed(&app, "refund_refused", &number).await).await;
    let order = app.place("k").await;
    assert_eq!(attach(&app, "CBORPHAN1", &order).await.0, 200);
    app.wait_for_status(&order, "paid").await;
    let reference = json!({ "reference": "bank 1" });
    let path = format!("refunds/{number}/paid-elsewhere");
    assert_eq!(app.decide(&path, reference).await.0, 204);
    let view = app.order(&order).await;
    assert_eq!((&view["status"], &view["refunded_fen"]), (&json!("refunded"), &json!(100)));
    assert!(!is_alarmed(&app, "refund_refused", &number).await);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_wrong_amount_goes_back_after_a_part_went_back_elsewhere() {
    let app = TestApp::start().await;
    let (order, trade) = wrong_amount(&app, "k", "tea", "0.90").await;
    app.give_back_elsewhere(&trade, "CONSOLE-1", 30).await;
    wait_until("it is recorded", async || refunded_fen(&app, &order).await == 30).await;
    assert_eq!(give_back(&app, &trade).await.0, 202);
    wait_until("all is back", async || refunded_fen(&app, &order).await == 90).await;
    assert_eq!(yuan_back(&app, &trade).await, ["0.30", "0.60"]);
    assert!(!is_alarmed(&app, "wrong_amount", &trade).await);
    assert_eq!(give_back(&app, &trade).await.0, 202, "it is the same refund");
    assert_eq!(yuan_back(&app, &trade).await.len(), 2);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_late_payment_goes_back_after_its_refund_was_refused() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let trade = app.start_payment(&order).await;
    app.scan(&trade).await;
    assert_eq!(app.cancel(&order).await.0, 200);
    app.fault("notify", "drop").await;
    app.control("pay", json!({ "out_trade_no": trade, "force": true })).await;
    app.give_back_elsewhere(&trade, "CONSOLE-1", 30).await;
    let paid = notification(&trade, &[("notify_id", "n1")]);
    assert_eq!(app.notify(paid).await, (200, "success".to_owned()));
    app.advance(Duration::from_mins(1)).await;
    let refused = app.wait_for_refund(&order, "checkback:late", "refused").await;
    let number = text(&refused, "out_request_no");
    app.assert_alarm("refund_refused", &number).await;
    let told = refund_notification(&trade, "n2", "1.00", "CONSOLE-1", "0.30");
    assert_eq!(app.notify(told).await, (200, "success".to_owned()));
    assert_eq!(refunded_fen(&app, &order).await, 30);
    assert_eq!(give_back(&app, &trade).await.0, 202);
    wait_until("all is back", async || refunded_fen(&app, &order).await == 100).await;
    assert_eq!(yuan_back(&app, &trade).await, ["0.30", "0.70"]);
    for (kind, subject) in [("late_payment", &trade), ("refund_refused", &number)] {
        assert!(!is_alarmed(&app, kind, subject).await, "{kind}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_refund_that_shows_late_is_told_of_again_until_it_shows() {
    let app = TestApp::start().await;
    let (order, trade) = app.place_paid("k", 3).await;
    app.fault("notify", "drop").await;
    app.fault_on(&trade, REFUND_QUERY, "refund_visible_late", None).await;
    app.give_back_elsewhere(&trade, "CONSOLE-1", 120).await;
    let told = refund_notification(&trade, "n2", "3.00", "CONSOLE-1", "1.20");
    assert_ne!(app.notify(told.clone()).await.1, "success", "it must come again");
    assert_eq!(app.order(&order).await["refunded_fen"], 0);
    app.clear_faults().await;
    assert_eq!(app.notify(told).await, (200, "success".to_owned()));
    assert_eq!(app.order(&order).await["refunded_fen"], 120);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_went_back_twice_by_other_means_and_by_the_console_is_alarmed() {
    let app = TestApp::start().await;
    let (order, trade) = app.place_paid("k", 1).await;
    app.fault("notify", "drop").await;
    app.advance(A_YEAR).await;
    app.refund(&order, "r1", None).await;
    let refused = app.wait_for_refund(&order, "r1", "refused").await;
    let path = format!("refunds/{}/paid-elsewhere", text(&refused, "out_request_no"));
    assert_eq!(app.decide(&path, json!({ "reference": "bank 1" })).await.0, 204);
    let told = refund_notification(&trade, "n2", "1.00", "CONSOLE-1", "1.00");
    assert_ne!(app.notify(told).await.1, "success", "the gateway does not show it yet");
    app.assert_alarm("gateway_contradiction", &trade).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_is_given_up_here_and_shown_by_the_gateway_is_alarmed() {
    let app = TestApp::start().await;
    let (order, trade) = app.place_paid("k", 3).await;
    let refusal = json!({
        "method": "alipay.trade.refund", "kind": "business_failure",
        "sub_code": "ACQ.TRADE_STATUS_ERROR", "out_trade_no": trade,
    });
    app.control("faults", refusal).await;
    app.refund(&order, "r1", Some(100)).await;
    let refused = app.wait_for_refund(&order, "r1", "refused").await;
    let number = text(&refused, "out_request_no");
    app.clear_faults().await;
    app.fault("notify", "drop").await;
    app.give_back_elsewhere(&trade, &number, 100).await;
    let told = refund_notification(&trade, "n2", "3.00", &number, "1.00");
    assert_eq!(app.notify(told).await, (200, "success".to_owned()));
    app.assert_alarm("gateway_contradiction", &trade).await;
    assert_eq!(app.order(&order).await["refunded_fen"], 0);
    assert_eq!(app.decide(&format!("refunds/{number}/retry"), json!({})).await.0, 202);
    app.wait_for_refund(&order, "r1", "succeeded").await;
    assert_eq!(yuan_back(&app, &trade).await, ["1.00"], "the number moves no money twice");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_went_back_without_a_number_is_alarmed() {
    let app = TestApp::start().await;
    let (_, trade) = app.place_paid("k", 3).await;
    let told = |id: &str, refund_fee: &str| {
        notification(
            &trade,
            &[("notify_id", id), ("total_amount", "3.00"), ("refund_fee", refund_fee)],
        )
    };
    assert_eq!(app.notify(told("n2", "0.00")).await.0, 200);
    assert!(!is_alarmed(&app, "returned_elsewhere", &trade).await);
    assert_eq!(app.notify(told("n3", "1.20")).await.0, 200);
    app.assert_alarm("returned_elsewhere", &trade).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_trade_that_the_query_still_calls_paid_is_told_of_again() {
    let app = TestApp::start().await;
    let (order, trade) = app.place_paid("k", 3).await;
    app.fault("notify", "drop").await;
    app.fault_on(&trade, "alipay.trade.query", "stale_query", None).await;
    app.give_back_elsewhere(&trade, "CONSOLE-1", 300).await;
    let fields = [("notify_id", "n2"), ("total_amount", "3.00"), ("trade_status", "TRADE_CLOSED")];
    let told = notification(&trade, &fields);
    assert_ne!(app.notify(told.clone()).await.1, "success", "it must come again");
    app.clear_faults().await;
    assert_eq!(app.notify(told).await, (200, "success".to_owned()));
    app.wait_for_status(&order, "refunded").await;
    app.finish().await;
}
