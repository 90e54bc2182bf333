//! Alarms from outside: told of by the webhook, escalated by age, settled by operators.

use std::time::Duration;

use checkback::config::{Config, Secret};
use checkback::domain::alarm::{Alarm, AlarmKind, Severity};
use checkback::service::age_alarms::raise_age_alarms;
use checkback::service::escalate_alarms::escalate_alarms;
use checkback::service::raise_alarm::raise_alarm;
use checkback::store::alarm_notices;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::hook::{Hook, Message};
use crate::support::{TestApp, answer_of, json_of, text, wait_until};

const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZg==";
const SECRET_BYTES: &[u8] = b"0123456789abcdef";

fn told_at(url: String) -> impl FnOnce(&mut Config) {
    |config| {
        config.alarms.webhook_url = Some(Secret::new(url));
        config.alarms.webhook_secret = Some(Secret::new(SECRET));
    }
}

async fn raise(app: &TestApp, kind: AlarmKind, subject: &str) {
    raise_alarm(app.app(), &Alarm::new(kind, subject, "for a test")).await.expect("raised");
}

async fn alarm_about(app: &TestApp, subject: &str) -> Value {
    let answer = json_of(app.get("/v1/admin/alarms").send().await.expect("an answer")).await;
    let alarms = answer["alarms"].as_array().expect("a list");
    alarms.iter().find(|alarm| alarm["subject"] == subject).cloned().unwrap_or_default()
}

