//! Makes notifications that nobody sent out of one that was: reproducible, and of every kind.

use alipay_simulator::development_keys::APP_PRIVATE_KEY;
use checkback::alipay::form;
use checkback::alipay::keys::AppPrivateKey;
use checkback::alipay::sign::{sign, sign_string};
use encoding_rs::GBK;

/// What a notification must be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Refused,
    /// It says what was said before, in the same words: `success`.
    Repeated,
    /// Some of them say the same in other bytes.
    Either,
}

/// What the forger writes over the truth.
const LIES: [(&str, &str); 16] = [
    ("app_id", "2021999999999999"),
    ("seller_id", "2088999999999999"),
    ("total_amount", "0.01"),
    ("total_amount", "1.000"),
    ("total_amount", "１.00"),
    ("trade_status", "TRADE_CLOSED"),
    ("trade_status", "TRADE_FINISHED"),
    ("notify_id", "another"),
    ("trade_no", "1"),
    ("gmt_payment", "2020-01-01 00:00:00"),
    ("charset", "gbk"),
    ("charset", "utf-16"),
    ("refund_fee", "1.00"),
    ("gmt_refund", "2026-01-01 12:00:00.1"),
    ("out_biz_no", "R1"),
    ("subject", "\0"),
];

/// A kind of forgery and how to make one.
type Way = (&'static str, Expected, fn(&mut Forger) -> Vec<u8>);

const WAYS: [Way; 25] = [
    ("replayed", Expected::Repeated, |it| it.genuine.clone().into_bytes()),
    ("fields in another order", Expected::Repeated, Forger::reordered),
    ("an unsigned certificate number", Expected::Repeated, |it| it.with("&alipay_cert_sn=00")),
    ("an empty field", Expected::Repeated, |it| it.with("&out_biz_no=&&refund_fee")),
    ("a flipped bit", Expected::Either, Forger::flipped),
    ("a changed byte", Expected::Either, Forger::changed_byte),
    ("a truncated body", Expected::Either, Forger::truncated),
    ("a lie in a field", Expected::Refused, |it| it.lie(None)),
    ("a lie about another trade", Expected::Refused, |it| it.lie(Some(0))),
    ("a lie about a cancelled trade", Expected::Refused, |it| it.lie(Some(1))),
    ("another key", Expected::Refused, Forger::other_key),
    ("the signature of another one", Expected::Refused, |it| it.replaced("notify_id", "n2")),
    ("no signature", Expected::Refused, |it| it.without("sign")),
    ("an empty signature", Expected::Refused, |it| it.replaced("sign", "")),
    ("a weaker algorithm", Expected::Refused, |it| it.replaced("sign_type", "RSA")),
    ("no algorithm at all", Expected::Refused, |it| it.replaced("sign_type", "none")),
    ("a doubled signature", Expected::Refused, |it| it.doubled("sign")),
    ("a doubled field", Expected::Refused, |it| it.doubled("total_amount")),
    ("a hidden doubled field", Expected::Refused, |it| it.with("&%74otal_amount=0.01")),
    ("a broken escape", Expected::Refused, |it| it.with("&a=%4")),
    ("a field encoded twice", Expected::Refused, Forger::encoded_twice),
    ("NUL and overlong UTF-8", Expected::Refused, |it| it.with("&out_trade_no%00=%C0%80%00")),
    ("GBK bytes in UTF-8", Expected::Refused, Forger::in_gbk),
    ("HTML escapes", Expected::Refused, Forger::html),
    ("noise", Expected::Refused, Forger::noise),
];

pub(super) struct Forger {
    genuine: String,
    victims: [String; 2],
    key: AppPrivateKey,
    made: usize,
    random: u64,
}

impl Forger {
    pub(super) fn new(genuine: String, victims: [String; 2]) -> Self {
        let key = AppPrivateKey::parse(APP_PRIVATE_KEY).expect("a key");
        Self { genuine, victims, key, made: 0, random: 0x9e37_79b9_7f4a_7c15 }
    }

    /// The next one: all ways in turn.
    pub(super) fn next(&mut self) -> (&'static str, Expected, Vec<u8>) {
        let (kind, expected, make) = WAYS[self.made % WAYS.len()];
        self.made += 1;
        (kind, expected, make(self))
    }

    /// A number below a limit (xorshift).
    fn below(&mut self, limit: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % limit as u64).expect("below the limit")
    }

    fn fields(&self) -> Vec<(String, String)> {
        let read = form::parse(self.genuine.as_bytes()).expect("a form");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        read.into_iter().map(|field| (text(field.name), text(field.value))).collect()
    }

    fn encode(fields: &[(String, String)]) -> Vec<u8> {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        form::encode(&fields).into_bytes()
    }

    fn with(&self, more: &str) -> Vec<u8> {
        format!("{}{more}", self.genuine).into_bytes()
    }

    fn without(&self, name: &str) -> Vec<u8> {
        let mut fields = self.fields();
        fields.retain(|(field, _)| field != name);
        Self::encode(&fields)
    }

    fn replaced(&self, name: &str, value: &str) -> Vec<u8> {
        let mut fields = self.fields();
        set(&mut fields, name, value);
        Self::encode(&fields)
    }

    fn doubled(&mut self, name: &str) -> Vec<u8> {
        let mut fields = self.fields();
        let copy = fields.iter().find(|(field, _)| field == name).expect("a field").clone();
        let at = self.below(fields.len() + 1);
        fields.insert(at, copy);
        Self::encode(&fields)
    }

    fn reordered(&mut self) -> Vec<u8> {
        let mut fields = self.fields();
        for last in (1..fields.len()).rev() {
            let other = self.below(last + 1);
            fields.swap(last, other);
        }
        Self::encode(&fields)
    }

    fn flipped(&mut self) -> Vec<u8> {
        let mut body = self.genuine.clone().into_bytes();
        let (at, bit) = (self.below(body.len()), self.below(8));
        body[at] ^= 1 << bit;
        body
    }

    fn changed_byte(&mut self) -> Vec<u8> {
        let mut body = self.genuine.clone().into_bytes();
        let at = self.below(body.len());
        body[at] = b"&=%+;\0\xff0"[self.below(8)];
        body
    }

    fn truncated(&mut self) -> Vec<u8> {
        let mut body = self.genuine.clone().into_bytes();
        let length = self.below(body.len());
        body.truncate(length);
        body
    }

    /// A lie in one to three fields, about the paid trade or one of the others.
    fn lie(&mut self, victim: Option<usize>) -> Vec<u8> {
        let mut fields = self.fields();
        if let Some(victim) = victim {
            let number = self.victims[victim].clone();
            set(&mut fields, "out_trade_no", &number);
        }
        for _ in 0..=self.below(3) {
            let (name, value) = LIES[self.below(LIES.len())];
            set(&mut fields, name, value);
        }
        Self::encode(&fields)
    }

    /// All of it is right, but for who signed it: whoever has the merchant's key.
    fn other_key(&mut self) -> Vec<u8> {
        let mut fields = self.fields();
        fields.retain(|(name, _)| !["sign", "sign_type"].contains(&name.as_str()));
        let number = self.victims[self.below(2)].clone();
        set(&mut fields, "out_trade_no", &number);
        set(&mut fields, "notify_id", &format!("forged-{}", self.made));
        let pairs: Vec<_> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let signature = sign(&self.key, sign_string(&pairs)).expect("signs");
        set(&mut fields, "sign", &signature);
        set(&mut fields, "sign_type", "RSA2");
        Self::encode(&fields)
    }

    fn encoded_twice(&mut self) -> Vec<u8> {
        // In a value, so that the fields are the same.
        self.genuine.replace('%', "%25").into_bytes()
    }

    fn in_gbk(&mut self) -> Vec<u8> {
        let (bytes, _, _) = GBK.encode("中文");
        let escaped: Vec<_> = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
        let utf8 = form::encode(&[("s", "中文")]);
        self.genuine.replace(utf8.trim_start_matches("s="), &escaped.concat()).into_bytes()
    }

    fn html(&mut self) -> Vec<u8> {
        self.genuine.replace('&', "&amp;").into_bytes()
    }

    fn noise(&mut self) -> Vec<u8> {
        let length = [0, 1, 40, 400, 4_000, 70_000][self.below(6)];
        (0..length).map(|_| u8::try_from(self.below(256)).expect("a byte")).collect()
    }
}

fn set(fields: &mut Vec<(String, String)>, name: &str, value: &str) {
    match fields.iter_mut().find(|(field, _)| field == name) {
        Some((_, old)) => value.clone_into(old),
        None => fields.push((name.to_owned(), value.to_owned())),
    }
}
