//! `kill -9` at random moments, again and again: nothing that was promised is lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::child::{note, until, until_none};
use super::demo::{Demo, Site};
use super::load::{Ledger, SKU, crowd};
use super::shop::Shop;

/// Lives that end under load; as many end while everything starts.
const LIVES: u64 = 5;
/// The same with the other engines.
const FEW_LIVES: u64 = 2;
const ENGINE_VARIABLE: &str = "CHECKBACK__TIMEOUT__ENGINE";
const HALF_MESSAGE_VARIABLE: &str = "CHECKBACK__TIMEOUT__HALF_MESSAGE";
/// The seed of everything random, unless this variable has another.
const SEED: u64 = 20_260_501;
const SEED_VARIABLE: &str = "KILL_TEST_SEED";
/// How long a life under load lasts (ms).
const LIFE_MS: std::ops::RangeInclusive<u64> = 300..=3_500;
/// How long a life lasts that ends while everything starts (ms).
const SHORT_LIFE_MS: std::ops::RangeInclusive<u64> = 20..=2_000;
/// Pieces of the SKU: no order is refused.
pub(super) const STOCK: i64 = 10_000;
/// An order's window of eight seconds, grace, a few check intervals, and air for a busy machine.
const END_PATIENCE: Duration = Duration::from_secs(40);
/// An ended order's attempt is asked about until its code is dead, at growing intervals.
const LATE_PATIENCE: Duration = Duration::from_mins(1);
/// Past the pause before the simulator's first repeat of a notification (ms).
const REPEAT_PAUSE_MS: u64 = 5 * 60 * 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_by_kills_at_random_moments_under_load() {
    die_again_and_again(site(), LIVES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_with_timers_instead_of_half_messages() {
    die_again_and_again(site().with(ENGINE_VARIABLE, "delay"), FEW_LIVES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_with_the_table_alone() {
    die_again_and_again(site().with(ENGINE_VARIABLE, "poll"), FEW_LIVES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_with_half_messages_that_tell_of_payments() {
    die_again_and_again(site().with(HALF_MESSAGE_VARIABLE, "paid"), FEW_LIVES).await;
}

fn site() -> Site {
    Site::new("8s", "1s")
}

async fn die_again_and_again(site: Site, lives: u64) {
    let seed = std::env::var(SEED_VARIABLE).map_or(SEED, |seed| seed.parse().expect("a seed"));
    let mut random = StdRng::seed_from_u64(seed);
    let ledger = Arc::new(Ledger::default());
    for life in 0..lives {
        live_and_die(&site, &ledger, life, &mut random).await;
        let process = site.spawn();
        sleep_ms(random.random_range(SHORT_LIFE_MS)).await;
        process.kill();
    }
    let demo = site.start().await;
    let orders = ask_again(&demo.shop, &ledger).await;
    site.assert_sound().await;
    let begun = Instant::now();
    until_none("orders still wait", END_PATIENCE, async || demo.shop.waiting(orders.keys()).await)
        .await;
    note(format_args!("all {} orders have ended after {:?}", orders.len(), begun.elapsed()));
    account_for_every_payment(&demo.shop, &ledger, &orders).await;
    assert_stock_is_back(&demo.shop, &orders).await;
    site.assert_sound().await;
    demo.assert_no_panic();
    let ledger = ledger.open();
    assert!(ledger.surprises.is_empty(), "{:#?}", ledger.surprises);
    note(format_args!("{} requests, {} payments", ledger.requests.len(), ledger.paid.len()));
}

#[tokio::test]
async fn what_a_killed_worker_was_busy_with_is_taken_up_at_once() {
    let site = Site::new("30s", "1s");
    let demo = site.start().await;
    let order = demo.shop.place("cancelled before it is paid").await;
    let order_id = order["id"].as_str().expect("an id");
    let number = demo.shop.start_payment(order_id).await;
    assert_eq!(demo.shop.cancel(order_id).await.expect("an answer").status, 200);
    // Only the light poll can find this payment, and it dies in its question to the gateway.
    demo.shop.pay_silently(&number).await;
    let hits = demo.shop.fault_hits().await;
    let hang = json!({ "method": "alipay.trade.query", "kind": "timeout_before" });
    demo.shop.control("faults", hang).await;
    let asks = async || demo.shop.fault_hits().await > hits;
    until("the poll asks the gateway", LATE_PATIENCE, asks).await;
    demo.process.kill();

    let demo = site.start().await;
    let orders = [(order_id.to_owned(), 1)].into();
    until_none("payments are lost", LATE_PATIENCE, async || {
        unaccounted(&demo.shop, &orders, std::slice::from_ref(&number)).await
    })
    .await;
    site.assert_sound().await;
}

async fn sleep_ms(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

async fn live_and_die(site: &Site, ledger: &Arc<Ledger>, life: u64, random: &mut StdRng) {
    let begun = Instant::now();
    let Demo { process, shop } = site.start().await;
    let started = begun.elapsed();
    shop.put_sku(SKU, STOCK).await;
    let crowd = crowd(&shop, ledger, life, random.random());
    let length_ms = random.random_range(LIFE_MS);
    sleep_ms(length_ms).await;
    process.kill();
    crowd.join_all().await;
    let requests = ledger.open().requests.len();
    note(format_args!(
        "life {life}: started in {started:?}, killed after {length_ms} ms, {requests} asked"
    ));
}

/// Repeats every request: what was answered is answered the same, what wasn't is answered now, and
/// the same from then on. Returns the pieces of each order.
pub(super) async fn ask_again(shop: &Shop, ledger: &Ledger) -> BTreeMap<String, i64> {
    let requests = ledger.open().requests.clone();
    let mut orders = BTreeMap::new();
    for (key, request) in requests {
        let answer = shop.try_place(&key, SKU, request.pieces).await.expect("an answer");
        assert_eq!(answer.status, 201, "{key}: {answer:?}");
        let again = match request.answer {
            Some(first) => first,
            None => shop.try_place(&key, SKU, request.pieces).await.expect("an answer").body,
        };
        assert_eq!(answer.body, again, "{key}");
        let order_id = answer.text("id");
        assert_eq!(shop.order(&order_id).await["id"], order_id.as_str());
        orders.insert(order_id, request.pieces);
    }
    orders
}

/// Every trade with a buyer's money is applied to a paid order, is given back, or is on the alarm
/// list.
pub(super) async fn account_for_every_payment(
    shop: &Shop,
    ledger: &Ledger,
    orders: &BTreeMap<String, i64>,
) {
    let promised = ledger.open().clone();
    let trades = shop.trades().await;
    let gave_back = |trade: &Value| trade["refunds"].as_array().is_some_and(|all| !all.is_empty());
    let with_money = |trade: &&Value| trade["state"] == "TRADE_SUCCESS" || gave_back(trade);
    let number = |trade: &Value| trade["out_trade_no"].as_str().expect("a number").to_owned();
    let paid: Vec<_> = trades.iter().filter(with_money).map(number).collect();
    let forgotten: Vec<_> = promised.paid.iter().filter(|one| !paid.contains(one)).collect();
    assert!(forgotten.is_empty(), "the simulator forgot payments: {forgotten:?}");

    let (forced, found): (Vec<_>, Vec<_>) =
        paid.into_iter().partition(|number| promised.forced.contains(number));
    until_none("payments are lost", LATE_PATIENCE, async || {
        unaccounted(shop, orders, &found).await
    })
    .await;
    // A payment of a trade that had been closed before is told by its notification alone, and the
    // first delivery may have met nobody.
    shop.control("clock", json!({ "advance_ms": REPEAT_PAUSE_MS })).await;
    until_none("forced payments are lost", LATE_PATIENCE, async || {
        unaccounted(shop, orders, &forced).await
    })
    .await;
}

async fn unaccounted(shop: &Shop, orders: &BTreeMap<String, i64>, paid: &[String]) -> Vec<String> {
    let alarmed = shop.alarmed().await;
    let mut accounted = Vec::new();
    for order_id in orders.keys() {
        let order = shop.order(order_id).await;
        for payment in order["payments"].as_array().expect("payments") {
            let number = payment["out_trade_no"].as_str().expect("a number").to_owned();
            let fine = match payment["status"].as_str().expect("a status") {
                "applied" => order["status"] == "paid",
                "late" | "duplicate" if payment["refunded_fen"] == payment["amount_fen"] => true,
                "late" | "duplicate" | "wrong_amount" => alarmed.contains(&number),
                _ => false,
            };
            if fine {
                accounted.push(number);
            }
        }
    }
    paid.iter().filter(|number| !accounted.contains(number)).cloned().collect()
}

/// The stock that is still locked is that of the paid orders.
async fn assert_stock_is_back(shop: &Shop, orders: &BTreeMap<String, i64>) {
    let mut kept = 0;
    for (order_id, pieces) in orders {
        match shop.status(order_id).await.as_str() {
            "paid" => kept += pieces,
            status => assert_eq!(status, "cancelled", "{order_id}"),
        }
    }
    let sku = shop.get(&format!("/v1/skus/{SKU}")).await.expect("an answer").json();
    let counters = ["available", "locked", "sold"].map(|name| sku[name].as_i64().expect(name));
    assert_eq!(counters, [STOCK - kept, kept, 0], "of {} orders", orders.len());
}
