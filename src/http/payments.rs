//! Payment attempts.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::HttpState;
use super::error::{ApiError, Problem};
use super::input::{JsonBody, OrderPath};
use crate::service::request_payment::{CHANNEL, OpenPayment, request_payment};

pub(super) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(start))
}

/// A payment to start.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct StartBody {
    /// The way of paying: `alipay`.
    channel: String,
    /// Close the open attempt where that is possible, and make another.
    #[serde(default)]
    new: bool,
}

/// A payment that the buyer can make.
#[derive(Debug, Serialize, ToSchema)]
struct PaymentAnswer {
    /// Its number at the gateway.
    out_trade_no: String,
    /// The text of the QR code.
    qr_code: String,
    /// The QR code as SVG.
    qr_svg_url: String,
    /// The QR code as PNG.
    qr_png_url: String,
    /// Until when it can be paid.
    expires_at: DateTime<Utc>,
}

/// Starts a payment, or returns the open one.
#[utoipa::path(
    post, path = "/v1/orders/{id}/payments", tag = "payments", request_body = StartBody,
    params(("id" = String, Path, description = "the order's id")),
    responses(
        (status = 201, description = "a new attempt", body = PaymentAnswer),
        (status = 200, description = "the open attempt", body = PaymentAnswer),
        (status = 400, description = "a field can't be used", body = Problem),
        (status = 404, description = "there is no such order", body = Problem),
        (status = 409, description = "order_paid, order_cancelled, order_expired, \
            too_many_attempts", body = Problem),
        (status = 503, description = "the gateway gave no answer: ask again", body = Problem),
    )
)]
async fn start(
    State(state): State<HttpState>,
    OrderPath(id): OrderPath,
    JsonBody(body): JsonBody<StartBody>,
) -> Result<Response, ApiError> {
    if body.channel != CHANNEL {
        return Err(ApiError::invalid("channel", "this release has the channel \"alipay\" only"));
    }
    let OpenPayment { record, is_new } =
        request_payment(&state.app, &state.events, &id, body.new).await?;
    let page = format!("{}/pay/{id}", state.public_url);
    let answer = PaymentAnswer {
        out_trade_no: record.attempt.out_trade_no.to_string(),
        qr_code: record.qr_code.unwrap_or_default(),
        qr_svg_url: format!("{page}/qr.svg"),
        qr_png_url: format!("{page}/qr.png"),
        expires_at: record.expires_at,
    };
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(answer)).into_response())
}
