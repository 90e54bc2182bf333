//! What operators decide about money: payments that no order could take, and refused refunds.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::HttpState;
use super::auth::Caller;
use super::error::{ApiError, Problem};
use super::input::{JsonBody, TextPath, check_text};
use crate::domain::ids::{OrderId, OutRequestNo, OutTradeNo};
use crate::service::accept_payment::accept_payment;
use crate::service::attach_payment::attach_payment;
use crate::service::order_view::RefundView;
use crate::service::refund_payment::refund_payment;
use crate::service::retry_refund::{retry_refund, settle_refund_elsewhere};

/// Longest reason or reference.
pub(super) const TEXT_CHARS_MAX: usize = 256;

pub(super) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new()
        .routes(routes!(accept))
        .routes(routes!(refund))
        .routes(routes!(attach))
        .routes(routes!(retry))
        .routes(routes!(paid_elsewhere))
}

/// Why a payment goes back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReasonBody {
    /// In the operator's words; the buyer reads it at the gateway.
    reason: String,
}

/// The order that a payment belongs to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AttachBody {
    /// Its id.
    order_id: String,
}

/// How a refund was paid by other means.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReferenceBody {
    /// Where the money can be found: a bank's reference, for example.
    reference: String,
}

/// The order that a decision was about.
#[derive(Debug, Serialize, ToSchema)]
struct Decided {
    /// Its id.
    order_id: String,
}

/// Accepts a payment of a wrong amount: its order is paid with it, and costs what was paid.
#[utoipa::path(
    post, path = "/v1/admin/payments/{id}/accept", tag = "operators",
    params(("id" = String, Path, description = "the payment's out_trade_no")),
    responses(
        (status = 200, description = "the order is paid", body = Decided),
        (status = 404, description = "there is no such payment", body = Problem),
        (status = 409, description = "not_quarantined, refund_on_its_way, order_cant_take_it, \
            out_of_stock", body = Problem),
    )
)]
async fn accept(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    TextPath(id): TextPath,
) -> Result<Json<Decided>, ApiError> {
    let order_id = accept_payment(&state.app, &payment(&id), &caller.name).await?;
    Ok(Json(Decided { order_id: order_id.to_string() }))
}

/// Gives back what is left of a payment that its order can't take: one of a wrong amount, one
/// without an attempt, a late or a duplicate one.
#[utoipa::path(
    post, path = "/v1/admin/payments/{id}/refund", tag = "operators", request_body = ReasonBody,
    params(("id" = String, Path, description = "the payment's out_trade_no")),
    responses(
        (status = 202, description = "it is stored and will be sent", body = RefundView),
        (status = 400, description = "a field can't be used", body = Problem),
        (status = 404, description = "there is no such payment", body = Problem),
        (status = 409, description = "not_quarantined, refund_on_its_way", body = Problem),
    )
)]
async fn refund(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    TextPath(id): TextPath,
    JsonBody(body): JsonBody<ReasonBody>,
) -> Result<(StatusCode, Json<RefundView>), ApiError> {
    check_text("reason", &body.reason, TEXT_CHARS_MAX)?;
    let record = refund_payment(&state.app, &payment(&id), &body.reason, &caller.name).await?;
    Ok((StatusCode::ACCEPTED, Json(RefundView::from(&record))))
}

/// Gives a payment without an attempt to an order; the gateway decides what it is there.
#[utoipa::path(
    post, path = "/v1/admin/payments/{id}/attach", tag = "operators", request_body = AttachBody,
    params(("id" = String, Path, description = "the payment's out_trade_no")),
    responses(
        (status = 200, description = "it is an attempt of that order now", body = Decided),
        (status = 400, description = "a field can't be used", body = Problem),
        (status = 404, description = "there is no such payment or order", body = Problem),
        (status = 409, description = "not_quarantined, refund_on_its_way, \
         payment_not_confirmed", body = Problem),
    )
)]
async fn attach(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    TextPath(id): TextPath,
    JsonBody(body): JsonBody<AttachBody>,
) -> Result<Json<Decided>, ApiError> {
    let order_id = OrderId::parse(&body.order_id)
        .ok_or_else(|| ApiError::not_found("order").about("order_id"))?;
    attach_payment(&state.app, &payment(&id), &order_id, &caller.name).await?;
    Ok(Json(Decided { order_id: order_id.to_string() }))
}

/// Sends a refused refund again, under its own number.
#[utoipa::path(
    post, path = "/v1/admin/refunds/{id}/retry", tag = "operators",
    params(("id" = String, Path, description = "the refund's out_request_no")),
    responses(
        (status = 202, description = "it will be sent"),
        (status = 404, description = "there is no such refund", body = Problem),
        (status = 409, description = "not_refused, more_than_left, items_not_left",
            body = Problem),
    )
)]
async fn retry(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    TextPath(id): TextPath,
) -> Result<StatusCode, ApiError> {
    retry_refund(&state.app, &OutRequestNo::from_trusted(id), &caller.name).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Notes that a refused refund was paid by other means.
#[utoipa::path(
    post, path = "/v1/admin/refunds/{id}/paid-elsewhere", tag = "operators",
    request_body = ReferenceBody,
    params(("id" = String, Path, description = "the refund's out_request_no")),
    responses(
        (status = 204, description = "it counts as succeeded"),
        (status = 400, description = "a field can't be used", body = Problem),
        (status = 404, description = "there is no such refund", body = Problem),
        (status = 409, description = "not_refused, more_than_left, items_not_left",
            body = Problem),
    )
)]
async fn paid_elsewhere(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    TextPath(id): TextPath,
    JsonBody(body): JsonBody<ReferenceBody>,
) -> Result<StatusCode, ApiError> {
    check_text("reference", &body.reference, TEXT_CHARS_MAX)?;
    let no = OutRequestNo::from_trusted(id);
    settle_refund_elsewhere(&state.app, &no, &body.reference, &caller.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A number that can't be one isn't found.
fn payment(number: &str) -> OutTradeNo {
    OutTradeNo::from_trusted(number)
}
