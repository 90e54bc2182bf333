//! The cashier: where a website's buyers log in, pay, fail or turn back, and from where they return
//! to the merchant.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};

use crate::books::Books;
use crate::buyer;
use crate::clock::wire_time;
use crate::params::encode_form_value;
use crate::server::Shared;
use crate::trade::{Product, Refused, State as TradeState, Trade};

/// What the buyer can press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Button {
    /// Logs in, or scans: the trade of a site for computers comes into being.
    LogIn,
    Pay,
    /// Gives the right password, but the payment fails: the trade stays open.
    Fail,
    /// Turns back to the merchant; nothing happens to the trade.
    Cancel,
}

impl Button {
    const ALL: [Self; 4] = [Self::Pay, Self::LogIn, Self::Fail, Self::Cancel];

    fn name(self) -> &'static str {
        match self {
            Self::LogIn => "login",
            Self::Pay => "pay",
            Self::Fail => "fail",
            Self::Cancel => "cancel",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::LogIn => "Log in · 登录",
            Self::Pay => "Pay · 确认付款",
            Self::Fail => "Let the payment fail · 付款失败",
            Self::Cancel => "Back without paying · 取消付款",
        }
    }

    fn is_shown_for(self, trade: &Trade) -> bool {
        match trade.progress.state {
            TradeState::NotScanned => self != Self::LogIn || trade.product == Product::Page,
            TradeState::WaitBuyerPay => self != Self::LogIn,
            TradeState::TradeSuccess | TradeState::TradeFinished | TradeState::TradeClosed => false,
        }
    }

    fn press(
        self,
        books: &mut Books,
        number: &str,
        now: DateTime<Utc>,
    ) -> Option<Result<Trade, Refused>> {
        match self {
            Self::LogIn | Self::Fail => buyer::scan(books, number, now),
            Self::Pay => buyer::pay(books, number, None, now),
            Self::Cancel => books.trade(number, now).map(Ok),
        }
    }
}

/// `GET /cashier/{token}`: what there is to pay.
pub(crate) async fn open(State(shared): State<Arc<Shared>>, Path(token): Path<String>) -> Response {
    match shared.store.visit(|books, now| trade_of(books, &token, now)).await {
        Ok(Some(trade)) => page(&shared, StatusCode::OK, &trade),
        Ok(None) => buyer::missing(),
        Err(_) => buyer::unavailable(),
    }
}

/// `POST /cashier/{token}/{button}`: all but logging in leads back to the merchant.
pub(crate) async fn press(
    State(shared): State<Arc<Shared>>,
    Path((token, button)): Path<(String, String)>,
) -> Response {
    let Some(button) = Button::ALL.into_iter().find(|known| known.name() == button) else {
        return buyer::missing();
    };
    let pressed = shared.store.visit(|books, now| {
        let number = trade_of(books, &token, now)?.out_trade_no;
        let done = button.press(books, &number, now)?.is_ok();
        Some((done, books.trade(&number, now)?, now))
    });
    match pressed.await {
        Ok(Some((true, trade, now))) => match way_back(&shared, &trade, button, now) {
            Some(address) => (StatusCode::SEE_OTHER, [(LOCATION, address)]).into_response(),
            None => page(&shared, StatusCode::OK, &trade),
        },
        Ok(Some((false, trade, _))) => page(&shared, StatusCode::CONFLICT, &trade),
        Ok(None) => buyer::missing(),
        Err(_) => buyer::unavailable(),
    }
}

fn trade_of(books: &mut Books, token: &str, now: DateTime<Utc>) -> Option<Trade> {
    let number = books.number_of_token(token)?;
    let trade = books.trade(&number, now)?;
    matches!(trade.product, Product::Page | Product::Wap).then_some(trade)
}

fn page(shared: &Shared, status: StatusCode, trade: &Trade) -> Response {
    let is_over = trade.locked || trade.times_out_at <= shared.store.now();
    let shown = Button::ALL.into_iter().filter(|button| !is_over && button.is_shown_for(trade));
    let buttons: String = shown
        .map(|button| {
            let action = format!("/cashier/{}/{}", trade.token, button.name());
            buyer::button(&action, button.label())
        })
        .collect();
    buyer::page(status, trade, &shared.seller_id, &buttons)
}

/// Where the buyer goes now: one who turns back at a telephone to the `quit_url`, which carries
/// nothing, all others to the `return_url`, if the merchant named one.
fn way_back(shared: &Shared, trade: &Trade, button: Button, now: DateTime<Utc>) -> Option<String> {
    let quit_url = trade.content.get("quit_url").and_then(serde_json::Value::as_str);
    match (button, trade.product, quit_url) {
        (Button::LogIn, ..) => None,
        (Button::Cancel, Product::Wap, Some(quit_url)) => Some(quit_url.to_owned()),
        _ => Some(signed_return(shared, trade, trade.return_url.as_ref()?, now)),
    }
}

/// The `return_url` with what Alipay says there, signed like a notification. There is no
/// `trade_status`: a return proves no payment.
fn signed_return(shared: &Shared, trade: &Trade, url: &str, now: DateTime<Utc>) -> String {
    let method = match trade.product {
        Product::Wap => "alipay.trade.wap.pay.return",
        Product::Page | Product::Code | Product::Barcode => "alipay.trade.page.pay.return",
    };
    let values = BTreeMap::from([
        ("app_id", shared.app_id.clone()),
        ("auth_app_id", shared.app_id.clone()),
        ("charset", "utf-8".to_owned()),
        ("method", method.to_owned()),
        ("out_trade_no", trade.out_trade_no.clone()),
        ("seller_id", shared.seller_id.clone()),
        ("timestamp", wire_time(now)),
        ("total_amount", trade.total().to_string()),
        ("trade_no", trade.progress.trade_no.clone().unwrap_or_default()),
        ("version", "1.0".to_owned()),
    ]);
    let filled: Vec<_> = values.iter().filter(|(_, value)| !value.is_empty()).collect();
    let pairs: Vec<_> = filled.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let sign = shared.signer.sign(pairs.join("&").as_bytes());
    let (mut url, fragment) = match url.split_once('#') {
        Some((url, fragment)) => (url.to_owned(), Some(fragment)),
        None => (url.to_owned(), None),
    };
    let sent = filled.into_iter().map(|(name, value)| (*name, value.as_str()));
    for (name, value) in sent.chain([("sign", sign.as_str()), ("sign_type", "RSA2")]) {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(name);
        url.push('=');
        encode_form_value(value.as_bytes(), &mut url);
    }
    fragment.into_iter().fold(url, |url, fragment| format!("{url}#{fragment}"))
}
