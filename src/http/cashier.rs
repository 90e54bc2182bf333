//! The buyer's cashier: one page an order, with its QR code, countdown and live state. Needs no
//! key, because order ids can't be guessed, and shows nothing that only the storefront may know.

use std::sync::LazyLock;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::error::ApiError;
use super::input::OrderPath;
use super::live::{self, Snapshot};
use super::{HttpState, qr};
use crate::domain::CHINA;
use crate::domain::ids::OrderId;
use crate::store::StoreError;
use crate::store::orders::{self, Item};

mod away;
mod buyer_view;
#[cfg(test)]
pub(super) mod fixtures;
mod money_back;
mod scene;

pub(super) use buyer_view::BuyerView;
use buyer_view::open_attempt;
use scene::Scene;

/// The page's style and script, which stand in the page itself: one request shows it, and no page
/// ever meets the script of another release. The policy allows exactly these two texts.
const STYLE: &str = include_str!("../../templates/cashier.css");
const SCRIPT: &str = include_str!("../../templates/cashier.js");

/// How much of an order's id people read out (characters).
const SHORT_ID_CHARS: usize = 8;

static CONTENT_SECURITY_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; \
         img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    HeaderValue::try_from(policy).expect("base64 is visible ASCII")
});

/// Routes for buyers.
pub(super) fn router() -> Router<HttpState> {
    Router::new()
        .route("/pay/{id}", get(page))
        .route("/pay/{id}/stream", get(stream))
        .route("/pay/{id}/qr.svg", get(qr_svg))
        .route("/pay/{id}/qr.png", get(qr_png))
        .route_layer(map_response(guard))
}

async fn page(
    State(state): State<HttpState>,
    OrderPath(id): OrderPath,
) -> Result<Response, ApiError> {
    let (snapshot, items) = match read_page(&state, &id).await {
        Ok(Some(read)) => read,
        Ok(None) => return Err(ApiError::not_found("order").about("id")),
        Err(error) => {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::error!(error, "the database failed the cashier");
            return Ok(away::one_moment());
        }
    };
    let page = Page::new(&snapshot, &items, state.app.now());
    let html = page.render().map_err(|error| internal(&error))?;
    Ok(Html(html).into_response())
}

async fn read_page(
    state: &HttpState,
    id: &OrderId,
) -> Result<Option<(Snapshot, Vec<Item>)>, StoreError> {
    let Some(snapshot) = Snapshot::read(&state.app, id).await? else { return Ok(None) };
    Ok(Some((snapshot, orders::items(&state.app.store, id).await?)))
}

async fn stream(
    State(state): State<HttpState>,
    OrderPath(id): OrderPath,
) -> Result<impl IntoResponse, ApiError> {
    let events = live::buyer_stream(&state, id).await?;
    // A proxy that collects answers would hold the events back.
    Ok(([(HeaderName::from_static("x-accel-buffering"), "no")], events))
}

async fn qr_svg(
    State(state): State<HttpState>,
    OrderPath(id): OrderPath,
) -> Result<impl IntoResponse, ApiError> {
    let picture = qr::svg(&code(&state, &id).await?).map_err(|error| internal(&error))?;
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], picture))
}

async fn qr_png(
    State(state): State<HttpState>,
    OrderPath(id): OrderPath,
) -> Result<impl IntoResponse, ApiError> {
    let picture = qr::png(&code(&state, &id).await?).map_err(|error| internal(&error))?;
    Ok(([(header::CONTENT_TYPE, "image/png")], picture))
}

async fn read(state: &HttpState, id: &OrderId) -> Result<Snapshot, ApiError> {
    let snapshot = Snapshot::read(&state.app, id).await?;
    snapshot.ok_or_else(|| ApiError::not_found("order").about("id"))
}

/// The text of the code that the buyer may scan now.
async fn code(state: &HttpState, id: &OrderId) -> Result<String, ApiError> {
    let snapshot = read(state, id).await?;
    open_attempt(&snapshot.record.order, &snapshot.payments, state.app.now())
        .and_then(|open| open.qr_code.clone())
        .ok_or_else(|| ApiError::not_found("open payment"))
}

fn internal(error: &(dyn std::error::Error + 'static)) -> ApiError {
    tracing::error!(error, "the cashier can't be shown");
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    ApiError::new(status, "internal", "an error inside checkback")
}

/// What protects the buyer: no framing, no foreign content, no trace of the address, no copy.
async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY.clone());
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[derive(Template)]
#[template(path = "cashier.html")]
struct Page {
    style: &'static str,
    script: &'static str,
    order_id: String,
    short_id: String,
    view: BuyerView,
    lines: Vec<Line>,
    scenes: [Scene; 9],
    server_now: DateTime<Utc>,
}

struct Line {
    title: String,
    quantity: i64,
    yuan: String,
}

impl Page {
    fn new(snapshot: &Snapshot, items: &[Item], now: DateTime<Utc>) -> Self {
        let order_id = snapshot.record.order.id.to_string();
        let lines = items.iter().map(Line::from).collect();
        Self {
            style: STYLE,
            script: SCRIPT,
            short_id: short(&order_id).to_owned(),
            order_id,
            view: BuyerView::new(snapshot, now),
            lines,
            scenes: Scene::ALL,
            server_now: now,
        }
    }

    /// Where the countdown starts, and stays without a script.
    fn countdown(&self) -> String {
        let left = self.view.expires_at.signed_duration_since(self.server_now);
        countdown(left.num_milliseconds())
    }

    fn needs_refresh(&self) -> bool {
        !self.view.settled
    }
}

impl From<&Item> for Line {
    fn from(item: &Item) -> Self {
        let sum = item.price.checked_mul(item.quantity);
        Self {
            title: item.title.clone(),
            quantity: item.quantity,
            yuan: sum.unwrap_or(item.price).to_yuan(),
        }
    }
}

/// The end of an order's id: its beginning is the time, and much the same in all orders of a day.
fn short(order_id: &str) -> &str {
    let start = order_id.len().saturating_sub(SHORT_ID_CHARS);
    order_id.get(start..).unwrap_or(order_id)
}

/// Time left as `m:ss` or `h:mm:ss`, rounded up: `0:00` means that it is over.
fn countdown(left_ms: i64) -> String {
    let seconds = left_ms.max(0).saturating_add(999) / 1_000;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// A time in words, for a browser without a script.
fn clock_time(at: &DateTime<Utc>) -> String {
    at.with_timezone(&CHINA).format("%Y-%m-%d %H:%M:%S (UTC+8)").to_string()
}

#[cfg(test)]
mod tests;
