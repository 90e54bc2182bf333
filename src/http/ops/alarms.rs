//! Open alarms, and noting who looks at one.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::cells::{Cell, Table};
use super::failure::Failure;
use super::pulse::{PAGE_ROWS, cut_page};
use super::session::{Form, Session, page_of_ours};
use super::{Frame, List, html};
use crate::http::HttpState;
use crate::http::input::{QueryFields, TextPath};
use crate::store::alarms::{self, AlarmRecord};

const PATH: &str = "/ops/alarms";

#[derive(Debug, Deserialize)]
pub(super) struct Fields {
    /// The last alarm of the page before.
    before: Option<String>,
}

pub(super) async fn page(
    State(state): State<HttpState>,
    Extension(session): Extension<Session>,
    QueryFields(fields): QueryFields<Fields>,
) -> Result<Response, Failure> {
    let store = &state.app.store;
    let before = match &fields.before {
        Some(id) => Some(alarms::find(store, id).await?.ok_or(Failure::not_found("page"))?),
        None => None,
    };
    let mut open = alarms::open_before(store, before.as_ref(), PAGE_ROWS + 1).await?;
    let more = cut_page(&mut open);
    let next = open.last().filter(|_| more).map(|last| format!("{PATH}?before={}", last.id));
    let page = List {
        frame: Frame::new(&state, &session, "Open alarms", PATH).live("/ops/stream"),
        about: "What a person has to look at, newest first. An acknowledged alarm stays open until \
                its cause is gone.",
        table: table(&open, &session, PATH),
        next,
    };
    Ok(html(StatusCode::OK, &page))
}

/// Alarms with their buttons.
pub(super) fn table(alarms: &[AlarmRecord], session: &Session, back: &str) -> Table {
    Table {
        heads: &["Kind", "Subject", "What happened", "Opened", "Times", "State"],
        rows: alarms.iter().map(|alarm| row(alarm, session, back)).collect(),
        empty: "No alarm.",
    }
}

fn row(alarm: &AlarmRecord, session: &Session, back: &str) -> Vec<Cell> {
    let mut opened = vec![Cell::at(alarm.opened_at)];
    if alarm.last_at != alarm.opened_at {
        opened.extend([Cell::text("last"), Cell::at(alarm.last_at)]);
    }
    vec![
        Cell::alarm_kind(alarm),
        Cell::alarm_subject(alarm),
        Cell::text(alarm.detail.as_str()),
        Cell::lines(opened),
        Cell::number(alarm.count),
        state(alarm, session, back),
    ]
}

fn state(alarm: &AlarmRecord, session: &Session, back: &str) -> Cell {
    let mut lines = Vec::new();
    if let Some(at) = alarm.resolved_at {
        lines.extend([Cell::status("resolved"), Cell::at(at)]);
    }
    match (&alarm.acknowledged_by, alarm.acknowledged_at) {
        (Some(by), at) => {
            lines.extend([Cell::text(format!("seen by {by}")), Cell::at_opt(at)]);
        }
        (None, _) if alarm.resolved_at.is_none() => lines.push(Cell::Acknowledge {
            id: alarm.id.clone(),
            csrf: session.csrf.clone(),
            back: back.to_owned(),
        }),
        (None, _) => {}
    }
    Cell::lines(lines)
}

pub(super) async fn acknowledge(
    State(state): State<HttpState>,
    Extension(session): Extension<Session>,
    Extension(form): Extension<Form>,
    TextPath(id): TextPath,
) -> Result<Response, Failure> {
    let (store, now) = (&state.app.store, state.app.now());
    let alarm = alarms::acknowledge(store, &id, &session.operator, now).await?;
    if alarm.is_none() {
        return Err(Failure::not_found("alarm"));
    }
    let back = form.field("back").and_then(page_of_ours).unwrap_or(PATH);
    Ok(Redirect::to(back).into_response())
}
