//! Certificate mode, and keys of the gateway that change while orders wait: no answer is lost, and
//! none of an unknown key is believed.

use alipay_simulator::development_keys::{OTHER_CERT, OTHER_PUBLIC_KEY};

use crate::support::accounts::{use_certificates, write};
use crate::support::{TestApp, text, wait_until};

/// Starts a payment of a new order and returns the order with the payment's number.
async fn start(app: &TestApp, key: &str) -> (String, String) {
    let order = app.place(key).await;
    let number = app.start_payment(&order).await;
    (order, number)
}

/// Waits until a notification about it was answered, and returns the answer.
async fn answered(app: &TestApp, number: &str) -> String {
    let answers = async || app.trade(number).await["notifications"].clone();
    wait_until("a notification was answered", async || {
        let deliveries = answers().await;
        deliveries.as_array().is_some_and(|list| list.iter().any(|one| one["answered"].is_string()))
    })
    .await;
    text(&answers().await[0], "answered")
}

/// The buyer pays, and the gateway says nothing but its notification.
async fn is_paid_by_notification(app: &TestApp, key: &str) {
    let (order, number) = start(app, key).await;
    app.fault("alipay.trade.query", "http_502").await;
    app.buyer_pays(&number).await;
    app.wait_for_status(&order, "paid").await;
    assert_eq!(app.event(&order, "paid").await["actor"], "notify");
    assert_eq!(answered(app, &number).await, "success");
    app.clear_faults().await;
}

/// The buyer pays, and no notification arrives.
async fn is_paid_by_query(app: &TestApp, key: &str) {
    let (order, number) = start(app, key).await;
    app.fault("notify", "drop").await;
    app.buyer_pays(&number).await;
    app.advance_past_window().await;
    app.wait_for_status(&order, "paid").await;
    app.clear_faults().await;
}

/// A scanned order is cancelled, and its trade is closed.
async fn is_closed(app: &TestApp, key: &str) {
    let (order, number) = start(app, key).await;
    app.scan(&number).await;
    assert_eq!(app.cancel(&order).await.0, 200);
    assert_eq!(app.trade(&number).await["state"], "TRADE_CLOSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_notifications_and_closes_work_with_certificates() {
    let app = TestApp::start_with_certificates().await;
    is_paid_by_notification(&app, "notified").await;
    app.fault("notify", "unsigned_cert_sn").await;
    is_paid_by_notification(&app, "named").await;
    is_paid_by_query(&app, "queried").await;
    is_closed(&app, "closed").await;
    assert!(app.open_alarms().await.is_empty());
    for file in ["app_cert_file", "alipay_cert_file", "alipay_root_cert_file"] {
        let series =
            format!("checkback_certificate_end_timestamp_seconds{{certificate=\"alipay.{file}\"}}");
        assert!(app.metric(&series).await > 1_800_000_000, "{file}");
    }
    app.finish().await;
}

/// The gateway signs with another key all of a sudden: a buyer's payment stays unknown, and the
/// order waits.
async fn waits_unbelieving(app: &TestApp) -> String {
    let (order, number) = start(app, "waiting").await;
    app.fault("*", "other_key").await;
    app.fault("notify", "other_key").await;
    app.buyer_pays(&number).await;
    assert_ne!(answered(app, &number).await, "success");
    app.advance_past_window().await;
    assert_eq!(app.cancel(&order).await.0, 202);
    assert_eq!(app.status(&order).await, "awaiting_payment");
    order
}

/// Both keys are accepted from now on: what waited is paid, and so is what either key signs.
async fn goes_on_with_both(app: &TestApp, waiting: &str) {
    app.advance_past_window().await;
    app.wait_for_status(waiting, "paid").await;
    is_paid_by_query(app, "new, queried").await;
    for key in ["new, notified", "new, notified again"] {
        app.fault("*", "other_key").await;
        app.fault("notify", "other_key").await;
        is_paid_by_notification(app, key).await;
    }
    is_paid_by_notification(app, "old, notified").await;
    is_paid_by_query(app, "old, queried").await;
    is_closed(app, "old, closed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_gateways_key_loses_no_payment() {
    let mut app = TestApp::start().await;
    let order = waits_unbelieving(&app).await;
    app.restart(|config, dir| {
        config.alipay.next_alipay_public_key_file = Some(write(dir, "next.pem", OTHER_PUBLIC_KEY));
    })
    .await;
    goes_on_with_both(&app, &order).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_gateways_certificate_is_alarmed_and_loses_no_payment() {
    let mut app = TestApp::start_with_certificates().await;
    let order = waits_unbelieving(&app).await;
    app.assert_alarm("account_broken", alipay_simulator::DEFAULT_APP_ID).await;
    app.restart(|config, dir| {
        config.alipay.next_alipay_cert_file = Some(write(dir, "next.crt", OTHER_CERT));
    })
    .await;
    goes_on_with_both(&app, &order).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_names_an_unknown_certificate_is_never_believed() {
    let app = TestApp::start_with_certificates().await;
    let (order, number) = start(&app, "k").await;
    app.fault("*", "unknown_cert_sn").await;
    app.fault("notify", "drop").await;
    app.buyer_pays(&number).await;
    app.advance_past_window().await;
    assert_eq!(app.cancel(&order).await.0, 202);
    app.assert_alarm("account_broken", alipay_simulator::DEFAULT_APP_ID).await;
    assert_eq!(app.status(&order).await, "awaiting_payment");
    app.clear_faults().await;
    app.advance_past_window().await;
    app.wait_for_status(&order, "paid").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_changes_from_a_bare_key_to_certificates() {
    let mut app = TestApp::start().await;
    let (order, number) = start(&app, "before").await;
    // The bare key stays beside the certificates as long as something signed with it may come.
    app.restart(|config, dir| {
        let bare = config.alipay.alipay_public_key_file.clone();
        use_certificates(config, dir);
        config.alipay.alipay_public_key_file = bare;
    })
    .await;
    app.buyer_pays(&number).await;
    app.wait_for_status(&order, "paid").await;
    app.finish().await;
}
