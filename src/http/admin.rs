//! The operators' API.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::HttpState;
use super::auth::Caller;
use super::error::{ApiError, Problem};
use super::input::TextPath;
use crate::store::alarms::{self, AlarmRecord};

/// Most alarms that one answer lists.
const ALARMS_MAX: i64 = 500;

pub(super) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(acknowledge))
}

/// The open alarms.
#[derive(Debug, Serialize, ToSchema)]
struct AlarmsAnswer {
    /// Newest first.
    #[schema(value_type = Vec<Object>)]
    alarms: Vec<AlarmRecord>,
}

/// Lists the open alarms.
#[utoipa::path(
    get, path = "/v1/admin/alarms", tag = "operators",
    responses((status = 200, description = "the open alarms", body = AlarmsAnswer))
)]
async fn list(State(state): State<HttpState>) -> Result<Json<AlarmsAnswer>, ApiError> {
    let alarms = alarms::open(&state.app.store, ALARMS_MAX).await?;
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
    let app = &state.app;
    let alarm = alarms::acknowledge(&app.store, &id, &caller.name, app.now()).await?;
    alarm.map(Json).ok_or_else(|| ApiError::not_found("alarm").about("id"))
}
