//! Orders: placing, reading, cancelling.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::error::{ApiError, Problem};
use super::input::{
    JsonBody, Object, OrderPath, QueryFields, check_range, check_text, idempotency_key,
};
use super::{HttpState, PLACING_WAIT};
use crate::domain::ids::SkuId;
use crate::hash::sha256_hex;
use crate::service::cancel_order::{Cancelled, cancel_order};
use crate::service::order_view::{OrderView, view_order};
use crate::service::place_order::{LINES_MAX, PlaceOrder, place_order};
use crate::store::payment_queries::{self, Logged};
use crate::store::skus::Quantity;
use crate::store::{history, orders};

/// Longest member id, class and order number.
const MEMBER_ID_CHARS_MAX: usize = 64;
const CLASS_CHARS_MAX: usize = 32;
/// Most pieces of one line.
const QUANTITY_MAX: i64 = 100_000;
/// Longest metadata (bytes of JSON).
const METADATA_BYTES_MAX: usize = 4_096;
/// A cancel that takes longer is answered 202 and goes on.
const CANCEL_BUDGET: Duration = Duration::from_secs(8);

pub(super) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new()
        .routes(routes!(place, find))
        .routes(routes!(show))
        .routes(routes!(events))
        .routes(routes!(cancel))
}

/// An order to place. Prices come from the SKU table.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlaceBody {
    /// The buyer, 1 to 64 characters.
    member_id: String,
    /// The order class, which chooses window and engine.
    class: Option<String>,
    /// What is bought, 1 to 20 lines; lines of the same SKU are added up.
    #[schema(value_type = Vec<PlaceItem>)]
    items: Vec<Object<PlaceItem>>,
    /// The storefront's own data: an object of at most 4,096 bytes.
    metadata: Option<serde_json::Map<String, serde_json::Value>>,
}

/// One line of an order to place.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlaceItem {
    /// What is bought.
    sku_id: String,
    /// How many pieces, at least 1.
    quantity: i64,
}

impl PlaceBody {
    fn into_request(self, storefront: String, key: String) -> Result<PlaceOrder, ApiError> {
        check_text("member_id", &self.member_id, MEMBER_ID_CHARS_MAX)?;
        if let Some(class) = &self.class {
            check_text("class", class, CLASS_CHARS_MAX)?;
        }
        let metadata = match self.metadata {
            Some(metadata) => serde_json::Value::Object(metadata).to_string(),
            None => "null".to_owned(),
        };
        if metadata.len() > METADATA_BYTES_MAX {
            return Err(ApiError::invalid("metadata", "at most 4096 bytes of JSON"));
        }
        let quantities = add_up(&self.items)?;
        let lines = quantities.iter().map(|line| (line.sku_id.as_str(), line.pieces));
        let lines = json!(lines.collect::<Vec<_>>()).to_string();
        let class = json!(self.class).to_string();
        let request_hash = sha256_hex(&[&self.member_id, &class, &lines, &metadata]);
        Ok(PlaceOrder {
            storefront,
            idempotency_key: key,
            request_hash,
            member_id: self.member_id,
            class: self.class,
            quantities,
            metadata,
        })
    }
}

/// Lines in ascending order of their SKU ids, each SKU once.
fn add_up(items: &[Object<PlaceItem>]) -> Result<Vec<Quantity>, ApiError> {
    if items.is_empty() || items.len() > LINES_MAX {
        return Err(ApiError::invalid("items", format!("1 to {LINES_MAX} lines")));
    }
    let mut pieces_of: BTreeMap<SkuId, i64> = BTreeMap::new();
    for (index, Object(item)) in items.iter().enumerate() {
        let field = |name: &str| format!("items[{index}].{name}");
        let sku_id = SkuId::parse(&item.sku_id).ok_or_else(|| {
            ApiError::invalid(field("sku_id"), "1 to 64 of the characters A-Z a-z 0-9 . _ -")
        })?;
        check_range(&field("quantity"), item.quantity, 1, QUANTITY_MAX)?;
        *pieces_of.entry(sku_id).or_default() += item.quantity;
    }
    Ok(pieces_of.into_iter().map(|(sku_id, pieces)| Quantity { sku_id, pieces }).collect())
}

/// Places an order and locks its stock.
#[utoipa::path(
    post, path = "/v1/orders", tag = "orders", request_body = PlaceBody,
    params(
        ("Idempotency-Key" = String, Header, description = "same key and body, same answer"),
    ),
    responses(
        (status = 201, description = "the order", body = OrderView),
        (status = 400, description = "a field can't be used", body = Problem),
        (status = 409, description = "out of stock", body = Problem),
        (status = 422, description = "the key was used with another body", body = Problem),
        (status = 503, description = "overloaded, try again", body = Problem),
    )
)]
async fn place(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<PlaceBody>,
) -> Result<Response, ApiError> {
    let request = body.into_request(caller.name, idempotency_key(&headers)?)?;
    let turn = tokio::time::timeout(PLACING_WAIT, state.placing.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        return Err(ApiError::unavailable("overloaded", "too many orders at once, try again"));
    };
    let placed = place_order(&state.app, &state.half_messages, &state.events, &request).await?;
    let media_type = HeaderValue::from_static("application/json");
    let mut response =
        (StatusCode::CREATED, [(header::CONTENT_TYPE, media_type)], placed.body).into_response();
    if placed.repeated {
        let repeated = HeaderValue::from_static("true");
        response.headers_mut().insert("idempotency-replayed", repeated);
    }
    Ok(response)
}

