//! The audit: every invariant by name, in the background with its alarm and its metrics, and the
//! same money from the gateway's side.

use std::collections::BTreeSet;
use std::time::Duration;

use checkback::service::audit::audit;
use sqlx::AssertSqlSafe;

use crate::support::{TestApp, wait_until};

/// Runs a statement that the service would never run.
async fn run(app: &TestApp, sql: &str) {
    let database = sqlx::AnyPool::connect(app.app().config.database.url.expose()).await;
    let database = database.expect("the database");
    let done = sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&database).await.expect(sql);
    assert_eq!(done.rows_affected(), 1, "{sql}");
    database.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_invariant_and_every_promise_has_its_named_check() {
    let app = TestApp::start().await;
    let report = audit(app.app()).await.expect("a report");
    let found: BTreeSet<_> = report.checks.iter().map(|check| check.id.to_owned()).collect();
    let wanted: BTreeSet<_> = (1..=16).map(|number| format!("I{number}")).collect();
    assert_eq!(found, wanted);
    let names: BTreeSet<_> = report.checks.iter().map(|check| check.name).collect();
    assert_eq!(names.len(), report.checks.len(), "each has a name of its own");
    let found: Vec<_> = report.lateness.iter().map(|lateness| lateness.id).collect();
    assert_eq!(found, ["L1", "L2", "L3", "L4", "L5"]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_in_the_background_opens_an_alarm_and_resolves_it() {
    let often = |config: &mut checkback::config::Config| {
        config.audit.interval = Duration::from_secs(1);
    };
    let app = TestApp::start_configured(often).await;
    let (_, number) = app.place_paid("k", 1).await;
    let metrics = async || {
        let response = app.get("/metrics").send().await.expect("an answer");
        response.text().await.expect("a text")
    };
    let is_open = async || {
        let open = app.open_alarms().await;
        open.contains(&("invariant_violated".to_owned(), "I2".to_owned()))
    };
    wait_until("a clean audit", async || {
        let metrics = metrics().await;
        metrics.contains("checkback_audit_violations{check=\"I2\"} 0")
            && metrics.contains("checkback_audit_late{promise=\"L4\"} 0")
            && !metrics.contains("checkback_audit_last_run_timestamp_seconds 0\n")
    })
    .await;
    let set_aside = |fen: i64| {
        format!("update payments set refunding_fen = {fen} where out_trade_no = '{number}'")
    };
    run(&app, &set_aside(5)).await;
    wait_until("it is found", is_open).await;
    wait_until("it is counted", async || {
        let metrics = metrics().await;
        let counted = metrics.lines().find(|line| line.contains("violations{check=\"I2\"}"));
        counted.is_some_and(|line| !line.ends_with(" 0"))
    })
    .await;
    run(&app, &set_aside(0)).await;
    wait_until("it is resolved", async || !is_open().await).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_differ_from_the_gateways_books_are_found() {
    let app = TestApp::start().await;
    let (order, number) = app.place_paid("k", 1).await;
    let body = serde_json::json!({ "request_no": "r1", "amount_fen": 30, "reason": "broken" });
    assert_eq!(app.try_refund(&order, body).await.0, 202);
    wait_until("it is back", async || app.order(&order).await["refunded_fen"] == 30).await;
    assert_eq!(app.disagreements().await, Vec::<String>::new());
    for (broken, mended) in [
        ("refunds set amount_fen = 31", "refunds set amount_fen = 30"),
        (
            "refunds set status = 'refused', refused_because = 'x'",
            "refunds set status = 'succeeded'",
        ),
        ("payments set paid_fen = 101", "payments set paid_fen = 100"),
        ("payments set refunded_fen = 31", "payments set refunded_fen = 30"),
    ] {
        let of_it = format!(" where out_trade_no = '{number}'");
        run(&app, &format!("update {broken}{of_it}")).await;
        let found = app.disagreements().await;
        assert!(!found.is_empty(), "{broken}");
        run(&app, &format!("update {mended}{of_it}")).await;
        assert_eq!(app.disagreements().await, Vec::<String>::new(), "{mended}");
    }
    app.finish().await;
}
