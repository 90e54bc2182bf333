//! Refunds that are under way or refused, and what an operator makes of a refused one.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::cells::{Act, Asked, Cell, Table};
use super::failure::Failure;
use super::pulse::{PAGE_ROWS, cut_page};
use super::said::{NOT_SAID, back, notice, refused};
use super::session::{Form, Session};
use super::{Frame, List, html, place};
use crate::domain::ids::OutRequestNo;
use crate::domain::refund::{RefundCause, RefundStatus};
use crate::http::HttpState;
use crate::http::admin_money::TEXT_CHARS_MAX;
use crate::http::input::{QueryFields, TextPath, check_text};
use crate::service::retry_refund::{RetryError, retry_refund, settle_refund_elsewhere};
use crate::store::refunds::{self, RefundRecord};

pub(super) const PATH: &str = "/ops/refunds";

const REFERENCE: Asked =
    Asked { name: "reference", hint: "Reference of that payment", chars_max: TEXT_CHARS_MAX };

#[derive(Debug, Deserialize)]
pub(super) struct Fields {
    /// The place of the last refund of the page before: its time and number.
    before: Option<String>,
    /// What came of a button, as this page says it to itself.
    said: Option<String>,
}

pub(super) async fn page(
    State(state): State<HttpState>,
    Extension(session): Extension<Session>,
    QueryFields(fields): QueryFields<Fields>,
) -> Result<Response, Failure> {
    let before = fields.before.as_deref().map(place).transpose()?;
    let mut found = refunds::to_look_at(&state.app.store, before, PAGE_ROWS + 1).await?;
    let more = cut_page(&mut found);
    let next = found.last().filter(|_| more).map(|last| {
        let ms = last.created_at.timestamp_millis();
        format!("{PATH}?before={ms}-{}", last.refund.out_request_no)
    });
    let page = List {
        frame: Frame::new(&state, &session, "Refunds", PATH).live("/ops/stream"),
        about: "Money that is not back with its buyer yet, newest first. What is under way is sent \
                until it is certain; a refused refund waits for you: send it again, or pay it by \
                other means and note where.",
        notice: fields.said.as_deref().and_then(notice),
        table: table(&found, &session, PATH),
        next,
    };
    Ok(html(StatusCode::OK, &page))
}

/// Refunds with their buttons.
pub(super) fn table(refunds: &[RefundRecord], session: &Session, page: &str) -> Table {
    Table {
        heads: &["Refund", "Status", "Amount", "Payment", "Why", "Gateway", "Times", "Decide"],
        rows: refunds.iter().map(|record| row(record, session, page)).collect(),
        empty: "No refund.",
    }
}

fn row(record: &RefundRecord, session: &Session, page: &str) -> Vec<Cell> {
    let refund = &record.refund;
    vec![
        Cell::lines(vec![
            Cell::code(refund.out_request_no.as_str()),
            Cell::code(refund.request_no.as_str()),
        ]),
        Cell::lines(status(record)),
        Cell::yuan(refund.amount),
        Cell::lines(vec![
            refund.order_id.as_ref().map_or(Cell::Nothing, Cell::order),
            Cell::code(refund.out_trade_no.as_str()),
        ]),
        Cell::lines(vec![
            Cell::text(cause(refund.cause)),
            said(&refund.reason),
            Cell::text(format!("by {}", record.requested_by)),
        ]),
        Cell::lines(gateway(record)),
        Cell::lines(times(record)),
        Cell::lines(buttons(record, session, page)),
    ]
}

fn said(text: &str) -> Cell {
    if text.is_empty() { Cell::Nothing } else { Cell::text(format!("“{text}”")) }
}

fn status(record: &RefundRecord) -> Vec<Cell> {
    let mut lines = vec![Cell::status(record.refund.status.as_str())];
    if let Some(reference) = &record.paid_elsewhere {
        lines.extend([Cell::text("by other means:"), Cell::text(reference.as_str())]);
    } else if let Some(because) = &record.refused_because
        && record.refund.status == RefundStatus::Refused
    {
        lines.push(Cell::text(because.as_str()));
    }
    lines
}

fn cause(cause: RefundCause) -> &'static str {
    match cause {
        RefundCause::Requested => "asked for",
        RefundCause::Late => "late payment",
        RefundCause::Duplicate => "duplicate payment",
        RefundCause::WrongAmount => "wrong amount",
        RefundCause::Orphan => "payment of nobody's",
        RefundCause::Elsewhere => "given back elsewhere",
    }
}

fn gateway(record: &RefundRecord) -> Vec<Cell> {
    let tries = match record.refund.tries {
        0 => "not asked yet".to_owned(),
        1 => "asked once".to_owned(),
        tries => format!("asked {tries} times"),
    };
    vec![Cell::text(tries), Cell::maybe(record.last_answer.as_deref())]
}

fn times(record: &RefundRecord) -> Vec<Cell> {
    let mut lines = Vec::new();
    let steps = [
        ("requested", Some(record.created_at)),
        ("sent", record.sent_at),
        ("next try", record.next_try_at),
        ("ended", record.ended_at),
    ];
    for (step, at) in steps {
        if let Some(at) = at {
            lines.extend([Cell::text(step), Cell::at(at)]);
        }
    }
    lines
}

/// The buttons of a refused refund.
pub(super) fn buttons(record: &RefundRecord, session: &Session, page: &str) -> Vec<Cell> {
    if record.refund.status != RefundStatus::Refused {
        return Vec::new();
    }
    let no = &record.refund.out_request_no;
    let button = |what: &str, label, asks| {
        Cell::Act(Box::new(Act {
            id: format!("{what}-{no}"),
            action: format!("{PATH}/{no}/{what}"),
            label,
            asks,
            csrf: session.csrf.clone(),
            back: page.to_owned(),
        }))
    };
    vec![
        button("retry", "Send again", None),
        button("paid-elsewhere", "Paid by other means", Some(REFERENCE)),
    ]
}

pub(super) async fn retry(
    State(state): State<HttpState>,
    Extension(session): Extension<Session>,
    Extension(form): Extension<Form>,
    TextPath(no): TextPath,
) -> Result<Response, Failure> {
    let no = OutRequestNo::from_trusted(no);
    match retry_refund(&state.app, &no, &session.operator).await {
        Ok(()) => Ok(back(&form, PATH, "retried")),
        Err(error) => not_done(&form, error),
    }
}

pub(super) async fn paid_elsewhere(
    State(state): State<HttpState>,
    Extension(session): Extension<Session>,
    Extension(form): Extension<Form>,
    TextPath(no): TextPath,
) -> Result<Response, Failure> {
    let reference = form.field(REFERENCE.name).unwrap_or_default().trim();
    if check_text(REFERENCE.name, reference, TEXT_CHARS_MAX).is_err() {
        return Ok(back(&form, PATH, NOT_SAID));
    }
    let no = OutRequestNo::from_trusted(no);
    match settle_refund_elsewhere(&state.app, &no, reference, &session.operator).await {
        Ok(()) => Ok(back(&form, PATH, "paid_elsewhere")),
        Err(error) => not_done(&form, error),
    }
}

fn not_done(form: &Form, error: RetryError) -> Result<Response, Failure> {
    match error {
        RetryError::NoSuchRefund => Err(Failure::not_found("refund")),
        error => refused(form, PATH, error),
    }
}
