//! The operators' API.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::HttpState;
use super::auth::Caller;
use super::error::{ApiError, Problem};
use super::input::{JsonBody, QueryFields, TextPath, check_range, check_text};
use crate::service::handle_alarm::{acknowledge_alarm, resolve_alarm};
use crate::store::alarms::{self, AlarmRecord};

/// Most alarms that one answer lists.
const ALARMS_MAX: i64 = 500;
/// Longest reason for resolving one.
pub(super) const REASON_CHARS_MAX: usize = 250;

pub(super) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(acknowledge)).routes(routes!(resolve))
}

/// The open alarms.
#[derive(Debug, Serialize, ToSchema)]
struct AlarmsAnswer {
    /// Newest first.
    #[schema(value_type = Vec<Object>)]
    alarms: Vec<AlarmRecord>,
}

/// Which of the open alarms.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListFields {
    /// Only alarms that were opened before this one.
    before: Option<String>,
    /// How many at most.
    limit: Option<i64>,
}

/// Lists the open alarms.
#[utoipa::path(
    get, path = "/v1/admin/alarms", tag = "operators",
    params(
        ("before" = Option<String>, Query, description = "the last id of the page before"),
        ("limit" = Option<i64>, Query, description = "1 to 500, which is the default"),
    ),
    responses(
        (status = 200, description = "the open alarms", body = AlarmsAnswer),
        (status = 400, description = "a field can't be used", body = Problem),
    )
)]
async fn list(
    State(state): State<HttpState>,
    QueryFields(fields): QueryFields<ListFields>,
) -> Result<Json<AlarmsAnswer>, ApiError> {
    let store = &state.app.store;
    let rows_max = fields.limit.unwrap_or(ALARMS_MAX);
    check_range("limit", rows_max, 1, ALARMS_MAX)?;
    let before = match fields.before {
        Some(id) => {
            let found = alarms::find(store, &id).await?;
            Some(found.ok_or_else(|| ApiError::invalid("before", "there is no such alarm"))?)
        }
        None => None,
    };
    let alarms = alarms::open_before(store, before.as_ref(), rows_max).await?;
    Ok(Json(AlarmsAnswer { alarms }))
}

/// Notes that an operator has seen an alarm.
#[utoipa::path(
    post, path = "/v1/admin/alarms/{id}/acknowledge", tag = "operators",
    params(("id" = String, Path, description = "the alarm's id")),
    responses(
        (status = 200, description = "the alarm", body = Object),
        (status = 404, description = "there is no such alarm", body = Problem),
    )
)]
async fn acknowledge(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    TextPath(id): TextPath,
) -> Result<Json<AlarmRecord>, ApiError> {
    Ok(Json(acknowledge_alarm(&state.app, &id, &caller.name).await?))
}

/// Why an alarm is settled.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ResolveBody {
    /// In the operator's words, 1 to 250 characters; it stands in the order's history.
    reason: String,
}

/// Resolves an alarm in the operator's name. What money and orders still need is refused: it ends
/// when its cause is settled.
#[utoipa::path(
    post, path = "/v1/admin/alarms/{id}/resolve", tag = "operators", request_body = ResolveBody,
    params(("id" = String, Path, description = "the alarm's id")),
    responses(
        (status = 200, description = "the alarm", body = Object),
        (status = 400, description = "a field can't be used", body = Problem),
        (status = 404, description = "there is no such alarm", body = Problem),
        (status = 409, description = "alarm_unsettled: its cause is still there", body = Problem),
    )
)]
async fn resolve(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    TextPath(id): TextPath,
    JsonBody(body): JsonBody<ResolveBody>,
) -> Result<Json<AlarmRecord>, ApiError> {
    check_text("reason", &body.reason, REASON_CHARS_MAX)?;
    Ok(Json(resolve_alarm(&state.app, &id, &caller.name, body.reason.trim()).await?))
}
