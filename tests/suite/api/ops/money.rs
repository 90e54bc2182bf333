//! Money that waits for an operator: what the pages show of it, and what their buttons do.

use std::time::Duration;

use serde_json::json;

use super::visitor::{Page, Visitor};
use crate::api::NOBODYS;
use crate::stories;
use crate::support::{OPS_KEY, TestApp, json_of, notification, text, wait_until};

/// Presses a button of a page that this operator has open.
async fn press(operator: &Visitor, path: &str, fields: &[(&str, &str)]) -> Page {
    let csrf = operator.get("/ops").await.csrf();
    let fields: Vec<_> = [("csrf", csrf.as_str())].into_iter().chain(fields.to_vec()).collect();
    operator.post(path, &fields).await
}

/// Waits until a page shows something.
async fn wait_for(operator: &Visitor, path: &str, words: &str) {
    wait_until(&format!("{path} shows {words}"), async || {
        operator.get(path).await.body.contains(words)
    })
    .await;
}

/// An order that was paid with another amount than asked for, and its payment.
async fn with_wrong_amount(app: &TestApp, key: &str) -> (String, String) {
    let order = app.place(key).await;
    let number = app.start_payment(&order).await;
    app.control("pay", json!({ "out_trade_no": number, "amount": "0.40" })).await;
    wait_until("the payment is quarantined", async || {
        app.order(&order).await["payments"][0]["status"] == "wrong_amount"
    })
    .await;
    (order, number)
}

/// A payment that belongs to no attempt, and is unknown at the gateway.
async fn orphan(app: &TestApp) -> String {
    let number = format!("CB{NOBODYS}");
    app.only_notified(&number);
    assert_eq!(app.notify(notification(&number, &[])).await, (200, "success".to_owned()));
    number
}

