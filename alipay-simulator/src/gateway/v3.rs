//! The same calls after the third protocol: plain JSON at a path for each, authorised and signed in
//! headers, failures told by HTTP statuses.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, Method as HttpMethod, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, TimeDelta, Utc};
use encoding_rs::UTF_8;
use serde_json::json;

use super::admission::{self, Call, invalid, is_web_url};
use super::node::Node;
use super::{DEFAULT_SLOWNESS, Method, answer, carry_out, number};
use crate::faults::{Hits, Kind};
use crate::fields::{FieldError, Fields};
use crate::params::Params;
use crate::server::Shared;

const SCHEME: &str = "ALIPAY-SHA256withRSA ";
const ROOT_CERT_SN: &str = "alipay-root-cert-sn";
const APP_AUTH_TOKEN: &str = "alipay-app-auth-token";

/// A call as it arrived.
struct Request<'a> {
    method: &'a HttpMethod,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

/// Answers one call to `/v3/…`.
pub(crate) async fn handle(
    State(shared): State<Arc<Shared>>,
    method: HttpMethod,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = Request { method: &method, uri: &uri, headers: &headers, body: &body };
    let call = match request.admit(&shared) {
        Ok(call) => call,
        Err(refusal) => return sealed(&shared, refusal, &shared.faults.none()),
    };
    let number = number(&shared, &call);
    let hits = shared.faults.draw_call(call.method, number.as_deref());
    tracing::debug!(method = call.method.name(), out_trade_no = number, ?hits, "called");
    match carry_out(&shared, &call, &hits).await {
        Ok(node) => sealed(&shared, node, &hits),
        Err(answer) => answer,
    }
}

impl Request<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn admit(&self, shared: &Shared) -> Result<Call, Node> {
        let authorization = self.header(AUTHORIZATION.as_str()).unwrap_or_default();
        let (text, signature) = authorization
            .strip_prefix(SCHEME)
            .and_then(|text| text.rsplit_once(",sign="))
            .ok_or_else(|| missing("isv.missing-signature", "authorization"))?;
        let values: HashMap<_, _> =
            text.split(',').filter_map(|pair| pair.trim().split_once('=')).collect();
        let value = |name: &str| values.get(name).copied().filter(|value| !value.is_empty());
        if value("app_id").ok_or_else(|| missing("isv.missing-app-id", "app_id"))? != shared.app_id
        {
            return Err(invalid("isv.invalid-app-id", "无效的AppID参数"));
        }
        value("nonce").ok_or_else(|| missing("isv.missing-nonce", "nonce"))?;
        if !shared.verifier.verifies(&self.sign_text(text), signature) {
            return Err(invalid("isv.invalid-signature", "验签出错"));
        }
        let rules = shared.store.peek(|books| books.rules().clone());
        let sent_at = time(value("timestamp"))
            .ok_or_else(|| invalid("isv.invalid-timestamp", "非法的时间戳参数"))?;
        admission::check_timestamp(shared, &rules, sent_at)?;
        let life = value("expired_seconds").and_then(|text| text.parse::<u32>().ok());
        if life.is_some_and(|life| shared.store.now() > sent_at + TimeDelta::seconds(life.into())) {
            return Err(invalid("isv.invalid-timestamp", "请求已过期"));
        }
        let roots = self.header(ROOT_CERT_SN);
        admission::check_certificates(shared, value("app_cert_sn"), roots)?;
        let method =
            self.called().ok_or_else(|| invalid("isv.invalid-method", "不存在的方法名"))?;
        admission::check_rights(shared, &rules, method)?;
        let fields = self.fields();
        let notify_url =
            fields.as_ref().ok().and_then(|fields| fields.text("notify_url", 256).ok());
        let notify_url = notify_url.flatten();
        if notify_url.as_ref().is_some_and(|url| !is_web_url(url)) {
            return Err(invalid("isv.invalid-parameter", "notify_url is no http or https URL"));
        }
        let fields = fields.map(|fields| fields.without("notify_url"));
        Ok(Call { method, notify_url, return_url: None, fields })
    }

    /// What the client signs.
    fn sign_text(&self, authorization: &str) -> Vec<u8> {
        let target = self.uri.path_and_query().map_or("/", |target| target.as_str());
        let head = format!("{authorization}\n{}\n{target}\n", self.method);
        let token = self.header(APP_AUTH_TOKEN).map(|token| format!("{token}\n"));
        let token = token.unwrap_or_default();
        [head.as_bytes(), self.body, b"\n", token.as_bytes()].concat()
    }

    /// The path is the name of the call with slashes.
    fn called(&self) -> Option<Method> {
        let name = self.uri.path().strip_prefix("/v3/")?.replace('/', ".");
        Method::parse(&name).filter(|method| !method.is_shown())
    }

    fn fields(&self) -> Result<Fields, FieldError> {
        if self.method == HttpMethod::GET {
            let query = self.uri.query().unwrap_or_default();
            let utf8 = Some("text/plain; charset=utf-8");
            return Ok(Fields::of_texts(Params::read(query.as_bytes(), b"", utf8).texts()));
        }
        Fields::parse("body", self.body)
    }
}