/// Which order to find.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FindFields {
    order_no: String,
}

/// Finds an order by the storefront's number.
#[utoipa::path(
    get, path = "/v1/orders", tag = "orders",
    params(("order_no" = String, Query, description = "the storefront's number")),
    responses(
        (status = 200, description = "the order", body = OrderView),
        (status = 400, description = "a field can't be used", body = Problem),
        (status = 404, description = "there is none", body = Problem),
    )
)]
async fn find(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    QueryFields(fields): QueryFields<FindFields>,
) -> Result<Json<OrderView>, ApiError> {
    let store = &state.app.store;
    let id = orders::find_by_order_no(store, &caller.name, &fields.order_no).await?;
    let Some(id) = id else { return Err(ApiError::not_found("order").about("order_no")) };
    let view = view_order(&state.app, &id).await?;
    view.map(Json).ok_or_else(|| ApiError::not_found("order"))
}

/// Shows an order.
#[utoipa::path(
    get, path = "/v1/orders/{id}", tag = "orders",
    params(("id" = String, Path, description = "the order's id")),
    responses(
        (status = 200, description = "the order", body = OrderView),
        (status = 404, description = "there is none", body = Problem),
    )
)]
async fn show(
    State(state): State<HttpState>,
    OrderPath(id): OrderPath,
) -> Result<Json<OrderView>, ApiError> {
    let view = view_order(&state.app, &id).await?;
    view.map(Json).ok_or_else(|| ApiError::not_found("order"))
}

/// An order's history.
#[derive(Debug, Serialize, ToSchema)]
struct EventsAnswer {
    /// Oldest first.
    #[schema(value_type = Vec<Object>)]
    events: Vec<history::Event>,
    /// What the gateway was asked about its payments, oldest first; the latest 200.
    #[schema(value_type = Vec<Object>)]
    queries: Vec<Logged>,
}

/// Shows an order's history: who changed what, when and why.
#[utoipa::path(
    get, path = "/v1/orders/{id}/events", tag = "orders",
    params(("id" = String, Path, description = "the order's id")),
    responses(
        (status = 200, description = "its history", body = EventsAnswer),
        (status = 404, description = "there is no such order", body = Problem),
    )
)]
async fn events(
    State(state): State<HttpState>,
    OrderPath(id): OrderPath,
) -> Result<Json<EventsAnswer>, ApiError> {
    let events = history::list(&state.app.store, &id).await?;
    if events.is_empty() {
        return Err(ApiError::not_found("order"));
    }
    let queries = payment_queries::of_order(&state.app.store, &id).await?;
    Ok(Json(EventsAnswer { events, queries }))
}

/// Cancels an order that isn't paid.
#[utoipa::path(
    post, path = "/v1/orders/{id}/cancel", tag = "orders",
    params(("id" = String, Path, description = "the order's id")),
    responses(
        (status = 200, description = "cancelled", body = OrderView),
        (status = 202, description = "in progress: an answer is missing", body = OrderView),
        (status = 404, description = "there is no such order", body = Problem),
        (status = 409, description = "it is paid", body = Problem),
    )
)]
async fn cancel(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    OrderPath(id): OrderPath,
) -> Result<Response, ApiError> {
    let app = Arc::clone(&state.app);
    let order_id = id.clone();
    let cancelling =
        state.tasks.spawn(async move { cancel_order(&app, &order_id, &caller.name).await });
    let status = match tokio::time::timeout(CANCEL_BUDGET, cancelling).await {
        Ok(Ok(result)) => match result? {
            Cancelled::Cancelled => StatusCode::OK,
            Cancelled::InProgress => StatusCode::ACCEPTED,
            Cancelled::Paid => return Err(ApiError::conflict("order_paid", "the order is paid")),
            Cancelled::NoSuchOrder => return Err(ApiError::not_found("order")),
        },
        Ok(Err(error)) => {
            tracing::error!(%error, order.id = %id, "a cancel died");
            StatusCode::ACCEPTED
        }
        Err(_) => StatusCode::ACCEPTED,
    };
    let view = view_order(&state.app, &id).await?;
    let view = view.ok_or_else(|| ApiError::not_found("order"))?;
    Ok((status, Json(view)).into_response())
}
