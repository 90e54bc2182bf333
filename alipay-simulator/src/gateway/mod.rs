//! `/gateway.do`: admission, execution, answer, in the order of the real gateway.

mod admission;
mod answer;
mod barcode;
mod bill;
mod meter;
mod node;
mod notify_verify;
mod order;
mod page;
mod precreate;
mod refund;
mod trade_calls;
pub(crate) mod v3;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method as HttpMethod, Uri};
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};

use crate::books::Books;
use crate::buyer;
use crate::faults::{Hits, Kind};
use crate::fields::{FieldError, Fields};
use crate::params::Params;
use crate::server::Shared;
use crate::trade::{Product, SubCode};
use admission::Call;
use node::Node;

pub(crate) use meter::Meter;

/// What `slow` waits unless told otherwise.
const DEFAULT_SLOWNESS: TimeDelta = TimeDelta::seconds(1);

/// The calls that the gateway answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Precreate,
    Pay,
    PagePay,
    WapPay,
    Query,
    Close,
    Cancel,
    Refund,
    RefundQuery,
    BillUrl,
}

impl Method {
    pub(crate) const ALL: [Self; 10] = [
        Self::Precreate,
        Self::Pay,
        Self::PagePay,
        Self::WapPay,
        Self::Query,
        Self::Close,
        Self::Cancel,
        Self::Refund,
        Self::RefundQuery,
        Self::BillUrl,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Precreate => "alipay.trade.precreate",
            Self::Pay => "alipay.trade.pay",
            Self::PagePay => "alipay.trade.page.pay",
            Self::WapPay => "alipay.trade.wap.pay",
            Self::Query => "alipay.trade.query",
            Self::Close => "alipay.trade.close",
            Self::Cancel => "alipay.trade.cancel",
            Self::Refund => "alipay.trade.refund",
            Self::RefundQuery => "alipay.trade.fastpay.refund.query",
            Self::BillUrl => "alipay.data.dataservice.bill.downloadurl.query",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Whether a browser calls, and is shown a page instead of a signed answer.
    pub(crate) fn is_shown(self) -> bool {
        matches!(self, Self::PagePay | Self::WapPay)
    }
}

/// Why a call has no effect.
#[derive(Debug)]
enum Failure {
    Field(FieldError),
    Business(SubCode),
}

impl From<FieldError> for Failure {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

impl From<SubCode> for Failure {
    fn from(sub_code: SubCode) -> Self {
        Self::Business(sub_code)
    }
}

/// Answers one call.
pub(crate) async fn handle(
    State(shared): State<Arc<Shared>>,
    http_method: HttpMethod,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let body = if http_method == HttpMethod::GET { &[] } else { body.as_ref() };
    if let Some(answer) = notify_verify::answer(&shared, uri.query().unwrap_or_default()) {
        return answer;
    }
    let params = Params::read(uri.query().unwrap_or_default().as_bytes(), body, content_type);
    let call = match admission::admit(&shared, &params) {
        Ok(call) => call,
        Err(refusal) if is_shown(&params) => return page::show(&refusal),
        Err(refusal) => return answer::refusal(&shared, &params, &refusal),
    };
    let number = number(&shared, &call);
    let hits = shared.faults.draw_call(call.method, number.as_deref());
    tracing::debug!(method = call.method.name(), out_trade_no = number, ?hits, "called");
    match carry_out(&shared, &call, &hits).await {
        Ok(_) if call.method.is_shown() && hits.outcome() == Some(Kind::Reset) => answer::reset(),
        Ok(node) if call.method.is_shown() => page::show(&answer::spoil(node, &hits)),
        Ok(node) => answer::sealed(&shared, call.method, node, params.charset(), &hits),
        Err(answer) => answer,
    }
}

fn is_shown(params: &Params) -> bool {
    let method = params.text("method").and_then(|name| Method::parse(&name));
    method.is_some_and(Method::is_shown)
}

/// Executes the call, unless a fault is faster, and waits as long as faults say.
async fn carry_out(shared: &Shared, call: &Call, hits: &Hits) -> Result<Node, Response> {
    let is_payment = call.method == Method::Pay;
    let failed = |node| if is_payment { barcode::without_payment(node) } else { node };
    if let Some(failure) = before_effect(hits).await? {
        return Ok(failed(failure));
    }
    let effect = shared.store.visit(|books, now| execute(shared, books, now, call, hits)).await;
    let effect = effect.map_err(|_| answer::unavailable())?;
    let node = effect.unwrap_or_else(|failure| failed(Node::business_failure(&failure)));
    if let Some(delay) = hits.delay(Kind::Slow, DEFAULT_SLOWNESS) {
        // Whichever comes first: slowness ends with the faults.
        let _ = tokio::time::timeout(delay.to_std().unwrap_or_default(), hits.cleared()).await;
    }
    if hits.outcome() == Some(Kind::TimeoutAfter) {
        hits.cleared().await;
        return Err(answer::timed_out());
    }
    Ok(node)
}

/// The trade that a call is about, for faults that name one.
fn number(shared: &Shared, call: &Call) -> Option<String> {
    let fields = call.fields.as_ref().ok()?;
    shared.store.peek(|books| number_of(books, fields).ok())
}

/// What the faults make of a call before it takes effect: nothing, a failure in the gateway's own
/// form, or some other answer.
async fn before_effect(hits: &Hits) -> Result<Option<Node>, Response> {
    match hits.outcome() {
        Some(Kind::TimeoutBefore) => {
            hits.cleared().await;
            Err(answer::timed_out())
        }
        Some(Kind::Http502) => Err(answer::bad_gateway()),
        Some(Kind::Http503) => Err(answer::overloaded()),
        Some(Kind::InvalidAuthToken) => Ok(Some(Node::invalid_auth_token())),
        Some(Kind::AqcSystemErrorBefore) => Ok(Some(Node::sub_code("AQC.SYSTEM_ERROR"))),
        Some(Kind::AopSystemErrorBefore) => Ok(Some(Node::aop_system_error())),
        Some(Kind::BusinessFailure) => Ok(hits.sub_code().map(Node::sub_code)),
        Some(Kind::UnknownBefore) => Ok(Some(Node::unknown())),
        Some(Kind::SystemErrorBefore) => Ok(Some(Node::sub_code("ACQ.SYSTEM_ERROR"))),
        Some(Kind::BalanceTooLow) => Ok(Some(Node::sub_code("ACQ.SELLER_BALANCE_NOT_ENOUGH"))),
        Some(Kind::NoPermission) => Ok(Some(Node::no_permission())),
        Some(Kind::RateLimited) => Ok(Some(Node::rate_limited())),
        _ => Ok(None),
    }
}

fn execute(
    shared: &Shared,
    books: &mut Books,
    now: DateTime<Utc>,
    call: &Call,
    hits: &Hits,
) -> Result<Node, Failure> {
    if hits.has(Kind::PaidBefore) {
        pay(books, now, call);
    }
    let answer = perform(shared, books, now, call, hits);
    if hits.has(Kind::PaidAfter) {
        pay(books, now, call);
    }
    answer
}

/// The buyer's confirmation, which was on its way, comes through right beside a call.
fn pay(books: &mut Books, now: DateTime<Utc>, call: &Call) {
    let number = call.fields.as_ref().ok().and_then(|fields| number_of(books, fields).ok());
    if let Some(Some(Err(refused))) =
        number.map(|number| buyer::force_pay(books, &number, None, now))
    {
        tracing::debug!(state = refused.0.name(), "a trade that was paid before stays as it is");
    }
}

fn perform(
    shared: &Shared,
    books: &mut Books,
    now: DateTime<Utc>,
    call: &Call,
    hits: &Hits,
) -> Result<Node, Failure> {
    let fields = || call.fields.as_ref().map_err(FieldError::clone);
    match call.method {
        Method::Precreate => precreate::precreate(shared, books, now, call, fields()?),
        Method::Pay => barcode::pay(shared, books, now, call, fields()?, hits),
        Method::PagePay => page::open(shared, books, now, call, fields()?, Product::Page),
        Method::WapPay => page::open(shared, books, now, call, fields()?, Product::Wap),
        Method::Query => trade_calls::query(books, now, fields()?, hits),
        Method::Close => trade_calls::close(books, now, call, fields()?),
        Method::Cancel => trade_calls::cancel(books, now, fields()?),
        Method::Refund => refund::refund(books, now, fields()?),
        Method::RefundQuery => refund::query(books, now, fields()?, hits),
        Method::BillUrl => bill::url(shared, books, now, &call.fields, hits),
    }
}

/// The merchant's number of the trade that a call names; Alipay's own number wins.
fn number_of(books: &Books, fields: &Fields) -> Result<String, Failure> {
    match (fields.text("trade_no", 64)?, fields.text("out_trade_no", 64)?) {
        (Some(trade_no), _) => {
            books.number_of_trade_no(&trade_no).ok_or(Failure::Business("ACQ.TRADE_NOT_EXIST"))
        }
        (None, Some(number)) => Ok(number),
        (None, None) => {
            Err(FieldError::new("out_trade_no", "and trade_no are both missing").into())
        }
    }
}
