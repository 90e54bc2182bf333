//! Certificate mode and two keys at once: what certificates are called, what requests name, and
//! whose answers and notifications are believed.

use std::sync::Arc;

use alipay_simulator::development_keys as development;
use checkback::alipay::certificates::{Certificate, CertificateError, RootCertificates};
use checkback::alipay::keys::{AlipayPublicKey, AppPrivateKey};
use checkback::alipay::sign::sign;
use checkback::alipay::{Account, AccountError, Alipay, CertificateNames, notify};
use checkback::domain::gateway::{Answer, UnknownReason};

use crate::alipay_socket::{Socket, account, http, now};
use crate::support::notification;

const OFFICIAL_APP: &str =
    include_str!("../vectors/certificates/official/appCertPublicKey_2021001161683774.crt");
const OFFICIAL_ALIPAY: &str =
    include_str!("../vectors/certificates/official/alipayCertPublicKey_RSA2.crt");
const OFFICIAL_ROOT: &str = include_str!("../vectors/certificates/official/alipayRootCert.crt");
const EXPIRED: &str = include_str!("../vectors/certificates/app_expired.crt");

/// What the official SDK for Node calls the development certificates.
const APP: &str = "ca27b5d4794884f1da39a1779df88bb4";
const GATEWAY: &str = "69a109c12ef1cdfadac1fbadc572f9b1";
const NEXT: &str = "deff58247cca3993b170903656a96411";
const ROOT: &str = "733b69a0db14c9d0c0dc168d1d009c06_a5019a25d27aa3e5d659242e42a724d4";

fn certificate(text: &str) -> Certificate {
    Certificate::parse(text).expect("a certificate")
}

fn roots(text: &str) -> RootCertificates {
    RootCertificates::parse(text).expect("roots")
}

fn certified(text: &str) -> AlipayPublicKey {
    AlipayPublicKey::of_certificate(&certificate(text)).expect("an RSA key")
}

#[test]
fn certificates_are_called_as_the_official_sdk_calls_them() {
    for (text, name) in [
        (OFFICIAL_APP, "866efef280dec9137a87d047ac446315"),
        (OFFICIAL_ALIPAY, "7513daaaa48aa3ba2e4018d84402479c"),
        (development::APP_CERT, APP),
        (development::GATEWAY_CERT, GATEWAY),
        (development::OTHER_CERT, NEXT),
        (EXPIRED, "c4bfa5e69d962351b73923efb8906008"),
    ] {
        assert_eq!(certificate(text).sn(), name);
    }
    let official = "687b59193f3f462dd5336e5abf83c5d8_02941eef3187dddf3d3b83462e1dfcf6";
    assert_eq!(roots(OFFICIAL_ROOT).sn(), official);
    assert_eq!(roots(development::ROOT_CERT).sn(), ROOT);
}

#[test]
fn roots_that_cannot_be_read_or_do_not_count_are_passed_over() {
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let odd = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    let all = format!("a title\n{broken}{OFFICIAL_ROOT}{odd}{broken}{cut}");
    assert_eq!(roots(&all), roots(OFFICIAL_ROOT));
    let only_broken = RootCertificates::parse(broken).expect_err("refused");
    assert_eq!(only_broken, CertificateError::NoRsaRoot);
    let curve = development::ROOT_CERT.split_inclusive("-----END CERTIFICATE-----").next();
    let curve = RootCertificates::parse(curve.expect("a block")).expect_err("refused");
    assert_eq!(curve, CertificateError::NoRsaRoot);
    assert_eq!(RootCertificates::parse("no roots").expect_err("refused"), CertificateError::NotPem);
}

#[test]
fn a_certificate_tells_its_key_and_its_dates() {
    let ours = AppPrivateKey::parse(development::APP_PRIVATE_KEY).expect("a key");
    assert!(ours.is_certified_by(&certificate(development::APP_CERT)));
    assert!(ours.is_certified_by(&certificate(EXPIRED)));
    assert!(!ours.is_certified_by(&certificate(development::GATEWAY_CERT)));
    let bare = AlipayPublicKey::parse(development::GATEWAY_PUBLIC_KEY).expect("a key");
    assert_eq!(certified(development::GATEWAY_CERT).fingerprint(), bare.fingerprint());
    let dates = |text: &str| {
        let read = certificate(text);
        format!("{} {}", read.not_before().date_naive(), read.not_after().date_naive())
    };
    assert_eq!(dates(EXPIRED), "2020-01-01 2022-01-01");
    assert_eq!(dates(OFFICIAL_APP), "2020-05-18 2022-05-18");
    assert_eq!(roots(OFFICIAL_ROOT).not_after().date_naive().to_string(), "2033-04-18");
}

#[test]
fn what_is_no_certificate_is_named() {
    let error = |text: &str| Certificate::parse(text).expect_err("refused");
    assert_eq!(error(""), CertificateError::NotPem);
    assert_eq!(error(development::APP_PUBLIC_KEY), CertificateError::NotPem);
    assert_eq!(error(&OFFICIAL_APP[..200]), CertificateError::NotPem);
    let broken = OFFICIAL_APP.replacen("MII", "!II", 1);
    assert_eq!(error(&broken), CertificateError::Unreadable);
    let lines: Vec<_> = OFFICIAL_APP.lines().collect();
    let half = [&lines[..lines.len() / 2], &lines[lines.len() - 1..]].concat().join("\n");
    assert_eq!(error(&half), CertificateError::Unreadable);
    let curve = development::ROOT_CERT.split_inclusive("-----END CERTIFICATE-----").next();
    let curve = certificate(curve.expect("a block"));
    assert!(AlipayPublicKey::of_certificate(&curve).is_err());
}

