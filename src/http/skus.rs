//! SKUs and corrections of their stock.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::HttpState;
use super::auth::Caller;
use super::error::{ApiError, Problem};
use super::input::{JsonBody, SkuPath, check_range, check_text};
use crate::domain::ids::SkuId;
use crate::domain::money::Fen;
use crate::domain::stock::{STOCK_MAX, Sku};
use crate::store::skus::{self, Adjusted, Adjustment};

const TITLE_CHARS_MAX: usize = 256;
const REASON_CHARS_MAX: usize = 256;
const REQUEST_NO_CHARS_MAX: usize = 64;

pub(super) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(put, show)).routes(routes!(adjust))
}

/// A SKU to make or change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PutBody {
    /// What the buyer sees, 1 to 256 characters.
    title: String,
    /// Price of one piece in fen, at least 1.
    price_fen: i64,
    /// The total, taken only when the SKU is new.
    stock: i64,
}

/// A SKU with its counters.
#[derive(Debug, Serialize, ToSchema)]
struct SkuAnswer {
    /// The storefront's name of it.
    sku_id: String,
    /// What the buyer sees.
    title: String,
    /// Price of one piece in fen.
    price_fen: i64,
    /// Pieces that can be ordered.
    available: i64,
    /// Pieces that open and paid orders hold.
    locked: i64,
    /// Pieces that were sold.
    sold: i64,
}

impl From<Sku> for SkuAnswer {
    fn from(sku: Sku) -> Self {
        Self {
            sku_id: sku.sku_id.to_string(),
            title: sku.title,
            price_fen: sku.price_fen.fen(),
            available: sku.available,
            locked: sku.locked,
            sold: sku.sold,
        }
    }
}

/// Makes a SKU, or changes its title and price.
#[utoipa::path(
    put, path = "/v1/skus/{sku_id}", tag = "skus", request_body = PutBody,
    params(("sku_id" = String, Path, description = "1 to 64 of A-Z a-z 0-9 . _ -")),
    responses(
        (status = 201, description = "made", body = SkuAnswer),
        (status = 200, description = "changed", body = SkuAnswer),
        (status = 400, description = "a field can't be used", body = Problem),
    )
)]
async fn put(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    SkuPath(sku_id): SkuPath,
    JsonBody(body): JsonBody<PutBody>,
) -> Result<Response, ApiError> {
    check_text("title", &body.title, TITLE_CHARS_MAX)?;
    check_range("price_fen", body.price_fen, 1, Fen::MAX.fen())?;
    check_range("stock", body.stock, 0, STOCK_MAX)?;
    let price_fen =
        Fen::new(body.price_fen).ok_or_else(|| ApiError::invalid("price_fen", "out of range"))?;
    let app = &state.app;
    let updated = skus::update(&app.store, &sku_id, &body.title, price_fen, app.now()).await?;
    let mut status = StatusCode::OK;
    if !updated {
        let new = Sku {
            sku_id: sku_id.clone(),
            title: body.title,
            price_fen,
            available: body.stock,
            locked: 0,
            sold: 0,
        };
        if skus::insert(&app.store, &new, &caller.name, app.now()).await? {
            status = StatusCode::CREATED;
        } else {
            skus::update(&app.store, &sku_id, &new.title, price_fen, app.now()).await?;
        }
    }
    Ok((status, Json(read(&state, &sku_id).await?)).into_response())
}

/// Shows a SKU.
#[utoipa::path(
    get, path = "/v1/skus/{sku_id}", tag = "skus",
    params(("sku_id" = String, Path, description = "the storefront's name of it")),
    responses(
        (status = 200, description = "the SKU", body = SkuAnswer),
        (status = 400, description = "a field can't be used", body = Problem),
        (status = 404, description = "there is none", body = Problem),
    )
)]
async fn show(
    State(state): State<HttpState>,
    SkuPath(sku_id): SkuPath,
) -> Result<Json<SkuAnswer>, ApiError> {
    read(&state, &sku_id).await.map(Json)
}

async fn read(state: &HttpState, sku_id: &SkuId) -> Result<SkuAnswer, ApiError> {
    let sku = skus::find(&state.app.store, sku_id).await?;
    sku.map(SkuAnswer::from).ok_or_else(|| ApiError::not_found("SKU").about("sku_id"))
}

/// A correction of a SKU's total.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AdjustBody {
    /// Pieces that came (positive) or went (negative).
    delta: i64,
    /// Why, 1 to 256 characters.
    reason: String,
    /// The caller's number: the same number adjusts once.
    request_no: String,
}

/// Corrects a SKU's total, never below what is locked and sold.
#[utoipa::path(
    post, path = "/v1/skus/{sku_id}/adjustments", tag = "skus", request_body = AdjustBody,
    params(("sku_id" = String, Path, description = "the storefront's name of it")),
    responses(
        (status = 200, description = "the SKU after it", body = SkuAnswer),
        (status = 400, description = "a field can't be used", body = Problem),
        (status = 404, description = "there is no such SKU", body = Problem),
        (status = 409, description = "the total would be too low or too high", body = Problem),
        (status = 422, description = "the number was used with another body", body = Problem),
    )
)]
async fn adjust(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    SkuPath(sku_id): SkuPath,
    JsonBody(body): JsonBody<AdjustBody>,
) -> Result<Json<SkuAnswer>, ApiError> {
    check_range("delta", body.delta, -STOCK_MAX, STOCK_MAX)?;
    if body.delta == 0 {
        return Err(ApiError::invalid("delta", "must not be 0"));
    }
    check_text("reason", &body.reason, REASON_CHARS_MAX)?;
    check_text("request_no", &body.request_no, REQUEST_NO_CHARS_MAX)?;
    read(&state, &sku_id).await?;
    let adjustment = Adjustment {
        sku_id: &sku_id,
        delta: body.delta,
        reason: &body.reason,
        request_no: &body.request_no,
        actor: &caller.name,
    };
    let app = &state.app;
    match skus::adjust(&app.store, &adjustment, STOCK_MAX, app.now()).await? {
        Adjusted::Done | Adjusted::Repeated => read(&state, &sku_id).await.map(Json),
        Adjusted::OtherRequest => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            let detail = "this request_no was used with another delta or reason";
            Err(ApiError::new(status, "request_no_reused", detail).about("request_no"))
        }
        Adjusted::OutOfRange => {
            let detail = "the total would fall below what is locked and sold, or grow too large";
            Err(ApiError::conflict("stock_out_of_range", detail).about("delta"))
        }
    }
}
