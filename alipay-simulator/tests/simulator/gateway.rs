//! The six calls, state by state.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::merchant::{Shop, form, order, receive};

const HOUR: Duration = Duration::from_hours(1);
const STATES: [&str; 6] =
    ["unknown", "NOT_SCANNED", "WAIT_BUYER_PAY", "TRADE_SUCCESS", "refunded", "closed"];

/// Brings a new trade into one of the states.
async fn bring(shop: &Shop, number: &str, state: &str) {
    let reference = json!({"out_trade_no": number});
    match state {
        "unknown" => {}
        "NOT_SCANNED" => drop(shop.precreate(number).await),
        "WAIT_BUYER_PAY" => {
            shop.precreate(number).await;
            shop.control("scan", reference).await;
        }
        "TRADE_SUCCESS" => shop.paid(number).await,
        "refunded" => {
            shop.paid(number).await;
            let all = json!({"out_trade_no": number, "refund_amount": "88.88"});
            assert_eq!(shop.call("refund", all).await["fund_change"], "Y");
        }
        _ => {
            shop.precreate(number).await;
            shop.control("scan", reference.clone()).await;
            assert_eq!(shop.call("close", reference).await["code"], "10000");
        }
    }
}

/// What a call answers in each of the states: the sub code, or the field that tells most.
async fn answers(method: &str, tells: &str, extra: Value) -> Vec<String> {
    let shop = Shop::open().await;
    let mut answers = Vec::new();
    for (index, state) in STATES.into_iter().enumerate() {
        let number = format!("T{index}");
        bring(&shop, &number, state).await;
        let mut biz = extra.clone();
        biz["out_trade_no"] = number.into();
        let node = shop.call(method, biz).await;
        let text = |name: &str| node[name].as_str().map(str::to_owned);
        answers.push(text("sub_code").or(text(tells)).unwrap_or("-".to_owned()));
    }
    answers
}

#[tokio::test]
async fn every_call_answers_by_the_state_of_the_trade() {
    let none = "ACQ.TRADE_NOT_EXIST";
    let paid = "TRADE_SUCCESS";
    let closed = "TRADE_CLOSED";
    let query = answers("query", "trade_status", json!({})).await;
    assert_eq!(query, [none, none, "WAIT_BUYER_PAY", paid, closed, closed]);

    let wrong = "ACQ.TRADE_STATUS_ERROR";
    let close = answers("close", "code", json!({})).await;
    assert_eq!(close, [none, none, "10000", wrong, wrong, wrong]);

    let cancel = answers("cancel", "action", json!({})).await;
    assert_eq!(cancel, ["-", "-", "close", "refund", "-", "-"]);

    let request = json!({"refund_amount": "1.00", "out_request_no": "R1"});
    let refund = answers("refund", "fund_change", request).await;
    let over = "ACQ.TRADE_HAS_CLOSE";
    assert_eq!(refund, [none, none, wrong, "Y", over, over]);

    let query = answers("fastpay.refund.query", "refund_status", json!({"out_request_no": "R1"}));
    assert_eq!(query.await, [none, none, "-", "-", "-", "-"]);

    let again =
        answers("precreate", "code", json!({"total_amount": "88.88", "subject": "茶 <b>&tea</b>"}));
    assert_eq!(again.await, ["10000", "10000", "10000", "ACQ.TRADE_HAS_SUCCESS", over, over]);
}

#[tokio::test]
async fn a_paid_trade_tells_when_and_how_much_and_keeps_it_when_refunded() {
    let shop = Shop::open().await;
    shop.paid("T1").await;
    let paid = shop.query("T1").await;
    assert_eq!(
        (&paid["total_amount"], &paid["receipt_amount"]),
        (&"88.88".into(), &"88.88".into())
    );
    let trade_no = paid["trade_no"].as_str().unwrap();
    assert!(trade_no.len() == 28 && trade_no.bytes().all(|byte| byte.is_ascii_digit()));
    let by_trade_no =
        shop.call("query", json!({"trade_no": trade_no, "out_trade_no": "else"})).await;
    assert_eq!(by_trade_no["out_trade_no"], "T1");

    shop.call("cancel", json!({"out_trade_no": "T1"})).await;
    let closed = shop.query("T1").await;
    assert_eq!(closed["trade_status"], "TRADE_CLOSED");
    assert_eq!(closed["send_pay_date"], paid["send_pay_date"]);
}

