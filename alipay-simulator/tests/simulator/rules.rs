//! Rules that tests change: what the real gateway leaves open, or does only sometimes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::merchant::{Shop, form, until};
use crate::webhook::Webhook;

impl Shop {
    async fn rules(&self, changes: Value) {
        let (status, rules) = self.control("settings", changes.clone()).await;
        assert_eq!(status, 200, "{rules}");
        for (name, value) in changes.as_object().unwrap() {
            assert_eq!(&rules[name], value);
        }
    }

    async fn sub_code(&self, method: &str, biz: Value) -> Value {
        self.call(method, biz).await["sub_code"].clone()
    }

    async fn refund(&self, number: &str, request: &str, amount: &str) -> Value {
        let refund =
            json!({"out_trade_no": number, "refund_amount": amount, "out_request_no": request});
        self.call("refund", refund).await
    }

    async fn scan(&self, number: &str) {
        self.precreate(number).await;
        assert_eq!(self.control("scan", json!({"out_trade_no": number})).await.0, 200);
    }
}

fn number(number: &str) -> Value {
    json!({"out_trade_no": number})
}

#[tokio::test]
async fn rules_are_shown_refused_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let shop = Shop::on(Some(directory.path().to_owned())).await;
    for wrong in [
        json!({"refund_windows_ms": 1}),
        json!({"merchant_balance": "1.234"}),
        json!({"close_refusal": "ACQ.NONE"}),
        json!({"forbidden_methods": ["alipay.trade.none"]}),
        json!([]),
    ] {
        assert_eq!(shop.control("settings", wrong.clone()).await.0, 400, "{wrong}");
    }
    shop.rules(json!({"merchant_balance": "0.50", "notify_scan": true})).await;
    shop.rules(json!({"merchant_balance": "0.00"})).await;
    shop.simulator.shutdown().await;
    let shop = Shop::on(Some(directory.path().to_owned())).await;
    let kept = shop.control("settings", json!({})).await.1;
    assert_eq!((&kept["merchant_balance"], &kept["notify_scan"]), (&"0.00".into(), &true.into()));
}

#[tokio::test]
async fn admission_can_be_stricter_and_laxer() {
    let shop = Shop::open().await;
    shop.paid("T1").await;
    shop.rules(json!({"timestamp_window_ms": 60_000})).await;
    assert_eq!(shop.sub_code("query", number("T1")).await, "isv.invalid-timestamp");
    shop.rules(json!({"timestamp_window_ms": null})).await;
    shop.rules(json!({"forbidden_methods": ["alipay.trade.query"]})).await;
    let node = shop.query("T1").await;
    assert_eq!(
        (&node["code"], &node["sub_code"]),
        (&"40006".into(), &"isv.insufficient-isv-permissions".into())
    );
    shop.rules(json!({"forbidden_methods": [], "calls_per_second": 0})).await;
    let node = shop.query("T1").await;
    assert_eq!(
        (&node["code"], &node["sub_code"]),
        (&"40005".into(), &"isv.app-call-limited".into())
    );
    shop.rules(json!({"calls_per_second": 1000})).await;
    assert_eq!(shop.query("T1").await["code"], "10000");

    let mut params = shop.params("query", &number("T1"));
    params.remove("charset");
    shop.sign(&mut params);
    let node = shop.send(&params).await.unwrap().node();
    assert_eq!(node["sub_code"], "isv.missing-charset");
    shop.rules(json!({"charset_required": false})).await;
    let node = shop.send(&params).await.unwrap().node();
    assert_eq!(node["trade_status"], "TRADE_SUCCESS", "it is GBK then");
}

#[tokio::test]
async fn a_multipart_body_is_as_good_as_a_form() {
    let shop = Shop::open().await;
    shop.paid("T1").await;
    let mut params = shop.params("query", &number("T1"));
    shop.sign(&mut params);
    let biz_content = params.remove("biz_content").unwrap();
    let head = "Content-Disposition: form-data; name=\"biz_content\"";
    let body = format!("--b\r\n{head}\r\n\r\n{biz_content}\r\n--b--\r\n");
    let post = shop.http.post(shop.url(&format!("/gateway.do?{}", form(&params))));
    let post = post.header("content-type", "multipart/form-data; boundary=b").body(body);
    let answer = crate::merchant::receive(post.send().await.unwrap()).await.unwrap();
    assert_eq!(answer.node()["trade_status"], "TRADE_SUCCESS");
}

