//! Payment by the code that the buyer shows.

use std::time::Duration;

use serde_json::{Value, json};

use crate::merchant::{Shop, order, until};
use crate::webhook::Webhook;

const CODE: &str = "280000000000000001";
const HESITATION: Duration = Duration::from_secs(5);

fn shown(number: &str, auth_code: &str) -> Value {
    let mut order = order(number);
    order["scene"] = "bar_code".into();
    order["auth_code"] = auth_code.into();
    order
}

impl Shop {
    async fn pay(&self, number: &str, auth_code: &str) -> Value {
        self.call("pay", shown(number, auth_code)).await
    }

    async fn buyer(&self, number: &str, kind: &str) {
        let fault = json!({"method": "alipay.trade.pay", "kind": kind, "times": 1,
            "out_trade_no": number});
        self.fault(fault).await;
    }

    async fn state(&self, number: &str) -> Value {
        self.query(number).await["trade_status"].clone()
    }
}

#[tokio::test]
async fn a_code_pays_at_once_and_only_one_trade() {
    let webhook = Webhook::open().await;
    let mut shop = Shop::open().await;
    shop.notify_url = Some(webhook.url.clone());
    let paid = shop.pay("T1", CODE).await;
    assert_eq!((&paid["code"], &paid["total_amount"]), (&"10000".into(), &"88.88".into()));
    for name in ["receipt_amount", "buyer_pay_amount", "invoice_amount"] {
        assert_eq!(paid[name], "88.88", "{name}");
    }
    let queried = shop.query("T1").await;
    assert_eq!(queried["trade_status"], "TRADE_SUCCESS");
    assert_eq!(paid["gmt_payment"], queried["send_pay_date"]);
    assert_eq!(paid["trade_no"], queried["trade_no"]);
    until("it is told", async || webhook.count() == 1).await;
    assert!(webhook.is_genuine(0));
    assert_eq!(webhook.form(0)["trade_status"], "TRADE_SUCCESS");

    let spent = shop.pay("T2", CODE).await;
    assert_eq!(spent["sub_code"], "ACQ.PAYMENT_AUTH_CODE_INVALID");
    assert_eq!((&spent["code"], &spent["receipt_amount"]), (&"40004".into(), &"0.00".into()));
    assert_eq!(shop.query("T2").await["sub_code"], "ACQ.TRADE_NOT_EXIST", "nothing came of it");
    assert_eq!(shop.pay("T2", "280000000000000002").await["code"], "10000");
}

#[tokio::test]
async fn codes_are_spent_after_a_restart_too() {
    let directory = tempfile::tempdir().unwrap();
    let shop = Shop::on(Some(directory.path().to_owned())).await;
    shop.pay("T1", CODE).await;
    shop.buyer("T2", "confirm_then_paid").await;
    shop.pay("T2", "280000000000000002").await;
    shop.simulator.shutdown().await;
    let shop = Shop::on(Some(directory.path().to_owned())).await;
    assert_eq!(shop.pay("T3", CODE).await["sub_code"], "ACQ.PAYMENT_AUTH_CODE_INVALID");
    shop.advance(HESITATION).await;
    assert_eq!(shop.state("T2").await, "TRADE_SUCCESS", "the buyer still confirms");
}

#[tokio::test]
async fn buyers_confirm_or_give_up_whatever_the_gateway_said() {
    for (kind, code, end) in [
        ("confirm_then_paid", "10003", "TRADE_SUCCESS"),
        ("confirm_then_failed", "10003", "TRADE_CLOSED"),
        ("unknown_then_paid", "20000", "TRADE_SUCCESS"),
        ("unknown_then_failed", "20000", "TRADE_CLOSED"),
    ] {
        let webhook = Webhook::open().await;
        let mut shop = Shop::open().await;
        shop.notify_url = Some(webhook.url.clone());
        shop.buyer("T1", kind).await;
        let answer = shop.pay("T1", CODE).await;
        assert_eq!(answer["code"], code, "{kind}");
        assert_eq!(answer["trade_no"].is_string(), code == "10003", "{kind}");
        assert_eq!(shop.state("T1").await, "WAIT_BUYER_PAY", "{kind}");
        shop.advance(HESITATION).await;
        if end == "TRADE_SUCCESS" {
            until("it is told though nobody asked", async || webhook.count() == 1).await;
            assert_eq!(webhook.form(0)["trade_status"], end, "{kind}");
        }
        assert_eq!(shop.state("T1").await, end, "{kind}");
    }
}

#[tokio::test]
async fn a_merchant_who_cancels_first_is_not_paid() {
    let shop = Shop::open().await;
    shop.buyer("T1", "confirm_then_paid").await;
    assert_eq!(shop.pay("T1", CODE).await["code"], "10003");
    let reference = json!({"out_trade_no": "T1"});
    assert_eq!(shop.call("cancel", reference).await["action"], "close");
    shop.advance(2 * HESITATION).await;
    assert_eq!(shop.state("T1").await, "TRADE_CLOSED");
    assert_eq!(shop.query("T1").await["send_pay_date"], Value::Null);
}

