//! Half messages that the broker gave up on: the light poll settles their orders.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::failure::Failure;
use super::pulse::PAGE_ROWS;
use super::session::Session;
use super::{Frame, List, alarms as alarms_page, html};
use crate::domain::alarm::AlarmKind;
use crate::http::HttpState;
use crate::store::alarms;

const PATH: &str = "/ops/given-up";

pub(super) async fn page(
    State(state): State<HttpState>,
    Extension(session): Extension<Session>,
) -> Result<Response, Failure> {
    let kind = AlarmKind::HalfMessageGivenUp;
    let alarms = alarms::of_kind(&state.app.store, kind, PAGE_ROWS).await?;
    let page = List {
        frame: Frame::new(&state, &session, "Given-up half messages", PATH),
        about: "The broker checked back as often as it may and gave up; the light poll ends these \
                orders. The newest, open and resolved.",
        notice: None,
        table: alarms_page::table(&alarms, &session, PATH),
        next: None,
    };
    Ok(html(StatusCode::OK, &page))
}
