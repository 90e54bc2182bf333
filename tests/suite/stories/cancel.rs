//! The buyer's cancel.

use serde_json::json;

use crate::support::{TestApp, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_has_three_answers() {
    let app = TestApp::start().await;
    let unpaid = app.place("unpaid").await;
    let (status, view) = app.cancel(&unpaid).await;
    assert_eq!((status.as_u16(), text(&view, "status")), (200, "cancelled".to_owned()));
    assert_eq!(app.cancel(&unpaid).await.0, 200, "again");

    let paid = app.place("paid").await;
    let number = app.start_payment(&paid).await;
    app.buyer_pays(&number).await;
    app.wait_for_status(&paid, "paid").await;
    let (status, problem) = app.cancel(&paid).await;
    assert_eq!((status.as_u16(), text(&problem, "code")), (409, "order_paid".to_owned()));

    let unknown = app.place("unknown").await;
    app.start_payment(&unknown).await;
    app.fault("alipay.trade.query", "unknown_before").await;
    let (status, view) = app.cancel(&unknown).await;
    assert_eq!((status.as_u16(), text(&view, "status")), (202, "awaiting_payment".to_owned()));
    let (status, problem) = app.try_pay(&unknown, json!({ "channel": "alipay" })).await;
    assert_eq!((status.as_u16(), text(&problem, "code")), (409, "order_cancelled".to_owned()));
    app.clear_faults().await;
    app.wait_for_status(&unknown, "cancelled").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_while_the_buyer_pays_is_never_both_and_never_neither() {
    let app = TestApp::start().await;
    for round in 0..10 {
        let order = app.place(&format!("k{round}")).await;
        let number = app.start_payment(&order).await;
        app.scan(&number).await;
        let (cancelled, paid) = tokio::join!(
            app.cancel(&order),
            app.try_control("pay", json!({ "out_trade_no": number, "force": true }))
        );
        assert!(paid.0.is_success(), "{}", paid.1);
        assert!(matches!(cancelled.0.as_u16(), 200 | 202 | 409), "{}", cancelled.0);
        crate::support::wait_until("applied, or late", async || {
            let view = app.order(&order).await;
            let status = (text(&view, "status"), text(&view["payments"][0], "status"));
            status == ("paid".to_owned(), "applied".to_owned())
                || status == ("cancelled".to_owned(), "late".to_owned())
        })
        .await;
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_was_stored_is_finished_by_the_sweep() {
    let app = TestApp::start_without_broker().await;
    let order = app.place("k").await;
    app.start_payment(&order).await;
    app.fault("alipay.trade.query", "http_502").await;
    assert_eq!(app.cancel(&order).await.0, 202);
    app.clear_faults().await;
    app.advance(std::time::Duration::from_secs(10)).await;
    checkback::fallback_task::sweep(app.app()).await.expect("a sweep");
    app.wait_for_status(&order, "cancelled").await;
    app.finish().await;
}
