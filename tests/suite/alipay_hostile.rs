//! Hostile input: whatever arrives, reading it ends in a verdict and never in a panic, and what was
//! not signed is never believed.

use std::sync::LazyLock;

use checkback::alipay::form;
use checkback::alipay::keys::{AlipayPublicKey, AppPrivateKey};
use checkback::alipay::notify::{self, NOTIFY_BYTES_MAX, NotifyError, TradeStatus};
use checkback::alipay::sign::{sign, sign_string};
use checkback::alipay::wire::Envelope;
use checkback::domain::money::Fen;
use proptest::collection::{btree_map, vec};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::{prop_assert, prop_assert_eq};

const ALIPAY_PRIVATE: &str = include_str!("../vectors/alipay/ali.pk8.pem");
const ALIPAY_PUBLIC: &str = include_str!("../vectors/alipay/ali.pub.pem");

static SIGNER: LazyLock<AppPrivateKey> =
    LazyLock::new(|| AppPrivateKey::parse(ALIPAY_PRIVATE).expect("Alipay's private key"));
static KEYS: LazyLock<[AlipayPublicKey; 1]> =
    LazyLock::new(|| [AlipayPublicKey::parse(ALIPAY_PUBLIC).expect("Alipay's public key")]);

/// A payment's parameters.
const PAID: [(&str, &str); 7] = [
    ("app_id", "2021000000000001"),
    ("charset", "utf-8"),
    ("notify_id", "n1"),
    ("out_trade_no", "T1"),
    ("total_amount", "0.01"),
    ("trade_no", "9"),
    ("trade_status", "TRADE_SUCCESS"),
];

/// The parameters with some replaced or added, signed as Alipay does, as a body.
fn signed(changes: &[(&str, &str)]) -> Vec<u8> {
    let is_changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
    let kept = PAID.iter().filter(|(name, _)| !is_changed(name));
    let mut parameters: Vec<_> = kept.chain(changes).copied().collect();
    let signature = sign(&SIGNER, sign_string(&parameters)).expect("signs");
    parameters.push(("sign", &signature));
    parameters.push(("sign_type", "RSA2"));
    form::encode(&parameters).into_bytes()
}

fn refusal(body: &[u8]) -> NotifyError {
    notify::verify(body, &*KEYS).expect_err("refused")
}

#[test]
fn a_signed_notification_that_lacks_its_identity_is_refused_by_field() {
    for field in ["notify_id", "app_id", "out_trade_no", "trade_no"] {
        assert_eq!(refusal(&signed(&[(field, "")])), NotifyError::Missing { field });
        let long = "1".repeat(129);
        let why = "too long";
        assert_eq!(refusal(&signed(&[(field, &long)])), NotifyError::Invalid { field, why });
        let why = "not printable ASCII";
        assert_eq!(refusal(&signed(&[(field, "1\n2")])), NotifyError::Invalid { field, why });
    }
    let (field, why) = ("charset", "neither utf-8 nor gbk");
    assert_eq!(refusal(&signed(&[(field, "utf-16")])), NotifyError::Invalid { field, why });
}

#[test]
fn fields_that_only_inform_may_be_odd() {
    let odd = [("total_amount", "1e2"), ("trade_status", "NEW"), ("gmt_payment", "yesterday")];
    let notify = notify::verify(&signed(&odd), &*KEYS).expect("signed");
    assert_eq!(notify.trade_status(), TradeStatus::Unrecognised);
    assert_eq!((notify.total_amount(), notify.gmt_payment()), (None, None));
    assert_eq!(notify.value("total_amount"), Some("1e2"));
}

#[test]
fn empty_parameters_and_a_signed_certificate_number_are_no_obstacle() {
    let mut body = signed(&[("alipay_cert_sn", "0123")]);
    body.extend_from_slice(b"&buyer_logon_id=&passback_params");
    let notify = notify::verify(&body, &*KEYS).expect("signed");
    assert_eq!(notify.value("alipay_cert_sn"), Some("0123"));
    assert_eq!(notify.value("buyer_logon_id"), None);
}

#[test]
fn no_refund_is_read_from_a_refund_fee_of_nothing() {
    let nothing = notify::verify(&signed(&[("refund_fee", "0.00")]), &*KEYS).expect("signed");
    assert_eq!(nothing.refund_marks(), None);
    let something = notify::verify(&signed(&[("refund_fee", "0.02")]), &*KEYS).expect("signed");
    let marks = something.refund_marks().expect("refund marks");
    assert_eq!(marks.refund_fee, Fen::new(2));
    let garbled = notify::verify(&signed(&[("refund_fee", "x")]), &*KEYS).expect("signed");
    assert_eq!(garbled.refund_marks().expect("refund marks").refund_fee, None);
}

