//! One order with its whole history, and the button that asks the gateway about it now.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::cells::{Cell, Facts, Table};
use super::failure::Failure;
use super::order_tables as tables;
use super::session::Session;
use super::{Frame, html, said};
use crate::domain::ids::OrderId;
use crate::domain::order::OrderStatus;
use crate::http::HttpState;
use crate::http::error::ApiError;
use crate::http::input::{OrderPath, QueryFields};
use crate::service::ask_again::ask_again;
use crate::service::settle::Outcome;
use crate::store::{
    alarms, history, notifications, orders, outbox, payment_queries, payments, pending, refunds,
};

/// A question that takes longer goes on without its asker.
const ASK_BUDGET: Duration = Duration::from_secs(8);
/// Most rows of each kind that a page shows.
const ROWS_MAX: i64 = 200;

#[derive(Debug, Deserialize)]
pub(super) struct Fields {
    /// What came of asking the gateway, as this page says it to itself.
    asked: Option<String>,
    /// What came of another button.
    said: Option<String>,
}

#[derive(Template)]
#[template(path = "ops/order.html")]
struct Page {
    frame: Frame,
    id: String,
    status: Cell,
    yuan: String,
    notice: Option<&'static str>,
    facts: Facts,
    sections: Vec<Section>,
}

struct Section {
    heading: &'static str,
    table: Table,
}

pub(super) async fn page(
    State(state): State<HttpState>,
    Extension(session): Extension<Session>,
    path: Result<OrderPath, ApiError>,
    QueryFields(fields): QueryFields<Fields>,
) -> Result<Response, Failure> {
    let OrderPath(id) = path?;
    let store = &state.app.store;
    let Some(record) = orders::find(store, &id).await? else {
        return Err(Failure::not_found("order"));
    };
    let payments = payments::of_order(store, &id).await?;
    let pending = pending::of_order(store, &id).await?;
    let about = alarms::about_order(store, &id, ROWS_MAX).await?;
    let refunds = refunds::of_order(store, &id).await?;
    let here = address(&id);
    let asked = fields.asked.as_deref().and_then(notice);
    let sections = vec![
        section("Alarms", super::alarms::table(&about, &session, &here)),
        section("Items", tables::items(&orders::items(store, &id).await?)),
        section("Payments", tables::payments(&payments, &pending, &session, &here)),
        section("Refunds", super::refunds::table(&refunds, &session, &here)),
        section("Pending", tables::pending(&pending)),
        section("History", tables::history(&history::list(store, &id).await?)),
        section("Queries", tables::queries(&payment_queries::of_order(store, &id).await?)),
        section(
            "Notifications",
            tables::notifications(&notifications::of_order(store, &id, ROWS_MAX).await?),
        ),
        section("Events", tables::outbox(&outbox::of_order(store, &id, ROWS_MAX).await?)),
    ];
    let page = Page {
        frame: Frame::new(&state, &session, "Order", "").live(format!("{here}/stream")),
        id: id.to_string(),
        status: Cell::status(record.order.status.as_str()),
        yuan: super::show::yuan(record.order.amount),
        notice: asked.or_else(|| fields.said.as_deref().and_then(said::notice)),
        facts: tables::facts(&record),
        sections,
    };
    Ok(html(StatusCode::OK, &page))
}

fn section(heading: &'static str, table: Table) -> Section {
    Section { heading, table }
}

fn address(id: &OrderId) -> String {
    format!("/ops/orders/{id}")
}

pub(super) async fn ask(
    State(state): State<HttpState>,
    Extension(session): Extension<Session>,
    path: Result<OrderPath, ApiError>,
) -> Result<Response, Failure> {
    let OrderPath(id) = path?;
    let (app, order_id) = (Arc::clone(&state.app), id.clone());
    let asking =
        state.tasks.spawn(async move { ask_again(&app, &order_id, &session.operator).await });
    let word = match tokio::time::timeout(ASK_BUDGET, asking).await {
        Ok(Ok(outcome)) => word(outcome?).ok_or_else(|| Failure::not_found("order"))?,
        Ok(Err(error)) => {
            tracing::error!(%error, order.id = %id, "a question to the gateway died");
            UNDER_WAY
        }
        Err(_) => UNDER_WAY,
    };
    Ok(Redirect::to(&format!("{}?asked={word}", address(&id))).into_response())
}

const UNDER_WAY: &str = "under_way";

/// `None`: there is no such order.
fn word(outcome: Outcome) -> Option<&'static str> {
    Some(match outcome {
        Outcome::Ended(status) => status.as_str(),
        Outcome::Waiting => "waiting",
        Outcome::ReadyToCancel | Outcome::Unknown => "unknown",
        Outcome::NoSuchOrder => return None,
    })
}

fn notice(word: &str) -> Option<&'static str> {
    let ended = OrderStatus::parse(word).map(|status| match status {
        OrderStatus::Paid => "Asked: the order is paid.",
        OrderStatus::Cancelled => "Asked: the order is cancelled.",
        OrderStatus::Refunding => "Asked: a refund is under way.",
        OrderStatus::Refunded => "Asked: the order is refunded.",
        OrderStatus::AwaitingPayment => "Asked: the order awaits its payment.",
    });
    ended.or(match word {
        "waiting" => Some("Asked: not paid yet, and its deadline is not reached."),
        "unknown" => Some("Asked: no definite answer. The next trigger asks again."),
        UNDER_WAY => Some("The gateway is being asked; what comes of it shows here."),
        _ => None,
    })
}