#[tokio::test]
async fn a_number_stands_for_one_content_only() {
    let shop = Shop::open().await;
    let code = shop.precreate("T1").await;
    assert_eq!(shop.precreate("T1").await, code);
    let mut other = order("T1");
    other["total_amount"] = "88.89".into();
    assert_eq!(shop.call("precreate", other).await["sub_code"], "ACQ.CONTEXT_INCONSISTENT");
}

#[tokio::test]
async fn a_code_lives_two_hours_and_its_trade_as_long_as_asked() {
    let shop = Shop::open().await;
    let mut long = order("LONG");
    long["timeout_express"] = "1d".into();
    let old = shop.call("precreate", long.clone()).await["qr_code"].clone();
    let mut short = order("SHORT");
    short["timeout_express"] = "5m".into();
    shop.call("precreate", short).await;
    assert_eq!(shop.control("scan", json!({"out_trade_no": "SHORT"})).await.0, 200);

    shop.advance(Duration::from_secs(301)).await;
    assert_eq!(shop.query("SHORT").await["trade_status"], "TRADE_CLOSED");
    let late = shop.control("pay", json!({"out_trade_no": "SHORT"})).await;
    assert_eq!((late.0, &late.1["state"]), (409, &"TRADE_CLOSED".into()));

    shop.advance(2 * HOUR).await;
    let late = shop.control("scan", json!({"out_trade_no": "LONG"})).await;
    assert_eq!((late.0, &late.1["state"]), (409, &"NOT_SCANNED".into()));
    assert_ne!(shop.call("precreate", long).await["qr_code"], old);
    assert_eq!(shop.control("pay", json!({"out_trade_no": "LONG"})).await.0, 200);
}

#[tokio::test]
async fn time_expire_is_china_time_and_wins() {
    let shop = Shop::open().await;
    let mut past = order("PAST");
    past["time_expire"] = "2020-01-02 03:04:05".into();
    let refused = shop.call("precreate", past).await;
    assert_eq!(refused["sub_code"], "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR");
    let mut future = order("FUTURE");
    future["time_expire"] = "2099-01-02 03:04:05".into();
    future["timeout_express"] = "1m".into();
    shop.call("precreate", future).await;
    assert_eq!(shop.trade("FUTURE").await["times_out_at"], "2099-01-01T19:04:05.000Z");
}

#[tokio::test]
async fn refunds_follow_their_rules_one_after_the_other() {
    let shop = Shop::open().await;
    shop.paid("T1").await;
    let refund = |amount: &str, number: Option<&str>| {
        let biz = json!({"out_trade_no": "T1", "refund_amount": amount, "out_request_no": number});
        shop.call("refund", biz)
    };
    assert_eq!(refund("88.89", Some("R0")).await["sub_code"], "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL");
    assert_eq!(refund("1.00", None).await["sub_code"], "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL");
    let first = refund("80.00", Some("R1")).await;
    assert_eq!((&first["fund_change"], &first["refund_fee"]), (&"Y".into(), &"80.00".into()));
    let repeat = refund("80.00", Some("R1")).await;
    assert_eq!((&repeat["fund_change"], &repeat["refund_fee"]), (&"N".into(), &"80.00".into()));
    assert_eq!(refund("1.00", Some("R1")).await["sub_code"], "ACQ.DISCORDANT_REPEAT_REQUEST");
    assert_eq!(refund("9.00", Some("R2")).await["sub_code"], "ACQ.REASON_TRADE_REFUND_FEE_ERR");
    let cancel = shop.call("cancel", json!({"out_trade_no": "T1"})).await;
    assert_eq!(cancel["sub_code"], "ACQ.REASON_TRADE_REFUND_FEE_ERR");
    assert_eq!(refund("8.88", Some("R3")).await["refund_fee"], "88.88");
    assert_eq!(shop.query("T1").await["trade_status"], "TRADE_CLOSED");
    assert_eq!(refund("8.88", Some("R3")).await["code"], "10000");
    assert_eq!(refund("0.01", Some("R4")).await["sub_code"], "ACQ.TRADE_HAS_CLOSE");

    let biz = json!({"out_trade_no": "T1", "out_request_no": "R3"});
    let known = shop.call("fastpay.refund.query", biz).await;
    let told = (&known["refund_status"], &known["refund_amount"]);
    assert_eq!(told, (&"REFUND_SUCCESS".into(), &"8.88".into()));
    let numbers = shop.trade("T1").await["refunds"].as_array().unwrap().len();
    assert_eq!(numbers, 2);
}

