//! Closing and cancelling at the gateway while it is slow, silent or ahead of us. More of it is in
//! `timeout` (an unscanned code, a close without an answer, one whose answer is lost) and in
//! `payment` (a query that forgets a trade, or never showed it).

use std::time::Duration;

use checkback::domain::gateway::CancelOutcome;
use serde_json::json;

use crate::support::{TestApp, text, wait_until};

const CLOSE: &str = "alipay.trade.close";
/// The query is this far behind.
const LAG: Duration = Duration::from_secs(20);

/// An order whose code was scanned long ago, so that a query that lags behind shows that.
async fn scanned(app: &TestApp, key: &str) -> (String, String) {
    let order = app.place(key).await;
    let trade = app.start_payment(&order).await;
    app.scan(&trade).await;
    app.advance(LAG + Duration::from_secs(10)).await;
    (order, trade)
}

async fn lag_behind(app: &TestApp) {
    let ms = u64::try_from(LAG.as_millis()).expect("a short time");
    let fault = json!({ "method": "alipay.trade.query", "kind": "stale_query", "delay_ms": ms });
    app.control("faults", fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_that_is_refused_because_the_buyer_has_paid_cancels_nothing() {
    let app = TestApp::start().await;
    app.fault("notify", "drop").await;
    let (order, trade) = scanned(&app, "k").await;
    lag_behind(&app).await;
    app.buyer_pays(&trade).await;
    let (status, view) = app.cancel(&order).await;
    assert_eq!((status.as_u16(), text(&view, "status")), (202, "awaiting_payment".to_owned()));
    app.clear_faults().await;
    app.fault("notify", "drop").await;
    app.wait_for_status(&order, "paid").await;
    assert_eq!(app.order(&order).await["payments"][0]["status"], "applied");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_who_pays_while_the_trade_is_closed_has_paid_or_can_not_pay() {
    let app = TestApp::start().await;
    for round in 0..8 {
        let order = app.place(&format!("k{round}")).await;
        let trade = app.start_payment(&order).await;
        app.scan(&trade).await;
        let (cancelled, paid) = tokio::join!(
            app.cancel(&order),
            app.try_control("pay", json!({ "out_trade_no": trade }))
        );
        assert!(matches!(cancelled.0.as_u16(), 200 | 202 | 409), "{}", cancelled.1);
        if paid.0.is_success() {
            app.wait_for_status(&order, "paid").await;
        } else {
            app.wait_for_status(&order, "cancelled").await;
            assert_eq!(app.trade(&trade).await["state"], "TRADE_CLOSED");
        }
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_that_nobody_answers_is_an_unknown_whether_it_was_done_or_not() {
    for kind in ["timeout_before", "timeout_after", "reset", "unknown_after", "wrong_sign"] {
        let app = TestApp::start().await;
        let order = app.place("k").await;
        let trade = app.start_payment(&order).await;
        app.scan(&trade).await;
        app.fault_on(&trade, CLOSE, kind, Some(1)).await;
        let (status, view) = app.cancel(&order).await;
        assert!(matches!(status.as_u16(), 200 | 202), "{kind}: {status} {view}");
        app.clear_faults().await;
        app.wait_for_status(&order, "cancelled").await;
        assert_eq!(app.trade(&trade).await["state"], "TRADE_CLOSED", "{kind}");
        assert_eq!(app.sku("tea").await["available"], 1_000, "{kind}");
        app.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_gave_the_money_back_ends_an_order_that_awaits_payment() {
    let app = TestApp::start().await;
    app.fault("notify", "drop").await;
    let order = app.place("k").await;
    let trade = app.start_payment(&order).await;
    app.fault("alipay.trade.query", "http_502").await;
    app.buyer_pays(&trade).await;
    let cancelled = app.app().gateways[0].cancel(&trade, app.app().now()).await;
    assert!(matches!(cancelled, CancelOutcome::Returned(_)), "{cancelled:?}");
    app.clear_faults().await;
    wait_until("payment and return are recorded", async || {
        let payment = app.order(&order).await["payments"][0].clone();
        (&payment["status"], &payment["refunded_fen"]) == (&json!("closed"), &json!(100))
    })
    .await;
    app.event(&order, "payment_returned").await;
    app.advance_past_window().await;
    app.wait_for_status(&order, "cancelled").await;
    assert_eq!(app.sku("tea").await["available"], 1_000);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_gave_the_money_back_walks_a_refused_refunds_order_back() {
    let app = TestApp::start().await;
    let (order, trade) = app.place_paid("k", 2).await;
    let cancelled = app.app().gateways[0].cancel(&trade, app.app().now()).await;
    assert!(matches!(cancelled, CancelOutcome::Returned(_)), "{cancelled:?}");
    // Nothing tells of it; ours is refused, and the reason is looked for.
    app.refund(&order, "r1", Some(50)).await;
    app.wait_for_refund(&order, "r1", "refused").await;
    app.wait_for_status(&order, "refunded").await;
    app.assert_alarm("returned_elsewhere", &trade).await;
    assert_eq!(app.order(&order).await["refunded_fen"], 200);
    app.finish().await;
}
