//! One exchange with the gateway: sign, send within the budgets, read within the limits, verify.
//!
//! Owns the limits and everything that HTTP can do to a call. Whatever is not a signed answer ends
//! here as an [`UnknownReason`]; what a signed answer means is for [`super::trade`].

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, StatusCode, Url, redirect};
use tokio::time::timeout;
use tracing::{Instrument as _, Span, field};

use super::budget::Budget;
use super::sign::{SIGN, SIGN_TYPE, sign, sign_string};
use super::time::format_china;
use super::trade::Reply;
use super::wire::{Envelope, NodeKind};
use super::{Account, CallObserver, form, shorten};
use crate::domain::gateway::UnknownReason;
use crate::domain::priority::Priority;
use crate::text::causes;

/// How long making a connection may take.
pub const CONNECT_BUDGET: Duration = Duration::from_secs(2);
/// How long a call may take altogether, its wait for a permit included.
pub const CALL_BUDGET: Duration = Duration::from_secs(5);
/// How long a call may wait until fewer are under way.
pub const PERMIT_BUDGET: Duration = Duration::from_secs(2);
/// How many calls may be under way at once.
pub const CALLS_AT_ONCE_MAX: usize = 64;
/// The largest answer that is read, in bytes.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long an unused connection is kept; shorter than servers usually do, so that a call seldom
/// meets a connection that is just being closed.
const IDLE_CONNECTION_KEPT: Duration = Duration::from_secs(15);

/// The charset of everything we send. It travels in the query, so that it is known before the
/// body is decoded; otherwise Alipay may fall back to GBK, in later notifications too.
const CHARSET: &str = "utf-8";
/// The media type of what we send.
const FORM_TYPE: &str = "application/x-www-form-urlencoded;charset=utf-8";
/// Our own code for an answer that names a certificate of Alipay's which we don't have: until it is
/// configured, no answer can be believed, and a person has to be told.
const UNKNOWN_CERTIFICATE: &str = "unknown_certificate";
/// The response header with the gateway's own name for the exchange.
const TRACE_ID_HEADER: &str = "trace_id";

/// One call, ready to be signed.
pub(super) struct Request<'a> {
    /// Short name for logs and metrics, such as `query`.
    pub(super) name: &'static str,
    /// The gateway's name, such as `alipay.trade.query`.
    pub(super) method: &'static str,
    /// The key of the answer, such as `alipay_trade_query_response`.
    pub(super) node: &'static str,
    /// The trade it is about.
    pub(super) out_trade_no: &'a str,
    /// The business parameters, as the JSON text that is signed and sent.
    pub(super) biz_content: String,
    /// Where notifications about the trade go, for the call that makes it.
    pub(super) notify_url: &'a str,
}

/// Makes the calls of one account.
pub(super) struct Caller {
    account: Account,
    http: reqwest::Client,
    budget: Budget,
    observer: CallObserver,
}

