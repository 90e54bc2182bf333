//! Refunds of an order.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::HttpState;
use super::auth::Caller;
use super::error::{ApiError, Problem};
use super::input::{JsonBody, OrderPath, check_text, idempotency_key};
use crate::domain::money::Fen;
use crate::domain::refund::RefundItem;
use crate::hash::sha256_hex;
use crate::service::order_view::{RefundView, view_refunds};
use crate::service::request_refund::{RefundRequest, request_refund};

/// Longest number of a refund: 64 of the characters that order numbers have, too.
const REQUEST_NO_CHARS_MAX: usize = 64;
/// Longest reason.
const REASON_CHARS_MAX: usize = 256;
/// Most lines of one refund.
const ITEMS_MAX: usize = 100;

pub(super) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(request))
}

pub(super) fn list_router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A refund to be made.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RefundBody {
    /// The caller's number of it: 1 to 64 of the characters A-Z a-z 0-9 . _ -. Without it the
    /// `Idempotency-Key` is its number.
    request_no: Option<String>,
    /// How much, in fen. Without it the price of the items, or all that is left.
    amount_fen: Option<i64>,
    /// The pieces that come back: at least one, if there is no amount.
    items: Option<Vec<ItemBody>>,
    /// Why, in the caller's words; the buyer reads it at the gateway.
    reason: String,
}

/// Pieces that come back.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ItemBody {
    /// What was bought.
    sku_id: String,
    /// How many pieces.
    quantity: i64,
}

/// The refunds of an order.
#[derive(Debug, Serialize, ToSchema)]
struct RefundList {
    /// Oldest first, those of its late and duplicate payments included.
    refunds: Vec<RefundView>,
}

/// Asks for a refund; it is on its way when this is answered.
#[utoipa::path(
    post, path = "/v1/orders/{id}/refunds", tag = "refunds", request_body = RefundBody,
    params(
        ("id" = String, Path, description = "the order's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "its number without request_no"),
    ),
    responses(
        (status = 202, description = "it is stored and will be sent", body = RefundView),
        (status = 400, description = "a field can't be used", body = Problem),
        (status = 404, description = "there is no such order", body = Problem),
        (status = 409, description = "order_not_paid, more_than_left, items_not_left",
            body = Problem),
        (status = 422, description = "the number was used with another request", body = Problem),
    )
)]
async fn request(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    OrderPath(id): OrderPath,
    headers: HeaderMap,
    JsonBody(body): JsonBody<RefundBody>,
) -> Result<(StatusCode, Json<RefundView>), ApiError> {
    let request_no = request_no(&body, &headers)?;
    let amount = body.amount_fen.map(amount).transpose()?;
    let lines = body.items.as_deref().unwrap_or_default();
    if amount.is_none() && body.items.is_some() && lines.is_empty() {
        // Whoever meant some pieces doesn't mean all of the money.
        let detail = "at least one line; without this field all that is left goes back";
        return Err(ApiError::invalid("items", detail));
    }
    let items = items(lines)?;
    check_text("reason", &body.reason, REASON_CHARS_MAX)?;
    let content = serde_json::json!([body.amount_fen, lines, body.reason]).to_string();
    let request = RefundRequest {
        order_id: &id,
        request_no: &request_no,
        request_hash: sha256_hex(&[&content]),
        amount,
        items: &items,
        reason: &body.reason,
        by: &caller.name,
    };
    let record = request_refund(&state.app, &request).await?;
    Ok((StatusCode::ACCEPTED, Json(RefundView::from(&record))))
}

/// Lists the refunds of an order.
#[utoipa::path(
    get, path = "/v1/orders/{id}/refunds", tag = "refunds",
    params(("id" = String, Path, description = "the order's id")),
    responses(
        (status = 200, description = "its refunds", body = RefundList),
        (status = 404, description = "there is no such order", body = Problem),
    )
)]
async fn list(
    State(state): State<HttpState>,
    OrderPath(id): OrderPath,
) -> Result<Json<RefundList>, ApiError> {
    let refunds = view_refunds(&state.app, &id).await?;
    let refunds = refunds.ok_or_else(|| ApiError::not_found("order").about("id"))?;
    Ok(Json(RefundList { refunds }))
}

fn request_no(body: &RefundBody, headers: &HeaderMap) -> Result<String, ApiError> {
    if let Some(number) = &body.request_no {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let well_formed = (1..=REQUEST_NO_CHARS_MAX).contains(&number.len());
        if !well_formed || !number.bytes().all(allowed) {
            let why = "1 to 64 of the characters A-Z a-z 0-9 . _ -";
            return Err(ApiError::invalid("request_no", why));
        }
        return Ok(number.clone());
    }
    if !headers.contains_key("Idempotency-Key") {
        let why = "a refund needs a number: this field, or the header Idempotency-Key";
        return Err(ApiError::invalid("request_no", why));
    }
    let key = idempotency_key(headers)?;
    // A key may be longer than a number, and have other characters.
    let is_number = key.len() <= REQUEST_NO_CHARS_MAX && !key.contains(':');
    Ok(if is_number { key } else { sha256_hex(&[&key]) })
}

fn amount(fen: i64) -> Result<Fen, ApiError> {
    let amount = Fen::new(fen).filter(|amount| !amount.is_zero());
    amount.ok_or_else(|| ApiError::invalid("amount_fen", "1 to 10000000000 fen"))
}

fn items(lines: &[ItemBody]) -> Result<Vec<RefundItem>, ApiError> {
    if lines.len() > ITEMS_MAX {
        return Err(ApiError::invalid("items", "at most 100 lines"));
    }
    let mut seen = BTreeSet::new();
    for (index, line) in lines.iter().enumerate() {
        if line.quantity < 1 {
            return Err(ApiError::invalid(format!("items[{index}].quantity"), "1 or more"));
        }
        if !seen.insert(&line.sku_id) {
            return Err(ApiError::invalid(format!("items[{index}].sku_id"), "named twice"));
        }
    }
    let item =
        |line: &ItemBody| RefundItem { sku_id: line.sku_id.clone(), quantity: line.quantity };
    Ok(lines.iter().map(item).collect())
}