fn missing(sub_code: &'static str, name: &str) -> Node {
    Node::failure("40001", "Missing Required Arguments", sub_code, &format!("缺少{name}参数"))
}

fn time(milliseconds: Option<&str>) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(milliseconds?.parse().ok()?)
}

/// The signed answer, spoilt by faults as far as they have a meaning here.
fn sealed(shared: &Shared, node: Node, hits: &Hits) -> Response {
    let node = match hits.outcome() {
        Some(Kind::Reset) => return answer::reset(),
        Some(Kind::ErrorResponse | Kind::SignedErrorResponse) => Node::unknown(),
        _ => answer::spoil(node, hits),
    };
    let (status, node) = plain(node);
    let (mut sent, signed) = answer::texts(&node, UTF_8, hits);
    let timestamp = shared.store.now().timestamp_millis().to_string();
    let trace_id = shared.trace_id();
    let head = format!("{timestamp}\n{trace_id}\n");
    let text = [head.as_bytes(), &signed, b"\n"].concat();
    let sign = match hits.outcome() {
        Some(Kind::Unsigned | Kind::ErrorResponse) => None,
        Some(Kind::WrongSign) => Some(shared.signer.sign(&signed)),
        Some(Kind::OtherKey) => Some(shared.other_signer.sign(&text)),
        _ => Some(shared.signer.sign(&text)),
    };
    if hits.outcome() == Some(Kind::Truncated) {
        sent.truncate(sent.len() / 2);
    }
    let body = match hits.delay(Kind::SlowBody, DEFAULT_SLOWNESS) {
        Some(delay) => answer::slowly(sent, delay, hits.clone()),
        None => Body::from(sent),
    };
    let cert_sn = answer::cert_sn(shared, hits).map(str::to_owned);
    let headers = [
        ("alipay-timestamp", Some(timestamp)),
        ("alipay-nonce", Some(trace_id.clone())),
        ("alipay-signature", sign),
        ("alipay-sn", cert_sn),
        ("alipay-trace-id", Some(trace_id)),
    ];
    let mut response =
        (status, [(CONTENT_TYPE, "application/json;charset=utf-8")], body).into_response();
    for (name, value) in headers {
        let value = value.and_then(|value| value.parse().ok());
        let inserted = value.map(|value| (HeaderName::from_static(name), value));
        response.headers_mut().extend(inserted);
    }
    response
}

/// A success without `code` and `msg`, or what failed under the name that it has here.
fn plain(mut node: Node) -> (StatusCode, Node) {
    let code = node.text("code").unwrap_or_default().to_owned();
    if ["10000", "10003"].contains(&code.as_str()) {
        node.retain(|name| !["code", "msg"].contains(&name));
        return (StatusCode::OK, node);
    }
    let sub_code = node.text("sub_code").unwrap_or_default();
    let status = match code.as_str() {
        "40005" => StatusCode::TOO_MANY_REQUESTS,
        "20001" | "40006" => StatusCode::FORBIDDEN,
        "40002" if sub_code == "isv.invalid-signature" => StatusCode::UNAUTHORIZED,
        "20000" => StatusCode::INTERNAL_SERVER_ERROR,
        _ if sub_code.ends_with(".SYSTEM_ERROR") => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    let name = sub_code.rsplit_once("ACQ.").map_or(sub_code, |(_, name)| name);
    let message = node.text("sub_msg").unwrap_or_default();
    (status, Node::empty().with("code", name).with("message", message).with("links", json!([])))
}
