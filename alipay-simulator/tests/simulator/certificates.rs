//! Certificate mode: who is named in calls, answers and notifications.

use alipay_simulator::{Certificates, Settings, StartError, development_keys, start};
use serde_json::{Value, json};

use crate::merchant::{Answer, Shop, find, order, settings, until, verifies_with};
use crate::webhook::Webhook;

/// What the official SDK for Node calls the development certificates.
const APP: &str = "ca27b5d4794884f1da39a1779df88bb4";
const ROOTS: &str = "733b69a0db14c9d0c0dc168d1d009c06_a5019a25d27aa3e5d659242e42a724d4";
const GATEWAY: &str = "69a109c12ef1cdfadac1fbadc572f9b1";
const OTHER: &str = "deff58247cca3993b170903656a96411";

fn with_certificates() -> Settings {
    // The key of the certificate counts, not this one.
    let app_public_key_pem = development_keys::GATEWAY_PUBLIC_KEY.to_owned();
    let certificates = Some(Certificates::development());
    Settings { app_public_key_pem, certificates, ..settings(None) }
}

async fn query(shop: &Shop, app: Option<&str>, roots: Option<&str>) -> Answer {
    call(shop, "query", &json!({"out_trade_no": "T1"}), app, roots).await
}

async fn call(
    shop: &Shop,
    method: &str,
    biz: &Value,
    app: Option<&str>,
    roots: Option<&str>,
) -> Answer {
    let mut params = shop.params(method, biz);
    for (name, value) in [("app_cert_sn", app), ("alipay_root_cert_sn", roots)] {
        params.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }
    shop.sign(&mut params);
    shop.send(&params).await.unwrap()
}

/// The node, the certificate that is named behind it, and whether its key signed the node.
fn open(answer: &Answer, key: &str) -> (Value, String, bool) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let name = body["alipay_cert_sn"].as_str().unwrap().to_owned();
    let start = find(&answer.body, b"_response\":").unwrap() + b"_response\":".len();
    let end = find(&answer.body, b",\"alipay_cert_sn\":\"").unwrap();
    let node = &answer.body[start..end];
    let is_genuine = verifies_with(key, node, body["sign"].as_str().unwrap().as_bytes());
    (serde_json::from_slice(node).unwrap(), name, is_genuine)
}

#[tokio::test]
async fn a_call_must_name_the_right_certificates() {
    let shop = Shop::with(with_certificates()).await;
    for (app, roots, sub_code) in [
        (Some(APP), Some(ROOTS), "ACQ.TRADE_NOT_EXIST"),
        (None, None, "isv.app-cert-not-exist"),
        (Some(GATEWAY), Some(ROOTS), "isv.app-cert-not-exist"),
        (Some(APP), None, "isv.invalid-alipay-root-cert-sn"),
        (Some(APP), Some(&ROOTS[..32]), "isv.invalid-alipay-root-cert-sn"),
    ] {
        let answer = query(&shop, app, roots).await;
        let (node, named, genuine) = open(&answer, development_keys::GATEWAY_PUBLIC_KEY);
        assert_eq!((node["sub_code"].as_str(), named.as_str()), (Some(sub_code), GATEWAY));
        assert!(genuine);
    }
}

#[tokio::test]
async fn the_certificate_changes_and_lies_on_request() {
    let shop = Shop::with(with_certificates()).await;
    for (kind, name, key) in [
        ("other_key", OTHER, development_keys::OTHER_PUBLIC_KEY),
        ("unknown_cert_sn", &"0".repeat(32), development_keys::GATEWAY_PUBLIC_KEY),
    ] {
        shop.fault(json!({"method": "*", "kind": kind, "times": 1})).await;
        let (_, named, genuine) = open(&query(&shop, Some(APP), Some(ROOTS)).await, key);
        assert_eq!((named.as_str(), genuine), (name, true), "{kind}");
    }
}

#[tokio::test]
async fn notifications_are_signed_with_the_certificates_key_and_may_name_it() {
    let webhook = Webhook::open().await;
    let mut shop = Shop::with(with_certificates()).await;
    shop.notify_url = Some(webhook.url.clone());
    for (kinds, named, key) in [
        (&[][..], None, development_keys::GATEWAY_PUBLIC_KEY),
        (&["unsigned_cert_sn"], Some(GATEWAY), development_keys::GATEWAY_PUBLIC_KEY),
        (&["unsigned_cert_sn", "other_key"], Some(OTHER), development_keys::OTHER_PUBLIC_KEY),
    ] {
        for kind in kinds {
            shop.fault(json!({"method": "notify", "kind": kind, "times": 1})).await;
        }
        let (before, number) = (webhook.count(), format!("T{}", kinds.len()));
        call(&shop, "precreate", &order(&number), Some(APP), Some(ROOTS)).await;
        shop.control("pay", json!({"out_trade_no": number})).await;
        until("it arrives", async || webhook.count() > before).await;
        let mut form = webhook.form(before);
        assert_eq!(form.remove("alipay_cert_sn").as_deref(), named);
        let sign = form.remove("sign").unwrap();
        form.remove("sign_type");
        let pairs: Vec<_> = form.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert!(verifies_with(key, pairs.join("&").as_bytes(), sign.as_bytes()), "{kinds:?}");
    }
}

#[tokio::test]
async fn certificates_that_do_not_fit_are_refused_at_start() {
    let mut settings = with_certificates();
    settings.private_key_pem = development_keys::APP_PRIVATE_KEY.to_owned();
    let refused = start(settings).await.unwrap_err();
    assert!(matches!(refused, StartError::Certificates(_)), "{refused}");
    assert!(refused.to_string().contains("does not belong"), "{refused}");
}