impl Caller {
    pub(super) fn new(
        account: Account,
        budget: Budget,
        observer: CallObserver,
    ) -> reqwest::Result<Self> {
        let http = http_client(&account.gateway_url)?;
        Ok(Self { account, http, budget, observer })
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The connections, for what needs no signature.
    pub(super) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// Makes the call, reads its outcome, and tells the span and the observer how it went.
    pub(super) async fn call<T>(
        &self,
        (request, priority): (Request<'_>, Priority),
        now: DateTime<Utc>,
        read: impl FnOnce(Result<Reply, UnknownReason>) -> T,
        code: fn(&T) -> &'static str,
    ) -> T {
        let span = tracing::info_span!(
            "gateway_call",
            method = request.name,
            out_trade_no = request.out_trade_no,
            trade.no = field::Empty,
            result = field::Empty,
            duration_ms = field::Empty,
            alipay.trace_id = field::Empty,
        );
        async {
            let started = Instant::now();
            let exchange = timeout(CALL_BUDGET, self.exchange(&request, priority, now));
            let reply = exchange.await.unwrap_or(Err(UnknownReason::Timeout));
            let outcome = read(reply);
            let (result, took) = (code(&outcome), started.elapsed());
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            Span::current().record("result", result).record("duration_ms", took_ms);
            tracing::debug!("the gateway was asked");
            (self.observer)(request.name, result, took);
            if result == UnknownReason::RATE_LIMITED {
                self.budget.slow_down();
            }
            outcome
        }
        .instrument(span)
        .await
    }

    async fn exchange(
        &self,
        request: &Request<'_>,
        priority: Priority,
        now: DateTime<Utc>,
    ) -> Result<Reply, UnknownReason> {
        let Ok(Some(_permit)) = timeout(PERMIT_BUDGET, self.budget.permit(priority)).await else {
            return Err(UnknownReason::Overloaded);
        };
        let url = self.signed_url(request, now)?;
        let body = form::encode(&[("biz_content", &request.biz_content)]);
        let post = self.http.post(url).header(CONTENT_TYPE, FORM_TYPE).body(body);
        let response = post.send().await.map_err(transport)?;
        if let Some(trace_id) = response.headers().get(TRACE_ID_HEADER) {
            let trace_id = shorten(&String::from_utf8_lossy(trace_id.as_bytes()));
            Span::current().record("alipay.trace_id", trace_id);
        }
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            let code = response.status().as_str().to_owned();
            return Err(UnknownReason::RateLimited { code, sub_code: None });
        }
        if response.status() != StatusCode::OK {
            return Err(UnknownReason::HttpStatus { status: response.status().as_u16() });
        }
        let body = read_up_to(response, BODY_BYTES_MAX).await?;
        let reply = self.open(&body, request.node)?;
        if let Some(trade_no) = &reply.trade_no {
            Span::current().record("trade.no", shorten(trade_no));
        }
        Ok(reply)
    }

    /// The gateway's address with all parameters but `biz_content`, signature included.
    fn signed_url(&self, request: &Request<'_>, now: DateTime<Utc>) -> Result<Url, UnknownReason> {
        let timestamp = format_china(now);
        let mut parameters = vec![
            ("app_id", self.account.app_id.as_str()),
            ("charset", CHARSET),
            ("format", "JSON"),
            ("method", request.method),
            ("sign_type", SIGN_TYPE),
            ("timestamp", &timestamp),
            ("version", "1.0"),
        ];
        if let Some(names) = &self.account.certificates {
            parameters.push(("app_cert_sn", &names.app_cert_sn));
            parameters.push(("alipay_root_cert_sn", &names.alipay_root_cert_sn));
        }
        if !request.notify_url.is_empty() {
            parameters.push(("notify_url", request.notify_url));
        }
        let mut signed = parameters.clone();
        signed.push(("biz_content", &request.biz_content));
        let signature = sign(&self.account.key, sign_string(&signed))
            .map_err(|error| UnknownReason::Transport { detail: error.to_string() })?;
        parameters.push((SIGN, &signature));
        let mut url = self.account.gateway_url.clone();
        url.set_query(Some(&form::encode(&parameters)));
        Ok(url)
    }

    /// Verifies a body and reads the very bytes that were verified.
    fn open(&self, body: &[u8], node: &str) -> Result<Reply, UnknownReason> {
        let envelope = Envelope::open(body, node).map_err(malformed)?;
        let reply = Reply::parse(&envelope.text(), envelope.kind == NodeKind::Error);
        if envelope.sign.is_none() {
            let claimed = reply.unwrap_or_default();
            let (code, sub_code) = (claimed.code.as_deref(), claimed.sub_code.as_deref());
            let (code, sub_code) = (code.map(shorten), sub_code.map(shorten));
            return Err(UnknownReason::Unsigned { code, sub_code });
        }
        let keys = self.account.keys_of_answer(envelope.cert_sn.as_deref());
        if keys.is_empty() {
            let code = UNKNOWN_CERTIFICATE.to_owned();
            let sub_code = envelope.cert_sn.as_deref().map(shorten);
            return Err(UnknownReason::AccountBroken { code, sub_code });
        }
        if !envelope.is_signed_by(&keys) {
            return Err(UnknownReason::BadSignature);
        }
        reply.map_err(malformed)
    }
}

fn http_client(gateway_url: &Url) -> reqwest::Result<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_BUDGET)
        .timeout(CALL_BUDGET)
        .pool_idle_timeout(IDLE_CONNECTION_KEPT)
        .redirect(redirect::Policy::none())
        .no_proxy();
    if gateway_url.scheme() == "https" {
        return builder.build();
    }
    // Without TLS no root certificates are needed, and a machine without any is no reason to stop.
    builder.tls_certs_only([]).build()
}

/// Reads a body that isn't larger than so many bytes.
pub(super) async fn read_up_to(
    mut response: Response,
    bytes_max: usize,
) -> Result<Vec<u8>, UnknownReason> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(UnknownReason::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Names what broke, without the address: that carries the signature.
pub(super) fn transport(error: reqwest::Error) -> UnknownReason {
    if error.is_timeout() {
        return UnknownReason::Timeout;
    }
    UnknownReason::Transport { detail: shorten(&causes(&error.without_url())) }
}

fn malformed(error: impl std::error::Error) -> UnknownReason {
    UnknownReason::Malformed { detail: shorten(&error.to_string()) }
}
