//! `alipay.trade.page.pay` and `alipay.trade.wap.pay`: the buyer's browser calls, and is sent on to
//! the cashier.

use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{Html, IntoResponse as _, Response};
use chrono::{DateTime, Utc};

use super::admission::Call;
use super::node::Node;
use super::{Failure, order, precreate};
use crate::books::Books;
use crate::fields::Fields;
use crate::html::escape;
use crate::server::Shared;
use crate::trade::Product;

/// Where a success leads to. It is not shown to anybody.
const CASHIER: &str = "cashier";

pub(super) fn open(
    shared: &Shared,
    books: &mut Books,
    now: DateTime<Utc>,
    call: &Call,
    fields: &Fields,
    product: Product,
) -> Result<Node, Failure> {
    let order = order::read(shared, now, call, fields, product)?;
    let trade = precreate::book(books, now, order)?;
    Ok(Node::success().with(CASHIER, shared.cashier(&trade.token)))
}

/// What the browser gets: the way to the cashier, or a page that says what is wrong.
pub(super) fn show(node: &Node) -> Response {
    match node.text(CASHIER) {
        Some(address) => (StatusCode::SEE_OTHER, [(LOCATION, address.to_owned())]).into_response(),
        None => refusal(node),
    }
}

fn refusal(node: &Node) -> Response {
    let of = |name| escape(node.text(name).unwrap_or_default());
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <title>Alipay simulator · 支付宝模拟</title>\
         <h1>This can't be paid · 无法付款</h1>\
         <p data-code=\"{}\">{} · <code>{}</code></p><p>{}</p></html>",
        of("code"),
        of("msg"),
        of("sub_code"),
        of("sub_msg"),
    );
    Html(page).into_response()
}