#[tokio::test]
async fn paid_trades_can_be_cancelled_for_a_day_and_refunded_for_a_year() {
    let shop = Shop::open().await;
    shop.paid("T1").await;
    shop.advance(25 * HOUR).await;
    let cancel = shop.call("cancel", json!({"out_trade_no": "T1"})).await;
    assert_eq!(cancel["sub_code"], "ACQ.TRADE_CANCEL_TIME_OUT");
    shop.advance(365 * 24 * HOUR).await;
    assert_eq!(shop.query("T1").await["trade_status"], "TRADE_FINISHED");
    let refund = json!({"out_trade_no": "T1", "refund_amount": "88.88"});
    assert_eq!(shop.call("refund", refund).await["sub_code"], "ACQ.TRADE_HAS_FINISHED");
    let cancel = shop.call("cancel", json!({"out_trade_no": "T1"})).await;
    assert_eq!(cancel["sub_code"], "ACQ.TRADE_HAS_FINISHED");
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_answered_in_the_gateways_order() {
    let shop = Shop::open().await;
    let cases = [
        ("app_id", None, "40001", "isv.missing-app-id"),
        ("app_id", Some("1"), "40002", "isv.invalid-app-id"),
        ("method", None, "40001", "isv.missing-method"),
        ("method", Some("alipay.trade.fly"), "40002", "isv.invalid-method"),
        ("sign", None, "40001", "isv.missing-signature"),
        ("sign", Some("AAAA"), "40002", "isv.invalid-signature"),
        ("timestamp", None, "40001", "isv.missing-timestamp"),
        ("timestamp", Some("now"), "40002", "isv.invalid-timestamp"),
        ("version", Some("2.0"), "40002", "isv.invalid-version"),
        ("sign_type", Some("RSA"), "40002", "isv.invalid-signature-type"),
        ("charset", None, "40001", "isv.missing-charset"),
        ("charset", Some("latin1"), "40002", "isv.invalid-charset"),
        ("biz_content", Some("{}"), "40002", "isv.invalid-signature"),
    ];
    for (name, value, code, sub_code) in cases {
        let mut params = shop.params("query", &json!({"out_trade_no": "T1"}));
        shop.sign(&mut params);
        match value {
            None => params.remove(name),
            Some(value) => params.insert(name.to_owned(), value.to_owned()),
        };
        let answer = shop.send(&params).await.unwrap();
        let node = if name == "method" && value.is_none() {
            serde_json::from_slice::<Value>(&answer.body).unwrap()["error_response"].clone()
        } else {
            answer.node()
        };
        assert_eq!((&node["code"], &node["sub_code"]), (&code.into(), &sub_code.into()), "{name}");
    }
}

#[tokio::test]
async fn business_parameters_are_checked_and_named() {
    let shop = Shop::open().await;
    let cases = [
        ("out_trade_no", json!("a-b")),
        ("out_trade_no", json!("x".repeat(65))),
        ("total_amount", json!("0.00")),
        ("total_amount", json!("1.234")),
        ("total_amount", Value::Null),
        ("subject", json!("")),
        ("time_expire", json!("tomorrow")),
        ("timeout_express", json!("1.5h")),
        ("timeout_express", json!("16d")),
        ("seller_id", json!("2088999999999999")),
    ];
    for (name, value) in cases {
        let mut biz = order("T1");
        biz[name] = value;
        let node = shop.call("precreate", biz).await;
        assert_eq!(node["sub_code"], "ACQ.INVALID_PARAMETER", "{name}");
        assert!(node["sub_msg"].as_str().unwrap().contains(name), "{node}");
    }
    assert_eq!(shop.call("query", json!("text")).await["sub_code"], "ACQ.INVALID_PARAMETER");
    assert_eq!(shop.call("query", json!({})).await["sub_code"], "ACQ.INVALID_PARAMETER");
}

#[tokio::test]
async fn parameters_may_all_be_in_the_body() {
    let shop = Shop::open().await;
    let mut params = shop.params("precreate", &order("T1"));
    shop.sign(&mut params);
    let post = shop.http.post(shop.url("/gateway.do?charset=utf-8")).body(form(&params));
    let answer = receive(post.send().await.unwrap()).await.unwrap();
    assert_eq!(answer.node()["code"], "10000");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_payments_and_closes_at_once_one_wins() {
    let shop = Arc::new(Shop::open().await);
    shop.precreate("T1").await;
    shop.control("scan", json!({"out_trade_no": "T1"})).await;
    let mut attempts = JoinSet::new();
    for index in 0..50 {
        let shop = Arc::clone(&shop);
        attempts.spawn(async move {
            let reference = json!({"out_trade_no": "T1"});
            match index % 2 {
                0 => shop.control("pay", reference).await.0 == 200,
                _ => shop.call("close", reference).await["code"] == "10000",
            }
        });
    }
    let won = attempts.join_all().await;
    assert_eq!(won.into_iter().filter(|won| *won).count(), 1);
}

#[tokio::test]
async fn request_targets_may_be_absolute() {
    let shop = Shop::open().await;
    let mut params = shop.params("precreate", &order("T1"));
    shop.sign(&mut params);
    let target = format!("{}?{}", shop.simulator.gateway_url(), form(&params));
    let request = format!("GET {target} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    let answer = String::from_utf8(shop.raw(&request).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("qr_code"), "{answer}");
}

#[tokio::test]
async fn options_of_an_order_are_checked_too() {
    let shop = Shop::open().await;
    let goods = json!({"goods_id": "G1", "goods_name": "茶", "quantity": 1, "price": "88.88"});
    let without = |name: &str| {
        let mut goods = goods.clone();
        goods.as_object_mut().unwrap().remove(name);
        json!({"goods_detail": [goods]})
    };
    for (options, named) in [
        (json!({"body": "x".repeat(129)}), "body"),
        (json!({"operator_id": "x".repeat(29)}), "operator_id"),
        (json!({"enable_pay_channels": "pcredit", "disable_pay_channels": "moneyFund"}), "disable"),
        (json!({"discountable_amount": "8.00", "undiscountable_amount": "80.00"}), "total_amount"),
        (json!({"discountable_amount": "-1"}), "discountable_amount"),
        (json!({"goods_detail": "G1"}), "goods_detail"),
        (json!({"goods_detail": ["G1"]}), "goods_detail"),
        (without("goods_id"), "goods_id"),
        (without("goods_name"), "goods_name"),
        (without("price"), "price"),
        (without("quantity"), "quantity"),
    ] {
        let mut order = order("T1");
        order.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let node = shop.call("precreate", order).await;
        assert_eq!(node["sub_code"], "ACQ.INVALID_PARAMETER", "{options}");
        assert!(node["sub_msg"].as_str().unwrap().contains(named), "{node}");
    }
    let mut order = order("T1");
    order["goods_detail"] = json!([goods]);
    order["discountable_amount"] = "0.00".into();
    order["undiscountable_amount"] = "88.88".into();
    assert_eq!(shop.call("precreate", order).await["code"], "10000");
}

#[tokio::test]
async fn refunds_tell_their_details_to_those_who_ask() {
    let shop = Shop::open().await;
    shop.paid("T1").await;
    let refund = |options: Value| {
        json!({"out_trade_no": "T1", "refund_amount": "8.00", "out_request_no": "R1",
            "query_options": options})
    };
    let wrong = shop.call("refund", refund("all".into())).await;
    assert_eq!(wrong["sub_code"], "ACQ.INVALID_PARAMETER");
    assert!(shop.trade("T1").await["refunds"].as_array().unwrap().is_empty());
    let details = json!(["refund_detail_item_list", "gmt_refund_pay"]);
    let node = shop.call("refund", refund(details.clone())).await;
    assert_eq!((&node["fund_change"], &node["send_back_fee"]), (&"Y".into(), &"8.00".into()));
    assert_eq!(node["refund_detail_item_list"][0]["amount"], "8.00");

    let mut asked = json!({"out_trade_no": "T1", "out_request_no": "R1"});
    let bare = shop.call("fastpay.refund.query", asked.clone()).await;
    assert_eq!(bare["refund_status"], "REFUND_SUCCESS");
    asked["query_options"] = details;
    let full = shop.call("fastpay.refund.query", asked).await;
    for name in ["gmt_refund_pay", "send_back_fee", "refund_detail_item_list"] {
        assert!(bare[name].is_null() && !full[name].is_null(), "{name}");
    }
}

#[tokio::test]
async fn encrypted_calls_are_refused() {
    let shop = Shop::open().await;
    let mut params = shop.params("query", &json!({"out_trade_no": "T1"}));
    params.insert("encrypt_type".to_owned(), "AES".to_owned());
    shop.sign(&mut params);
    let node = shop.send(&params).await.unwrap().node();
    assert_eq!(node["sub_code"], "isv.invalid-encrypt-type");
}
