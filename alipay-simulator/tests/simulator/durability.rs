//! What has been answered is still there after the end, however it came.

use std::time::Duration;

use alipay_simulator::start;
use serde_json::json;

use crate::merchant::{Shop, form, settings, until};
use crate::webhook::Webhook;

const PATIENCE: Duration = Duration::from_secs(8);

#[tokio::test]
async fn trades_refunds_and_clock_survive_an_end_without_shutdown() {
    let directory = tempfile::tempdir().unwrap();
    let path = Some(directory.path().to_owned());
    let shop = Shop::on(path.clone()).await;
    for number in ["OPEN", "CLOSED"] {
        shop.precreate(number).await;
        shop.control("scan", json!({"out_trade_no": number})).await;
    }
    shop.call("close", json!({"out_trade_no": "CLOSED"})).await;
    shop.paid("PAID").await;
    let refund = json!({"out_trade_no": "PAID", "refund_amount": "8.00", "out_request_no": "R1"});
    shop.call("refund", refund.clone()).await;
    shop.advance(Duration::from_mins(10)).await;
    shop.fault(json!({"method": "*", "kind": "http_502"})).await;
    let before = [shop.trade("OPEN").await, shop.trade("CLOSED").await, shop.trade("PAID").await];
    drop(shop);

    let shop = Shop::on(path.clone()).await;
    let after = [shop.trade("OPEN").await, shop.trade("CLOSED").await, shop.trade("PAID").await];
    assert_eq!(before, after);
    assert_eq!(shop.call("refund", refund).await["fund_change"], "N");
    let clock = shop.control("clock", json!({"advance_ms": 0})).await;
    assert_eq!(clock.1["offset_ms"], 600_000);
    shop.simulator.shutdown().await;

    let shop = Shop::on(path).await;
    assert_eq!(shop.trade("PAID").await, before[2]);
}

#[tokio::test]
async fn an_undelivered_notification_is_delivered_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = Some(directory.path().to_owned());
    let webhook = Webhook::open().await;
    let mut shop = Shop::on(path.clone()).await;
    shop.notify_url = Some(webhook.url.clone());
    shop.fault(json!({"method": "notify", "kind": "drop"})).await;
    shop.paid("T1").await;
    let dropped = async || shop.trade("T1").await["notifications"][0]["at"].is_string();
    until("the delivery was dropped", dropped).await;
    let id = shop.trade("T1").await["notifications"][0]["notify_id"].clone();
    drop(shop);

    let shop = Shop::on(path).await;
    assert_eq!(webhook.count(), 0);
    shop.advance(Duration::from_mins(4)).await;
    until("the notification arrives", async || webhook.count() == 1).await;
    assert_eq!(id, *webhook.form(0)["notify_id"]);
}

#[tokio::test]
async fn what_stands_in_the_way_is_said_in_one_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let shop = Shop::on(Some(directory.path().to_owned())).await;
    let mut taken = settings(None);
    taken.listen = shop.simulator.address();
    let error = start(taken).await.unwrap_err().to_string();
    assert!(error.contains("can't listen on 127.0.0.1:"), "{error}");

    let error = start(settings(Some(directory.path().to_owned()))).await.unwrap_err().to_string();
    assert!(error.ends_with("another simulator is using it"), "{error}");

    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = start(settings(Some(file.join("below")))).await.unwrap_err().to_string();
    assert!(error.contains("can't use the directory"), "{error}");

    let mut keyless = settings(None);
    "no key".clone_into(&mut keyless.app_public_key_pem);
    let error = start(keyless).await.unwrap_err().to_string();
    assert!(error.contains("can't use its app public key"), "{error}");
}

#[tokio::test]
async fn a_shutdown_lets_hanging_calls_go() {
    let shop = Shop::open().await;
    shop.fault(json!({"method": "alipay.trade.query", "kind": "timeout_before"})).await;
    let mut params = shop.params("query", &json!({"out_trade_no": "T1"}));
    shop.sign(&mut params);
    let call = shop.http.get(format!("{}?{}", shop.simulator.gateway_url(), form(&params)));
    let hanging = tokio::spawn(async move { call.send().await.map(|answer| answer.status()) });
    shop.trade("T1").await;
    tokio::time::timeout(PATIENCE, shop.simulator.shutdown()).await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, hanging).await.unwrap().unwrap();
    assert!(ended.is_err() || ended.is_ok_and(|status| status == 504));
}
