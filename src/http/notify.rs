//! The gateway's webhook. The body `success` is written only after the effect is committed;
//! anything else brings the notification again.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;

use super::HttpState;
use super::error::ApiError;
use super::input::RawBody;
use crate::service::accept_notification::{Accepted, NotificationError, accept_notification};

/// Exactly these seven bytes stop the gateway from sending it again.
const SUCCESS: &str = "success";

pub(super) fn router() -> Router<HttpState> {
    Router::new().route("/v1/alipay/notify", post(notify))
}

async fn notify(
    State(state): State<HttpState>,
    body: Result<RawBody, ApiError>,
) -> Result<&'static str, ApiError> {
    let metrics = &state.app.metrics;
    let RawBody(raw) = body.inspect_err(|_| {
        metrics.notification("refused");
        metrics.notification_refused("unreadable");
    })?;
    match accept_notification(&state.app, &raw).await {
        Ok(accepted) => {
            metrics.notification(effect(accepted));
            Ok(SUCCESS)
        }
        Err(NotificationError::Refused(error)) => {
            metrics.notification("refused");
            metrics.notification_refused(error.code());
            if state.refused.takes(state.app.now()) {
                tracing::warn!(%error, bytes = raw.len(), "a notification is refused");
            }
            Err(ApiError::new(StatusCode::BAD_REQUEST, "notification_refused", error.to_string())
                .about("body"))
        }
        Err(NotificationError::GatewayUnknown) => {
            metrics.notification("postponed");
            let detail = "the gateway could not be asked about it, send it again";
            Err(ApiError::unavailable("gateway_unknown", detail))
        }
        Err(NotificationError::Store(error)) => {
            metrics.notification("failed");
            Err(error.into())
        }
    }
}

fn effect(accepted: Accepted) -> &'static str {
    match accepted {
        Accepted::Processed => "processed",
        Accepted::Repeated => "repeated",
        Accepted::Orphan => "orphan",
        Accepted::NotOurs => "not_ours",
    }
}
