//! Payment at the cashier, to which a website sends its buyers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::merchant::{Shop, form, order, until, verifies};
use crate::webhook::Webhook;

const RETURN_URL: &str = "http://127.0.0.1:9/back?from=alipay#top";
const QUIT_URL: &str = "http://127.0.0.1:9/quit";

/// A browser that stops where it is sent on.
struct Browser {
    shop: Shop,
    http: reqwest::Client,
}

/// What a browser got: a page, or where to go on.
struct Seen {
    status: u16,
    location: Option<String>,
    page: String,
}

impl Browser {
    async fn open() -> Self {
        let no_redirects = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().no_proxy().redirect(no_redirects).build().unwrap();
        Self { shop: Shop::open().await, http }
    }

    /// Follows the merchant's signed link.
    async fn follow(&self, product: &str, biz: &Value, return_url: Option<&str>) -> Seen {
        let mut params = self.shop.params(&format!("{product}.pay"), biz);
        params.extend(return_url.map(|url| ("return_url".to_owned(), url.to_owned())));
        self.shop.sign(&mut params);
        self.get(&self.shop.url(&format!("/gateway.do?{}", form(&params)))).await
    }

    /// Opens the cashier for an order over 88.88.
    async fn cashier(&self, product: &str, number: &str) -> String {
        let seen = self.follow(product, &of(product, number), Some(RETURN_URL)).await;
        assert_eq!(seen.status, 303, "{}", seen.page);
        let cashier = seen.location.unwrap();
        assert!(cashier.starts_with(&self.shop.url("/cashier/")), "{cashier}");
        cashier
    }

    async fn get(&self, url: &str) -> Seen {
        see(self.http.get(url)).await
    }

    async fn press(&self, cashier: &str, button: &str) -> Seen {
        see(self.http.post(format!("{cashier}/{button}"))).await
    }

    async fn state(&self, number: &str) -> Value {
        self.shop.trade(number).await["state"].clone()
    }
}

async fn see(request: reqwest::RequestBuilder) -> Seen {
    let answer = request.send().await.unwrap();
    let location = answer.headers().get("location");
    let location = location.map(|value| value.to_str().unwrap().to_owned());
    Seen { status: answer.status().as_u16(), location, page: answer.text().await.unwrap() }
}

fn of(product: &str, number: &str) -> Value {
    let mut order = order(number);
    if product == "wap" {
        order["product_code"] = "QUICK_WAP_WAY".into();
        order["quit_url"] = QUIT_URL.into();
    } else {
        order["product_code"] = "FAST_INSTANT_TRADE_PAY".into();
    }
    order
}

/// What Alipay says in the query of a genuine return.
fn returned(seen: &Seen) -> BTreeMap<String, String> {
    let url = reqwest::Url::parse(seen.location.as_ref().unwrap()).unwrap();
    assert_eq!((url.path(), url.fragment()), ("/back", Some("top")));
    let mut values: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(values.remove("from").as_deref(), Some("alipay"));
    let sign = values.remove("sign").unwrap();
    assert_eq!(values.remove("sign_type").as_deref(), Some("RSA2"));
    let pairs: Vec<_> = values.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert!(verifies(pairs.join("&").as_bytes(), sign.as_bytes()), "{url}");
    values
}

#[tokio::test]
async fn a_buyer_pays_and_returns_with_a_signature() {
    let webhook = Webhook::open().await;
    let mut browser = Browser::open().await;
    browser.shop.notify_url = Some(webhook.url.clone());
    for (index, product) in ["page", "wap"].into_iter().enumerate() {
        let number = product.to_uppercase();
        let cashier = browser.cashier(product, &number).await;
        assert_eq!(browser.cashier(product, &number).await, cashier, "a reload changes nothing");
        let page = browser.get(&cashier).await.page;
        assert!(page.contains("¥88.88") && page.contains("茶 &lt;b&gt;"), "{page}");
        assert_eq!(page.contains("/login\""), product == "page", "{page}");
        for button in ["/pay\"", "/fail\"", "/cancel\""] {
            assert!(page.contains(button), "{button} {page}");
        }
        let unknown = browser.shop.query(&number).await;
        assert_eq!(unknown["sub_code"], "ACQ.TRADE_NOT_EXIST", "nobody has logged in");

        let values = returned(&browser.press(&cashier, "pay").await);
        let paid = browser.shop.query(&number).await;
        assert_eq!(paid["trade_status"], "TRADE_SUCCESS");
        assert_eq!(values["trade_no"], paid["trade_no"].as_str().unwrap());
        assert_eq!(values["method"], format!("alipay.trade.{product}.pay.return"));
        assert_eq!((&*values["out_trade_no"], &*values["total_amount"]), (&*number, "88.88"));
        assert!(!values.contains_key("trade_status"));
        until("it is told", async || webhook.count() == index + 1).await;
        assert!(webhook.is_genuine(index));
        assert_eq!(webhook.form(index)["trade_status"], "TRADE_SUCCESS");

        let twice = browser.press(&cashier, "pay").await;
        assert!(twice.status == 409 && twice.page.contains("Paid · 支付成功"));
        let again = browser.follow(product, &of(product, &number), None).await;
        assert!(again.page.contains("ACQ.TRADE_HAS_SUCCESS"), "{}", again.page);
    }
}