/// Our account in certificate mode, in the middle of a change of Alipay's certificate.
fn with_certificates(address: &str) -> Account {
    let names = CertificateNames {
        app_cert_sn: certificate(development::APP_CERT).sn().to_owned(),
        alipay_root_cert_sn: roots(development::ROOT_CERT).sn().to_owned(),
    };
    Account {
        key: AppPrivateKey::parse(development::APP_PRIVATE_KEY).expect("our key"),
        alipay_keys: vec![certified(development::GATEWAY_CERT), certified(development::OTHER_CERT)],
        certificates: Some(names),
        ..account(address)
    }
}

/// An answer to a query that is signed with a key and names a certificate.
fn answer(key: &str, cert_sn: Option<&str>) -> Vec<u8> {
    let node = r#"{"code":"10000","msg":"Success","out_trade_no":"T1","trade_no":"9",
        "trade_status":"TRADE_SUCCESS","total_amount":"0.10"}"#;
    let key = AppPrivateKey::parse(key).expect("a key");
    let sign = sign(&key, node).expect("signs");
    let cert_sn = cert_sn.map(|sn| format!(r#","alipay_cert_sn":"{sn}""#)).unwrap_or_default();
    http(format!(r#"{{"alipay_trade_query_response":{node}{cert_sn},"sign":"{sign}"}}"#))
}

async fn ask(answer: Vec<u8>, account: fn(&str) -> Account) -> (Answer, String) {
    let socket = Socket::giving(answer);
    let client = Alipay::new(account(&socket.address), Arc::new(|_, _, _| {})).expect("a client");
    let answer = client.query("T1", now()).await;
    let received = socket.received.lock().expect("not poisoned").concat();
    (answer, received)
}

#[tokio::test]
async fn only_the_named_certificates_key_is_believed() {
    let gateway = development::GATEWAY_PRIVATE_KEY;
    let next = include_str!("../../alipay-simulator/keys/other_private_key.pem");
    let stranger = development::APP_PRIVATE_KEY;
    for (key, named) in [(gateway, Some(GATEWAY)), (next, Some(NEXT)), (gateway, None)] {
        let (answer, request) = ask(answer(key, named), with_certificates).await;
        assert!(matches!(answer, Answer::Paid(_)), "{named:?}: {answer:?}");
        for name in [format!("app_cert_sn={APP}"), format!("alipay_root_cert_sn={ROOT}")] {
            assert!(request.contains(&name), "{name} is not in {request}");
        }
    }
    for (key, named) in [(gateway, Some(NEXT)), (stranger, Some(GATEWAY)), (stranger, None)] {
        let (answer, _) = ask(answer(key, named), with_certificates).await;
        assert_eq!(answer, Answer::Unknown(UnknownReason::BadSignature), "{named:?}");
    }
    for named in [APP, "", "00000000000000000000000000000000", "no name"] {
        let (answer, _) = ask(answer(stranger, Some(named)), with_certificates).await;
        assert!(!answer.is_definite(), "{answer:?}");
    }
}

#[tokio::test]
async fn an_unknown_certificate_is_told_even_if_a_known_key_signed() {
    let gateway = development::GATEWAY_PRIVATE_KEY;
    let unknown = "7513daaaa48aa3ba2e4018d84402479c";
    let (answer, _) = ask(answer(gateway, Some(unknown)), with_certificates).await;
    let Answer::Unknown(reason) = answer else { panic!("{answer:?} is believed") };
    assert!(reason.is_account_broken(), "{reason}");
    assert!(reason.to_string().contains(unknown), "{reason}");
}

#[tokio::test]
async fn without_certificates_a_named_one_says_nothing() {
    let bare = |address: &str| {
        let alipay_keys = [development::GATEWAY_PUBLIC_KEY, development::OTHER_PUBLIC_KEY];
        let alipay_keys = alipay_keys.map(|key| AlipayPublicKey::parse(key).expect("a key"));
        Account { alipay_keys: alipay_keys.to_vec(), ..account(address) }
    };
    let next = include_str!("../../alipay-simulator/keys/other_private_key.pem");
    for key in [development::GATEWAY_PRIVATE_KEY, next] {
        let (answer, request) = ask(answer(key, Some(APP)), bare).await;
        assert!(matches!(answer, Answer::Paid(_)), "{answer:?}");
        assert!(!request.contains("cert_sn"), "{request}");
    }
    let (answer, _) = ask(answer(development::APP_PRIVATE_KEY, None), bare).await;
    assert_eq!(answer, Answer::Unknown(UnknownReason::BadSignature));
}

#[test]
fn our_own_certificate_is_not_alipays() {
    let mut account = with_certificates("127.0.0.1:9");
    account.alipay_keys.push(certified(development::APP_CERT));
    let refused = Alipay::new(account, Arc::new(|_, _, _| {})).expect_err("refused");
    assert!(matches!(refused, AccountError::OwnCertificateAsAlipays));
}

#[test]
fn a_notification_of_either_key_is_believed_and_of_no_other() {
    let keys = [certified(development::GATEWAY_CERT), certified(development::OTHER_CERT)];
    let body = notification("CB1", &[]);
    let named = format!("{body}&alipay_cert_sn={GATEWAY}");
    for body in [&body, &named] {
        assert!(notify::verify(body.as_bytes(), &keys).is_ok());
        assert!(notify::verify(body.as_bytes(), &keys[1..]).is_err());
        assert_eq!(notify::claimed_app_id(body.as_bytes()).as_deref(), Some("2021000000000001"));
    }
}
