// What must hold for any bytes that come from outside: reading them ends in a verdict, and the
// verdict is the one of an independent reader. Panics where it does not.

use std::sync::LazyLock;

use checkback::alipay::form;
use checkback::alipay::keys::AlipayPublicKey;
use checkback::alipay::notify;
use checkback::alipay::wire::{Envelope, NodeKind};
use serde_json::Value;

/// The key of the answer that is looked for.
const NODE: &str = "m_response";

static KEYS: LazyLock<[AlipayPublicKey; 1]> = LazyLock::new(|| {
    let key = include_str!("../tests/vectors/alipay/ali.pub.pem");
    [AlipayPublicKey::parse(key).expect("Alipay's public key")]
});

/// The reader of answers finds one node, the very bytes that a JSON parser takes for it.
pub(crate) fn answer(body: &[u8]) {
    let Ok(envelope) = Envelope::open(body, NODE) else { return };
    let _: bool = envelope.is_signed_by(&*KEYS);
    let text = envelope.text();
    assert!(envelope.node.starts_with(b"{") && !text.is_empty());
    let start = envelope.node.as_ptr().addr() - body.as_ptr().addr();
    assert_eq!(&body[start..start + envelope.node.len()], envelope.node);
    let name = if envelope.kind == NodeKind::Method { NODE } else { "error_response" };
    if let Ok(Value::Object(whole)) = serde_json::from_slice(body) {
        let node: Value = serde_json::from_slice(envelope.node).expect("a part of proper JSON");
        assert_eq!(whole.get(name), Some(&node));
        let answers = whole.keys().filter(|key| key.ends_with("_response")).count();
        assert_eq!(answers, 1, "no other answer stands beside it");
    }
}

/// A notification that is believed says what its fields say, and nothing else in them was unsigned.
pub(crate) fn notification(body: &[u8]) {
    let Ok(notify) = notify::verify(body, &*KEYS) else { return };
    assert_eq!(notify.raw(), body);
    let fields = form::parse(body).expect("what is verified is a form");
    let sent = |name: &str| fields.iter().find(|field| field.name == name.as_bytes());
    for name in ["notify_id", "app_id", "out_trade_no", "trade_no"] {
        let value = notify.value(name).expect("it has its identity");
        assert!(value.bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(sent(name).map(|field| field.value.as_slice()), Some(value.as_bytes()));
    }
    assert!(sent("sign").is_some() && notify.value("sign").is_none());
    let _ = (notify.total_amount(), notify.gmt_payment(), notify.refund_marks());
}
