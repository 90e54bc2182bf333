//! Payments that need a look: recorded, but not applied to an order, and their money still here.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::cells::{Cell, Table};
use super::failure::Failure;
use super::pulse::{PAGE_ROWS, cut_page};
use super::session::Session;
use super::{Frame, List, html};
use crate::http::HttpState;
use crate::http::input::QueryFields;
use crate::store::payments::{self, PaymentRecord};

const PATH: &str = "/ops/payments";

#[derive(Debug, Deserialize)]
pub(super) struct Fields {
    /// The place of the last payment of the page before: its time and number.
    before: Option<String>,
}

pub(super) async fn page(
    State(state): State<HttpState>,
    Extension(session): Extension<Session>,
    QueryFields(fields): QueryFields<Fields>,
) -> Result<Response, Failure> {
    let before = match fields.before.as_deref() {
        Some(text) => Some(place(text).ok_or_else(|| Failure::not_found("page"))?),
        None => None,
    };
    let mut found = payments::to_look_at(&state.app.store, before, PAGE_ROWS + 1).await?;
    let more = cut_page(&mut found);
    let next = found.last().filter(|_| more).map(|last| {
        let ms = last.created_at.timestamp_millis();
        format!("{PATH}?before={ms}-{}", last.attempt.out_trade_no)
    });
    let page = List {
        frame: Frame::new(&state, &session, "Payments that need a look", PATH),
        about: "Money that is recorded but belongs to no order as it stands: late, a second time, \
                of another amount, or of nobody's. Each has its alarm; refund it at the gateway.",
        table: table(&found),
        next,
    };
    Ok(html(StatusCode::OK, &page))
}

fn place(text: &str) -> Option<(i64, &str)> {
    let (ms, number) = text.split_once('-')?;
    Some((ms.parse().ok()?, number))
}

/// Payments with the money that came for them.
pub(super) fn table(payments: &[PaymentRecord]) -> Table {
    Table {
        heads: &["Status", "Payment", "Order", "Asked", "Paid", "Given back", "Paid at"],
        rows: payments.iter().map(row).collect(),
        empty: "No payment needs a look.",
    }
}

fn row(payment: &PaymentRecord) -> Vec<Cell> {
    let attempt = &payment.attempt;
    vec![
        Cell::status(attempt.status.as_str()),
        Cell::lines(vec![
            Cell::code(attempt.out_trade_no.as_str()),
            Cell::maybe(payment.trade_no.as_deref()),
        ]),
        payment.order_id.as_ref().map_or(Cell::Nothing, Cell::order),
        Cell::yuan(attempt.amount),
        payment.paid.map_or(Cell::Nothing, Cell::yuan),
        Cell::yuan(attempt.refunded),
        Cell::at_opt(payment.paid_at),
    ]
}
