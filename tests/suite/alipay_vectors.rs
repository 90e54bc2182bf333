//! Golden vectors: what real SDKs sent and accepted, and notifications with known verdicts. They
//! were made by other people's code, so a mistake that our client and our simulator share shows.

use checkback::alipay::form;
use checkback::alipay::keys::{AlipayPublicKey, AppPrivateKey};
use checkback::alipay::notify::{self, NotifyError, TradeStatus};
use checkback::alipay::sign::{sign, sign_string, verify};
use checkback::alipay::wire::{Envelope, NodeKind};
use checkback::domain::money::Fen;
use serde::Deserialize;

const REQUESTS: &str = include_str!("../vectors/alipay/requests_from_real_sdks.json");
const NOTIFICATIONS: &str = include_str!("../vectors/alipay/notify_self_made.json");
const APP_PKCS1: &str = include_str!("../vectors/alipay/app.pk1.pem");
const APP_PKCS8: &str = include_str!("../vectors/alipay/app.pk8.pem");
const APP_PUBLIC: &str = include_str!("../vectors/alipay/app.pub.pem");
const ALIPAY_PUBLIC: &str = include_str!("../vectors/alipay/ali.pub.pem");

#[derive(Deserialize)]
struct SentRequest {
    peer: String,
    request_target: String,
    body: String,
    sign_string: String,
    signature: String,
    response_body: String,
}

#[derive(Deserialize)]
struct SentNotification {
    name: String,
    form_body: String,
    expect_valid: bool,
}

fn requests() -> Vec<SentRequest> {
    serde_json::from_str(REQUESTS).expect("the vectors are JSON")
}

fn notification(name: &str) -> SentNotification {
    let all: Vec<SentNotification> = serde_json::from_str(NOTIFICATIONS).expect("JSON");
    all.into_iter().find(|one| one.name == name).expect("a vector of that name")
}

fn alipay_key() -> AlipayPublicKey {
    AlipayPublicKey::parse(ALIPAY_PUBLIC).expect("Alipay's key")
}

/// All parameters that a request carried, in its query and in its body.
fn parameters(request: &SentRequest) -> Vec<(String, String)> {
    let query = request.request_target.split_once('?').expect("a query").1;
    let read = |form: &str| form::parse(form.as_bytes()).expect("a form");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let all = read(query).into_iter().chain(read(&request.body));
    all.map(|one| (text(one.name), text(one.value))).collect()
}

#[test]
fn our_sign_string_is_that_of_the_real_sdks() {
    for request in requests() {
        let parameters = parameters(&request);
        let pairs: Vec<_> =
            parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(sign_string(&pairs), request.sign_string, "{}", request.peer);
    }
}

#[test]
fn our_signatures_are_those_of_the_real_sdks() {
    for pem in [APP_PKCS1, APP_PKCS8] {
        let key = AppPrivateKey::parse(pem).expect("our key");
        for request in requests() {
            let signature = sign(&key, &request.sign_string).expect("signs");
            assert_eq!(signature, request.signature, "{}", request.peer);
        }
    }
}

#[test]
fn the_signatures_of_the_real_sdks_verify() {
    let keys = [alipay_key(), AlipayPublicKey::parse(APP_PUBLIC).expect("the app's key")];
    for request in requests() {
        let (text, sign) = (request.sign_string.as_bytes(), request.signature.as_bytes());
        assert!(verify(&keys, text, sign), "{}", request.peer);
        assert!(!verify(&keys[..1], text, sign), "{}", request.peer);
    }
}

#[test]
fn our_form_encoding_is_that_of_the_real_sdks() {
    for request in requests().iter().filter(|request| !request.body.is_empty()) {
        let content = parameters(request)
            .into_iter()
            .find_map(|(name, value)| (name == "biz_content").then_some(value))
            .expect("business parameters");
        assert_eq!(form::encode(&[("biz_content", &content)]), request.body, "{}", request.peer);
    }
}

