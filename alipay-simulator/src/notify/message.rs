//! The form that a delivery posts, signed after the rule of payment notifications.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use encoding_rs::GBK;

use super::Notification;
use crate::clock::wire_time;
use crate::faults::{Hits, Kind};
use crate::params::encode_form_value;
use crate::server::Shared;

/// The content type and the form of one delivery.
pub(super) struct Message {
    pub(super) content_type: String,
    pub(super) form: String,
}

impl Message {
    pub(super) fn new(
        shared: &Shared,
        notification: &Notification,
        now: DateTime<Utc>,
        hits: &Hits,
    ) -> Self {
        let charset = if hits.has(Kind::Gbk) { "gbk" } else { "utf-8" };
        let mut fields: BTreeMap<&str, String> = BTreeMap::new();
        fields
            .extend(notification.fields.iter().map(|(name, value)| (name.as_str(), value.clone())));
        fields.extend([
            ("notify_id", notification.notify_id.clone()),
            ("notify_type", "trade_status_sync".to_owned()),
            ("notify_time", wire_time(now)),
            ("app_id", shared.app_id.clone()),
            ("auth_app_id", shared.app_id.clone()),
            ("seller_id", shared.seller_id.clone()),
            ("charset", charset.to_owned()),
            ("version", "1.0".to_owned()),
        ]);
        twist(&mut fields, hits);
        let mut form = String::new();
        let mut sign_text = Vec::new();
        for (name, value) in &fields {
            let value = encode(charset, value);
            append(&mut form, name, &value);
            if !sign_text.is_empty() {
                sign_text.push(b'&');
            }
            sign_text.extend_from_slice(name.as_bytes());
            sign_text.push(b'=');
            sign_text.extend_from_slice(&value);
        }
        if hits.has(Kind::BadSignature) {
            sign_text.push(b'!');
        }
        let is_other = hits.has(Kind::OtherKey);
        let signer = if is_other { &shared.other_signer } else { &shared.signer };
        let (sign, sign_type) = if hits.has(Kind::Sha1Signature) {
            (signer.sign_sha1(&sign_text), "RSA")
        } else {
            (signer.sign(&sign_text), "RSA2")
        };
        append(&mut form, "sign", sign.as_bytes());
        append(&mut form, "sign_type", sign_type.as_bytes());
        if hits.has(Kind::UnsignedCertSn) {
            let names = shared.serial_numbers.as_ref();
            let cert_sn = names.map(|names| if is_other { &names.other } else { &names.gateway });
            let cert_sn = cert_sn.map_or("7513daaaa48aa3ba2e4018d84402479c", String::as_str);
            append(&mut form, "alipay_cert_sn", cert_sn.as_bytes());
        }
        let content_type = format!("application/x-www-form-urlencoded; charset={charset}");
        Self { content_type, form }
    }
}

fn twist(fields: &mut BTreeMap<&str, String>, hits: &Hits) {
    if hits.has(Kind::WrongAmount) {
        fields.insert("total_amount", "98765.43".to_owned());
    }
    if hits.has(Kind::WrongAppId) {
        fields.insert("app_id", "2021999999999999".to_owned());
    }
    if hits.has(Kind::WrongSellerId) {
        fields.insert("seller_id", "2088999999999999".to_owned());
    }
    if hits.has(Kind::OldNotifyTime) {
        fields.insert("notify_time", "2015-01-02 03:04:05".to_owned());
    }
    if hits.has(Kind::BuyerOpenId)
        && let Some(buyer) = fields.remove("buyer_id")
    {
        fields.insert("buyer_open_id", buyer);
    }
    if hits.has(Kind::ExtraFields) {
        fields.insert("a_future_field", "a+b&c=/ 100% {\"新\":\"}\"}".to_owned());
    }
    if hits.has(Kind::RefundAsSuccess) {
        fields.insert("trade_status", "TRADE_SUCCESS".to_owned());
    }
}

fn encode(charset: &str, value: &str) -> Vec<u8> {
    match charset {
        "gbk" => GBK.encode(value).0.into_owned(),
        _ => value.as_bytes().to_vec(),
    }
}

fn append(form: &mut String, name: &str, value: &[u8]) {
    if !form.is_empty() {
        form.push('&');
    }
    form.push_str(name);
    form.push('=');
    encode_form_value(value, form);
}
