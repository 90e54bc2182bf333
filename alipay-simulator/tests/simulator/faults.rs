//! What can go wrong with a call, and whether it has taken effect.

use std::time::Duration;

use serde_json::{Value, json};

use crate::merchant::{Answer, Shop, find, form, order, until};

/// Closes a waiting trade under a fault: the answer, and the state the trade is in afterwards.
async fn close_under(kind: &str) -> (reqwest::Result<Answer>, Value) {
    let shop = Shop::open().await;
    shop.precreate("T1").await;
    shop.control("scan", json!({"out_trade_no": "T1"})).await;
    shop.fault(json!({"method": "alipay.trade.close", "kind": kind, "times": 1})).await;
    let answer = shop.try_call("close", json!({"out_trade_no": "T1"})).await;
    let state = shop.trade("T1").await["state"].clone();
    (answer, state)
}

#[tokio::test]
async fn faults_before_the_effect_leave_the_trade_alone() {
    let cases = [
        ("unknown_before", "20000", "isp.unknow-error"),
        ("system_error_before", "40004", "ACQ.SYSTEM_ERROR"),
        ("rate_limited", "40005", "isv.app-call-limited"),
        ("balance_too_low", "40004", "ACQ.SELLER_BALANCE_NOT_ENOUGH"),
        ("aqc_system_error_before", "40004", "AQC.SYSTEM_ERROR"),
        ("aop_system_error_before", "20000", "aop.ACQ.SYSTEM_ERROR"),
        ("no_permission", "40006", "isv.insufficient-isv-permissions"),
        ("invalid_auth_token", "20001", "aop.invalid-app-auth-token"),
    ];
    for (kind, code, sub_code) in cases {
        let (answer, state) = close_under(kind).await;
        let node = answer.unwrap().node();
        assert_eq!((&node["code"], &node["sub_code"]), (&code.into(), &sub_code.into()));
        assert_eq!(state, "WAIT_BUYER_PAY", "{kind}");
    }
    for (kind, status) in [("http_502", 502), ("http_503", 503)] {
        let (answer, state) = close_under(kind).await;
        let answer = answer.unwrap();
        assert!(answer.status == status && answer.body.starts_with(b"<html>"), "{kind}");
        assert_eq!(state, "WAIT_BUYER_PAY", "{kind}");
    }
}

#[tokio::test]
async fn faults_after_the_effect_hide_it_only() {
    for (kind, code) in [
        ("unknown_after", "20000"),
        ("system_error_after", "40004"),
        ("aqc_system_error_after", "40004"),
        ("aop_system_error_after", "20000"),
        ("signed_error_response", "20000"),
    ] {
        let (answer, state) = close_under(kind).await;
        assert_eq!((&answer.unwrap().node()["code"], state), (&code.into(), "TRADE_CLOSED".into()));
    }
    for kind in ["truncated", "unsigned", "wrong_sign", "other_key", "error_response"] {
        let (answer, state) = close_under(kind).await;
        let answer = answer.unwrap();
        assert!(!answer.is_genuine(), "{kind}");
        let json = serde_json::from_slice::<Value>(&answer.body);
        assert_eq!((json.is_err(), state), (kind == "truncated", "TRADE_CLOSED".into()), "{kind}");
    }
    let (answer, state) = close_under("reset").await;
    assert!(answer.is_err_and(|error| !error.is_timeout()));
    assert_eq!(state, "TRADE_CLOSED");
    let (answer, _) = close_under("duplicate_node").await;
    let answer = answer.unwrap();
    assert!(answer.is_genuine());
    let last: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(last["alipay_trade_close_response"]["trade_status"], "TRADE_SUCCESS");
}

#[tokio::test]
async fn a_reset_connection_carries_not_a_byte() {
    let shop = Shop::open().await;
    shop.precreate("T1").await;
    shop.fault(json!({"method": "*", "kind": "reset"})).await;
    let mut params = shop.params("precreate", &order("T1"));
    shop.sign(&mut params);
    let request = format!("GET /gateway.do?{} HTTP/1.1\r\nhost: h\r\n\r\n", form(&params));
    assert_eq!(shop.raw(&request).await, b"");
    assert_eq!(shop.faults().await[0]["hits"], 1);
}