#[tokio::test]
async fn the_control_api_confirms_and_gives_up_for_the_buyer() {
    let shop = Shop::open().await;
    for (number, path, state) in [("T1", "pay", "TRADE_SUCCESS"), ("T2", "fail", "TRADE_CLOSED")] {
        shop.buyer(number, "buyer_must_confirm").await;
        assert_eq!(
            shop.pay(number, &format!("2900000000000000{number}").replace('T', "0")).await["code"],
            "10003"
        );
        shop.advance(HESITATION).await;
        assert_eq!(shop.state(number).await, "WAIT_BUYER_PAY");
        let done = shop.control(path, json!({"out_trade_no": number})).await;
        assert_eq!((done.0, &done.1["state"]), (200, &state.into()));
        assert_eq!(shop.state(number).await, state);
        assert_eq!(shop.control("fail", json!({"out_trade_no": number})).await.0, 409);
    }
    assert_eq!(shop.control("fail", json!({"out_trade_no": "T9"})).await.0, 404);
}

#[tokio::test]
async fn a_known_number_is_answered_by_its_trade() {
    let shop = Shop::open().await;
    shop.pay("PAID", CODE).await;
    assert_eq!(shop.pay("PAID", CODE).await["sub_code"], "ACQ.TRADE_HAS_SUCCESS");

    shop.buyer("OVER", "buyer_must_confirm").await;
    shop.pay("OVER", "280000000000000002").await;
    shop.control("fail", json!({"out_trade_no": "OVER"})).await;
    let over = shop.pay("OVER", "280000000000000003").await;
    assert_eq!(over["sub_code"], "ACQ.TRADE_HAS_CLOSE");

    shop.buyer("WAITS", "buyer_must_confirm").await;
    shop.pay("WAITS", "280000000000000004").await;
    let mut other = shown("WAITS", "280000000000000005");
    other["total_amount"] = "88.89".into();
    assert_eq!(shop.call("pay", other).await["sub_code"], "ACQ.CONTEXT_INCONSISTENT");
    let again = shop.pay("WAITS", "280000000000000005").await;
    assert_eq!(again["code"], "10000", "a fresh code for the same trade");
    for spent in ["280000000000000004", "280000000000000005"] {
        assert_eq!(shop.pay("T1", spent).await["sub_code"], "ACQ.PAYMENT_AUTH_CODE_INVALID");
    }
    shop.precreate("CODE").await;
    let other = shop.pay("CODE", "280000000000000006").await;
    assert_eq!(other["sub_code"], "ACQ.CONTEXT_INCONSISTENT");
}

#[tokio::test]
async fn any_business_failure_can_be_asked_for_and_has_no_effect() {
    let shop = Shop::open().await;
    for sub_code in ["ACQ.BUYER_BALANCE_NOT_ENOUGH", "ACQ.PAYMENT_FAIL", "ACQ.SYSTEM_ERROR"] {
        let fault = json!({"method": "alipay.trade.pay", "kind": "business_failure",
            "sub_code": sub_code, "times": 1});
        shop.fault(fault).await;
        assert_eq!(shop.faults().await[0]["sub_code"], sub_code);
        let node = shop.pay("T1", CODE).await;
        assert_eq!((&node["code"], &node["sub_code"]), (&"40004".into(), &sub_code.into()));
        assert_eq!(node["buyer_pay_amount"], "0.00");
    }
    assert_eq!(shop.pay("T1", CODE).await["code"], "10000");
    let lacking = json!({"method": "*", "kind": "business_failure"});
    assert_eq!(shop.control("faults", lacking).await.1["field"], "sub_code");
    let needless = json!({"method": "*", "kind": "reset", "sub_code": "ACQ.PAYMENT_FAIL"});
    assert_eq!(shop.control("faults", needless).await.1["field"], "sub_code");
    let elsewhere = json!({"method": "alipay.trade.query", "kind": "confirm_then_paid"});
    assert_eq!(shop.control("faults", elsewhere).await.1["field"], "kind");
}

#[tokio::test]
async fn what_is_wrong_with_a_code_is_said() {
    let shop = Shop::open().await;
    let invalid = "ACQ.INVALID_PARAMETER";
    let refused = "ACQ.PAYMENT_AUTH_CODE_INVALID";
    for (name, value, sub_code) in [
        ("auth_code", Value::Null, invalid),
        ("auth_code", "9".repeat(65).into(), invalid),
        ("auth_code", "240000000000000001".into(), refused),
        ("scene", Value::Null, invalid),
        ("scene", "security_code".into(), refused),
        ("subject", "".into(), invalid),
        ("time_expire", "2020-01-02 03:04:05".into(), "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR"),
    ] {
        let mut order = shown("T1", CODE);
        order[name] = value;
        assert_eq!(shop.call("pay", order).await["sub_code"], sub_code, "{name}");
    }
    assert_eq!(shop.trade("T1").await["state"], Value::Null);
}
