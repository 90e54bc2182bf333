//! The third protocol: JSON in bodies, signatures in headers.

use alipay_simulator::{Certificates, Settings};
use serde_json::{Value, json};

use crate::merchant::{Shop, order, settings, verifies};

struct Reply {
    status: u16,
    body: Value,
    genuine: bool,
}

impl Shop {
    async fn v3(&self, path: &str, body: Value) -> Reply {
        let text = body.to_string();
        self.v3_as(path, &text, &text, "2021000000000001").await
    }

    /// Signs one body and sends another.
    async fn v3_as(&self, path: &str, signed: &str, sent: &str, app_id: &str) -> Reply {
        let text = format!("app_id={app_id},nonce=n,timestamp=1767294245000");
        let sign_text = format!("{text}\nPOST\n/v3/alipay/{path}\n{signed}\n");
        self.v3_send(path, sent, &text, &self.signature(&sign_text), None).await
    }

    async fn v3_send(
        &self,
        path: &str,
        sent: &str,
        text: &str,
        sign: &str,
        token: Option<&str>,
    ) -> Reply {
        let mut post =
            self.http.post(self.url(&format!("/v3/alipay/{path}"))).body(sent.to_owned());
        if let Some(token) = token {
            post = post.header("alipay-app-auth-token", token);
        }
        let authorization = format!("ALIPAY-SHA256withRSA {text},sign={sign}");
        let answer = post.header("authorization", authorization).send().await.unwrap();
        let header = |name: &str| {
            let value = answer.headers().get(name);
            value.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let (timestamp, nonce) = (header("alipay-timestamp"), header("alipay-nonce"));
        let (sign, status) = (header("alipay-signature"), answer.status().as_u16());
        let body = answer.text().await.unwrap();
        let text = format!("{timestamp}\n{nonce}\n{body}\n");
        let genuine = verifies(text.as_bytes(), sign.as_bytes());
        Reply { status, body: serde_json::from_str(&body).unwrap_or_default(), genuine }
    }
}

#[tokio::test]
async fn both_protocols_speak_of_the_same_trades() {
    let shop = Shop::open().await;
    let created = shop.v3("trade/precreate", order("T1")).await;
    assert!(created.status == 200 && created.genuine);
    assert_eq!(created.body["code"], Value::Null, "the status says it");
    assert_eq!(created.body["qr_code"], shop.precreate("T1").await, "one content, one code");
    shop.control("pay", json!({"out_trade_no": "T1"})).await;
    let paid = shop.v3("trade/query", json!({"out_trade_no": "T1"})).await;
    assert_eq!(paid.body["trade_status"], "TRADE_SUCCESS");
    let refund = json!({"out_trade_no": "T1", "refund_amount": "8.00", "out_request_no": "R1"});
    assert_eq!(shop.v3("trade/refund", refund).await.body["fund_change"], "Y");
    let asked = json!({"out_trade_no": "T1", "out_request_no": "R1"});
    let found = shop.v3("trade/fastpay/refund/query", asked).await;
    assert_eq!(found.body["refund_status"], "REFUND_SUCCESS");
    let close = shop.v3("trade/close", json!({"out_trade_no": "T1"})).await;
    assert_eq!((close.status, &close.body["code"]), (400, &"TRADE_STATUS_ERROR".into()));
    assert_eq!(close.body["links"], json!([]));
    assert!(close.genuine);
}

#[tokio::test]
async fn who_is_not_admitted_is_told_why() {
    let shop = Shop::open().await;
    let biz = order("T1").to_string();
    for (path, sent, app_id, status, code) in [
        ("trade/precreate", "{}", "2021000000000001", 401, "isv.invalid-signature"),
        ("trade/precreate", &*biz, "2021000000000002", 400, "isv.invalid-app-id"),
        ("trade/fly", &*biz, "2021000000000001", 400, "isv.invalid-method"),
        ("trade/page/pay", &*biz, "2021000000000001", 400, "isv.invalid-method"),
    ] {
        let reply = shop.v3_as(path, &biz, sent, app_id).await;
        assert_eq!((reply.status, &reply.body["code"]), (status, &code.into()), "{path}");
    }
    let bare = shop.http.post(shop.url("/v3/alipay/trade/query")).body("{}").send().await.unwrap();
    assert_eq!(bare.status(), 400);
    let wrong = shop.v3("trade/precreate", json!({"out_trade_no": "T1"})).await;
    assert_eq!((wrong.status, &wrong.body["code"]), (400, &"INVALID_PARAMETER".into()));
}

#[tokio::test]
async fn faults_strike_here_too() {
    let shop = Shop::open().await;
    shop.paid("T1").await;
    let biz = json!({"out_trade_no": "T1"});
    for (kind, status, genuine) in [
        ("unknown_after", 500, true),
        ("system_error_before", 500, true),
        ("rate_limited", 429, true),
        ("no_permission", 403, true),
        ("http_502", 502, false),
        ("unsigned", 200, false),
        ("wrong_sign", 200, false),
        ("other_key", 200, false),
        ("truncated", 200, false),
        ("escaped_slashes", 200, true),
    ] {
        let fault = json!({"method": "alipay.trade.query", "kind": kind, "times": 1});
        shop.fault(fault).await;
        let reply = shop.v3("trade/query", biz.clone()).await;
        assert_eq!((reply.status, reply.genuine), (status, genuine), "{kind}");
    }
}

#[tokio::test]
async fn a_token_is_signed_too_and_a_call_may_end() {
    let shop = Shop::open().await;
    let biz = order("T1").to_string();
    let target = "/v3/alipay/trade/precreate";
    let now = shop.control("clock", json!({"advance_ms": 0})).await.1["now"].clone();
    let now = chrono::DateTime::parse_from_rfc3339(now.as_str().unwrap()).unwrap();
    for (age_ms, signed, sent, status) in [
        (0, "token\n", Some("token"), 200),
        (0, "", Some("token"), 401),
        (0, "token\n", None, 401),
        (599_000, "", None, 200),
        (601_000, "", None, 400),
    ] {
        let timestamp = now.timestamp_millis() - age_ms;
        let id = "2021000000000001";
        let text = format!("app_id={id},nonce=n,timestamp={timestamp},expired_seconds=600");
        let sign = shop.signature(&format!("{text}\nPOST\n{target}\n{biz}\n{signed}"));
        let reply = shop.v3_send("trade/precreate", &biz, &text, &sign, sent).await;
        assert_eq!(reply.status, status, "{age_ms} {signed} {sent:?} {}", reply.body);
    }
}

#[tokio::test]
async fn certificates_are_named_in_headers() {
    let certificates = Some(Certificates::development());
    let shop = Shop::with(Settings { certificates, ..settings(None) }).await;
    let reply = shop.v3("trade/precreate", order("T1")).await;
    assert_eq!((reply.status, &reply.body["code"]), (400, &"isv.app-cert-not-exist".into()));
}
