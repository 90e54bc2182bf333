// What must hold for any bytes that come from outside: reading them ends in a verdict, and the
// verdict is the one of an independent reader. Panics where it does not.

use std::io::{Cursor, Write as _};
use std::sync::LazyLock;

use checkback::alipay::bill::reader::{BillError, read_bill};
use checkback::alipay::form;
use checkback::alipay::keys::AlipayPublicKey;
use checkback::alipay::notify;
use checkback::alipay::wire::{Envelope, NodeKind};
use checkback::domain::bill::{Bill, BillDay};
use serde_json::Value;
use zip::write::{SimpleFileOptions, ZipWriter};

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

/// An archive of any bytes, and one with a table of these bytes, are read or refused. A line stands
/// in the table that it was read from, and is read alike whoever the other lines belong to.
pub(crate) fn bill(bytes: &[u8]) {
    let _: Result<Bill, BillError> = read(bytes.to_vec(), is_ours);
    let Ok(ours) = read(zipped(bytes), is_ours) else { return };
    let all = read(zipped(bytes), |_| true).expect("only the lines that are kept differ");
    // What can't be read of others' lines doesn't matter.
    assert!(ours.lines.len() as u64 + ours.others >= all.lines.len() as u64);
    let kept: Vec<_> = all.lines.iter().filter(|line| is_ours(&line.out_trade_no)).collect();
    assert_eq!(ours.lines.iter().collect::<Vec<_>>(), kept);
    for line in &ours.lines {
        let yuan = line.amount.to_yuan();
        let digits = yuan.trim_end_matches('0').trim_end_matches('.');
        let says = |row: &[u8]| {
            [line.out_trade_no.as_str(), line.out_request_no.as_str(), digits]
                .iter()
                .filter(|text| text.is_ascii() && !text.is_empty())
                .all(|text| row.windows(text.len()).any(|window| window == text.as_bytes()))
        };
        assert!(bytes.split(|byte| *byte == b'\n').any(says), "{line:?} stands nowhere");
    }
}

fn is_ours(number: &str) -> bool {
    number.starts_with("CB")
}

fn read(archive: Vec<u8>, is_ours: fn(&str) -> bool) -> Result<Bill, BillError> {
    let day = BillDay::parse("2026-01-31").expect("a day");
    read_bill(Cursor::new(archive), day, is_ours)
}

fn zipped(table: &[u8]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("业务明细.csv", SimpleFileOptions::default()).expect("a file");
    writer.write_all(table).expect("written");
    writer.finish().expect("an archive").into_inner()
}
