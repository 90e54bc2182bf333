//! Hostile input: whatever arrives, reading it ends in a verdict and never in a panic, and what was
//! not signed is never believed.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use checkback::alipay::form;
use checkback::alipay::keys::{AlipayPublicKey, AppPrivateKey};
use checkback::alipay::notify::{self, NOTIFY_BYTES_MAX, NotifyError, TradeStatus};
use checkback::alipay::sign::{sign, sign_string};
use checkback::alipay::wire::Envelope;
use checkback::domain::money::Fen;
use encoding_rs::{Encoding, GBK, UTF_8};
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

/// A payment's parameters and a subject, signed and sent in this charset.
fn signed_in(label: &str, charset: &'static Encoding, subject: &str) -> Vec<u8> {
    let kept = PAID.iter().filter(|(name, _)| *name != "charset");
    let fields = kept.copied().chain([("charset", label), ("subject", subject)]);
    let mut fields: Vec<_> =
        fields.map(|(name, value)| (name, charset.encode(value).0.into_owned())).collect();
    fields.sort();
    let pairs: Vec<_> =
        fields.iter().map(|(name, value)| [name.as_bytes(), b"=", value].concat()).collect();
    let signature = sign(&SIGNER, pairs.join(&b'&')).expect("signs");
    fields.push(("sign", signature.into_bytes()));
    let escaped = |(name, value): &(&str, Vec<u8>)| {
        let value: String = value
            .iter()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => char::from(*byte).to_string(),
                _ => format!("%{byte:02x}"),
            })
            .collect();
        format!("{name}={value}")
    };
    fields.iter().map(escaped).collect::<Vec<_>>().join("&").into_bytes()
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

/// The largest body that anybody could make us read, and more.
const HUGE_BYTES: usize = 10 * 1024 * 1024;

fn huge(start: &str, repeated: &str, end: &str) -> Vec<u8> {
    let body = format!("{start}{}{end}", repeated.repeat(HUGE_BYTES / repeated.len()));
    body.into_bytes()
}

#[test]
fn ten_megabytes_are_read_in_one_pass() {
    let started = Instant::now();
    for repeated in [r#"\\\""#, "}{", "][", "a", r"\/", "誠"] {
        let body = huge(r#"{"m_response":{"a":""#, repeated, r#""},"sign":"QUJD"}"#);
        let envelope = Envelope::open(&body, "m_response").expect("an answer");
        assert!(envelope.node.len() > HUGE_BYTES - 100 && envelope.node.ends_with(b"\"}"));
        assert!(!envelope.is_signed_by(&*KEYS));
    }
    for (start, repeated, end) in [
        (r#"{"m_response":{"a":"#, "[", ""),
        (r#"{"m_response":{"a":"#, r#"{"a":"#, ""),
        (r#"{"m_response":{"a":""#, r"\\", ""),
        (r#"{"m_response":{"a":1"#, "]", "},\"sign\":\"QUJD\"}"),
        ("", "{", ""),
        ("", "\0", ""),
        ("", " ", ""),
    ] {
        let body = huge(start, repeated, end);
        assert!(Envelope::open(&body, "m_response").is_err(), "{start}{repeated}…{end}");
    }
    let deep = huge(r#"{"m_response":{"a":"#, "[", "");
    let deep = [&deep[..], &b"]".repeat(HUGE_BYTES), b"},\"sign\":\"QUJD\"}"].concat();
    assert!(Envelope::open(&deep, "m_response").is_ok(), "without recursion");
    // A hundred thousand keys, each looked up among those before it.
    let keys: Vec<_> = (0..100_000).map(|key| format!("\"{key}\":1")).collect();
    let body = format!(r#"{{{},"m_response":{{}},"sign":"QUJD"}}"#, keys.join(","));
    assert!(Envelope::open(body.as_bytes(), "m_response").is_ok());
    assert!(started.elapsed() < Duration::from_mins(1), "{:?}", started.elapsed());
}

#[test]
fn a_cut_answer_is_no_answer() {
    let body = r#"{"m_response":{"a":"}\"{","b":{"c":["\\"]}},"alipay_cert_sn":"0","sign":"QUJD"}"#;
    assert!(Envelope::open(body.as_bytes(), "m_response").is_ok());
    for length in 0..body.len() {
        assert!(Envelope::open(&body.as_bytes()[..length], "m_response").is_err(), "{length}");
    }
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
    fn a_node_in_gbk_is_found_byte_for_byte(text in "[誠一乗龥中\\\\\"{}/, a]{0,40}") {
        let node = serde_json::json!({ "sub_msg": text, "z": "誠" }).to_string();
        let (node, _, lost) = GBK.encode(&node);
        prop_assert!(!lost);
        let body = [&b"{\"m_response\":"[..], &node[..], b",\"sign\":\"QUJD\"}"].concat();
        let envelope = Envelope::open(&body, "m_response").expect("an answer");
        prop_assert_eq!(envelope.node, &node[..]);
        let read: serde_json::Value = serde_json::from_str(&envelope.text()).expect("JSON");
        prop_assert_eq!(read["sub_msg"].as_str(), Some(text.as_str()));
    }

    #[test]
    fn what_was_signed_in_either_charset_is_read_back(text in "[誠一乗中%+&= a]{1,20}") {
        for (label, charset) in [("utf-8", UTF_8), ("GBK", GBK), ("gb2312", GBK)] {
            let signed = signed_in(label, charset, &text);
            let notify = notify::verify(&signed, &*KEYS).expect("signed");
            prop_assert_eq!(notify.value("subject"), Some(text.as_str()));
            let other = if charset == UTF_8 { "gbk" } else { "utf-8" };
            let relabelled = String::from_utf8(signed).expect("ASCII");
            let relabelled = relabelled
                .replace(&format!("charset={label}"), &format!("charset={other}"));
            prop_assert_eq!(refusal(relabelled.as_bytes()), NotifyError::BadSignature);
        }
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
