//! Two instances of `serve` on one Apache RocketMQ and one MariaDB: they share the work, know what
//! the other did, and lose nothing when one dies or is replaced.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::{self, StreamExt as _};
use reqwest::Response;
use serde_json::{Value, json};

use super::child::{note, until, until_none};
use super::fleet::{Fleet, Instance};
use super::kill::{STOCK, account_for_every_payment, ask_again};
use super::load::{Ledger, SKU, crowd};
use super::shop::{Answer, Shop};

/// Grace, a few check intervals, and air for a busy machine, beside an order's window.
const END_PATIENCE: Duration = Duration::from_mins(5);
/// A page shows a change that another instance made within this time.
const SEEN_WITHIN: Duration = Duration::from_secs(2);
/// What each of two instances has a share of.
const SHARED_ORDERS: usize = 80;
/// Orders that are placed before an instance is killed; a quarter of them is paid …
const OPEN_ORDERS: usize = 700;
/// … and so many still wait by then.
const OPEN_ORDERS_MIN: usize = 500;
/// Callers at the same time.
const CALLERS: usize = 24;
/// Pause before a refused request is repeated.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// The crowd is in the middle of its shopping by then.
const ORDERS_BEFORE_THE_END: usize = 20;

/// What a buyer did with an order: a quarter of the orders each.
const KINDS: usize = 4;

/// Places an order and does with it what its number says: nothing, start a payment, scan its code,
/// or pay. Returns its id.
async fn shop_for(shop: Shop, number: usize) -> String {
    let key = format!("order {number}");
    let order_id = accepted("id", async || shop.try_place(&key, SKU, 1).await).await;
    if number.is_multiple_of(KINDS) {
        return order_id;
    }
    let start = async || shop.try_start_payment(&order_id).await;
    let out_trade_no = accepted("out_trade_no", start).await;
    match number % KINDS {
        1 => {}
        2 => shop.scan(&out_trade_no).await,
        _ => shop.control("pay", json!({ "out_trade_no": out_trade_no })).await,
    }
    order_id
}

/// Asks again as long as a busy machine makes the service answer 503; returns a field of what came.
async fn accepted(field: &str, mut ask: impl AsyncFnMut() -> reqwest::Result<Answer>) -> String {
    loop {
        let answer = ask().await.expect("an answer");
        match answer.status {
            200 | 201 => return answer.text(field),
            503 => tokio::time::sleep(RETRY_PAUSE).await,
            _ => panic!("{answer:?}"),
        }
    }
}

/// Orders that are placed at both instances in turn.
async fn place_orders(instances: [&Instance; 2], count: usize) -> Vec<String> {
    let begun = Instant::now();
    let placing = (0..count).map(|number| shop_for(instances[number % 2].shop.clone(), number));
    let orders: Vec<_> = stream::iter(placing).buffered(CALLERS).collect().await;
    note(format_args!("{count} orders are open after {:?}", begun.elapsed()));
    orders
}

/// Waits until all have ended as they should; each ended once. Says how late the cancels were.
async fn wait_for_ends(shop: &Shop, orders: &[String]) {
    let mut left = orders.to_vec();
    until_none("orders still wait", END_PATIENCE, async || {
        left = shop.waiting(&left).await;
        left.clone()
    })
    .await;
    let mut lateness = Vec::new();
    let mut ended_by = BTreeMap::<String, usize>::new();
    for (number, order_id) in orders.iter().enumerate() {
        let order = shop.order(order_id).await;
        let expected = if number % KINDS == 3 { "paid" } else { "cancelled" };
        assert_eq!(order["status"], expected, "{order}");
        if expected == "cancelled" {
            lateness.push(time(&order["cancelled_at"]) - time(&order["expires_at"]));
        }
        let actor = end_of(shop, order_id).await;
        *ended_by.entry(format!("{expected} by {actor}")).or_default() += 1;
    }
    lateness.sort_unstable();
    let at = |percent: usize| lateness[(lateness.len() - 1) * percent / 100].num_milliseconds();
    note(format_args!(
        "cancels after the deadline: median {} ms, 95 % {} ms, last {} ms; {ended_by:?}",
        at(50),
        at(95),
        at(100)
    ));
    assert!(lateness[0] >= TimeDelta::zero(), "a cancel before its deadline");
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().expect("a time").parse().expect("a time")
}

