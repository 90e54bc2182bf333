//! The buyer's page and the buyer's side of the control API.

use serde_json::json;

use crate::merchant::Shop;

#[tokio::test]
async fn opening_the_page_is_the_scan_and_its_button_pays() {
    let shop = Shop::open().await;
    let code = shop.precreate("T1").await;
    let path = code.strip_prefix(&shop.url("")).unwrap();
    for _ in 0..2 {
        let page = shop.http.get(&code).send().await.unwrap().text().await.unwrap();
        assert!(
            page.contains("data-state=\"WAIT_BUYER_PAY\"") && page.contains("¥88.88"),
            "{page}"
        );
        assert!(page.contains("茶 &lt;b&gt;&amp;tea&lt;/b&gt;"), "{page}");
        assert!(page.contains(&format!("action=\"{path}/pay\"")), "{page}");
    }
    assert_eq!(shop.query("T1").await["trade_status"], "WAIT_BUYER_PAY");

    let pay = shop.http.post(format!("{code}/pay")).send().await.unwrap();
    assert_eq!(pay.status(), 200);
    assert!(pay.text().await.unwrap().contains("Paid · 支付成功"));
    let again = shop.http.post(format!("{code}/pay")).send().await.unwrap();
    assert_eq!(again.status(), 409);
    assert_eq!(shop.query("T1").await["trade_status"], "TRADE_SUCCESS");
    let page = shop.http.get(&code).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("data-state=\"TRADE_SUCCESS\"") && !page.contains("<form"));
    assert_eq!(shop.http.get(format!("{code}0")).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_closed_trade_says_so_and_can_be_paid_by_force_only() {
    let shop = Shop::open().await;
    let code = shop.precreate("T1").await;
    shop.control("scan", json!({"out_trade_no": "T1"})).await;
    shop.call("close", json!({"out_trade_no": "T1"})).await;
    let page = shop.http.post(format!("{code}/pay")).send().await.unwrap();
    assert!(page.text().await.unwrap().contains("Closed · 交易已关闭"));
    let refused = shop.control("pay", json!({"out_trade_no": "T1"})).await;
    assert_eq!((refused.0, &refused.1["state"]), (409, &"TRADE_CLOSED".into()));
    let forced = shop.control("pay", json!({"out_trade_no": "T1", "force": true})).await;
    assert_eq!((forced.0, &forced.1["state"]), (200, &"TRADE_SUCCESS".into()));
    assert_eq!(shop.query("T1").await["trade_status"], "TRADE_SUCCESS");
    let twice = shop.control("pay", json!({"out_trade_no": "T1", "force": true})).await;
    assert_eq!(twice.0, 409);
}

#[tokio::test]
async fn a_wrong_amount_can_be_paid() {
    let shop = Shop::open().await;
    shop.precreate("T1").await;
    let paid = shop.control("pay", json!({"out_trade_no": "T1", "amount": "0.01"})).await;
    assert_eq!((paid.0, &paid.1["total_amount"]), (200, &"0.01".into()));
    assert_eq!(shop.query("T1").await["total_amount"], "0.01");
}

#[tokio::test]
async fn the_list_has_every_trade_in_its_order() {
    let shop = Shop::open().await;
    shop.precreate("B").await;
    shop.paid("A").await;
    let list = shop.http.get(shop.url("/_ctl/trades")).send().await.unwrap().text().await.unwrap();
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let told = |index: usize| (list[index]["out_trade_no"].clone(), list[index]["state"].clone());
    assert_eq!(told(0), ("B".into(), "NOT_SCANNED".into()));
    assert_eq!(told(1), ("A".into(), "TRADE_SUCCESS".into()));
}

#[tokio::test]
async fn bad_input_is_refused_with_the_name_of_the_field() {
    let shop = Shop::open().await;
    let query = "alipay.trade.query";
    let cases = [
        ("pay", json!({}), "out_trade_no"),
        ("pay", json!([]), "body"),
        ("pay", json!({"out_trade_no": "T1", "amount": "-1"}), "amount"),
        ("pay", json!({"out_trade_no": "T1", "force": "yes"}), "force"),
        ("scan", json!({"out_trade_no": 7}), "out_trade_no"),
        ("scan", json!({"number": "T1"}), "number"),
        ("faults", json!({"kind": "drop"}), "method"),
        ("faults", json!({"method": "alipay.fly", "kind": "drop"}), "method"),
        ("faults", json!({"method": query, "kind": "fly"}), "kind"),
        ("faults", json!({"method": query, "kind": "drop"}), "kind"),
        ("faults", json!({"method": query, "kind": "reset", "times": -1}), "times"),
        ("faults", json!({"method": query, "kind": "reset", "probability": 2}), "probability"),
        ("faults", json!({"method": query, "kind": "slow", "delay_ms": "1s"}), "delay_ms"),
        ("clock", json!({"advance_ms": 1.5}), "advance_ms"),
        ("clock", json!({"advance_ms": i64::MAX}), "advance_ms"),
    ];
    for (path, body, field) in cases {
        let (status, answer) = shop.control(path, body.clone()).await;
        assert_eq!((status, &answer["field"]), (400, &field.into()), "{path} {body} {answer}");
        assert!(answer["error"].as_str().unwrap().starts_with(field), "{answer}");
    }
    let unknown = shop.control("pay", json!({"out_trade_no": "T1"})).await;
    assert_eq!(unknown.0, 404);
}