#[tokio::test]
async fn hanging_calls_hold_until_the_faults_are_cleared() {
    for (kind, state) in [("timeout_before", "WAIT_BUYER_PAY"), ("timeout_after", "TRADE_CLOSED")] {
        let shop = Shop::open().await;
        shop.precreate("T1").await;
        shop.control("scan", json!({"out_trade_no": "T1"})).await;
        shop.fault(json!({"method": "*", "kind": kind})).await;
        let let_go = async {
            until("the call hangs", async || shop.faults().await[0]["hits"] == 1).await;
            until("it had its effect", async || shop.trade("T1").await["state"] == state).await;
            shop.clear_faults().await;
        };
        let call = shop.try_call("close", json!({"out_trade_no": "T1"}));
        let (answer, ()) = tokio::join!(call, let_go);
        assert_eq!(answer.unwrap().status, 504, "{kind}");
        assert_eq!(shop.trade("T1").await["state"], state);
    }
}

#[tokio::test]
async fn twisted_answers_are_still_genuine() {
    let shop = Shop::open().await;
    shop.paid("T1").await;
    let fault = |kind: &str| shop.fault(json!({"method": "*", "kind": kind, "times": 1}));
    let query = || shop.try_call("query", json!({"out_trade_no": "T1"}));

    fault("extra_fields").await;
    assert_eq!(query().await.unwrap().node()["a_future_field"]["list"][0], 1);
    fault("missing_fields").await;
    let node = query().await.unwrap().node();
    assert!(node["buyer_user_id"].is_null() && node["trade_status"] == "TRADE_SUCCESS");
    fault("gbk").await;
    let answer = query().await.unwrap();
    assert!(answer.is_genuine() && std::str::from_utf8(&answer.body).is_err());

    fault("escaped_slashes").await;
    let answer = shop.try_call("precreate", order("T2")).await.unwrap();
    assert!(!answer.is_genuine() && find(&answer.body, br"http:\/\/").is_some());
    let unescaped = String::from_utf8(answer.body).unwrap().replace("\\/", "/");
    let signed = Answer { body: unescaped.into_bytes(), ..answer };
    assert!(signed.is_genuine());
}

#[tokio::test]
async fn refunds_can_be_hard_to_see() {
    let shop = Shop::open().await;
    shop.paid("T1").await;
    shop.fault(json!({"method": "alipay.trade.refund", "kind": "fund_change_absent"})).await;
    let late = json!({"method": "*", "kind": "refund_visible_late", "delay_ms": 60_000});
    shop.fault(late).await;
    let refund = json!({"out_trade_no": "T1", "refund_amount": "1", "out_request_no": "R1"});
    let node = shop.call("refund", refund).await;
    assert!(node["code"] == "10000" && node["fund_change"].is_null());
    let query =
        || shop.call("fastpay.refund.query", json!({"out_trade_no": "T1", "out_request_no": "R1"}));
    assert!(query().await["refund_status"].is_null());
    shop.advance(Duration::from_secs(61)).await;
    assert_eq!(query().await["refund_status"], "REFUND_SUCCESS");
}

#[tokio::test]
async fn a_stale_query_answers_the_state_of_a_while_ago() {
    let shop = Shop::open().await;
    shop.precreate("T1").await;
    shop.advance(Duration::from_mins(1)).await;
    shop.control("scan", json!({"out_trade_no": "T1"})).await;
    shop.advance(Duration::from_mins(1)).await;
    shop.control("pay", json!({"out_trade_no": "T1"})).await;
    for (delay_ms, expected) in
        [(1, "TRADE_SUCCESS"), (30_000, "WAIT_BUYER_PAY"), (90_000, "ACQ.TRADE_NOT_EXIST")]
    {
        until("the trade is a little older", async || {
            let mut stale = json!({"method": "*", "kind": "stale_query", "times": 1});
            stale["delay_ms"] = delay_ms.into();
            shop.fault(stale).await;
            let node = shop.query("T1").await;
            node["trade_status"] == expected || node["sub_code"] == expected
        })
        .await;
    }
    assert_eq!(shop.query("T1").await["trade_status"], "TRADE_SUCCESS");
}

#[tokio::test]
async fn faults_hit_whom_and_as_often_as_they_say() {
    let shop = Shop::open().await;
    shop.paid("T1").await;
    shop.paid("T2").await;
    let mut unknown = json!({"method": "alipay.trade.query", "kind": "unknown_before"});
    unknown["times"] = 2.into();
    unknown["out_trade_no"] = "T1".into();
    shop.fault(unknown).await;
    let trade_no = shop.trade("T1").await["trade_no"].clone();
    assert_eq!(shop.query("T2").await["code"], "10000");
    assert_eq!(shop.query("T1").await["code"], "20000");
    assert_eq!(shop.call("query", json!({"trade_no": trade_no})).await["code"], "20000");
    assert_eq!(shop.query("T1").await["code"], "10000");

    let mut rounds = Vec::new();
    for _ in 0..2 {
        let some = json!({"method": "*", "kind": "unknown_after", "probability": 0.5, "seed": 7});
        shop.fault(some).await;
        let mut codes = Vec::new();
        for _ in 0..16 {
            codes.push(shop.query("T2").await["code"].clone());
        }
        assert!(codes.contains(&"10000".into()) && codes.contains(&"20000".into()));
        rounds.push(codes);
        shop.clear_faults().await;
    }
    assert_eq!(rounds[0], rounds[1]);
}

