//! The operator console: what RocketMQ's dashboard can't show. Pages are rendered here and refresh
//! themselves; an operator's key (scope `ops`) opens them. On the private listener only.

use std::sync::LazyLock;

use askama::Template;
use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{any, get, post};

use super::HttpState;
use crate::hash::sha256_hex;

mod alarms;
mod bills;
mod cells;
mod decisions;
mod failure;
mod given_up;
mod live;
mod login;
mod order;
mod order_tables;
mod overview;
mod payments;
mod pulse;
mod refunds;
mod said;
mod search;
mod session;
mod show;

use failure::Failure;
use session::Session;

const STYLE: &str = include_str!("../../templates/ops/console.css");
const SCRIPT: &str = include_str!("../../templates/ops/console.js");

/// Names this release's style and script in their addresses, so that a browser may keep them.
static ASSETS_VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = sha256_hex(&[STYLE, SCRIPT]);
    hash.truncate(12);
    hash
});

/// Nothing from elsewhere, no script in a page, no frame around it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
    img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What all of the console's requests share.
#[derive(Debug, Default)]
pub(super) struct Console {
    attempts: login::Attempts,
    pulse: pulse::Pulse,
}

/// Routes for operators. Whatever stands under `/ops` needs a session, also what doesn't exist; but
/// for the form to log in with, and what it looks like.
pub(super) fn router(state: &HttpState) -> Router<HttpState> {
    let pages = Router::new()
        .route("/ops", get(overview::page))
        .route("/ops/", get(|| async { Redirect::to("/ops") }))
        .route("/ops/stream", get(live::overview))
        .route("/ops/alarms", get(alarms::page))
        .route("/ops/alarms/{id}/acknowledge", post(alarms::acknowledge))
        .route("/ops/alarms/{id}/resolve", post(alarms::resolve))
        .route("/ops/payments", get(payments::page))
        .route("/ops/bills", get(bills::page))
        .route("/ops/bills/day", get(bills::day))
        .route("/ops/payments/{id}/accept", post(decisions::accept))
        .route("/ops/payments/{id}/attach", post(decisions::attach))
        .route("/ops/payments/{id}/refund", post(decisions::refund))
        .route("/ops/refunds", get(refunds::page))
        .route("/ops/refunds/{id}/retry", post(refunds::retry))
        .route("/ops/refunds/{id}/paid-elsewhere", post(refunds::paid_elsewhere))
        .route("/ops/given-up", get(given_up::page))
        .route("/ops/search", get(search::page))
        .route("/ops/orders/{id}", get(order::page))
        .route("/ops/orders/{id}/ask", post(order::ask))
        .route("/ops/orders/{id}/stream", get(live::order))
        .route("/ops/logout", post(login::log_out))
        .route("/ops/{*rest}", any(|| async { Failure::not_found("page") }))
        .route_layer(from_fn_with_state(state.clone(), session::require));
    let open = Router::new()
        .route("/ops/login", get(login::form).post(login::log_in))
        .route("/ops/console.css", get(|| async { asset("text/css; charset=utf-8", STYLE) }))
        .route("/ops/console.js", get(|| async { asset("text/javascript", SCRIPT) }));
    pages.merge(open).layer(map_response(guard))
}

fn asset(media_type: &'static str, text: &'static str) -> Response {
    let headers =
        [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "private, max-age=3600")];
    (headers, text).into_response()
}

/// What protects operators: no framing, no foreign content, no copy, no address told to others.
async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let no_store = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(no_store);
    response
}

/// What stands around every page.
struct Frame {
    title: String,
    /// The address of the page in the navigation that this one belongs to.
    section: &'static str,
    /// Where the page hears of changes, if it refreshes itself.
    stream: Option<String>,
    operator: String,
    csrf: String,
    assets: &'static str,
    server_now_ms: i64,
}

impl Frame {
    fn new(state: &HttpState, session: &Session, title: &str, section: &'static str) -> Self {
        Self {
            title: title.to_owned(),
            section,
            stream: None,
            operator: session.operator.clone(),
            csrf: session.csrf.clone(),
            assets: &ASSETS_VERSION,
            server_now_ms: state.app.now().timestamp_millis(),
        }
    }

    fn live(mut self, stream: impl Into<String>) -> Self {
        self.stream = Some(stream.into());
        self
    }
}

/// A page that is one table.
#[derive(Template)]
#[template(path = "ops/list.html")]
struct List {
    frame: Frame,
    /// One sentence on what stands here.
    about: &'static str,
    /// What came of a button.
    notice: Option<&'static str>,
    table: cells::Table,
    /// The address of the rows that follow.
    next: Option<String>,
}

/// A place in a list: the time and the number of its last row.
fn place(text: &str) -> Result<(i64, &str), Failure> {
    let parts = text.split_once('-');
    let place = parts.and_then(|(ms, number)| Some((ms.parse().ok()?, number)));
    place.ok_or(Failure::not_found("page"))
}

fn html(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::error!(error, "a page of the console can't be shown");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