#[test]
fn responses_that_real_sdks_accepted_verify() {
    for request in requests() {
        let method = parameters(&request)
            .into_iter()
            .find_map(|(name, value)| (name == "method").then_some(value))
            .expect("a method");
        let node = format!("{}_response", method.replace('.', "_"));
        let envelope = Envelope::open(request.response_body.as_bytes(), &node).expect("an answer");
        assert_eq!(envelope.kind, NodeKind::Method);
        assert!(envelope.is_signed_by(&[alipay_key()]), "{}", request.peer);
        assert!(envelope.text().contains(r#""qr_code":"https:\/\/qr.alipay.com\/bax0xyz""#));

        let tampered = request.response_body.replace("bax0xyz", "bax0xyy");
        let envelope = Envelope::open(tampered.as_bytes(), &node).expect("an answer");
        assert!(!envelope.is_signed_by(&[alipay_key()]), "{}", request.peer);
    }
}

#[test]
fn notifications_get_the_expected_verdict() {
    let all: Vec<SentNotification> = serde_json::from_str(NOTIFICATIONS).expect("JSON");
    for one in all {
        let verdict = notify::verify(one.form_body.as_bytes(), &[alipay_key()]);
        assert_eq!(verdict.is_ok(), one.expect_valid, "{}", one.name);
        if let Err(error) = verdict {
            assert_eq!(error, NotifyError::BadSignature, "{}", one.name);
        }
    }
}

#[test]
fn a_payment_is_read_in_either_charset() {
    for name in ["paid_utf8", "paid_gbk"] {
        let body = notification(name).form_body;
        let paid = notify::verify(body.as_bytes(), &[alipay_key()]).expect("signed");
        assert_eq!(paid.notify_id(), "2026010200222030405000000000000001");
        assert_eq!(paid.app_id(), "2021000000000001");
        assert_eq!(paid.seller_id(), Some("2088000000000002"));
        assert_eq!(paid.out_trade_no(), "T1");
        assert_eq!(paid.trade_no(), "2026010222001400000000000001");
        assert_eq!(paid.trade_status(), TradeStatus::Success);
        assert_eq!(paid.total_amount(), Fen::new(1));
        let paid_at = paid.gmt_payment().expect("a time").to_rfc3339();
        assert_eq!(paid_at, "2026-01-01T19:04:04+00:00");
        assert_eq!(paid.refund_marks(), None);
        assert_eq!(paid.value("subject"), Some("中文 50%off a+b&c=/"));
        assert_eq!(paid.value("sign"), None);
        assert_eq!(paid.raw(), body.as_bytes());
        assert!(!format!("{paid:?}").contains("buyer"));
    }
}

#[test]
fn a_partial_refund_is_told_from_the_payment() {
    let body = notification("partial_refund").form_body;
    let refund = notify::verify(body.as_bytes(), &[alipay_key()]).expect("signed");
    assert_eq!(refund.trade_status(), TradeStatus::Success);
    let marks = refund.refund_marks().expect("refund marks");
    assert_eq!(marks.refund_fee, Fen::new(1));
    assert_eq!(marks.out_biz_no, Some("R1"));
    let refunded_at = marks.gmt_refund.expect("a time").timestamp_millis();
    assert_eq!(refunded_at % 1000, 123);
}

#[test]
fn an_unsigned_certificate_number_is_not_read() {
    let body = notification("cert_mode_extra_unsigned_alipay_cert_sn").form_body;
    let paid = notify::verify(body.as_bytes(), &[alipay_key()]).expect("signed");
    assert_eq!(paid.value("alipay_cert_sn"), None);
}

#[test]
fn the_next_key_is_accepted_beside_the_current_one() {
    let other = AlipayPublicKey::parse(APP_PUBLIC).expect("another key");
    let body = notification("paid_utf8").form_body;
    let with = |keys: &[AlipayPublicKey]| notify::verify(body.as_bytes(), keys).is_ok();
    assert!(with(&[other.clone(), alipay_key()]));
    assert!(with(&[alipay_key(), other.clone()]));
    assert!(!with(&[other]));
    assert!(!with(&[]));
}
