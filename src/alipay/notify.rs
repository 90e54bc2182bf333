//! Alipay's notifications: from the raw bytes of a POST to a [`VerifiedNotify`].
//!
//! The bytes are taken apart here and nowhere else, because the signature covers what was decoded
//! once, in the sender's charset. A notification only starts a settle; it must not know orders.

use std::fmt;

use chrono::{DateTime, Utc};
use encoding_rs::{Encoding, GB18030, UTF_8};

use super::form::{self, FormError, Parameter};
use super::keys::AlipayPublicKey;
use super::sign::{SIGN, SIGN_TYPE, verify as verify_signature};
use super::time::parse_china;
use crate::domain::money::Fen;

/// The largest notification that is read, in bytes.
pub const NOTIFY_BYTES_MAX: usize = 64 * 1024;

/// The parameter that names the algorithm. Not signed in payment notifications.
const SIGN_TYPE_NAME: &str = "sign_type";
/// The parameter that may be added without being signed.
const CERT_SN_NAME: &str = "alipay_cert_sn";

/// The identifying parameters that every payment notification must have, and the most characters
/// of each.
const IDENTIFIERS: [(&str, usize); 4] =
    [("notify_id", 128), ("app_id", 32), ("out_trade_no", 64), ("trade_no", 64)];

/// A notification that Alipay signed. Only [`verify`] makes one.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedNotify {
    raw: Vec<u8>,
    fields: Vec<(String, String)>,
    trade_status: TradeStatus,
}

/// The state of the trade that a notification reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TradeStatus {
    /// Scanned, not paid yet.
    WaitBuyerPay,
    /// Paid, refundable.
    Success,
    /// Paid, no more refundable.
    Finished,
    /// Closed unpaid, or given back in full.
    Closed,
    /// Absent, or a word that is not documented.
    Unrecognised,
}

/// What a notification says about money that went back. A payment's own has none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefundMarks<'a> {
    /// How much went back so far.
    pub refund_fee: Option<Fen>,
    /// When the last of it went back.
    pub gmt_refund: Option<DateTime<Utc>>,
    /// The number of the refund request.
    pub out_biz_no: Option<&'a str>,
}

/// Why bytes are not a notification of Alipay's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// It exceeds [`NOTIFY_BYTES_MAX`].
    #[error("the notification has {bytes} bytes, more than 65536")]
    TooLarge {
        /// How many it has.
        bytes: usize,
    },
    /// It is not a form that everyone reads alike.
    #[error("the notification is not a proper form: {0}")]
    Form(#[from] FormError),
    /// A parameter is missing or empty.
    #[error("{field}: missing")]
    Missing {
        /// Its name.
        field: &'static str,
    },
    /// A parameter has a value that it can't have.
    #[error("{field}: {why}")]
    Invalid {
        /// Its name.
        field: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No configured key made the signature over these parameters.
    #[error("sign: does not fit the parameters")]
    BadSignature,
}

/// Verifies a notification from the raw bytes of its body; several keys are accepted.
///
/// # Errors
///
/// A [`NotifyError`] that says which parameter is wrong and why. Everything but
/// [`NotifyError::Missing`] and [`NotifyError::Invalid`] about another field than `sign` or
/// `sign_type` means that Alipay did not send it.
pub fn verify(raw_body: &[u8], keys: &[AlipayPublicKey]) -> Result<VerifiedNotify, NotifyError> {
    if raw_body.len() > NOTIFY_BYTES_MAX {
        return Err(NotifyError::TooLarge { bytes: raw_body.len() });
    }
    let mut parameters = form::parse(raw_body)?;
    parameters.retain(|parameter| !parameter.value.is_empty());
    parameters.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    let sign = find(&parameters, SIGN).ok_or(NotifyError::Missing { field: SIGN })?;
    if find(&parameters, SIGN_TYPE_NAME).is_some_and(|named| named != SIGN_TYPE.as_bytes()) {
        let (field, why) = (SIGN_TYPE_NAME, "only RSA2 is accepted");
        return Err(NotifyError::Invalid { field, why });
    }
    let fits =
        |unsigned: &[&str]| verify_signature(keys, &signed_bytes(&parameters, unsigned), sign);
    let has_cert_sn = find(&parameters, CERT_SN_NAME).is_some();
    if fits(&[SIGN, SIGN_TYPE_NAME]) {
        return VerifiedNotify::read(raw_body, &parameters);
    }
    if !has_cert_sn || !fits(&[SIGN, SIGN_TYPE_NAME, CERT_SN_NAME]) {
        return Err(NotifyError::BadSignature);
    }
    parameters.retain(|parameter| parameter.name != CERT_SN_NAME.as_bytes());
    VerifiedNotify::read(raw_body, &parameters)
}

/// The application that a body names, before anything about it is verified: it tells whose keys to
/// verify it with.
#[must_use]
pub fn claimed_app_id(raw_body: &[u8]) -> Option<String> {
    if raw_body.len() > NOTIFY_BYTES_MAX {
        return None;
    }
    let parameters = form::parse(raw_body).ok()?;
    find(&parameters, "app_id").and_then(|value| String::from_utf8(value.to_vec()).ok())
}

impl VerifiedNotify {
    /// Reads the fields of a form whose signature was verified.
    fn read(raw_body: &[u8], parameters: &[Parameter]) -> Result<Self, NotifyError> {
        let encoding = encoding_of(parameters)?;
        let decode = |bytes: &[u8]| encoding.decode_without_bom_handling(bytes).0.into_owned();
        let signed = parameters.iter().filter(|parameter| {
            ![SIGN.as_bytes(), SIGN_TYPE_NAME.as_bytes()].contains(&parameter.name.as_slice())
        });
        let fields =
            signed.map(|parameter| (decode(&parameter.name), decode(&parameter.value))).collect();
        let mut notify =
            Self { raw: raw_body.to_vec(), fields, trade_status: TradeStatus::Unrecognised };
        for (field, chars_max) in IDENTIFIERS {
            let value = notify.value(field).ok_or(NotifyError::Missing { field })?;
            check_identifier(field, value, chars_max)?;
        }
        notify.trade_status = TradeStatus::parse(notify.value("trade_status"));
        Ok(notify)
    }

    /// The notification's own number; the same in every repeat of it.
    #[must_use]
    pub fn notify_id(&self) -> &str {
        self.required("notify_id")
    }

    /// The application that the trade belongs to.
    #[must_use]
    pub fn app_id(&self) -> &str {
        self.required("app_id")
    }

    /// Our number of the trade.
    #[must_use]
    pub fn out_trade_no(&self) -> &str {
        self.required("out_trade_no")
    }

    /// Alipay's number of the trade.
    #[must_use]
    pub fn trade_no(&self) -> &str {
        self.required("trade_no")
    }

    /// The seller, if named.
    #[must_use]
    pub fn seller_id(&self) -> Option<&str> {
        self.value("seller_id")
    }

    /// The state of the trade.
    #[must_use]
    pub fn trade_status(&self) -> TradeStatus {
        self.trade_status
    }

    /// What the buyer was asked for; `None` if absent or not an amount.
    #[must_use]
    pub fn total_amount(&self) -> Option<Fen> {
        self.amount("total_amount")
    }

    /// When the buyer paid; `None` if absent or not a time.
    #[must_use]
    pub fn gmt_payment(&self) -> Option<DateTime<Utc>> {
        self.value("gmt_payment").and_then(parse_china)
    }

    /// What it says about money that went back, if it says anything. Alipay sends a partial refund
    /// as one more `TRADE_SUCCESS`, and only these marks tell it from the payment.
    #[must_use]
    pub fn refund_marks(&self) -> Option<RefundMarks<'_>> {
        let refund_fee = self.amount("refund_fee");
        let says_refund = self.value("gmt_refund").is_some()
            || self.value("out_biz_no").is_some()
            || (self.value("refund_fee").is_some() && refund_fee != Some(Fen::ZERO));
        says_refund.then(|| RefundMarks {
            refund_fee,
            gmt_refund: self.value("gmt_refund").and_then(parse_china),
            out_biz_no: self.value("out_biz_no"),
        })
    }

    /// The decoded value of any signed parameter that is not empty.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields.find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The bytes as they were received.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// A value that [`VerifiedNotify::read`] found there.
    fn required(&self, name: &str) -> &str {
        self.value(name).unwrap_or_default()
    }

    fn amount(&self, name: &str) -> Option<Fen> {
        self.value(name).and_then(|text| Fen::parse_yuan(text).ok())
    }
}