/// Who ended an order; the history has one end only.
async fn end_of(shop: &Shop, order_id: &str) -> String {
    let answer = shop.get(&format!("/v1/orders/{order_id}/events")).await.expect("an answer");
    let events = answer.json();
    let events = events["events"].as_array().expect("events");
    let is_end = |event: &&Value| event["to"] != event["from"] && event["from"] != "none";
    let ends: Vec<_> = events.iter().filter(is_end).collect();
    let [end] = ends[..] else { panic!("not one end: {ends:#?}") };
    end["actor"].as_str().expect("an actor").to_owned()
}

/// The sum of a metric over its labels.
async fn counted(shop: &Shop, metric: &str) -> u64 {
    let metrics = shop.get("/metrics").await.expect("an answer").body;
    let lines = metrics.lines().filter(|line| line.starts_with(metric));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

/// A quarter of the orders is paid.
fn paid_of(orders: usize) -> i64 {
    i64::try_from(orders / KINDS).expect("a few")
}

async fn assert_stock(shop: &Shop, sku_id: &str, kept: i64) {
    let sku = shop.get(&format!("/v1/skus/{sku_id}")).await.expect("an answer").json();
    assert_eq!((&sku["locked"], &sku["sold"]), (&json!(kept), &json!(0)), "{sku}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_share_the_work_and_end_each_order_once() {
    let Some(mut fleet) = Fleet::on_engines("10s").await else { return };
    let (a, b) = fleet.start_two().await;
    a.shop.put_sku(SKU, STOCK).await;
    let orders = place_orders([&a, &b], SHARED_ORDERS).await;
    let sweeps = async || {
        let args = ["sweep", "--once"];
        let (one, other) = tokio::join!(fleet.tool(&args), fleet.tool(&args));
        for sweep in [one, other] {
            assert_eq!(sweep.status.code(), Some(0), "{sweep:?}");
        }
    };
    tokio::join!(wait_for_ends(&a.shop, &orders), sweeps());
    for (name, instance) in [("a", &a), ("b", &b)] {
        let checks = counted(&instance.shop, "checkback_check_backs_total").await;
        let deliveries = counted(&instance.shop, "checkback_deliveries_total").await;
        note(format_args!("{name}: {checks} check-backs, {deliveries} deliveries"));
        assert!(checks > 0 && deliveries > 0, "{name} has no share");
    }
    assert_stock(&b.shop, SKU, paid_of(SHARED_ORDERS)).await;
    a.terminate().await;
    b.terminate().await;
    fleet.finish().await;
}

/// Reads a stream until it tells of this status.
async fn told(mut stream: Response, status: &str) -> Instant {
    let wanted = format!("\"status\":\"{status}\"");
    let mut text = String::new();
    while let Some(chunk) = stream.chunk().await.expect("a chunk") {
        text.push_str(&String::from_utf8_lossy(&chunk));
        if text.contains(&wanted) {
            return Instant::now();
        }
    }
    panic!("the stream ended without {status}: {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_shows_a_payment_of_which_another_instance_was_told() {
    let Some(mut fleet) = Fleet::on_engines("60s").await else { return };
    let (a, b) = fleet.start_two().await;
    a.shop.put_sku(SKU, STOCK).await;
    // Only the notification tells of the payment, and it goes to the second instance.
    let hide = json!({ "method": "alipay.trade.query", "kind": "unknown_before" });
    a.shop.control("faults", hide).await;
    for number in 0..5 {
        let answer = a.shop.try_place(&format!("page {number}"), SKU, 1).await.expect("it");
        let order_id = answer.text("id");
        let stream = a.shop.stream(&order_id).await;
        let out_trade_no = b.shop.start_payment(&order_id).await;
        let page = tokio::spawn(told(stream, "paid"));
        a.shop.control("pay", json!({ "out_trade_no": out_trade_no })).await;
        let is_paid = async || b.shop.status(&order_id).await == "paid";
        until("the order is paid", END_PATIENCE, is_paid).await;
        let paid = Instant::now();
        let shown = page.await.expect("no panic").saturating_duration_since(paid);
        note(format_args!("shown at a {shown:?} after b had it"));
        assert!(shown < SEEN_WITHIN, "{shown:?}");
        assert_eq!(end_of(&a.shop, &order_id).await, "notify");
    }
    let counted = counted(&a.shop, "checkback_notifications_total").await;
    assert_eq!(counted, 0, "a notification went to the instance with the page");
    a.terminate().await;
    b.terminate().await;
    fleet.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_one_instance_is_killed_the_other_ends_all_its_orders() {
    let Some(mut fleet) = Fleet::on_engines("170s").await else { return };
    let (a, b) = fleet.start_two().await;
    a.shop.put_sku(SKU, STOCK).await;
    // Every notification is lost.
    a.shop.control("faults", json!({ "method": "notify", "kind": "drop" })).await;
    let orders = place_orders([&a, &b], OPEN_ORDERS).await;
    let open = a.shop.waiting(&orders).await.len();
    note(format_args!("{open} orders wait when one instance is killed"));
    assert!(open >= OPEN_ORDERS_MIN, "{open}");
    b.process.kill();
    wait_for_ends(&a.shop, &orders).await;
    assert_stock(&a.shop, SKU, paid_of(OPEN_ORDERS)).await;
    assert!(!a.process.stderr().contains("panicked"), "{}", a.process.stderr());
    a.terminate().await;
    fleet.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_hangs_keeps_no_order_from_its_end() {
    let Some(mut fleet) = Fleet::on_engines("40s").await else { return };
    let (a, b) = fleet.start_two().await;
    a.shop.put_sku(SKU, STOCK).await;
    a.shop.control("faults", json!({ "method": "notify", "kind": "drop" })).await;
    let orders = place_orders([&a, &b], SHARED_ORDERS).await;
    // Its connections stay open: the broker goes on asking it, and keeps its queues for it.
    b.process.signal("STOP");
    wait_for_ends(&a.shop, &orders).await;
    b.process.signal("CONT");
    let lives = async || b.shop.is_ready().await;
    until("it goes on", END_PATIENCE, lives).await;
    assert_stock(&b.shop, SKU, paid_of(SHARED_ORDERS)).await;
    a.terminate().await;
    b.terminate().await;
    fleet.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_loses_nothing() {
    let Some(mut fleet) = Fleet::on_engines("15s").await else { return };
    let (a, b) = fleet.start_two().await;
    a.shop.put_sku(SKU, STOCK).await;
    let ledger = Arc::new(Ledger::default());
    let a = restart_under_load(&fleet, a, &b, &ledger, 0).await;
    let b = restart_under_load(&fleet, b, &a, &ledger, 2).await;

    let orders = ask_again(&a.shop, &ledger).await;
    fleet.assert_sound().await;
    until_none("orders still wait", END_PATIENCE, async || a.shop.waiting(orders.keys()).await)
        .await;
    account_for_every_payment(&b.shop, &ledger, &orders).await;
    note(format_args!("{} orders, {} payments", orders.len(), ledger.open().paid.len()));
    let surprises = ledger.open().surprises.clone();
    assert!(surprises.is_empty(), "{surprises:#?}");
    a.terminate().await;
    b.terminate().await;
    fleet.finish().await;
}

/// Two crowds shop; one instance ends in order in the middle of it and is started again. The other
/// one's crowd doesn't notice.
async fn restart_under_load(
    fleet: &Fleet,
    ends: Instance,
    stays: &Instance,
    ledger: &Arc<Ledger>,
    life: u64,
) -> Instance {
    let before = ledger.answered();
    let interrupted = crowd(&ends.shop, ledger, life, 7);
    let undisturbed = crowd(&stays.shop, ledger, life + 1, 8);
    let enough = async || ledger.answered() >= before + ORDERS_BEFORE_THE_END;
    until("orders were placed", END_PATIENCE, enough).await;
    let (name, http) = (ends.name, ends.http);
    note(format_args!("{name} ended {:?} after SIGTERM", ends.terminate().await));
    let restarted = fleet.start(name, http).await;
    interrupted.join_all().await;
    undisturbed.join_all().await;
    let of_this = |key: &str| key.starts_with(&format!("life-{}-", life + 1));
    let promises = ledger.open().requests.clone();
    let unanswered: Vec<_> =
        promises.iter().filter(|(key, request)| of_this(key) && request.answer.is_none()).collect();
    assert!(unanswered.is_empty(), "the other instance was disturbed: {unanswered:#?}");
    restarted
}
