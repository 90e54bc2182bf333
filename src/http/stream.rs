//! Live state of an order for storefronts.

use axum::Extension;
use axum::extract::State;
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::HttpState;
use super::auth::Caller;
use super::error::{ApiError, Problem};
use super::input::OrderPath;
use super::live;

pub(super) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(stream))
}

/// Sends the order now and after each change, as server-sent events named `order`.
#[utoipa::path(
    get, path = "/v1/orders/{id}/stream", tag = "orders",
    params(("id" = String, Path, description = "the order's id")),
    responses(
        (status = 200, description = "text/event-stream of orders"),
        (status = 404, description = "there is no such order", body = Problem),
    )
)]
async fn stream(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    OrderPath(id): OrderPath,
) -> Result<impl IntoResponse, ApiError> {
    live::order_stream(&state, id, caller).await
}
