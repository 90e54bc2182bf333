//! Health and metrics. Without a broker or a gateway the service still takes orders and payments,
//! so only the database, and draining, make it unready.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::HttpState;
use super::error::ApiError;
use crate::app::App;
use crate::domain::alarm::AlarmKind;
use crate::domain::bill::BillDay;
use crate::domain::reconciliation::DayState;
use crate::metrics::{ClassLabel, KindLabel, StateLabel};
use crate::service::audit_turn::last_counts;
use crate::service::reconcile::schedule::DAYS_BACK_MAX;
use crate::store::{
    StoreError, alarm_notices, alarms, bill_days, bill_differences, outbox, pending,
};

/// States in which it is not ready.
const NO_DATABASE: &str = "no_database";
const DRAINING: &str = "draining";

pub(super) fn router() -> Router<HttpState> {
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
}

/// How this instance and what it depends on are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Readiness {
    status: &'static str,
    database: &'static str,
    broker: &'static str,
    gateway: &'static str,
    clock: &'static str,
    broker_settings: &'static str,
}

async fn readyz(State(state): State<HttpState>) -> Response {
    let readiness = Readiness::read(&state).await;
    let code = match readiness.status {
        NO_DATABASE | DRAINING => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    (code, Json(readiness)).into_response()
}

impl Readiness {
    /// Looks at everything now.
    pub(super) async fn read(state: &HttpState) -> Self {
        let draining = state.stop.is_cancelled();
        let database = database_ready(state).await;
        let broker = state.half_messages.reachable();
        let gateway = state.app.gateway_answers();
        let clock = state.app.may_cancel();
        let broker_settings = state.app.half_messages_fit();
        let status = match (database, draining) {
            (false, _) => NO_DATABASE,
            (true, true) => DRAINING,
            (true, false) => word(broker && gateway && clock && broker_settings),
        };
        Self {
            status,
            database: word(database),
            broker: word(broker),
            gateway: word(gateway),
            clock: word(clock),
            broker_settings: word(broker_settings),
        }
    }
}

async fn database_ready(state: &HttpState) -> bool {
    let ready = state.app.store.ready().await;
    if let Err(error) = &ready {
        let error: &(dyn std::error::Error + 'static) = error;
        tracing::warn!(error, "not ready: the database can't be worked with");
    }
    ready.is_ok()
}

fn word(healthy: bool) -> &'static str {
    if healthy { "ok" } else { "degraded" }
}

async fn metrics(State(state): State<HttpState>) -> Result<Response, ApiError> {
    if let Err(error) = refresh(&state).await {
        tracing::warn!(%error, "gauges keep their last values: the database did not answer");
    }
    refresh_budget(&state.app);
    let text = state.app.metrics.encode().map_err(|error| {
        tracing::error!(%error, "metrics can't be written");
        ApiError::unavailable("metrics_unavailable", "metrics can't be written")
    })?;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}

/// How often the account that makes new attempts may be called.
fn refresh_budget(app: &App) {
    let Some((calls_per_minute, classes)) = app.gateway_budget() else { return };
    app.metrics.gateway_share.set(calls_per_minute);
    for (class, waiting) in classes {
        let label = ClassLabel { class: class.as_str().to_owned() };
        app.metrics.gateway_waiting.get_or_create(&label).set(waiting);
    }
}

/// Gauges that the database knows.
async fn refresh(state: &HttpState) -> Result<(), StoreError> {
    let app = &state.app;
    let backlog = pending::backlog(&app.store, app.now()).await?;
    app.metrics.pending_rows.set(backlog.rows);
    app.metrics.pending_due.set(backlog.due);
    let age_ms = match backlog.oldest_created_at_ms {
        0 => 0,
        created_at_ms => app.now().timestamp_millis() - created_at_ms,
    };
    app.metrics.pending_oldest.set(age_ms / 1_000);
    app.metrics.outbox_unpublished.set(outbox::unpublished(&app.store).await?);
    let open = alarms::open_by_kind(&app.store).await?;
    for kind in AlarmKind::ALL {
        let count = open.iter().find(|(name, _)| name == kind.as_str()).map_or(0, |(_, n)| *n);
        let label = KindLabel { kind: kind.as_str().to_owned() };
        app.metrics.alarms_open.get_or_create(&label).set(count);
    }
    app.metrics.alarms_escalated.set(alarms::escalated(&app.store).await?);
    refresh_bills(app).await?;
    let is_told = app.config.alarms.webhook_url.is_some();
    // Without a webhook nobody waits for them.
    let waiting = if is_told { alarm_notices::undelivered(&app.store).await? } else { 0 };
    app.metrics.alarm_notices_waiting.set(waiting);
    if let Some((at_ms, counts)) = last_counts(app).await? {
        app.metrics.audit_last_run.set(at_ms / 1_000);
        app.metrics.audited(counts.violations.iter(), counts.late.iter());
    }
    Ok(())
}

async fn refresh_bills(app: &App) -> Result<(), StoreError> {
    let first = BillDay::of(app.now()).plus_days(-DAYS_BACK_MAX);
    let days = bill_days::by_state(&app.store, first).await?;
    for state in DayState::ALL {
        let count = days.iter().find(|(name, _)| name == state.as_str()).map_or(0, |(_, n)| *n);
        let label = StateLabel { state: state.as_str().to_owned() };
        app.metrics.bill_days.get_or_create(&label).set(count);
    }
    app.metrics.bill_differences.set(bill_differences::open(&app.store).await?);
    Ok(())
}
