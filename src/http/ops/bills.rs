//! Bills: how each day stands, and the differences of one.

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
use crate::domain::bill::BillDay;
use crate::http::HttpState;
use crate::http::input::QueryFields;
use crate::store::bill_days::{self, DayKey, DayRecord};
use crate::store::bill_differences::{self, DifferenceRecord};

const PATH: &str = "/ops/bills";

#[derive(Debug, Deserialize)]
pub(super) struct Fields {
    /// The last day of the page before.
    before: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct DayFields {
    app_id: String,
    seller_id: String,
    day: String,
}

pub(super) async fn page(
    State(state): State<HttpState>,
    Extension(session): Extension<Session>,
    QueryFields(fields): QueryFields<Fields>,
) -> Result<Response, Failure> {
    let before = match &fields.before {
        Some(text) => BillDay::parse(text).ok_or_else(|| Failure::not_found("page"))?,
        None => BillDay::of(state.app.now()).plus_days(1),
    };
    let mut days = bill_days::before(&state.app.store, before, PAGE_ROWS + 1).await?;
    let more = cut_page(&mut days);
    let next = days.last().filter(|_| more).map(|last| format!("{PATH}?before={}", last.key.day));
    let page = List {
        frame: Frame::new(&state, &session, "Bills", PATH),
        notice: None,
        about: "What the gateway says came and went on each day of China, compared with what is \
                recorded. A day is looked at again after two days.",
        table: Table {
            heads: &[
                "State",
                "Day",
                "Account",
                "Lines",
                "Others",
                "Repaired",
                "Differences",
                "Looked at",
                "Next look",
            ],
            rows: days.iter().map(row).collect(),
            empty: "No day was looked at yet.",
        },
        next,
    };
    Ok(html(StatusCode::OK, &page))
}

fn row(day: &DayRecord) -> Vec<Cell> {
    let key = &day.key;
    let query: String = form_urlencoded::Serializer::new(String::new())
        .append_pair("app_id", &key.app_id)
        .append_pair("seller_id", &key.seller_id)
        .append_pair("day", &key.day.to_string())
        .finish();
    let text = key.day.to_string();
    vec![
        Cell::lines(vec![
            Cell::status(day.state.as_str()),
            day.problem.as_deref().map_or(Cell::Nothing, Cell::text),
        ]),
        Cell::Link { href: format!("{PATH}/day?{query}"), text },
        Cell::lines(vec![Cell::code(key.app_id.as_str()), Cell::code(key.seller_id.as_str())]),
        Cell::number(day.lines_ours),
        Cell::number(day.lines_others),
        Cell::number(day.repaired),
        Cell::number(day.differences),
        Cell::at_opt(day.looked_at),
        Cell::at_opt(day.next_look_at),
    ]
}

pub(super) async fn day(
    State(state): State<HttpState>,
    Extension(session): Extension<Session>,
    QueryFields(fields): QueryFields<DayFields>,
) -> Result<Response, Failure> {
    let day = BillDay::parse(&fields.day).ok_or_else(|| Failure::not_found("page"))?;
    let key = DayKey { app_id: fields.app_id, seller_id: fields.seller_id, day };
    let store = &state.app.store;
    if bill_days::find(store, &key).await?.is_none() {
        return Err(Failure::not_found("page"));
    }
    let differences = bill_differences::of_day(store, &key, PAGE_ROWS).await?;
    let page = List {
        frame: Frame::new(&state, &session, &format!("Bill of {day}"), PATH),
        notice: None,
        about: "Where the bill and the records differ, open ones first. The next look resolves \
                what is settled.",
        table: Table {
            heads: &["State", "Kind", "Payment", "Refund", "What differs", "Found"],
            rows: differences.iter().map(difference).collect(),
            empty: "No difference.",
        },
        next: None,
    };
    Ok(html(StatusCode::OK, &page))
}

fn difference(found: &DifferenceRecord) -> Vec<Cell> {
    let state = if found.resolved_at.is_some() { "resolved" } else { "open" };
    let number = found.out_trade_no.as_str();
    vec![
        Cell::lines(vec![Cell::status(state), Cell::at_opt(found.resolved_at)]),
        Cell::text(found.kind.replace('_', " ")),
        if number.is_empty() {
            Cell::Nothing
        } else {
            let query: String = form_urlencoded::byte_serialize(number.as_bytes()).collect();
            Cell::Link { href: format!("/ops/search?q={query}"), text: number.to_owned() }
        },
        Cell::maybe(Some(found.out_request_no.as_str()).filter(|number| !number.is_empty())),
        Cell::text(found.detail.as_str()),
        Cell::at(found.found_at),
    ]
}
