//! What reaches the merchant's webhook, when, and how it may be spoilt.

use std::time::Duration;

use serde_json::{Value, json};

use crate::merchant::{Shop, until};
use crate::webhook::Webhook;

async fn open() -> (Shop, Webhook) {
    let webhook = Webhook::open().await;
    let mut shop = Shop::open().await;
    shop.notify_url = Some(webhook.url.clone());
    (shop, webhook)
}

async fn arrived(webhook: &Webhook, count: usize) {
    until("the notification arrives", async || webhook.count() >= count).await;
    assert_eq!(webhook.count(), count);
}

/// Waits until the deliveries of a trade are on record.
async fn recorded(shop: &Shop, number: &str, count: usize) -> Value {
    let list = async || shop.trade(number).await["notifications"].clone();
    until("the delivery is on record", async || list().await.as_array().unwrap().len() >= count)
        .await;
    list().await
}

#[tokio::test]
async fn a_payment_is_notified_at_once_with_all_its_fields() {
    let (shop, webhook) = open().await;
    let mut order = crate::merchant::order("T1");
    order["passback_params"] = "a%3Db".into();
    shop.call("precreate", order).await;
    shop.control("pay", json!({"out_trade_no": "T1"})).await;
    arrived(&webhook, 1).await;
    assert!(webhook.is_genuine(0));
    let form = webhook.form(0);
    let expected = [
        ("notify_type", "trade_status_sync"),
        ("trade_status", "TRADE_SUCCESS"),
        ("app_id", "2021000000000001"),
        ("seller_id", "2088000000000001"),
        ("out_trade_no", "T1"),
        ("total_amount", "88.88"),
        ("receipt_amount", "88.88"),
        ("subject", "茶 <b>&tea</b>"),
        ("passback_params", "a%3Db"),
        ("fund_bill_list", r#"[{"amount":"88.88","fundChannel":"ALIPAYACCOUNT"}]"#),
    ];
    for (name, value) in expected {
        assert_eq!(form[name], value, "{name}");
    }
    let log = recorded(&shop, "T1", 1).await;
    assert_eq!(
        (&log[0]["answered"], &log[0]["notify_id"]),
        (&"success".into(), &form["notify_id"].clone().into())
    );
    shop.advance(Duration::from_hours(48)).await;
    assert_eq!(shop.trade("T1").await["notifications"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn anything_but_success_is_tried_again_on_the_virtual_clock() {
    let (shop, webhook) = open().await;
    webhook.answer("SUCCESS");
    shop.paid("T1").await;
    for (failures, minutes) in (1..).zip([4, 10, 10, 60, 120, 360, 900]) {
        recorded(&shop, "T1", failures).await;
        shop.advance(Duration::from_secs(minutes * 60 - 30)).await;
        shop.trade("T1").await;
        assert_eq!(webhook.count(), failures);
        shop.advance(Duration::from_secs(30)).await;
        arrived(&webhook, failures + 1).await;
        assert_eq!(webhook.form(failures)["notify_id"], webhook.form(0)["notify_id"]);
        assert_ne!(webhook.form(failures)["notify_time"], webhook.form(0)["notify_time"]);
    }
    let log = recorded(&shop, "T1", 8).await;
    assert_eq!(log[7]["answered"], "SUCCESS");
    shop.advance(Duration::from_hours(48)).await;
    assert_eq!(shop.trade("T1").await["notifications"].as_array().unwrap().len(), 8);
}

#[tokio::test]
async fn a_close_and_refunds_are_notified_with_their_marks() {
    let (shop, webhook) = open().await;
    shop.precreate("T1").await;
    shop.control("scan", json!({"out_trade_no": "T1"})).await;
    shop.call("close", json!({"out_trade_no": "T1"})).await;
    arrived(&webhook, 1).await;
    let closed = webhook.form(0);
    assert_eq!(closed["trade_status"], "TRADE_CLOSED");
    assert!(closed.contains_key("gmt_close") && !closed.contains_key("gmt_payment"));

    shop.paid("T2").await;
    arrived(&webhook, 2).await;
    for (index, (amount, number, status, fee)) in
        [("8.00", "R1", "TRADE_SUCCESS", "8.00"), ("80.88", "R2", "TRADE_CLOSED", "88.88")]
            .into_iter()
            .enumerate()
    {
        let refund =
            json!({"out_trade_no": "T2", "refund_amount": amount, "out_request_no": number});
        shop.call("refund", refund).await;
        arrived(&webhook, 3 + index).await;
        let form = webhook.form(2 + index);
        assert!(webhook.is_genuine(2 + index) && form.contains_key("gmt_refund"));
        let marks = (&*form["trade_status"], &*form["out_biz_no"], &*form["refund_fee"]);
        assert_eq!(marks, (status, number, fee));
    }
}

#[tokio::test]
async fn a_delivery_can_be_dropped_delayed_doubled_and_replayed() {
    let (shop, webhook) = open().await;
    shop.fault(json!({"method": "notify", "kind": "drop", "times": 1, "out_trade_no": "T1"})).await;
    shop.paid("T1").await;
    assert_eq!(recorded(&shop, "T1", 1).await[0]["answered"], Value::Null);
    assert_eq!(webhook.count(), 0);

    let delay =
        json!({"method": "notify", "kind": "delay", "delay_ms": 90_000, "out_trade_no": "T2"});
    shop.fault(delay).await;
    shop.paid("T2").await;
    shop.paid("T3").await;
    arrived(&webhook, 1).await;
    assert_eq!(webhook.form(0)["out_trade_no"], "T3");
    shop.advance(Duration::from_secs(90)).await;
    arrived(&webhook, 2).await;
    assert_eq!(webhook.form(1)["out_trade_no"], "T2");

    for (kind, number, count) in [("duplicate", "T4", 4), ("replay", "T5", 6)] {
        shop.fault(json!({"method": "notify", "kind": kind, "times": 1})).await;
        shop.paid(number).await;
        arrived(&webhook, count).await;
        assert_eq!(webhook.raw(count - 2), webhook.raw(count - 1));
        assert_eq!(recorded(&shop, number, 2).await.as_array().unwrap().len(), 2);
    }
    for _ in 0..3 {
        shop.fault(json!({"method": "notify", "kind": "duplicate", "times": 1})).await;
    }
    shop.paid("T6").await;
    arrived(&webhook, 10).await;
    assert_eq!(recorded(&shop, "T6", 4).await.as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn reordered_deliveries_change_places() {
    let (shop, webhook) = open().await;
    let reorder = json!({"method": "notify", "kind": "reorder", "delay_ms": 3_600_000, "times": 1});
    shop.fault(reorder).await;
    shop.paid("T1").await;
    let refund = json!({"out_trade_no": "T1", "refund_amount": "1", "out_request_no": "R1"});
    shop.call("refund", refund).await;
    arrived(&webhook, 2).await;
    assert!(
        webhook.form(0).contains_key("refund_fee") && !webhook.form(1).contains_key("refund_fee")
    );
}

#[tokio::test]
async fn notifications_can_lie_in_many_ways() {
    let (shop, webhook) = open().await;
    let cases = [
        ("wrong_amount", "total_amount", "98765.43", true),
        ("wrong_app_id", "app_id", "2021999999999999", true),
        ("wrong_seller_id", "seller_id", "2088999999999999", true),
        ("bad_signature", "total_amount", "88.88", false),
        ("gbk", "subject", "茶 <b>&tea</b>", true),
        ("extra_fields", "a_future_field", "a+b&c=/ 100% {\"新\":\"}\"}", true),
        ("old_notify_time", "notify_time", "2015-01-02 03:04:05", true),
        ("buyer_open_id", "buyer_open_id", "2088102000000001", true),
        ("unsigned_cert_sn", "alipay_cert_sn", "7513daaaa48aa3ba2e4018d84402479c", false),
    ];
    for (index, (kind, name, value, genuine)) in cases.into_iter().enumerate() {
        shop.fault(json!({"method": "notify", "kind": kind, "times": 1})).await;
        shop.paid(&format!("T{index}")).await;
        arrived(&webhook, index + 1).await;
        assert_eq!(webhook.form(index)[name], value, "{kind}");
        assert_eq!(webhook.is_genuine(index), genuine, "{kind}");
    }
    shop.fault(json!({"method": "notify", "kind": "refund_as_success", "times": 1})).await;
    shop.call("refund", json!({"out_trade_no": "T0", "refund_amount": "88.88"})).await;
    arrived(&webhook, cases.len() + 1).await;
    assert_eq!(webhook.form(cases.len())["trade_status"], "TRADE_SUCCESS");
}

#[tokio::test]
async fn one_silent_merchant_does_not_hold_up_the_others() {
    let (mut shop, webhook) = open().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = shop.notify_url.replace(format!("http://{}/n", silent.local_addr().unwrap()));
    shop.paid("SILENT").await;
    shop.notify_url = url;
    shop.paid("T1").await;
    arrived(&webhook, 1).await;
    assert_eq!(webhook.form(0)["out_trade_no"], "T1");
}

#[tokio::test]
async fn a_notification_can_be_signed_the_old_way() {
    let (shop, webhook) = open().await;
    shop.fault(json!({"method": "notify", "kind": "sha1_signature", "times": 1})).await;
    shop.paid("T1").await;
    arrived(&webhook, 1).await;
    let form = webhook.form(0);
    assert_eq!((&*form["sign_type"], form["sign"].len()), ("RSA", 344));
    assert_eq!(form["out_trade_no"], "T1");
}
