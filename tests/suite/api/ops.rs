//! The operator console from outside: who gets in, what the pages show, and what they change.

use std::time::Duration;

use checkback::domain::alarm::{Alarm, AlarmKind};
use checkback::service::escalate_alarms::escalate_alarms;
use checkback::service::raise_alarm::raise_alarm;
use serde_json::json;

use super::NOBODYS;
use crate::support::{KEY, OPS_KEY, TestApp, json_of, notification, text, wait_until};

mod bills;
mod door;
mod live;
mod money;
mod visitor;

use visitor::Visitor;

/// Every page, with an id where one is needed.
const PAGES: [&str; 9] = [
    "/ops",
    "/ops?kind=attempt",
    "/ops/alarms",
    "/ops/payments",
    "/ops/refunds",
    "/ops/given-up",
    "/ops/bills",
    "/ops/search",
    "/ops/search?q=nothing",
];

async fn raise(app: &TestApp, kind: AlarmKind, subject: &str) {
    raise_alarm(app.app(), &Alarm::new(kind, subject, "for a test")).await.expect("raised");
}

/// The first open alarm's id, and who has acknowledged it.
async fn first_alarm(app: &TestApp) -> (String, serde_json::Value) {
    let answer = json_of(app.get("/v1/admin/alarms").send().await.expect("an answer")).await;
    let alarm = &answer["alarms"][0];
    (text(alarm, "id"), alarm["acknowledged_by"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_shows_what_is_pending_and_what_is_wrong() {
    let app = TestApp::start().await;
    let operator = Visitor::logged_in(&app, OPS_KEY).await;
    operator.get("/ops").await.assert_shows(&["Nothing is pending", "Last sweeps", "broker"]);
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    raise(&app, AlarmKind::ClockSkew, "clock").await;
    wait_until("the order is shown with its checks", async || {
        let page = operator.get("/ops").await;
        page.body.contains(&order) && page.body.contains("check-back, else poll")
    })
    .await;
    let page = operator.get("/ops?kind=attempt").await;
    page.assert_shows(&[&order, &number, "critical alarms"]);
    for bad in ["/ops?kind=other", "/ops?after=x", "/ops?after=1"] {
        assert_eq!(operator.get(bad).await.status, 400, "{bad}");
    }
    assert_eq!(app.cancel(&order).await.0, 200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_alarm_carries_the_keys_name() {
    let app = TestApp::start().await;
    let operator = Visitor::logged_in(&app, OPS_KEY).await;
    raise(&app, AlarmKind::OutboxStuck, &format!("{NOBODYS}-3")).await;
    raise(&app, AlarmKind::HalfMessageGivenUp, NOBODYS).await;
    let link = format!("href=\"/ops/orders/{NOBODYS}\"");
    operator.get("/ops/given-up").await.assert_shows(&["half message given up", &link]);
    let page = operator.get("/ops/alarms").await;
    page.assert_shows(&["outbox stuck", "half message given up", &link, "for a test"]);
    let (id, by) = first_alarm(&app).await;
    assert!(by.is_null(), "{by}");
    let acknowledge = format!("/ops/alarms/{id}/acknowledge");
    let fields = [("csrf", page.csrf()), ("back", "/ops/given-up".to_owned())];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let done = operator.post(&acknowledge, &fields).await;
    assert_eq!((done.status, done.location.as_str()), (303, "/ops/given-up"));
    assert_eq!(first_alarm(&app).await, (id, json!("operator")));
    operator.get("/ops/alarms").await.assert_shows(&["seen by operator"]);
    for unknown in [NOBODYS, "%F0%9F%8D%B5"] {
        let page = operator.submit(&format!("/ops/alarms/{unknown}/acknowledge")).await;
        assert_eq!(page.status, 404, "{unknown}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_is_resolved_with_a_reason_and_marked_when_it_escalated() {
    let app = TestApp::start().await;
    let operator = Visitor::logged_in(&app, OPS_KEY).await;
    raise(&app, AlarmKind::AccountBroken, "A").await;
    app.advance(Duration::from_mins(16)).await;
    escalate_alarms(app.app()).await.expect("looked at");
    let page = operator.get("/ops/alarms").await;
    page.assert_shows(&["account broken", ">escalated<", "escalates", "Why it is settled"]);
    let (id, _) = first_alarm(&app).await;
    let path = format!("/ops/alarms/{id}/resolve");
    let csrf = page.csrf();
    for reason in ["", "  ", &"a".repeat(251)] {
        let refused = operator.post(&path, &[("csrf", &csrf), ("reason", reason)]).await;
        assert_eq!(refused.status, 400, "{reason}");
    }
    let forged = operator.post(&path, &[("csrf", "x"), ("reason", "a new key")]).await;
    assert_eq!(forged.status, 403);
    let done = operator.post(&path, &[("csrf", &csrf), ("reason", "<b>a new key")]).await;
    assert_eq!((done.status, done.location.as_str()), (303, "/ops/alarms"));
    operator.get("/ops/alarms").await.assert_shows(&["No alarm."]);

    let order = app.place("k").await;
    raise(&app, AlarmKind::OrderOverdue, &order).await;
    let (id, _) = first_alarm(&app).await;
    let fields = [("csrf", csrf.as_str()), ("reason", "never mind")];
    let refused = operator.post(&format!("/ops/alarms/{id}/resolve"), &fields).await;
    assert_eq!(refused.status, 409);
    refused.assert_shows(&["The alarm stays open", "still awaits its payment"]);
    assert_eq!(app.cancel(&order).await.0, 200);
    operator.get(&format!("/ops/orders/{order}")).await.assert_shows(&["by settled"]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alarms_are_paged() {
    let app = TestApp::start().await;
    let operator = Visitor::logged_in(&app, OPS_KEY).await;
    for number in 0..51 {
        raise(&app, AlarmKind::OutboxStuck, &format!("event{number:02}")).await;
    }
    let first = operator.get("/ops/alarms").await;
    first.assert_shows(&["event50", "event01"]);
    assert!(!first.body.contains("event00"), "the 51st is on the next page");
    let (_, next) = first.body.split_once("href=\"/ops/alarms?before=").expect("a next page");
    let next = next.split('"').next().expect("an id");
    let last = operator.get(&format!("/ops/alarms?before={next}")).await;
    last.assert_shows(&["event00"]);
    assert!(!last.body.contains("event01") && !last.body.contains("?before="));
    assert_eq!(operator.get("/ops/alarms?before=x").await.status, 404);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_box_finds_an_order_by_each_of_its_numbers() {
    let app = TestApp::start().await;
    let operator = Visitor::logged_in(&app, OPS_KEY).await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    let database = sqlx::AnyPool::connect(app.app().config.database.url.expose()).await;
    let database = database.expect("the database");
    sqlx::query("update orders set order_no = 'A 1/é' where id = ?")
        .bind(&order)
        .execute(&database)
        .await
        .expect("a number");
    let page = format!("/ops/orders/{order}");
    let lower = order.to_lowercase();
    for query in [order.as_str(), &lower, &number, "A+1%2F%C3%A9", &format!("++{number}+")] {
        let found = operator.get(&format!("/ops/search?q={query}")).await;
        assert_eq!((found.status, &found.location), (303, &page), "{query}");
    }
    let second = app.place("second").await;
    sqlx::query("update orders set order_no = 'A 1/é', storefront = 'other' where id = ?")
        .bind(&second)
        .execute(&database)
        .await
        .expect("a number");
    let both = operator.get("/ops/search?q=A+1%2F%C3%A9").await;
    assert_eq!(both.status, 200);
    both.assert_shows(&[&order, &second]);
    for query in [NOBODYS, "CB0", "%27+or+1=1+--", "%3Cscript%3E", &"a".repeat(5_000)] {
        let none = operator.get(&format!("/ops/search?q={query}")).await;
        assert_eq!(none.status, 404, "{query}");
        none.assert_shows(&["No order has this number."]);
        assert!(!none.body.contains("<script>"), "{}", none.body);
    }
    assert_eq!(operator.get(&format!("/ops/orders/{NOBODYS}")).await.status, 404);
    database.close().await;
    for order in [order, second] {
        assert_eq!(app.cancel(&order).await.0, 200);
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orders_page_has_its_whole_history_and_nothing_of_its_buyer() {
    let app = TestApp::start().await;
    let operator = Visitor::logged_in(&app, OPS_KEY).await;
    let title = "</code><script>harm()</script>\"'&";
    let body = json!({ "title": title, "price_fen": 1_234, "stock": 5 });
    let put = app.client.put(app.url("/v1/skus/hostile")).bearer_auth(KEY).json(&body);
    assert!(put.send().await.expect("an answer").status().is_success());
    let body = json!({
        "member_id": "13800138000",
        "items": [{ "sku_id": "hostile", "quantity": 2 }],
        "metadata": { "note": "</pre><script>harm()</script>", "buyer_name": "Zhang San" },
    });
    let placing = app.post("/v1/orders", &body).header("Idempotency-Key", "k");
    let order = text(&json_of(placing.send().await.expect("an answer")).await, "id");
    let number = app.start_payment(&order).await;
    let buyer = [("buyer_id", "2088000011112222"), ("buyer_logon_id", "zhang@example.com")];
    app.scan(&number).await;
    app.buyer_pays(&number).await;
    app.wait_for_status(&order, "paid").await;
    let paid = [("total_amount", "24.68"), ("notify_id", "nb")];
    let fields: Vec<_> = paid.into_iter().chain(buyer).collect();
    assert_eq!(app.notify(notification(&number, &fields)).await.0, 200);
    raise(&app, AlarmKind::DuplicatePayment, &number).await;

    let path = format!("/ops/orders/{order}");
    wait_until("its event is published", async || {
        operator.get(&path).await.body.contains(">published<")
    })
    .await;
    let page = operator.get(&path).await;
    assert_eq!(page.status, 200);
    page.assert_shows(&[
        &number,
        "¥24.68",
        "13•••00",
        "payment applied",
        "TRADE_SUCCESS",
        "duplicate payment",
        "checkback-order-events",
        " UTC</time>",
        "&#60;script&#62;harm()",
    ]);
    let personal = ["13800138000", "Zhang San", "2088000011112222", "zhang@example.com"];
    for secret in personal.iter().chain(&["<script>harm", OPS_KEY, KEY]) {
        assert!(!page.body.contains(secret), "{secret} in {}", page.body);
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_that_belong_to_no_order_are_listed_and_found() {
    let app = TestApp::start().await;
    let operator = Visitor::logged_in(&app, OPS_KEY).await;
    operator.get("/ops/payments").await.assert_shows(&["No payment needs a look."]);
    let number = format!("CB{NOBODYS}");
    app.only_notified(&number);
    assert_eq!(app.notify(notification(&number, &[])).await, (200, "success".to_owned()));
    let orphan = ["orphan", number.as_str(), "¥1.00"];
    operator.get("/ops/payments").await.assert_shows(&orphan);
    let found = operator.get(&format!("/ops/search?q={number}")).await;
    assert_eq!(found.status, 200);
    found.assert_shows(&orphan);
    assert_eq!(operator.get("/ops/payments?before=x").await.status, 404);
    let before = operator.get("/ops/payments?before=0-").await;
    assert!(!before.body.contains(&number));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_the_gateway_settles_in_the_operators_name() {
    let app = TestApp::start().await;
    let operator = Visitor::logged_in(&app, OPS_KEY).await;
    // Only a question tells of a payment; a check-back may be quicker, but not every time.
    app.fault("notify", "drop").await;
    let mut asked_by = Vec::new();
    for key in 0..20 {
        let order = app.place(&format!("k{key}")).await;
        let number = app.start_payment(&order).await;
        let path = format!("/ops/orders/{order}");
        let waiting = operator.submit(&format!("{path}/ask")).await;
        assert_eq!((waiting.status, waiting.location), (303, format!("{path}?asked=waiting")));
        app.buyer_pays(&number).await;
        let asked = operator.submit(&format!("{path}/ask")).await;
        assert_eq!((asked.status, &asked.location), (303, &format!("{path}?asked=paid")));
        operator.get(&asked.location).await.assert_shows(&["Asked: the order is paid.", &number]);
        asked_by.push(text(&app.event(&order, "paid").await, "actor"));
        if asked_by.last().is_some_and(|actor| actor == "operator") {
            break;
        }
    }
    assert_eq!(asked_by.last().map(String::as_str), Some("operator"), "{asked_by:?}");
    let foreign = operator.get(&format!("/ops/orders/{NOBODYS}?asked=%3Cb%3E")).await;
    assert_eq!(foreign.status, 404);
    assert_eq!(operator.submit(&format!("/ops/orders/{NOBODYS}/ask")).await.status, 404);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_answer_is_told_as_one_and_a_due_order_is_ended() {
    let app = TestApp::start_without_broker().await;
    let operator = Visitor::logged_in(&app, OPS_KEY).await;
    let order = app.place("k").await;
    app.start_payment(&order).await;
    app.fault("*", "http_502").await;
    app.advance_past_window().await;
    let path = format!("/ops/orders/{order}");
    let asked = operator.submit(&format!("{path}/ask")).await;
    assert_eq!(asked.location, format!("{path}?asked=unknown"));
    operator.get(&asked.location).await.assert_shows(&["no definite answer"]);
    assert_eq!(app.status(&order).await, "awaiting_payment");
    app.clear_faults().await;
    let asked = operator.submit(&format!("{path}/ask")).await;
    assert_eq!(asked.location, format!("{path}?asked=cancelled"));
    app.advance(Duration::from_mins(1)).await;
    app.finish().await;
}
