//! The tools on a demo's directory: while it runs, and when nothing else does.

use std::time::Duration;

use checkback::clock::{Clock as _, SystemClock};
use checkback::domain::bill::BillDay;
use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection};

use super::child::{Ended, until, until_none};
use super::demo::Site;

/// An order's window of five seconds, grace, a few check intervals, and air for a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);
/// Orders that two sweeps and a demo end together.
const ORDERS: usize = 12;

fn assert_success(ended: &Ended) {
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

async fn dry_run(site: &Site) -> String {
    let ended = site.tool(&["sweep", "--once", "--dry-run"]).await;
    assert_success(&ended);
    assert!(ended.stdout.contains("nothing was changed"), "{ended:?}");
    ended.stdout
}

fn id(order: &Value) -> &str {
    order["id"].as_str().expect("an id")
}

#[tokio::test]
async fn tools_work_beside_a_running_demo() {
    let site = Site::new("30s", "1s");
    let demo = site.start().await;
    let unpaid = demo.shop.place("unpaid").await;
    let paid = demo.shop.place("paid").await;
    let number = demo.shop.start_payment(id(&paid)).await;
    demo.shop.control("pay", serde_json::json!({ "out_trade_no": number })).await;
    let is_paid = async || demo.shop.status(id(&paid)).await == "paid";
    until("the order is paid", PATIENCE, is_paid).await;

    let yesterday = BillDay::of(SystemClock.now()).plus_days(-1).to_string();
    let reconciled = site.tool(&["reconcile", "--date", &yesterday, "--json"]).await;
    assert_success(&reconciled);
    assert!(reconciled.stdout.contains("\"state\": \"clean\""), "{reconciled:?}");

    let doctor = site.tool(&["doctor"]).await;
    assert_success(&doctor);
    assert!(!doctor.stdout.contains("FAIL"), "{}", doctor.stdout);
    for what in [
        "ok    configuration",
        "ok    API key demo",
        "ok    database                           SQLite",
        "ok    migrations                         all",
        "ok    database journal_mode              wal",
        "ok    clock, against the database",
        "ok    gateway",
        "ok    broker embedded",
        "ok    one clock                          not verified: the embedded broker",
        "ok    clock, against broker embedded",
        "ok    topic checkback-order-timeout      TRANSACTION on embedded",
        "ok    topic checkback-order-events       NORMAL on embedded",
        "ok    given-up half messages",
        "ok    group checkback-cancel-order       consumed by 1 on embedded",
    ] {
        assert!(doctor.stdout.contains(what), "no {what:?} in {}", doctor.stdout);
    }
    let migrate = site.tool(&["migrate"]).await;
    assert_success(&migrate);
    assert!(migrate.stdout.contains("up to date"), "{migrate:?}");
    let before = demo.shop.order(id(&unpaid)).await;
    dry_run(&site).await;
    let sweep = site.tool(&["sweep", "--once"]).await;
    assert_success(&sweep);
    assert!(sweep.stdout.contains("0 failed"), "{sweep:?}");
    assert_eq!(demo.shop.order(id(&unpaid)).await, before);
    let audit = site.tool(&["audit"]).await;
    assert_success(&audit);
    assert!(audit.stdout.contains("I1 ") && audit.stdout.contains("I16 "), "{}", audit.stdout);
    assert!(!audit.stdout.contains("VIOLATED"), "{}", audit.stdout);
    site.assert_sound().await;
    demo.assert_no_panic();
}

#[tokio::test]
async fn a_sweep_alone_ends_what_needs_no_gateway_and_leaves_the_rest() {
    let site = Site::new("5s", "1s");
    let demo = site.start().await;
    let never_tried = demo.shop.place("never tried").await;
    let scanned = demo.shop.place("scanned").await;
    let number = demo.shop.start_payment(id(&scanned)).await;
    demo.shop.scan(&number).await;
    demo.process.kill();

    let cancel = format!("{}  would cancel and release its stock", id(&never_tried));
    let wait = format!("{}  would keep waiting: the gateway", id(&scanned));
    let both_due = async || {
        let said = dry_run(&site).await;
        said.contains(&cancel) && said.contains(&wait)
    };
    until("both orders are due", PATIENCE, both_due).await;
    // The first dry run changed nothing: the second says the same.
    assert!(both_due().await);
    let sweep = site.tool(&["sweep", "--once"]).await;
    assert_success(&sweep);
    assert!(sweep.stdout.starts_with("1 settled, 1 still pending, 0 failed"), "{sweep:?}");
    assert!(!dry_run(&site).await.contains(id(&never_tried)));
    site.assert_sound().await;
    let doctor = site.tool(&["doctor"]).await;
    assert!(
        doctor.status.code() == Some(1) && doctor.stdout.contains("FAIL  gateway"),
        "{doctor:?}"
    );

    let demo = site.start().await;
    assert_eq!(demo.shop.status(id(&never_tried)).await, "cancelled");
    assert_eq!(demo.shop.ended_by(id(&never_tried)).await, "sweep");
    let ended = async || demo.shop.has_ended(id(&scanned)).await;
    until("the scanned order has ended", PATIENCE, ended).await;
    assert_eq!(demo.shop.status(id(&scanned)).await, "cancelled");
    site.assert_sound().await;
}

#[tokio::test]
async fn sweeps_beside_a_running_demo_end_each_order_once() {
    let site = Site::new("5s", "1s");
    let demo = site.start().await;
    let mut orders = Vec::new();
    for number in 0..ORDERS {
        let order = demo.shop.place(&format!("order {number}")).await;
        let number = demo.shop.start_payment(id(&order)).await;
        demo.shop.scan(&number).await;
        orders.push(id(&order).to_owned());
    }
    until_none("orders still wait", PATIENCE, async || {
        let (one, other) =
            tokio::join!(site.tool(&["sweep", "--once"]), site.tool(&["sweep", "--once"]));
        assert_success(&one);
        assert_success(&other);
        demo.shop.waiting(&orders).await
    })
    .await;
    for order_id in &orders {
        assert_eq!(demo.shop.status(order_id).await, "cancelled");
    }
    let trades = demo.shop.trades().await;
    assert!(trades.iter().all(|trade| trade["state"] == "TRADE_CLOSED"), "{trades:#?}");
    let sku = demo.shop.get("/v1/skus/tea-250g").await.expect("an answer").json();
    assert_eq!((&sku["available"], &sku["locked"]), (&100.into(), &0.into()));
    site.assert_sound().await;
    demo.assert_no_panic();
}

#[tokio::test]
async fn an_audit_fails_with_what_violates_an_invariant() {
    let site = Site::new("5s", "1s");
    let demo = site.start().await;
    let order = demo.shop.place("to be tampered with").await;
    demo.process.kill();
    let url = format!("sqlite:{}", site.data_dir().join("checkback.db").display());
    let mut database = SqliteConnection::connect(&url).await.expect("the database");
    let tampered = sqlx::query("delete from pending_payments").execute(&mut database).await;
    assert_eq!(tampered.expect("it is deleted").rows_affected(), 1);
    database.close().await.expect("it is closed");

    let ended = site.tool(&["audit", "--json"]).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(report["ok"], false);
    let checks = report["checks"].as_array().expect("checks").iter();
    let violated: Vec<_> =
        checks.filter(|check| check["violations"] != serde_json::json!([])).collect();
    assert_eq!(violated.len(), 1, "{violated:#?}");
    assert_eq!((&violated[0]["id"], &violated[0]["violations"][0]), (&"I1".into(), &order["id"]));
    let ended = site.tool(&["audit"]).await;
    assert!(ended.status.code() == Some(1) && ended.stdout.contains("VIOLATED"), "{ended:?}");
}

#[tokio::test]
async fn tools_name_a_directory_without_a_demo() {
    let site = Site::new("5s", "1s");
    let file = site.data_dir().join("checkback.toml").display().to_string();
    for args in [&["audit"][..], &["doctor"], &["migrate"], &["sweep", "--once"]] {
        let ended = site.tool(args).await;
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert!(ended.stderr.contains(&file), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
    assert!(!site.data_dir().exists(), "a look leaves nothing behind");
}
