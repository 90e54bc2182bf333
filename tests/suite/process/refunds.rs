//! `kill -9` while money goes back, between any two steps of it: each refund happens once.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::child::{note, until, until_none};
use super::demo::Ports;
use super::fleet::Fleet;
use super::load::SKU;
use super::shop::Shop;

/// Paid orders of three pieces, each with as many refunds of a piece.
const ORDERS: usize = 8;
const REFUNDS: usize = 3;
/// Lives that end while refunds are sent, after so long (ms).
const LIVES_MS: [u64; 6] = [150, 400, 900, 1_400, 2_200, 3_500];
/// A killed worker's lease, the pauses between tries, and air for a busy machine.
const PATIENCE: Duration = Duration::from_mins(4);

/// Paid orders: id and number of the trade.
async fn paid_orders(shop: &Shop) -> Vec<(String, String)> {
    let mut orders = Vec::new();
    for number in 0..ORDERS {
        let key = format!("order {number}");
        let mut order = String::new();
        until("the order is placed", PATIENCE, async || {
            let answer = shop.try_place(&key, SKU, 3).await.expect("an answer");
            assert!(matches!(answer.status, 201 | 503), "{answer:?}");
            let is_placed = answer.status == 201;
            if is_placed {
                order = answer.text("id");
            }
            is_placed
        })
        .await;
        let trade = shop.start_payment(&order).await;
        shop.control("pay", json!({ "out_trade_no": trade })).await;
        orders.push((order, trade));
    }
    for (order, _) in &orders {
        until("the order is paid", PATIENCE, async || shop.status(order).await == "paid").await;
    }
    orders
}

/// Asks for every refund, and again for those that were not answered; each must be accepted once.
async fn ask(shop: &Shop, orders: &[(String, String)]) -> usize {
    let asking = orders.iter().flat_map(|(order, _)| {
        (0..REFUNDS).map(move |number| async move {
            let request_no = format!("r{number}");
            let answer = shop.try_refund(order, &request_no, 100).await;
            let Ok(answer) = answer else { return false };
            assert!(matches!(answer.status, 202 | 503), "{answer:?}");
            answer.status == 202
        })
    });
    join_all(asking).await.into_iter().filter(|accepted| *accepted).count()
}

/// Orders whose money is not back, here and at the gateway, in as many refunds as were asked for.
async fn unfinished(shop: &Shop, orders: &[(String, String)]) -> Vec<String> {
    let trades = shop.trades().await;
    let mut left = Vec::new();
    for (order, no) in orders {
        let view = shop.order(order).await;
        let trade = trades.iter().find(|trade| trade["out_trade_no"] == no.as_str());
        let moved = trade.and_then(|trade| trade["refunds"].as_array()).map_or(0, Vec::len);
        assert!(moved <= REFUNDS, "{no}: {trade:?}");
        if view["status"] != "refunded" || moved != REFUNDS {
            left.push(format!("{order} is {}, {moved} refunds", view["status"]));
        }
    }
    left
}

/// Faults of the gateway that leave every refund in doubt now and then.
async fn shake(shop: &Shop) {
    let faults = [
        ("alipay.trade.refund", "timeout_after", 0.1),
        ("alipay.trade.refund", "unknown_after", 0.3),
        ("alipay.trade.refund", "http_502", 0.2),
        ("alipay.trade.refund", "slow", 0.3),
        ("alipay.trade.fastpay.refund.query", "system_error_before", 0.3),
        ("alipay.trade.fastpay.refund.query", "refund_visible_late", 0.3),
    ];
    for (seed, (method, kind, probability)) in faults.into_iter().enumerate() {
        let fault = json!({
            "method": method, "kind": kind, "probability": probability, "seed": seed,
            "delay_ms": 700,
        });
        shop.control("faults", fault).await;
    }
}

async fn assert_whole(shop: &Shop, orders: &[(String, String)]) {
    for (order, _) in orders {
        let view = shop.order(order).await;
        assert_eq!(view["refunded_fen"], 300, "{view}");
        let answer = shop.get(&format!("/v1/orders/{order}/refunds")).await.expect("an answer");
        let refunds = answer.json();
        let refunds = refunds["refunds"].as_array().expect("a list").clone();
        assert_eq!(refunds.len(), REFUNDS, "{refunds:#?}");
        assert!(refunds.iter().all(|one| one["status"] == "succeeded"), "{refunds:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refund_is_made_once_by_a_service_that_is_killed_again_and_again() {
    let mut fleet = Fleet::new("60s").await;
    let http = Ports::free().http;
    fleet.webhook = http;
    let instance = fleet.start("a", http).await;
    instance.shop.put_sku(SKU, 1_000).await;
    let orders = paid_orders(&instance.shop).await;
    shake(&instance.shop).await;
    let mut running = Some(instance);
    for life_ms in LIVES_MS {
        let instance = running.take().expect("it was started");
        let (shop, asked) = (instance.shop.clone(), orders.clone());
        let asking = tokio::spawn(async move { ask(&shop, &asked).await });
        tokio::time::sleep(Duration::from_millis(life_ms)).await;
        instance.process.kill();
        let accepted = asking.await.expect("no panic");
        note(format_args!("killed after {life_ms} ms, {accepted} requests were answered"));
        running = Some(fleet.start("a", http).await);
    }
    let instance = running.expect("it was started");
    let shop = instance.shop.clone();
    until("every refund is accepted", PATIENCE, async || {
        ask(&shop, &orders).await == ORDERS * REFUNDS
    })
    .await;
    until_none("refunds are missing", PATIENCE, async || unfinished(&shop, &orders).await).await;
    assert_whole(&shop, &orders).await;
    assert!(!instance.process.stderr().contains("panicked"), "{}", instance.process.stderr());
    instance.terminate().await;
    fleet.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_share_the_sending_and_one_may_die() {
    let Some(mut fleet) = Fleet::on_server("60s").await else { return };
    let (a, b) = fleet.start_two().await;
    a.shop.put_sku(SKU, 1_000).await;
    let orders = paid_orders(&a.shop).await;
    shake(&a.shop).await;
    let (at_a, at_b) = tokio::join!(ask(&a.shop, &orders), ask(&b.shop, &orders));
    note(format_args!("{at_a} and {at_b} requests were answered"));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    b.process.kill();
    until("every refund is accepted", PATIENCE, async || {
        ask(&a.shop, &orders).await == ORDERS * REFUNDS
    })
    .await;
    until_none("refunds are missing", PATIENCE, async || unfinished(&a.shop, &orders).await).await;
    assert_whole(&a.shop, &orders).await;
    assert!(!a.process.stderr().contains("panicked"), "{}", a.process.stderr());
    a.terminate().await;
    fleet.finish().await;
}