#[tokio::test]
async fn trades_come_into_being_when_buyers_log_in_or_give_their_password() {
    let browser = Browser::open().await;
    let cashier = browser.cashier("page", "T1").await;
    let seen = browser.press(&cashier, "login").await;
    assert!(seen.status == 200 && seen.page.contains("WAIT_BUYER_PAY"), "{}", seen.page);
    assert!(!seen.page.contains("/login\""), "{}", seen.page);
    assert_eq!(browser.shop.query("T1").await["trade_status"], "WAIT_BUYER_PAY");
    let closed = browser.shop.call("close", json!({"out_trade_no": "T1"})).await;
    assert_eq!(closed["code"], "10000");
    let late = browser.press(&cashier, "pay").await;
    assert!(late.status == 409 && late.page.contains("Closed · 交易已关闭"));

    let cashier = browser.cashier("wap", "T2").await;
    let values = returned(&browser.press(&cashier, "fail").await);
    assert!(values["trade_no"].len() == 28, "a return is no proof of a payment");
    assert_eq!(browser.shop.query("T2").await["trade_status"], "WAIT_BUYER_PAY");
    returned(&browser.press(&cashier, "pay").await);
    assert_eq!(browser.state("T2").await, "TRADE_SUCCESS", "a second try");
}

#[tokio::test]
async fn who_turns_back_leaves_nothing_behind() {
    let browser = Browser::open().await;
    let cashier = browser.cashier("page", "T1").await;
    let values = returned(&browser.press(&cashier, "cancel").await);
    assert!(!values.contains_key("trade_no"));
    assert_eq!(browser.state("T1").await, "NOT_SCANNED");
    let cashier = browser.cashier("wap", "T2").await;
    let quit = browser.press(&cashier, "cancel").await;
    assert_eq!(quit.location.as_deref(), Some(QUIT_URL));
    assert_eq!(browser.state("T2").await, "NOT_SCANNED");
}

#[tokio::test]
async fn without_a_return_url_the_cashier_says_how_it_went() {
    let browser = Browser::open().await;
    let cashier = browser.follow("page", &of("page", "T1"), None).await.location.unwrap();
    let paid = browser.press(&cashier, "pay").await;
    assert!(paid.status == 200 && paid.page.contains("Paid · 支付成功"));
}

#[tokio::test]
async fn a_form_is_as_good_as_a_link() {
    let browser = Browser::open().await;
    let mut params = browser.shop.params("page.pay", &of("page", "T1"));
    browser.shop.sign(&mut params);
    let biz_content = params.remove_entry("biz_content").unwrap();
    let url = browser.shop.url(&format!("/gateway.do?{}", form(&params)));
    let body = form(&BTreeMap::from([biz_content]));
    let kind = "application/x-www-form-urlencoded";
    let seen = see(browser.http.post(url).header("content-type", kind).body(body)).await;
    assert_eq!(seen.status, 303, "{}", seen.page);
}

#[tokio::test]
async fn what_is_wrong_is_a_page() {
    let browser = Browser::open().await;
    let wrong = |name: &str, value: Value| {
        let mut order = of("wap", "T1");
        order[name] = value;
        order
    };
    for (biz, sub_code) in [
        (wrong("quit_url", Value::Null), "ACQ.INVALID_PARAMETER"),
        (wrong("quit_url", "quit".into()), "ACQ.INVALID_PARAMETER"),
        (wrong("product_code", Value::Null), "ACQ.INVALID_PARAMETER"),
        (wrong("product_code", "FAST_INSTANT_TRADE_PAY".into()), "ACQ.INVALID_PARAMETER"),
        (wrong("time_expire", "2020-01-02 03:04:05".into()), "NOW_TIME_AFTER_EXPIRE_TIME_ERROR"),
    ] {
        let seen = browser.follow("wap", &biz, None).await;
        assert!(seen.status == 200 && seen.page.contains(sub_code), "{}", seen.page);
    }
    let odd = browser.follow("wap", &of("wap", "T1"), Some("javascript:alert(1)")).await;
    assert!(odd.page.contains("isv.invalid-parameter"), "{}", odd.page);
    browser.cashier("wap", "T1").await;
    let changed = browser.follow("wap", &wrong("total_amount", "0.01".into()), None).await;
    assert!(changed.page.contains("ACQ.CONTEXT_INCONSISTENT"), "{}", changed.page);

    let mut params = browser.shop.params("page.pay", &of("page", "T2"));
    browser.shop.sign(&mut params);
    params.insert("biz_content".to_owned(), of("page", "<T3>").to_string());
    let forged = browser.get(&browser.shop.url(&format!("/gateway.do?{}", form(&params)))).await;
    assert!(forged.page.contains("isv.invalid-signature"), "{}", forged.page);
    assert!(!forged.page.contains("<T3>"), "{}", forged.page);
    assert_eq!(browser.state("T2").await, Value::Null);
}

#[tokio::test]
async fn pages_have_faults_of_their_own_and_addresses_of_their_own() {
    let browser = Browser::open().await;
    let method = "alipay.trade.page.pay";
    browser.shop.fault(json!({"method": method, "kind": "unknown_after", "times": 1})).await;
    let seen = browser.follow("page", &of("page", "T1"), None).await;
    assert!(seen.page.contains("isp.unknow-error"), "{}", seen.page);
    assert_eq!(browser.state("T1").await, "NOT_SCANNED", "it took effect");
    browser.shop.fault(json!({"method": method, "kind": "http_502", "times": 1})).await;
    assert_eq!(browser.follow("page", &of("page", "T1"), None).await.status, 502);
    let unsigned = json!({"method": method, "kind": "unsigned"});
    assert_eq!(browser.shop.control("faults", unsigned).await.1["field"], "kind");

    let code = browser.shop.precreate("T2").await;
    let cashier = browser.cashier("page", "T1").await;
    assert_eq!(browser.get(&code.replace("/qr/", "/cashier/")).await.status, 404);
    assert_eq!(browser.get(&cashier.replace("/cashier/", "/qr/")).await.status, 404);
    assert_eq!(browser.press(&cashier, "fly").await.status, 404);
    assert_eq!(browser.get(&format!("{cashier}0")).await.status, 404);
}