#[tokio::test]
async fn a_late_close_is_refused_with_the_code_of_the_rules() {
    let shop = Shop::open().await;
    shop.paid("T1").await;
    for code in
        ["ACQ.TRADE_STATUS_ERROR", "ACQ.REASON_TRADE_STATUS_INVALID", "ACQ.REASON_ILLEGAL_STATUS"]
    {
        shop.rules(json!({"close_refusal": code})).await;
        assert_eq!(shop.sub_code("close", number("T1")).await, code);
    }
}

#[tokio::test]
async fn closing_an_unscanned_code_can_lock_it() {
    let shop = Shop::open().await;
    shop.rules(json!({"close_locks_unscanned_code": true})).await;
    shop.precreate("T1").await;
    assert_eq!(shop.sub_code("close", number("T1")).await, "ACQ.TRADE_NOT_EXIST");
    assert_eq!(shop.control("pay", number("T1")).await.0, 409);
    assert_eq!(shop.sub_code("query", number("T1")).await, "ACQ.TRADE_NOT_EXIST");
    shop.precreate("T1").await;
    assert_eq!(shop.control("pay", number("T1")).await.0, 409, "the new code is no better");
}

#[tokio::test]
async fn cancelling_a_closed_trade_can_name_an_action() {
    let shop = Shop::open().await;
    shop.scan("T1").await;
    shop.call("close", number("T1")).await;
    assert_eq!(shop.call("cancel", number("T1")).await["action"], Value::Null);
    for action in ["close", "refund"] {
        shop.rules(json!({"cancel_action_of_closed": action})).await;
        assert_eq!(shop.call("cancel", number("T1")).await["action"], action);
    }
}

#[tokio::test]
async fn a_merchant_without_money_refunds_nothing() {
    let shop = Shop::open().await;
    shop.paid("T1").await;
    shop.paid("T2").await;
    shop.rules(json!({"merchant_balance": "10.00"})).await;
    assert_eq!(shop.refund("T1", "R1", "8.00").await["fund_change"], "Y");
    assert_eq!(shop.refund("T1", "R2", "8.00").await["sub_code"], "ACQ.SELLER_BALANCE_NOT_ENOUGH");
    assert_eq!(shop.refund("T1", "R1", "8.00").await["fund_change"], "N", "a repeat costs nothing");
    let node = shop.call("cancel", number("T2")).await;
    assert_eq!(
        (&node["sub_code"], &node["retry_flag"]),
        (&"ACQ.SELLER_BALANCE_NOT_ENOUGH".into(), &"Y".into())
    );
    assert_eq!(shop.control("settings", json!({})).await.1["merchant_balance"], "2.00");
    shop.rules(json!({"merchant_balance": null})).await;
    assert_eq!(shop.refund("T1", "R2", "8.00").await["fund_change"], "Y");
    assert_eq!(shop.call("cancel", number("T2")).await["action"], "refund");
}

#[tokio::test]
async fn a_frozen_trade_gives_nothing_back() {
    let shop = Shop::open().await;
    shop.paid("T1").await;
    assert_eq!(shop.control("freeze", number("T1")).await.0, 200);
    assert_eq!(shop.refund("T1", "R1", "1.00").await["sub_code"], "ACQ.REASON_TRADE_BEEN_FREEZEN");
    let cancelled = shop.sub_code("cancel", number("T1")).await;
    assert_eq!(cancelled, "ACQ.REASON_TRADE_BEEN_FREEZEN");
    let thaw = json!({"out_trade_no": "T1", "frozen": false});
    assert_eq!(shop.control("freeze", thaw).await.0, 200);
    assert_eq!(shop.refund("T1", "R1", "1.00").await["fund_change"], "Y");
    assert_eq!(shop.control("freeze", number("T9")).await.0, 404);
}

#[tokio::test]
async fn refunds_have_a_window_and_a_spacing() {
    let shop = Shop::open().await;
    shop.rules(json!({"refund_window_ms": 3_600_000, "refund_spacing_ms": 3_000})).await;
    shop.paid("T1").await;
    assert_eq!(shop.refund("T1", "R1", "1.00").await["fund_change"], "Y");
    assert_eq!(shop.refund("T1", "R2", "1.00").await["sub_code"], "ACQ.SYSTEM_ERROR");
    shop.advance(Duration::from_secs(3)).await;
    assert_eq!(shop.refund("T1", "R2", "1.00").await["fund_change"], "Y");
    shop.advance(Duration::from_hours(1)).await;
    assert_eq!(shop.refund("T1", "R3", "1.00").await["sub_code"], "ACQ.TRADE_HAS_FINISHED");
    assert_eq!(shop.query("T1").await["trade_status"], "TRADE_FINISHED");
    assert_eq!(shop.refund("T1", "R2", "1.00").await["fund_change"], "N");

    shop.rules(json!({"finished_when_paid": true})).await;
    shop.paid("T2").await;
    assert_eq!(shop.query("T2").await["trade_status"], "TRADE_FINISHED");
    assert_eq!(shop.sub_code("cancel", number("T2")).await, "ACQ.TRADE_HAS_FINISHED");
}