async fn handle(app: &TestApp, subject: &str, action: &str, body: &Value) -> (StatusCode, Value) {
    let id = text(&alarm_about(app, subject).await, "id");
    let request = app.post(&format!("/v1/admin/alarms/{id}/{action}"), body);
    answer_of(request.send().await.expect("an answer")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webhook_is_told_in_order_signed_and_until_it_has_it() {
    let hook = Hook::start().await;
    hook.refuse(&[500, 302]);
    let app = TestApp::start_configured(told_at(hook.url())).await;
    raise(&app, AlarmKind::AccountBroken, "A").await;
    assert_eq!(handle(&app, "A", "acknowledge", &json!({})).await.0, 200);
    let (status, resolved) = handle(&app, "A", "resolve", &json!({ "reason": "a new key" })).await;
    assert_eq!(status, 200, "{resolved}");
    wait_until("everything is told", async || hook.told_of("A").len() == 3).await;
    assert_eq!(hook.told_of("A"), ["alarm.opened", "alarm.acknowledged", "alarm.resolved"]);
    let messages = hook.messages();
    let statuses: Vec<_> = messages.iter().map(|message| message.status).collect();
    assert_eq!(statuses, [500, 302, 200, 200, 200], "repeated, and no redirect is followed");
    assert_eq!((&messages[0].id, &messages[1].id), (&messages[1].id, &messages[2].id));
    for message in &messages {
        message.assert_signed(SECRET_BYTES);
    }
    let data = &messages[4].body()["data"];
    assert_eq!((&data["resolved_by"], &data["severity"]), (&json!("test"), &json!("critical")));
    assert_eq!(data["resolved_because"], "a new key");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_sender_had_is_told_by_the_next() {
    let hook = Hook::start().await;
    // Nobody listens there.
    let nowhere = "http://127.0.0.1:1/".to_owned();
    let away = TestApp::start_configured(told_at(nowhere)).await;
    raise(&away, AlarmKind::AccountBroken, "A").await;
    let database = sqlx::AnyPool::connect(away.app().config.database.url.expose()).await;
    let database = database.expect("the database");
    wait_until("it is tried", async || {
        let failures: i64 = sqlx::query_scalar("select max(failures) from alarm_notices")
            .fetch_one(&database)
            .await
            .expect("a count");
        failures >= 1
    })
    .await;
    database.close().await;
    let waiting = alarm_notices::undelivered(&away.app().store).await.expect("counted");
    assert_eq!(waiting, 1, "it is not given up");
    assert_eq!(away.metric("checkback_alarm_notices_waiting").await, 1);
    away.finish().await;

    let app = TestApp::start_configured(told_at(hook.url())).await;
    raise(&app, AlarmKind::AccountUnknown, "B").await;
    wait_until("it is told", async || !hook.told_of("B").is_empty()).await;
    // As an instance that died in the middle of it would leave it.
    let database = sqlx::AnyPool::connect(app.app().config.database.url.expose()).await;
    let database = database.expect("the database");
    let due_at_ms = (app.app().now() + chrono::Duration::seconds(30)).timestamp_millis();
    sqlx::query("update alarm_notices set delivered = 0, due_at_ms = ?")
        .bind(due_at_ms)
        .execute(&database)
        .await
        .expect("leased");
    database.close().await;
    let now = app.app().now();
    let free = alarm_notices::claim_due(&app.app().store, 10, now, now).await.expect("looked for");
    assert!(free.is_empty(), "its lease holds: {free:?}");
    // Whoever tells of what came later has looked for what is due.
    raise(&app, AlarmKind::AccountUnknown, "C").await;
    wait_until("a later one is told", async || !hook.told_of("C").is_empty()).await;
    assert_eq!(hook.told_of("B").len(), 1, "its lease holds");
    app.advance(Duration::from_secs(31)).await;
    wait_until("it is told again", async || hook.told_of("B").len() == 2).await;
    let of_b = |message: &Message| message.told().1 == "B";
    let messages = hook.messages().into_iter().filter(of_b);
    let ids: Vec<_> = messages.map(|message| message.id).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1], "at least once, under one id");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_that_nobody_settles_escalates() {
    let hook = Hook::start().await;
    let change = told_at(hook.url());
    let app = TestApp::start_configured(|config| {
        change(config);
        config.alarms.webhook_min_severity = Severity::Critical;
    })
    .await;
    for subject in ["D1", "D2"] {
        raise(&app, AlarmKind::ForeignMessage, subject).await;
    }
    app.advance(Duration::from_mins(200)).await;
    assert_eq!(handle(&app, "D2", "acknowledge", &json!({})).await.0, 200);
    assert_eq!(escalate_alarms(app.app()).await.expect("looked at"), 0);
    app.advance(Duration::from_mins(41)).await;
    // The service's own look, once a minute, may be first.
    escalate_alarms(app.app()).await.expect("looked at");
    assert_eq!(escalate_alarms(app.app()).await.expect("looked at"), 0);
    let [first, second] = [alarm_about(&app, "D1").await, alarm_about(&app, "D2").await];
    assert_eq!((&first["severity"], &first["escalations"]), (&json!("critical"), &json!(1)));
    assert_eq!((&second["severity"], &second["escalations"]), (&json!("warning"), &json!(0)));
    wait_until("it is told of", async || !hook.messages().is_empty()).await;
    assert_eq!(hook.told_of("D1"), ["alarm.escalated"], "what was a warning is not told");
    assert_eq!(hook.told_of("D2"), Vec::<String>::new());
    let metrics = app.get("/metrics").send().await.expect("an answer").text().await;
    assert!(metrics.expect("a text").contains("checkback_alarms_escalated 1"));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_money_needs_stays_open_and_the_rest_is_settled_in_the_operators_name() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    app.control("pay", json!({ "out_trade_no": number, "amount": "0.50" })).await;
    wait_until("it is quarantined", async || {
        app.order(&order).await["payments"][0]["status"] == "wrong_amount"
    })
    .await;
    let before = app.events(&order).await.len();
    for bad in [json!({}), json!({ "reason": " " }), json!({ "reason": "a".repeat(251) })] {
        assert_eq!(handle(&app, &number, "resolve", &bad).await.0, 400, "{bad}");
    }
    let reason = json!({ "reason": "never mind" });
    let (status, refused) = handle(&app, &number, "resolve", &reason).await;
    assert_eq!((status.as_u16(), &refused["code"]), (409, &json!("alarm_unsettled")));
    assert_eq!(app.events(&order).await.len(), before, "nothing happened");
    app.assert_alarm("wrong_amount", &number).await;
    assert_eq!(app.cancel(&order).await.0, 200);

    let (other, paid) = app.place_paid("other", 1).await;
    raise(&app, AlarmKind::GatewayContradiction, &paid).await;
    assert_eq!(handle(&app, &paid, "acknowledge", &json!({})).await.0, 200);
    let (status, resolved) = handle(&app, &paid, "resolve", &reason).await;
    assert_eq!(status, 200, "{resolved}");
    assert_eq!(
        (&resolved["resolved_by"], &resolved["resolved_because"]),
        (&json!("test"), &json!("never mind"))
    );
    for (cause, reason) in
        [("alarm_acknowledged", Value::Null), ("alarm_resolved", json!("never mind"))]
    {
        let event = app.event(&other, cause).await;
        assert_eq!((&event["actor"], &event["to"]), (&json!("test"), &json!("paid")));
        assert_eq!(event["detail"]["alarm"], "gateway_contradiction");
        assert_eq!(event["detail"]["reason"], reason);
    }
    let id = text(&resolved, "id");
    let again = app.post(&format!("/v1/admin/alarms/{id}/resolve"), &json!({ "reason": "b" }));
    let again = json_of(again.send().await.expect("an answer")).await;
    assert_eq!(again["resolved_because"], "never mind", "the first one stands");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_does_not_end_opens_an_alarm_and_its_end_resolves_it() {
    let app = TestApp::start().await;
    let (order, _) = app.place_paid("k", 1).await;
    app.fault("alipay.trade.refund", "unknown_before").await;
    let body = json!({ "request_no": "r1", "reason": "broken" });
    let (status, refund) = app.try_refund(&order, body).await;
    assert_eq!(status, 202, "{refund}");
    raise_age_alarms(app.app()).await.expect("looked at");
    assert_eq!(app.open_alarms().await, []);
    app.advance(Duration::from_mins(11)).await;
    raise_age_alarms(app.app()).await.expect("looked at");
    let open = app.open_alarms().await;
    let (kind, number) = open.first().expect("an alarm").clone();
    assert_eq!(kind, "refund_overdue");
    let reason = json!({ "reason": "never mind" });
    assert_eq!(handle(&app, &number, "resolve", &reason).await.0, 409);
    app.clear_faults().await;
    app.advance(Duration::from_hours(1)).await;
    app.wait_for_status(&order, "refunded").await;
    assert_eq!(app.open_alarms().await, []);
    app.finish().await;
}
