//! Open alarms, and noting who looks at one.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::cells::{Act, Asked, Cell, Table};
use super::failure::Failure;
use super::pulse::{PAGE_ROWS, cut_page};
use super::said::back_in_silence;
use super::session::{Form, Session};
use super::{Frame, List, html};
use crate::domain::alarm::AlarmKind;
use crate::http::HttpState;
use crate::http::admin::REASON_CHARS_MAX;
use crate::http::input::{QueryFields, TextPath, check_text};
use crate::service::handle_alarm::{acknowledge_alarm, resolve_alarm};
use crate::store::alarms::{self, AlarmRecord};

const PATH: &str = "/ops/alarms";

const REASON: Asked =
    Asked { name: "reason", hint: "Why it is settled", chars_max: REASON_CHARS_MAX };

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
        about: "What a person has to look at, newest first. An alarm stays open until its cause is \
                gone or somebody settles it, and escalates if that takes too long.",
        notice: None,
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
        kind(alarm),
        Cell::alarm_subject(alarm),
        Cell::text(alarm.detail.as_str()),
        Cell::lines(opened),
        Cell::number(alarm.count),
        state(alarm, session, back),
    ]
}

fn kind(alarm: &AlarmRecord) -> Cell {
    let mut lines = vec![Cell::alarm_kind(alarm)];
    if alarm.escalations > 0 && alarm.resolved_at.is_none() {
        lines.push(Cell::status("escalated"));
    }
    Cell::lines(lines)
}

/// When an open alarm is told of again if nobody settles it.
fn escalates(alarm: &AlarmRecord) -> [Cell; 2] {
    let at = AlarmKind::parse(&alarm.kind)
        .map(|kind| kind.escalates_at(alarm.opened_at, alarm.acknowledged_at, alarm.escalated_at));
    match at {
        Some(at) => [Cell::text("escalates"), Cell::at(at)],
        None => [Cell::Nothing, Cell::Nothing],
    }
}

fn state(alarm: &AlarmRecord, session: &Session, back: &str) -> Cell {
    let button = |what: &str, label, asks| {
        Cell::Act(Box::new(Act {
            id: format!("{what}-{}", alarm.id),
            action: format!("{PATH}/{}/{what}", alarm.id),
            label,
            asks,
            csrf: session.csrf.clone(),
            back: back.to_owned(),
        }))
    };
    let mut lines = Vec::new();
    if let Some(at) = alarm.resolved_at {
        lines.extend([Cell::status("resolved"), Cell::at(at)]);
        if let Some(by) = &alarm.resolved_by {
            lines.push(Cell::text(format!("by {by}")));
        }
        if let Some(because) = &alarm.resolved_because {
            lines.push(Cell::text(because.as_str()));
        }
    }
    match (&alarm.acknowledged_by, alarm.acknowledged_at) {
        (Some(by), at) => {
            lines.extend([Cell::text(format!("seen by {by}")), Cell::at_opt(at)]);
        }
        (None, _) if alarm.resolved_at.is_none() => {
            lines.push(button("acknowledge", "Acknowledge", None));
        }
        (None, _) => {}
    }
    if alarm.resolved_at.is_none() {
        lines.extend(escalates(alarm));
        lines.push(button("resolve", "Resolve", Some(REASON)));
    }
    Cell::lines(lines)
}

pub(super) async fn acknowledge(
    State(state): State<HttpState>,
    Extension(session): Extension<Session>,
    Extension(form): Extension<Form>,
    TextPath(id): TextPath,
) -> Result<Response, Failure> {
    acknowledge_alarm(&state.app, &id, &session.operator).await?;
    Ok(back_in_silence(&form, PATH))
}

pub(super) async fn resolve(
    State(state): State<HttpState>,
    Extension(session): Extension<Session>,
    Extension(form): Extension<Form>,
    TextPath(id): TextPath,
) -> Result<Response, Failure> {
    let reason = form.field("reason").unwrap_or_default().trim();
    if check_text("reason", reason, REASON_CHARS_MAX).is_err() {
        let detail = "Say in up to 250 characters why it is settled: that stands in the history.";
        return Err(Failure::invalid(detail));
    }
    resolve_alarm(&state.app, &id, &session.operator, reason).await?;
    Ok(back_in_silence(&form, PATH))
}