async fn payment_status(app: &TestApp, order: &str) -> String {
    text(&app.order(order).await["payments"][0], "status")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_of_a_wrong_amount_is_accepted_with_a_button() {
    let app = TestApp::start().await;
    let operator = Visitor::logged_in(&app, OPS_KEY).await;
    let (order, number) = with_wrong_amount(&app, "k").await;
    let accept = format!("/ops/payments/{number}/accept");
    for page in ["/ops/payments".to_owned(), format!("/ops/orders/{order}")] {
        let page = operator.get(&page).await;
        page.assert_shows(&[&format!("action=\"{accept}\""), "¥0.40", "wrong amount"]);
    }
    assert_eq!(operator.post(&accept, &[("csrf", "x")]).await.status, 403);
    assert_eq!(payment_status(&app, &order).await, "wrong_amount");
    let done = press(&operator, &accept, &[("back", "/ops/payments?before=9-A")]).await;
    let expected = (303, "/ops/payments?before=9-A&said=accepted");
    assert_eq!((done.status, done.location.as_str()), expected);
    operator.get("/ops/payments?said=accepted").await.assert_shows(&[
        "Accepted: the order is paid with this payment.",
        "No payment needs a look.",
    ]);
    app.wait_for_status(&order, "paid").await;
    let paid = app.event(&order, "paid").await;
    assert_eq!(text(&paid, "actor"), "operator");
    let here = format!("/ops/orders/{order}");
    for (button, fields) in [("accept", &[][..]), ("refund", &[("reason", "late")][..])] {
        let path = format!("/ops/payments/{number}/{button}");
        let fields: Vec<_> = fields.iter().copied().chain([("back", here.as_str())]).collect();
        let again = press(&operator, &path, &fields).await;
        assert_eq!(again.location, format!("{here}?said=not_quarantined"), "{button}");
        operator.get(&again.location).await.assert_shows(&["nothing to decide any more"]);
    }
    let page = operator.get(&here).await;
    assert!(!page.body.contains(&accept), "nothing is left to press");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_of_a_wrong_amount_is_given_back_with_a_button_and_a_reason() {
    let app = TestApp::start().await;
    let operator = Visitor::logged_in(&app, OPS_KEY).await;
    let (order, number) = with_wrong_amount(&app, "k").await;
    let refund = format!("/ops/payments/{number}/refund");
    for reason in ["", " ", &"r".repeat(257)] {
        let refused = press(&operator, &refund, &[("reason", reason)]).await;
        assert_eq!(refused.location, "/ops/payments?said=invalid_request", "{reason}");
    }
    operator.get("/ops/payments?said=invalid_request").await.assert_shows(&["missing or too long"]);
    // Not before somebody tops the account up.
    app.fault("alipay.trade.refund", "balance_too_low").await;
    let done = press(&operator, &refund, &[("reason", "not what was due <b>")]).await;
    assert_eq!(done.location, "/ops/payments?said=refund_requested");
    let list = operator.get(&done.location).await;
    list.assert_shows(&["The refund is on its way", "No payment needs a look."]);
    wait_for(&operator, "/ops/refunds", "SELLER_BALANCE_NOT_ENOUGH").await;
    let page = operator.get("/ops/refunds").await;
    page.assert_shows(&[&number, &order, "sending", "¥0.40", "wrong amount", "by operator"]);
    page.assert_shows(&["not what was due &#60;b&#62;", "next try"]);
    let here = format!("/ops/orders/{order}");
    operator.get(&here).await.assert_shows(&["¥0.40 on its way", "<h2>Refunds</h2>"]);
    let accept = press(&operator, &format!("/ops/payments/{number}/accept"), &[]).await;
    assert_eq!(accept.location, "/ops/payments?said=refund_on_its_way");
    let asked = json_of(app.get(&format!("/v1/orders/{order}/refunds")).send().await.expect("ok"));
    let refunds = asked.await;
    for field in ["out_request_no", "request_no"] {
        let query = text(&refunds["refunds"][0], field);
        let found = operator.get(&format!("/ops/search?q={query}")).await;
        assert_eq!((found.status, &found.location), (303, &here), "{query}");
    }
    app.clear_faults().await;
    wait_until("it is back", async || {
        app.advance(Duration::from_secs(5)).await;
        operator.get(&here).await.body.contains("<span class=\"badge good\">succeeded</span>")
    })
    .await;
    operator.get("/ops/refunds").await.assert_shows(&["No refund."]);
    app.advance_past_window().await;
    app.wait_for_status(&order, "cancelled").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_refund_is_sent_again_or_noted_as_paid_by_other_means() {
    let app = TestApp::start().await;
    let operator = Visitor::logged_in(&app, OPS_KEY).await;
    let number = orphan(&app).await;
    let search = format!("/ops/search?q={number}");
    let refund = format!("/ops/payments/{number}/refund");
    operator.get(&search).await.assert_shows(&[&format!("action=\"{refund}\"")]);
    let done = press(&operator, &refund, &[("reason", "nobody's"), ("back", &search)]).await;
    assert_eq!(done.location, format!("{search}&said=refund_requested"));
    operator.get(&done.location).await.assert_shows(&["The refund is on its way"]);
    // The gateway knows no such trade.
    wait_for(&operator, "/ops/refunds", "TRADE_NOT_EXIST").await;
    let page = operator.get("/ops/refunds").await;
    page.assert_shows(&["refused", &number, "payment of nobody"]);
    operator.get("/ops/payments").await.assert_shows(&["refund refused", "TRADE_NOT_EXIST"]);
    wait_for(&operator, "/ops", "<b>1</b> <span>refused refunds</span>").await;
    let (_, after) = page.body.split_once("action=\"/ops/refunds/").expect("a button");
    let refund_no = after.split('/').next().expect("a number").to_owned();
    let again = press(&operator, &refund, &[("reason", "nobody's")]).await;
    assert_eq!(again.location, "/ops/payments?said=refund_refused");

    let retry = format!("/ops/refunds/{refund_no}/retry");
    let elsewhere = format!("/ops/refunds/{refund_no}/paid-elsewhere");
    for path in [&retry, &elsewhere] {
        let forged = operator.post(path, &[("csrf", ""), ("reference", "x")]).await;
        assert_eq!(forged.status, 403);
    }
    assert_eq!(press(&operator, &retry, &[]).await.location, "/ops/refunds?said=retried");
    wait_until("it is refused again", async || {
        operator.get("/ops/refunds").await.body.contains(&elsewhere)
    })
    .await;
    let unsaid = press(&operator, &elsewhere, &[]).await;
    assert_eq!(unsaid.location, "/ops/refunds?said=invalid_request");
    let noted = press(&operator, &elsewhere, &[("reference", "bank 4711")]).await;
    assert_eq!(noted.location, "/ops/refunds?said=paid_elsewhere");
    operator.get(&noted.location).await.assert_shows(&["Noted", "No refund."]);
    for path in [&retry, &elsewhere] {
        let late = press(&operator, path, &[("reference", "x")]).await;
        assert_eq!(late.location, "/ops/refunds?said=not_refused");
    }
    let found = operator.get(&format!("/ops/search?q={refund_no}")).await;
    found.assert_shows(&["A payment without an order", &number]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_of_nobodys_is_attached_to_an_order_that_exists() {
    let app = TestApp::start().await;
    let operator = Visitor::logged_in(&app, OPS_KEY).await;
    let number = "CBnobodys".to_owned();
    stories::quarantine::orphan(&app, &number, 100).await;
    let attach = format!("/ops/payments/{number}/attach");
    operator.get("/ops/payments").await.assert_shows(&[&format!("action=\"{attach}\"")]);
    for nobodys in ["", "x", NOBODYS] {
        let refused = press(&operator, &attach, &[("order", nobodys)]).await;
        assert_eq!(refused.location, "/ops/payments?said=no_such_order", "{nobodys}");
    }
    operator.get("/ops/payments?said=no_such_order").await.assert_shows(&["no such order"]);
    let order = app.place("k").await;
    let done = press(&operator, &attach, &[("order", &order.to_lowercase())]).await;
    assert_eq!(done.location, format!("/ops/orders/{order}?said=attached"));
    operator.get(&done.location).await.assert_shows(&["Attached", &number, "payment attached"]);
    operator.get("/ops/payments").await.assert_shows(&["No payment needs a look."]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buttons_for_what_is_not_there_are_told_so() {
    let app = TestApp::start().await;
    let operator = Visitor::logged_in(&app, OPS_KEY).await;
    let paths = [
        "/ops/payments/x/accept",
        "/ops/payments/x/refund",
        "/ops/refunds/x/retry",
        "/ops/refunds/x/paid-elsewhere",
    ];
    for path in paths {
        let page = press(&operator, path, &[("reason", "r"), ("reference", "r")]).await;
        assert_eq!(page.status, 404, "{path}");
        let outside = Visitor::new(app.url(""));
        assert!(outside.post(path, &[]).await.is_login_redirect(), "{path}");
    }
    for said in ["%3Cb%3E", "", "accepted%3Cb%3E"] {
        let page = operator.get(&format!("/ops/refunds?said={said}")).await;
        assert!(!page.body.contains("id=\"notice\""), "{said}");
    }
    assert_eq!(operator.get("/ops/refunds?before=x").await.status, 404);
    app.finish().await;
}
