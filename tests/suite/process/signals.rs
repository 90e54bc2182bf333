//! SIGTERM: the first ends everything in order and in time, the second at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::json;
use tokio::task::JoinHandle;

use super::child::{note, until};
use super::demo::{Demo, STOP_BUDGET, Site};
use super::kill::{STOCK, ask_again};
use super::load::{Ledger, SKU, crowd};

const PATIENCE: Duration = Duration::from_secs(30);
/// The crowd is in the middle of its shopping by then.
const ORDERS_BEFORE_THE_END: usize = 20;
const SEED: u64 = 7;
/// An order's window of five seconds, grace, a few check intervals, and air for a busy machine.
const END_PATIENCE: Duration = Duration::from_secs(40);
/// At once, for a process that a busy machine has to wake.
const AT_ONCE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn sigterm_ends_an_idle_demo_whose_directory_goes_on() {
    let site = Site::new("5s", "1s");
    let demo = site.start().await;
    let order = demo.shop.place("before").await;
    demo.terminate().await;
    site.assert_sound().await;

    let demo = site.start().await;
    let order_id = order["id"].as_str().expect("an id");
    assert_eq!(demo.shop.place("before").await, order);
    demo.shop.place("after").await;
    let ended = async || demo.shop.has_ended(order_id).await;
    until("the order has ended", END_PATIENCE, ended).await;
    assert_eq!(demo.shop.status(order_id).await, "cancelled");
    demo.assert_no_panic();
}

#[tokio::test]
async fn sigterm_does_not_wait_for_listeners_or_a_hanging_gateway() {
    let site = Site::new("5s", "1s");
    let demo = site.start().await;
    let (order_id, stream, cancel) = keep_busy(&demo).await;
    let listener = tokio::spawn(async move { stream.text().await });
    demo.terminate().await;
    let told = listener.await.expect("no panic").expect("the stream ends in order");
    assert!(told.contains(&order_id), "{told}");
    // Answered or cut off; the request itself is stored.
    drop(cancel.await);
    site.assert_sound().await;

    let demo = site.start().await;
    let ended = async || demo.shop.has_ended(&order_id).await;
    until("the order has ended", END_PATIENCE, ended).await;
    assert_eq!(demo.shop.status(&order_id).await, "cancelled");
    demo.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_loses_nothing_that_was_answered() {
    let site = Site::new("30s", "1s");
    let demo = site.start().await;
    demo.shop.put_sku(SKU, STOCK).await;
    let ledger = Arc::new(Ledger::default());
    let crowd = crowd(&demo.shop, &ledger, 0, SEED);
    let enough = async || ledger.answered() >= ORDERS_BEFORE_THE_END;
    until("orders were placed", PATIENCE, enough).await;
    demo.terminate().await;
    crowd.join_all().await;
    site.assert_sound().await;

    let demo = site.start().await;
    let orders = ask_again(&demo.shop, &ledger).await;
    note(format_args!("{} orders, {} answered before the end", orders.len(), ledger.answered()));
    site.assert_sound().await;
    demo.assert_no_panic();
}

#[tokio::test]
async fn a_second_sigterm_ends_it_at_once() {
    let site = Site::new("5s", "1s");
    let mut demo = site.start().await;
    let (order_id, _stream, _cancel) = keep_busy(&demo).await;
    demo.process.signal("TERM");
    let stopping = async || demo.process.stderr().contains("stopping");
    until("it stops", PATIENCE, stopping).await;
    assert!(!demo.process.has_ended(), "the second signal comes too late to show anything");

    let second = Instant::now();
    demo.process.signal("TERM");
    demo.process.end_within(AT_ONCE).await;
    note(format_args!("ended {:?} after the second signal", second.elapsed()));
    site.assert_sound().await;
    let demo = site.start().await;
    let ended = async || demo.shop.has_ended(&order_id).await;
    until("the order has ended", END_PATIENCE, ended).await;
    site.assert_sound().await;
}

#[tokio::test]
async fn sigterm_ends_a_demo_that_waits_for_its_broker() {
    let mut site = Site::new("5s", "1s");
    site.options.extend(["--rocketmq".to_owned(), site.ports.namesrv.to_string()]);
    let mut process = site.spawn();
    let starting = async || process.stdout().contains("starting the service");
    until("it starts", PATIENCE, starting).await;
    process.signal("TERM");
    let ended = process.end_within(STOP_BUDGET).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

/// Opens a live stream and makes a cancel hang in its question to the gateway.
async fn keep_busy(demo: &Demo) -> (String, Response, JoinHandle<()>) {
    let order = demo.shop.place("busy").await;
    let order_id = order["id"].as_str().expect("an id").to_owned();
    let number = demo.shop.start_payment(&order_id).await;
    demo.shop.scan(&number).await;
    let hang = json!({ "method": "alipay.trade.query", "kind": "timeout_before" });
    demo.shop.control("faults", hang).await;
    let stream = demo.shop.stream(&order_id).await;
    let (shop, id) = (demo.shop.clone(), order_id.clone());
    let cancel = tokio::spawn(async move { drop(shop.cancel(&id).await) });
    let hangs = async || demo.shop.fault_hits().await > 0;
    until("a call to the gateway hangs", PATIENCE, hangs).await;
    (order_id, stream, cancel)
}