impl TradeStatus {
    fn parse(text: Option<&str>) -> Self {
        match text {
            Some("WAIT_BUYER_PAY") => Self::WaitBuyerPay,
            Some("TRADE_SUCCESS") => Self::Success,
            Some("TRADE_FINISHED") => Self::Finished,
            Some("TRADE_CLOSED") => Self::Closed,
            _ => Self::Unrecognised,
        }
    }

    /// Whether the buyer has paid, whatever became of the money.
    #[must_use]
    pub fn is_paid(self) -> bool {
        matches!(self, Self::Success | Self::Finished)
    }
}

impl NotifyError {
    /// A stable word for logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::Form(_) => "malformed",
            Self::Missing { .. } => "missing",
            Self::Invalid { .. } => "invalid",
            Self::BadSignature => "bad_signature",
        }
    }
}

/// Names the trade only: the rest holds the buyer's data.
impl fmt::Debug for VerifiedNotify {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("VerifiedNotify")
            .field("notify_id", &self.notify_id())
            .field("out_trade_no", &self.out_trade_no())
            .field("trade_no", &self.trade_no())
            .field("trade_status", &self.trade_status)
            .finish_non_exhaustive()
    }
}

/// What the signature covers: all sorted, non-empty parameters but the named ones, decoded bytes.
fn signed_bytes(parameters: &[Parameter], unsigned: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let is_signed =
        |parameter: &&Parameter| !unsigned.iter().any(|name| name.as_bytes() == parameter.name);
    for Parameter { name, value } in parameters.iter().filter(is_signed) {
        if !bytes.is_empty() {
            bytes.push(b'&');
        }
        bytes.extend_from_slice(name);
        bytes.push(b'=');
        bytes.extend_from_slice(value);
    }
    bytes
}

fn find<'a>(parameters: &'a [Parameter], name: &str) -> Option<&'a [u8]> {
    let mut parameters = parameters.iter();
    let found = parameters.find(|parameter| parameter.name == name.as_bytes());
    found.map(|parameter| parameter.value.as_slice())
}

/// The charset that the notification names; UTF-8 where it names none.
fn encoding_of(parameters: &[Parameter]) -> Result<&'static Encoding, NotifyError> {
    let Some(label) = find(parameters, "charset") else {
        return Ok(UTF_8);
    };
    match label.to_ascii_lowercase().as_slice() {
        b"utf-8" | b"utf8" => Ok(UTF_8),
        b"gbk" | b"gb2312" | b"gb18030" => Ok(GB18030),
        _ => Err(NotifyError::Invalid { field: "charset", why: "neither utf-8 nor gbk" }),
    }
}

fn check_identifier(field: &'static str, value: &str, chars_max: usize) -> Result<(), NotifyError> {
    if value.len() > chars_max {
        return Err(NotifyError::Invalid { field, why: "too long" });
    }
    if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(NotifyError::Invalid { field, why: "not printable ASCII" });
    }
    Ok(())
}
