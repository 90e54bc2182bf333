//! The buyer: scanning and paying, by hand on the page behind a QR code or by the control API.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use chrono::{DateTime, Utc};

use crate::books::Books;
use crate::html::escape;
use crate::money::Fen;
use crate::notify;
use crate::server::Shared;
use crate::trade::{Product, Refused, State as TradeState, Trade};

const PAGE: &str = include_str!("buyer.html");

/// Scans the code of a trade; the outer `None` says that the number is unknown.
pub(crate) fn scan(
    books: &mut Books,
    number: &str,
    now: DateTime<Utc>,
) -> Option<Result<Trade, Refused>> {
    let trade_no = books.new_trade_no(now);
    let scanned = books.edit(number, now, |trade| {
        let is_first = trade.progress.trade_no.is_none();
        trade.scan(now, trade_no).map(|()| (is_first, trade.clone()))
    })?;
    if let Ok((true, trade)) = &scanned {
        notify::scanned(books, trade, now);
    }
    Some(scanned.map(|(_, trade)| trade))
}

/// Scans if need be, and pays: the trade's amount, or a wrong one.
pub(crate) fn pay(
    books: &mut Books,
    number: &str,
    amount: Option<Fen>,
    now: DateTime<Utc>,
) -> Option<Result<Trade, Refused>> {
    if let Err(refused) = scan(books, number, now)? {
        return Some(Err(refused));
    }
    let rules = books.rules().clone();
    let paid = books.edit(number, now, |trade| {
        trade.pay(now, amount.unwrap_or(trade.total), &rules).map(|()| trade.clone())
    });
    tell(books, paid, now)
}

/// Pays even though the trade has been closed or has expired meanwhile.
pub(crate) fn force_pay(
    books: &mut Books,
    number: &str,
    amount: Option<Fen>,
    now: DateTime<Utc>,
) -> Option<Result<Trade, Refused>> {
    let trade_no = books.new_trade_no(now);
    let rules = books.rules().clone();
    let paid = books.edit(number, now, |trade| {
        let amount = amount.unwrap_or(trade.total);
        trade.force_pay(now, trade_no, amount, &rules).map(|()| trade.clone())
    });
    tell(books, paid, now)
}

/// The buyer refuses to pay a trade that waits for it, or can't.
pub(crate) fn give_up(
    books: &mut Books,
    number: &str,
    now: DateTime<Utc>,
) -> Option<Result<Trade, Refused>> {
    let given_up = books.edit(number, now, |trade| trade.give_up(now).map(|()| trade.clone()))?;
    if let Ok(trade) = &given_up {
        notify::ended_by_time(books, trade, now);
    }
    Some(given_up)
}

fn tell(
    books: &mut Books,
    paid: Option<Result<Trade, Refused>>,
    now: DateTime<Utc>,
) -> Option<Result<Trade, Refused>> {
    if let Some(Ok(trade)) = &paid {
        notify::paid(books, trade, now);
    }
    paid
}

/// `GET /qr/{token}`: whoever opens the page has scanned the code.
pub(crate) async fn open(State(shared): State<Arc<Shared>>, Path(token): Path<String>) -> Response {
    let trade = shared.store.visit(|books, now| {
        let number = number_of_code(books, &token, now)?;
        let _ = scan(books, &number, now)?;
        books.trade(&number, now)
    });
    match trade.await {
        Ok(Some(trade)) => code_page(StatusCode::OK, &trade, &shared.seller_id),
        Ok(None) => missing(),
        Err(_) => unavailable(),
    }
}

/// The trade whose code this is; the cashier has pages of its own.
fn number_of_code(books: &mut Books, token: &str, now: DateTime<Utc>) -> Option<String> {
    let number = books.number_of_token(token)?;
    let trade = books.trade(&number, now)?;
    (trade.product == Product::Code).then_some(number)
}

/// `POST /qr/{token}/pay`: the button.
pub(crate) async fn press_pay(
    State(shared): State<Arc<Shared>>,
    Path(token): Path<String>,
) -> Response {
    let paid = shared.store.visit(|books, now| {
        let number = number_of_code(books, &token, now)?;
        let paid = pay(books, &number, None, now)?.is_ok();
        Some((paid, books.trade(&number, now)?))
    });
    match paid.await {
        Ok(Some((true, trade))) => code_page(StatusCode::OK, &trade, &shared.seller_id),
        Ok(Some((false, trade))) => code_page(StatusCode::CONFLICT, &trade, &shared.seller_id),
        Ok(None) => missing(),
        Err(_) => unavailable(),
    }
}

fn code_page(status: StatusCode, trade: &Trade, seller_id: &str) -> Response {
    let waits = trade.progress.state == TradeState::WaitBuyerPay;
    let action = format!("/qr/{}/pay", trade.token);
    let buttons = if waits { button(&action, "Pay · 确认付款") } else { String::new() };
    page(status, trade, seller_id, &buttons)
}

/// A form that is one button.
pub(crate) fn button(action: &str, label: &str) -> String {
    let action = escape(action);
    format!(r#"<form method="post" action="{action}"><button>{label}</button></form>"#)
}

/// What the buyer sees of a trade, and can do.
pub(crate) fn page(status: StatusCode, trade: &Trade, seller_id: &str, buttons: &str) -> Response {
    let (class, headline) = match trade.progress.state {
        TradeState::WaitBuyerPay => ("waiting", "Waiting for your payment · 等待付款"),
        TradeState::TradeSuccess => ("paid", "Paid · 支付成功"),
        TradeState::TradeFinished => ("paid", "Paid and finished · 交易完成"),
        TradeState::TradeClosed if trade.progress.payment.is_some() => {
            ("closed", "Refunded · 已退款")
        }
        TradeState::TradeClosed => ("closed", "Closed · 交易已关闭"),
        TradeState::NotScanned if !buttons.is_empty() => ("waiting", "Please pay · 请付款"),
        TradeState::NotScanned => ("closed", "This code has expired · 二维码已失效"),
    };
    let trade_no = trade.progress.trade_no.as_deref().unwrap_or("–");
    let html = PAGE
        .replace("{{class}}", class)
        .replace("{{headline}}", headline)
        .replace("{{buttons}}", buttons)
        .replace("{{amount}}", &trade.total().to_string())
        .replace("{{merchant}}", &escape(seller_id))
        .replace("{{trade_no}}", trade_no)
        .replace("{{out_trade_no}}", &escape(&trade.out_trade_no))
        .replace("{{state}}", trade.progress.state.name())
        // Last, because it is the merchant's text and may contain anything.
        .replace("{{subject}}", &escape(&trade.subject));
    (status, Html(html)).into_response()
}

pub(crate) fn missing() -> Response {
    (StatusCode::NOT_FOUND, "There is no such page. 页面不存在").into_response()
}

pub(crate) fn unavailable() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "The simulator can't store anything.").into_response()
}