#[tokio::test]
async fn a_slow_answer_ends_with_its_fault() {
    let shop = Shop::open().await;
    shop.paid("T1").await;
    shop.fault(json!({"method": "*", "kind": "slow", "delay_ms": 3_600_000})).await;
    let (node, ()) = tokio::join!(shop.query("T1"), async {
        until("the call hangs", async || shop.faults().await[0]["hits"] == 1).await;
        shop.clear_faults().await;
    });
    assert_eq!(node["trade_status"], "TRADE_SUCCESS");
}

#[tokio::test]
async fn a_slow_body_ends_with_its_fault() {
    let shop = Shop::open().await;
    shop.paid("T1").await;
    let mut slow = json!({"method": "*", "kind": "slow_body", "delay_ms": 3_600_000});
    shop.fault(slow.clone()).await;
    let mut params = shop.params("query", &json!({"out_trade_no": "T1"}));
    shop.sign(&mut params);
    let target = format!("/gateway.do?{}", form(&params));
    let mut answer = shop.http.get(shop.url(&target)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.chunk().await.unwrap().is_some(), "the head and the first half are there");
    shop.clear_faults().await;
    assert!(answer.chunk().await.unwrap().is_some());
    slow["delay_ms"] = 1.into();
    shop.fault(slow).await;
    assert_eq!(shop.query("T1").await["trade_status"], "TRADE_SUCCESS");
}

#[tokio::test]
async fn answers_can_be_written_in_odd_ways() {
    let shop = Shop::open().await;
    shop.precreate("T1").await;
    let fault = |kind: &str| json!({"method": "*", "kind": kind, "times": 1});
    shop.fault(fault("signed_escaped_slashes")).await;
    let answer = shop.try_call("precreate", order("T1")).await.unwrap();
    assert!(answer.is_genuine() && find(&answer.body, br"http:\/\/").is_some());
    shop.control("scan", json!({"out_trade_no": "T1"})).await;
    shop.fault(fault("braces_in_strings")).await;
    assert_eq!(shop.query("T1").await["store_name"], r#"}{"sign":"\"},{"]["#);
    shop.fault(fault("buyer_open_id")).await;
    let node = shop.query("T1").await;
    assert!(node["buyer_user_id"].is_null() && node["buyer_open_id"].is_string());
    shop.fault(fault("gbk_sub_msg")).await;
    shop.fault(fault("unknown_before")).await;
    let answer = shop.try_call("query", json!({"out_trade_no": "T1"})).await.unwrap();
    assert!(answer.is_genuine() && std::str::from_utf8(&answer.body).is_err());
}

#[tokio::test]
async fn the_buyer_can_pay_right_before_and_right_after_a_call() {
    let shop = Shop::open().await;
    let fault = |method: &str, kind: &str| {
        let method = format!("alipay.trade.{method}");
        json!({"method": method, "kind": kind, "times": 1})
    };
    let number = |number: &str| json!({"out_trade_no": number});
    shop.precreate("T1").await;
    shop.fault(fault("close", "paid_before")).await;
    assert_eq!(shop.call("close", number("T1")).await["sub_code"], "ACQ.TRADE_STATUS_ERROR");
    assert_eq!(shop.query("T1").await["trade_status"], "TRADE_SUCCESS");
    shop.precreate("T2").await;
    shop.fault(fault("query", "paid_after")).await;
    assert_eq!(shop.query("T2").await["sub_code"], "ACQ.TRADE_NOT_EXIST");
    assert_eq!(shop.call("cancel", number("T2")).await["action"], "refund");
    shop.precreate("T3").await;
    shop.control("scan", number("T3")).await;
    shop.fault(fault("close", "paid_after")).await;
    assert_eq!(shop.call("close", number("T3")).await["code"], "10000");
    assert_eq!(shop.query("T3").await["trade_status"], "TRADE_SUCCESS");
}

#[tokio::test]
async fn a_fault_can_let_some_calls_pass() {
    let shop = Shop::open().await;
    shop.paid("T1").await;
    let third = json!({"method": "alipay.trade.query", "kind": "unknown_before", "skip": 2,
        "times": 1});
    shop.fault(third).await;
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(shop.query("T1").await["code"].clone());
    }
    assert_eq!(codes, ["10000", "10000", "20000", "10000"]);
}