#[test]
fn the_message_does_not_choose_the_algorithm() {
    let body = String::from_utf8(signed(&[])).expect("ASCII");
    let weaker = body.replace("sign_type=RSA2", "sign_type=RSA");
    let (field, why) = ("sign_type", "only RSA2 is accepted");
    assert_eq!(refusal(weaker.as_bytes()), NotifyError::Invalid { field, why });
    let silent = body.replace("&sign_type=RSA2", "");
    assert!(notify::verify(silent.as_bytes(), &*KEYS).is_ok());
}

#[test]
fn repeated_unsigned_and_huge_bodies_are_refused() {
    let mut twice = signed(&[]);
    twice.extend_from_slice(b"&total_amount=0.01");
    assert!(matches!(refusal(&twice), NotifyError::Form(_)));
    assert_eq!(refusal(b""), NotifyError::Missing { field: "sign" });
    assert_eq!(refusal(b"a=1&sign=!!!"), NotifyError::BadSignature);
    let huge = vec![b'a'; NOTIFY_BYTES_MAX + 1];
    assert_eq!(refusal(&huge), NotifyError::TooLarge { bytes: NOTIFY_BYTES_MAX + 1 });
}

/// JSON text made of the pieces that scanners stumble over.
fn json_value() -> impl Strategy<Value = String> {
    let text = vec(
        prop_oneof![
            Just(r"\\".to_owned()),
            Just(r#"\""#.to_owned()),
            Just(r"\/".to_owned()),
            Just("{".to_owned()),
            Just("}],".to_owned()),
            Just("中".to_owned()),
            Just("sign".to_owned()),
        ],
        0..6,
    )
    .prop_map(|pieces| format!("\"{}\"", pieces.concat()));
    let leaf = prop_oneof![text.clone(), Just("null".to_owned()), Just("-1.5e3".to_owned())];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| format!("[ {} ]", values.join(" , "))),
            vec((text.clone(), inner), 0..4).prop_map(|members| {
                let members = members.into_iter().map(|(key, value)| format!("{key}:{value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_get_a_verdict(bytes in vec(any::<u8>(), 0..400)) {
        prop_assert!(notify::verify(&bytes, &*KEYS).is_err());
        let _ = Envelope::open(&bytes, "m_response");
        let mut body = b"{\"m_response\":{\"a\":\"".to_vec();
        body.extend_from_slice(&bytes);
        if let Ok(envelope) = Envelope::open(&body, "m_response") {
            prop_assert!(!envelope.is_signed_by(&*KEYS));
            let _ = envelope.text();
        }
    }

    #[test]
    fn any_mixture_of_json_marks_gets_a_verdict(text in r#"[{}\[\]",:\\/ a-c]{0,60}"#) {
        let body = format!(r#"{{"m_response":{text},"sign":"x"}}"#);
        if let Ok(envelope) = Envelope::open(body.as_bytes(), "m_response") {
            prop_assert!(!envelope.is_signed_by(&*KEYS));
        }
    }

    #[test]
    fn the_node_is_found_byte_for_byte(
        node in json_value().prop_map(|value| format!("{{\"value\":{value}}}")),
        other in json_value(),
        sign_first in any::<bool>(),
    ) {
        let node_member = format!(r#""m_response" :{node}"#);
        let members = if sign_first {
            format!(r#""sign":"S","x":{other},{node_member}"#)
        } else {
            format!(r#"{node_member},"x":{other},"sign":"S""#)
        };
        let body = format!("{{{members}}}");
        let envelope = Envelope::open(body.as_bytes(), "m_response").expect("an answer");
        prop_assert_eq!(envelope.node, node.as_bytes());
        prop_assert_eq!(envelope.sign.as_deref(), Some("S"));
        let repeated = format!("{{{members},{node_member}}}");
        prop_assert!(Envelope::open(repeated.as_bytes(), "m_response").is_err());
    }

    #[test]
    fn forms_survive_a_round_trip(pairs in btree_map("\\PC{1,8}", "\\PC{0,12}", 0..8)) {
        let written: Vec<_> =
            pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let read = form::parse(form::encode(&written).as_bytes()).expect("a form");
        let read: Vec<_> =
            read.iter().map(|one| (one.name.as_slice(), one.value.as_slice())).collect();
        let expected: Vec<_> =
            written.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn a_flipped_bit_is_never_believed(at in any::<proptest::sample::Index>(), bit in 0_u8..8) {
        let intact = signed(&[("subject", "中文 50%off a+b&c=/")]);
        let mut body = intact.clone();
        let at = at.index(body.len());
        body[at] ^= 1 << bit;
        // Some flips change nothing that is signed: the case of a hexadecimal digit, sign_type.
        if let Ok(read) = notify::verify(&body, &*KEYS) {
            let original = notify::verify(&intact, &*KEYS).expect("signed");
            for (name, _) in PAID {
                prop_assert_eq!(read.value(name), original.value(name));
            }
        }
    }
}