#[tokio::test]
async fn the_merchant_can_be_told_of_more_and_of_less() {
    let webhook = Webhook::open().await;
    webhook.answer("SUCCESS");
    let mut shop = Shop::open().await;
    shop.notify_url = Some(webhook.url.clone());
    let more = json!({"notify_scan": true, "notify_timeout": true, "notify_finished": true,
        "notify_close": false, "notify_full_refund": false, "success_in_any_case": true});
    shop.rules(more).await;
    let told = async |count: usize| {
        until("it is told", async || webhook.count() >= count).await;
        assert!(webhook.is_genuine(count - 1));
        webhook.form(count - 1)["trade_status"].clone()
    };
    shop.scan("T1").await;
    assert_eq!(told(1).await, "WAIT_BUYER_PAY");
    shop.control("scan", number("T1")).await;
    shop.advance(Duration::from_hours(4)).await;
    assert_eq!(told(2).await, "TRADE_CLOSED", "nobody looked, only time passed");
    shop.scan("T2").await;
    assert_eq!(told(3).await, "WAIT_BUYER_PAY");
    shop.call("close", number("T2")).await;
    shop.paid("T3").await;
    let both = [told(4).await, told(5).await];
    assert!(both.contains(&"TRADE_SUCCESS".into()) && both.contains(&"WAIT_BUYER_PAY".into()));
    shop.refund("T3", "R1", "88.88").await;
    shop.rules(json!({"notify_scan": false})).await;
    shop.paid("T4").await;
    assert_eq!(told(6).await, "TRADE_SUCCESS");
    shop.advance(Duration::from_hours(366 * 24)).await;
    assert_eq!(told(7).await, "TRADE_FINISHED");
    assert_eq!(webhook.count(), 7, "neither of the close nor of the full refund, and never twice");
}

#[tokio::test]
async fn a_notification_can_be_confirmed_until_it_is_acknowledged() {
    let webhook = Webhook::open().await;
    webhook.answer("no");
    let mut shop = Shop::open().await;
    shop.notify_url = Some(webhook.url.clone());
    shop.paid("T1").await;
    until("it arrives", async || webhook.count() == 1).await;
    let id = webhook.form(0)["notify_id"].clone();
    let verify = async |partner: &str, id: &str| {
        let query = format!("service=notify_verify&partner={partner}&notify_id={id}");
        let answer = shop.http.get(shop.url(&format!("/gateway.do?{query}"))).send().await.unwrap();
        answer.text().await.unwrap()
    };
    assert_eq!(verify("2088000000000001", &id).await, "true");
    assert_eq!(verify("2088000000000002", &id).await, "false");
    assert_eq!(verify("2088000000000001", "another").await, "false");
    webhook.answer("success");
    shop.advance(Duration::from_mins(4)).await;
    until("it is acknowledged", async || verify("2088000000000001", &id).await == "false").await;
    assert_eq!(webhook.count(), 2);
}

#[tokio::test]
async fn the_form_of_refusals_can_be_chosen() {
    let shop = Shop::open().await;
    let mut params = shop.params("query", &json!({"out_trade_no": "T1"}));
    params.insert("sign".to_owned(), "AAAA".to_owned());
    for (shape, node, signed) in [
        ("method_node", "alipay_trade_query_response", true),
        ("error_response", "error_response", true),
        ("unsigned_error_response", "error_response", false),
    ] {
        shop.control("settings", json!({"refusal_form": shape})).await;
        let answer = shop.send(&params).await.unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body[node]["sub_code"], "isv.invalid-signature", "{shape}");
        assert_eq!((answer.is_genuine(), body["sign"].is_string()), (signed, signed), "{shape}");
    }
}

#[tokio::test]
async fn codes_can_look_like_real_ones() {
    let shop = Shop::open().await;
    shop.rules(json!({"qr_prefix": "https://qr.alipay.com/"})).await;
    let code = shop.precreate("T1").await;
    let token = code.strip_prefix("https://qr.alipay.com/").unwrap();
    assert!(token.starts_with("bax"), "{code}");
    let page = shop.http.get(shop.url(&format!("/qr/{token}"))).send().await.unwrap();
    assert_eq!(page.status(), 200);
}
