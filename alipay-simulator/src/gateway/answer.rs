//! The envelope around a node, its signature, and what faults make of both.

use std::convert::Infallible;
use std::io;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse as _, Response};
use chrono::TimeDelta;
use encoding_rs::{Encoding, GBK, UTF_8};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::node::Node;
use super::{DEFAULT_SLOWNESS, Method};
use crate::faults::{Hits, Kind};
use crate::params::Params;
use crate::rules::RefusalForm;
use crate::server::Shared;

const TRACE_ID: HeaderName = HeaderName::from_static("trace_id");
/// The node of answers that belong to no method.
const ERROR_RESPONSE: &str = "error_response";
/// What no certificate is called.
const UNKNOWN_CERT_SN: &str = "00000000000000000000000000000000";
/// What an answer keeps when the fault `missing_fields` strikes.
const KEPT_FIELDS: [&str; 15] = [
    "code",
    "sub_code",
    "out_trade_no",
    "trade_no",
    "trade_status",
    "total_amount",
    "send_pay_date",
    "qr_code",
    "action",
    "retry_flag",
    "fund_change",
    "refund_fee",
    "refund_status",
    "refund_amount",
    "out_request_no",
];

/// The signed answer to an admitted call, spoilt by whatever faults struck after its effect.
pub(super) fn sealed(
    shared: &Shared,
    method: Method,
    node: Node,
    charset: Option<&'static Encoding>,
    hits: &Hits,
) -> Response {
    let charset = if hits.has(Kind::Gbk) { GBK } else { charset.unwrap_or(UTF_8) };
    let name = node_name(method.name());
    let (sent, signed) = texts(&spoil(node, hits), charset, hits);
    let sign = match hits.outcome() {
        Some(Kind::WrongSign) => shared.signer.sign(&[&signed[..], b" "].concat()),
        Some(Kind::OtherKey) => shared.other_signer.sign(&signed),
        _ => shared.signer.sign(&signed),
    };
    let cert_sn = cert_sn(shared, hits);
    let mut body = envelope(&name, &sent, cert_sn, Some(&sign));
    match hits.outcome() {
        Some(Kind::Reset) => return reset(),
        Some(Kind::Truncated) => body.truncate(body.len() / 2),
        Some(Kind::Unsigned) => body = envelope(&name, &sent, cert_sn, None),
        Some(Kind::SignedErrorResponse) => {
            let node = encode(&text(&Node::unknown()), charset);
            let sign = shared.signer.sign(&node);
            body = envelope(ERROR_RESPONSE, &node, cert_sn, Some(&sign));
        }
        Some(Kind::ErrorResponse) => {
            let node = encode(&text(&Node::unknown()), charset);
            body = envelope(ERROR_RESPONSE, &node, None, None);
        }
        Some(Kind::DuplicateNode) => {
            body.pop();
            body.extend_from_slice(format!(r#","{name}":{}}}"#, text(&forged())).as_bytes());
        }
        _ => {}
    }
    match hits.delay(Kind::SlowBody, DEFAULT_SLOWNESS) {
        Some(delay) => respond(shared, charset, slowly(body, delay, hits.clone())),
        None => respond(shared, charset, body),
    }
}

/// The first half at once, the other one when the time is over or the faults are cleared.
pub(super) fn slowly(mut body: Vec<u8>, delay: TimeDelta, hits: Hits) -> Body {
    let end = body.split_off(body.len() / 2);
    let (halves, arriving) = mpsc::channel::<Result<Vec<u8>, Infallible>>(2);
    tokio::spawn(async move {
        let started = halves.send(Ok(body)).await;
        let pause = tokio::time::timeout(delay.to_std().unwrap_or_default(), hits.cleared());
        tokio::select! {
            _ = pause => {}
            () = halves.closed() => {}
        }
        if started.and(halves.send(Ok(end)).await).is_err() {
            tracing::debug!("the caller of a slow answer has left");
        }
    });
    Body::from_stream(ReceiverStream::new(arriving))
}

/// The signed answer to a call that wasn't admitted.
pub(super) fn refusal(shared: &Shared, params: &Params, node: &Node) -> Response {
    let charset = params.charset().unwrap_or(UTF_8);
    let method = params.text("method").unwrap_or_default();
    let known = !method.is_empty()
        && method.len() <= 128
        && method.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    let name = if known { node_name(&method) } else { ERROR_RESPONSE.to_owned() };
    let sent = encode(&text(node), charset);
    let form = shared.store.peek(|books| books.rules().refusal_form);
    let name = if form == RefusalForm::MethodNode { name } else { ERROR_RESPONSE.to_owned() };
    if form == RefusalForm::UnsignedErrorResponse {
        return respond(shared, charset, envelope(&name, &sent, None, None));
    }
    let sign = shared.signer.sign(&sent);
    let cert_sn = shared.serial_numbers.as_ref().map(|names| names.gateway.as_str());
    respond(shared, charset, envelope(&name, &sent, cert_sn, Some(&sign)))
}

/// Where a hanging call ends up when it is let go.
pub(super) fn timed_out() -> Response {
    (StatusCode::GATEWAY_TIMEOUT, "let go").into_response()
}

/// Some proxy's page in front of the gateway.
pub(super) fn bad_gateway() -> Response {
    let page = "<html><head><title>502 Bad Gateway</title></head><body>Tengine</body></html>";
    let content_type = [(CONTENT_TYPE, "text/html")];
    (StatusCode::BAD_GATEWAY, content_type, page).into_response()
}

/// Some proxy's page when nobody behind it answers.
pub(super) fn overloaded() -> Response {
    let page = "<html><head><title>503 Service Unavailable</title></head><body>Tengine</body>";
    let content_type = [(CONTENT_TYPE, "text/html")];
    (StatusCode::SERVICE_UNAVAILABLE, content_type, page).into_response()
}

/// The simulator can't keep promises any more.
pub(super) fn unavailable() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the simulator's journal can't be written").into_response()
}

/// A body that fails before its first byte: the server drops the connection without an answer.
pub(super) fn reset() -> Response {
    let failure = io::Error::from(io::ErrorKind::ConnectionReset);
    Response::new(Body::from_stream(tokio_stream::once(Err::<Bytes, _>(failure))))
}

pub(super) fn spoil(node: Node, hits: &Hits) -> Node {
    let mut node = match hits.outcome() {
        Some(Kind::UnknownAfter) => Node::unknown(),
        Some(Kind::SystemErrorAfter) => Node::sub_code("ACQ.SYSTEM_ERROR"),
        Some(Kind::AqcSystemErrorAfter) => Node::sub_code("AQC.SYSTEM_ERROR"),
        Some(Kind::AopSystemErrorAfter) => Node::aop_system_error(),
        _ => node,
    };
    if hits.has(Kind::FundChangeAbsent) {
        node.retain(|name| name != "fund_change");
    }
    if hits.has(Kind::MissingFields) {
        node.retain(|name| KEPT_FIELDS.contains(&name));
    }
    if hits.has(Kind::ExtraFields) {
        let odd = json!({"list": [1, {"text": "a \"quoted\" } { \\ /"}], "nothing": null});
        node = node.with("a_future_field", odd);
    }
    if hits.has(Kind::BracesInStrings) {
        node = node.with("store_name", r#"}{"sign":"\"},{"]["#);
    }
    if hits.has(Kind::BuyerOpenId) {
        node.rename("buyer_user_id", "buyer_open_id");
    }
    if hits.has(Kind::GbkSubMsg) {
        node.retain(|name| name != "sub_msg");
        node = node.with("sub_msg", "系统繁忙");
    }
    if hits.has(Kind::Gbk) {
        node = node.with("store_name", "模拟门店");
    }
    node
}

/// The node as it is sent and as it is signed. They differ for `escaped_slashes`: old gateways
/// escaped slashes after they had signed. With `gbk_sub_msg` the charset of the call is ignored.
pub(super) fn texts(node: &Node, charset: &'static Encoding, hits: &Hits) -> (Vec<u8>, Vec<u8>) {
    let charset = if hits.has(Kind::GbkSubMsg) { GBK } else { charset };
    let mut signed = text(node);
    if hits.has(Kind::SignedEscapedSlashes) {
        signed = signed.replace('/', "\\/");
    }
    let sent =
        if hits.has(Kind::EscapedSlashes) { signed.replace('/', "\\/") } else { signed.clone() };
    (encode(&sent, charset), encode(&signed, charset))
}

/// What an attacker appends for parsers that take the last of two nodes.
fn forged() -> Node {
    let node = Node::success().with("trade_status", "TRADE_SUCCESS");
    node.with("total_amount", "0.01").with("fund_change", "Y")
}

fn text(node: &Node) -> String {
    serde_json::to_string(node).expect("a node has only string keys")
}

fn encode(text: &str, charset: &'static Encoding) -> Vec<u8> {
    charset.encode(text).0.into_owned()
}

fn node_name(method: &str) -> String {
    format!("{}_response", method.replace('.', "_"))
}

/// The certificate whose key signs the answer; it is named beside the node, not signed.
pub(super) fn cert_sn<'a>(shared: &'a Shared, hits: &Hits) -> Option<&'a str> {
    if hits.has(Kind::UnknownCertSn) {
        return Some(UNKNOWN_CERT_SN);
    }
    let names = shared.serial_numbers.as_ref()?;
    let is_other = hits.outcome() == Some(Kind::OtherKey);
    Some(if is_other { &names.other } else { &names.gateway })
}

fn envelope(name: &str, node: &[u8], cert_sn: Option<&str>, sign: Option<&str>) -> Vec<u8> {
    let member = |name: &str, value: Option<&str>| {
        value.map(|value| format!(r#","{name}":"{value}""#)).unwrap_or_default()
    };
    let (cert_sn, sign) = (member("alipay_cert_sn", cert_sn), member("sign", sign));
    let start = format!(r#"{{"{name}":"#);
    [start.as_bytes(), node, cert_sn.as_bytes(), sign.as_bytes(), b"}"].concat()
}

fn respond(shared: &Shared, charset: &'static Encoding, body: impl Into<Body>) -> Response {
    let content_type = format!("text/html;charset={}", charset.name().to_ascii_lowercase());
    ([(CONTENT_TYPE, content_type), (TRACE_ID, shared.trace_id())], body.into()).into_response()
}
