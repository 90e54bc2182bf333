//! Payments that need a look: recorded, but not applied to an order, and their money still here.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::cells::{Cell, Table, Tone};
use super::failure::Failure;
use super::pulse::{PAGE_ROWS, cut_page};
use super::said::notice;
use super::session::Session;
use super::{Frame, List, decisions, html, place, refunds as refunds_page, show};
use crate::domain::payment::{Attempt, PaymentStatus};
use crate::domain::refund::RefundStatus;
use crate::http::HttpState;
use crate::http::input::QueryFields;
use crate::store::payments::{self, PaymentRecord};
use crate::store::refunds::{self, RefundRecord};
use crate::store::{Store, StoreError};

const PATH: &str = "/ops/payments";

#[derive(Debug, Deserialize)]
pub(super) struct Fields {
    /// The place of the last payment of the page before: its time and number.
    before: Option<String>,
    /// What came of a button, as this page says it to itself.
    said: Option<String>,
}

pub(super) async fn page(
    State(state): State<HttpState>,
    Extension(session): Extension<Session>,
    QueryFields(fields): QueryFields<Fields>,
) -> Result<Response, Failure> {
    let store = &state.app.store;
    let before = fields.before.as_deref().map(place).transpose()?;
    let mut found = payments::to_look_at(store, before, PAGE_ROWS + 1).await?;
    let more = cut_page(&mut found);
    let next = found.last().filter(|_| more).map(|last| {
        let ms = last.created_at.timestamp_millis();
        format!("{PATH}?before={ms}-{}", last.attempt.out_trade_no)
    });
    let page = List {
        frame: Frame::new(&state, &session, "Payments that need a look", PATH).live("/ops/stream"),
        about: "Money that is recorded but belongs to no order as it stands, and is not on its way \
                back: late, a second time, of another amount, or of nobody's. Each has its alarm.",
        notice: fields.said.as_deref().and_then(notice),
        table: table(&with_refused(store, found).await?, &session, PATH),
        next,
    };
    Ok(html(StatusCode::OK, &page))
}

/// A payment, and those of its refunds that the gateway refused.
#[derive(Debug)]
pub(super) struct Undecided {
    pub payment: PaymentRecord,
    pub refused: Vec<RefundRecord>,
}

/// Payments with what the gateway refused to give back of them.
pub(super) async fn with_refused(
    store: &Store,
    payments: Vec<PaymentRecord>,
) -> Result<Vec<Undecided>, StoreError> {
    let mut found = Vec::with_capacity(payments.len());
    for payment in payments {
        let mut refused = refunds::read_of_payment(store, &payment.attempt.out_trade_no).await?;
        refused.retain(|record| record.refund.status == RefundStatus::Refused);
        found.push(Undecided { payment, refused });
    }
    Ok(found)
}

/// Payments with the money that came for them, and what can be done about it.
pub(super) fn table(payments: &[Undecided], session: &Session, page: &str) -> Table {
    Table {
        heads: &["Status", "Payment", "Order", "Asked", "Paid", "Given back", "Paid at", "Decide"],
        rows: payments.iter().map(|undecided| row(undecided, session, page)).collect(),
        empty: "No payment needs a look.",
    }
}

fn row(undecided: &Undecided, session: &Session, page: &str) -> Vec<Cell> {
    let payment = &undecided.payment;
    let attempt = &payment.attempt;
    vec![
        Cell::status(attempt.status.as_str()),
        Cell::lines(vec![
            Cell::code(attempt.out_trade_no.as_str()),
            Cell::maybe(payment.trade_no.as_deref()),
        ]),
        payment.order_id.as_ref().map_or(Cell::Nothing, Cell::order),
        asked(attempt),
        payment.paid.map_or(Cell::Nothing, Cell::yuan),
        given_back(attempt),
        Cell::at_opt(payment.paid_at),
        decide(undecided, session, page),
    ]
}

/// What an orphan's buyer was asked to pay isn't known.
fn asked(attempt: &Attempt) -> Cell {
    match attempt.status {
        PaymentStatus::Orphan => Cell::Nothing,
        _ => Cell::yuan(attempt.amount),
    }
}

/// What is back with the buyer, and what is on its way.
pub(super) fn given_back(attempt: &Attempt) -> Cell {
    let mut lines = vec![Cell::yuan(attempt.refunded)];
    if !attempt.refunding.is_zero() {
        let text = format!("{} on its way", show::yuan(attempt.refunding));
        lines.push(Cell::Badge { tone: Tone::Warning.as_str(), text });
    }
    Cell::lines(lines)
}

/// A refund that was refused is decided about where refunds are, unless less than it is left.
fn decide(undecided: &Undecided, session: &Session, page: &str) -> Cell {
    let mut lines = Vec::new();
    for record in &undecided.refused {
        let because = record.refused_because.as_deref().unwrap_or_default();
        lines.extend([
            Cell::Badge { tone: Tone::Bad.as_str(), text: "refund refused".to_owned() },
            Cell::text(because),
        ]);
        lines.extend(refunds_page::buttons(record, session, page));
    }
    let left = undecided.payment.left();
    if undecided.refused.iter().all(|record| record.refund.amount > left) {
        lines.extend(decisions::buttons(&undecided.payment, session, page));
    }
    Cell::lines(lines)
}
