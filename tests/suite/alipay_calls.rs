//! One exchange with the gateway: what is sent, what HTTP can do to it, which accounts work.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use checkback::alipay::keys::AlipayPublicKey;
use checkback::alipay::sign::{sign_string, verify};
use checkback::alipay::{
    Account, AccountError, Alipay, BODY_BYTES_MAX, CALLS_AT_ONCE_MAX, Precreate, form,
};
use checkback::domain::gateway::{Answer, PrecreateOutcome, UnknownReason};
use checkback::domain::money::Fen;

use crate::alipay_socket::{APP_PUBLIC, Calls, Socket, account, http, now, reason, signed, state};

#[tokio::test]
async fn a_request_is_signed_over_everything_it_carries() {
    let node = r#"{"code":"10000","out_trade_no":"T1","qr_code":"https:\/\/qr.alipay.com\/bax"}"#;
    let socket = Socket::giving(signed("alipay_trade_precreate", node));
    let (client, calls) = socket.client();
    let total = Fen::new(1230).expect("an amount");
    let subject = "茶 \"a+b\"";
    let trade = Precreate { out_trade_no: "T1", total, subject, time_expire: now() };
    let outcome = client.precreate(&trade, now()).await;
    assert_eq!(outcome, PrecreateOutcome::QrCode("https://qr.alipay.com/bax".to_owned()));
    assert_eq!(*calls.lock().expect("not poisoned"), [("precreate", "qr_code")]);

    let request = socket.received.lock().expect("not poisoned").remove(0);
    let (head, body) = request.split_once("\r\n\r\n").expect("a body");
    let target = head.strip_prefix("POST /gateway.do?").expect("a POST").split(' ').next();
    assert!(head.contains("content-type: application/x-www-form-urlencoded;charset=utf-8\r\n"));
    let query = form::parse(target.expect("a target").as_bytes()).expect("a form");
    let body = form::parse(body.as_bytes()).expect("a form");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let all: Vec<_> =
        query.iter().chain(&body).map(|one| (text(&one.name), text(&one.value))).collect();
    let all: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        sign_string(&all),
        "app_id=2021000000000001&biz_content={\"out_trade_no\":\"T1\",\"total_amount\":\"12.30\",\
         \"subject\":\"茶 \\\"a+b\\\"\",\"product_code\":\"FACE_TO_FACE_PAYMENT\",\
         \"seller_id\":\"2088000000000001\",\"time_expire\":\"2026-01-02 03:04:04\"}\
         &charset=utf-8&format=JSON&method=alipay.trade.precreate\
         &notify_url=http://127.0.0.1:9/n?a=b&c&sign_type=RSA2\
         &timestamp=2026-01-02 03:04:04&version=1.0"
    );
    let sign = all.iter().find(|(name, _)| *name == "sign").expect("a signature").1;
    let app_key = AlipayPublicKey::parse(APP_PUBLIC).expect("the app's public key");
    assert!(verify(&[app_key], sign_string(&all).as_bytes(), sign.as_bytes()));
}

#[tokio::test]
async fn what_http_does_to_an_answer_is_unknown() {
    let closed = r#""trade_no":"9","total_amount":"0.10","trade_status":"TRADE_CLOSED""#;
    let whole = state(closed);
    let text = String::from_utf8(whole.clone()).expect("UTF-8");
    for (status, code) in [("502 Bad Gateway", 502), ("302 Found\r\nlocation: /", 302)] {
        let answer = text.replace("200 OK", status);
        assert_eq!(reason(answer).await, UnknownReason::HttpStatus { status: code });
    }
    let cut = reason(&whole[..whole.len() - 10]).await;
    assert_eq!(cut.code(), "transport");
    assert!(!cut.to_string().contains("sign"), "{cut}");
    let unsized_cut = text.replace("content-length", "x-length");
    let unsized_cut = &unsized_cut[..unsized_cut.len() - 10];
    assert_eq!(reason(unsized_cut).await.code(), "malformed");
    assert_eq!(reason("").await.code(), "transport");
    assert_eq!(reason(http("<html>")).await.code(), "malformed");
    assert_eq!(reason(http(vec![b' '; BODY_BYTES_MAX + 1])).await, UnknownReason::TooLarge);

    let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = nobody.local_addr().expect("an address").to_string();
    drop(nobody);
    let client = Alipay::new(account(&address), Arc::new(|_, _, _| {})).expect("a client");
    let Answer::Unknown(reason) = client.query("T1", now()).await else {
        panic!("nobody answered");
    };
    assert_eq!(reason.code(), "transport");
    assert!(reason.to_string().to_lowercase().contains("refused"), "{reason}");
}

#[tokio::test]
async fn a_gateway_that_never_answers_is_given_up_on_and_observed() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("an address").to_string();
    let calls = Calls::default();
    let log = Arc::clone(&calls);
    let observer = move |method, result, took: Duration| {
        assert!((4..7).contains(&took.as_secs()), "{took:?}");
        log.lock().expect("not poisoned").push((method, result));
    };
    let client = Alipay::new(account(&address), Arc::new(observer)).expect("a client");
    let answer = client.query("T1", now()).await;
    assert_eq!(answer, Answer::Unknown(UnknownReason::Timeout));
    assert_eq!(*calls.lock().expect("not poisoned"), [("query", "timeout")]);
}

#[test]
fn an_account_that_cannot_work_is_refused_at_once() {
    let refusal = |change: fn(&mut Account)| {
        let mut account = account("127.0.0.1:9");
        change(&mut account);
        Alipay::new(account, Arc::new(|_, _, _| {})).expect_err("refused")
    };
    let own_key = |account: &mut Account| {
        account.alipay_keys.push(AlipayPublicKey::parse(APP_PUBLIC).expect("our public key"));
    };
    assert!(matches!(refusal(own_key), AccountError::OwnKeyAsAlipayKey));
    assert!(matches!(refusal(|one| one.alipay_keys.clear()), AccountError::NoAlipayKey));
    assert!(matches!(refusal(|one| one.app_id.clear()), AccountError::Empty("the app id")));
    let query = |one: &mut Account| one.gateway_url.set_query(Some("a=b"));
    assert!(matches!(refusal(query), AccountError::GatewayUrl));
}

#[tokio::test]
async fn a_client_is_printed_without_its_keys() {
    let client = Alipay::new(account("127.0.0.1:9"), Arc::new(|_, _, _| {})).expect("a client");
    let printed = format!("{client:?}");
    assert!(printed.contains("AppPrivateKey(..)") && !printed.contains("MII"), "{printed}");
}

#[tokio::test]
async fn more_calls_than_are_allowed_at_once_wait_and_are_then_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("an address").to_string();
    let client = Alipay::new(account(&address), Arc::new(|_, _, _| {})).expect("a client");
    let client = Arc::new(client);
    let calls: Vec<_> = (0..=CALLS_AT_ONCE_MAX)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { client.query("T1", now()).await })
        })
        .collect();
    let started = Instant::now();
    let mut overloaded = 0;
    for call in calls {
        let answer = call.await.expect("no panic");
        overloaded += usize::from(answer == Answer::Unknown(UnknownReason::Overloaded));
    }
    assert_eq!(overloaded, 1);
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}
