//! One box: an order's id, a storefront's number of it, or the number of a payment or refund.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::cells::{Cell, Table};
use super::failure::Failure;
use super::said::notice;
use super::session::Session;
use super::{Frame, html, payments as payments_page};
use crate::domain::ids::{OrderId, OutRequestNo, OutTradeNo};
use crate::http::HttpState;
use crate::http::input::QueryFields;
use crate::store::payments::PaymentRecord;
use crate::store::{Store, StoreError, orders, payments, refunds};

/// Several storefronts may have the same number.
const ORDERS_MAX: i64 = 50;
/// Longest text that is looked for (characters): no number is longer.
const QUERY_CHARS_MAX: usize = 64;

#[derive(Debug, Deserialize)]
pub(super) struct Fields {
    #[serde(default)]
    q: String,
    /// What came of a button, as this page says it to itself.
    said: Option<String>,
}

#[derive(Template)]
#[template(path = "ops/search.html")]
struct Page {
    frame: Frame,
    query: String,
    notice: Option<&'static str>,
    orders: Table,
    /// A payment that no order has.
    payment: Option<Table>,
}

/// What a text is the number of.
#[derive(Debug, Default)]
struct Found {
    orders: Vec<OrderId>,
    orphan: Option<PaymentRecord>,
}

pub(super) async fn page(
    State(state): State<HttpState>,
    Extension(session): Extension<Session>,
    QueryFields(fields): QueryFields<Fields>,
) -> Result<Response, Failure> {
    let query = fields.q.trim();
    let is_possible = !query.is_empty() && query.chars().count() <= QUERY_CHARS_MAX;
    let found = if is_possible { find(&state.app.store, query).await? } else { Found::default() };
    if let ([order], None) = (found.orders.as_slice(), &found.orphan) {
        return Ok(Redirect::to(&format!("/ops/orders/{order}")).into_response());
    }
    let status = match (found.orders.is_empty(), &found.orphan) {
        (true, None) if !query.is_empty() => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    };
    let payment = match found.orphan {
        Some(payment) => {
            let text: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
            let orphan = payments_page::with_refused(&state.app.store, vec![payment]).await?;
            let here = format!("/ops/search?q={text}");
            Some(payments_page::table(&orphan, &session, &here))
        }
        None => None,
    };
    let page = Page {
        frame: Frame::new(&state, &session, "Search", "/ops/search"),
        query: query.chars().take(QUERY_CHARS_MAX).collect(),
        notice: fields.said.as_deref().and_then(notice),
        orders: Table {
            heads: &["Order"],
            rows: found.orders.iter().map(|id| vec![Cell::order(id)]).collect(),
            empty: "No order has this number.",
        },
        payment,
    };
    Ok(html(status, &page))
}

async fn find(store: &Store, query: &str) -> Result<Found, StoreError> {
    // Ids are of one letter case; who reads one out may have typed it in the other.
    if let Some(id) = OrderId::parse(&query.to_ascii_uppercase())
        && orders::find(store, &id).await?.is_some()
    {
        return Ok(Found { orders: vec![id], orphan: None });
    }
    let refund = refunds::find(store, &OutRequestNo::from_trusted(query)).await?;
    let number = refund.map(|record| record.refund.out_trade_no);
    let number = number.unwrap_or_else(|| OutTradeNo::from_trusted(query));
    let payment = payments::find(store, &number).await?;
    if let Some(order_id) = payment.as_ref().and_then(|payment| payment.order_id.clone()) {
        return Ok(Found { orders: vec![order_id], orphan: None });
    }
    let mut orders = orders::with_order_no(store, query, ORDERS_MAX).await?;
    for order in refunds::orders_with_request_no(store, query, ORDERS_MAX).await? {
        if !orders.contains(&order) {
            orders.push(order);
        }
    }
    Ok(Found { orders, orphan: payment })
}
