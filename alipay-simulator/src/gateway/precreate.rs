//! `alipay.trade.precreate`: a number gets its QR code. The number of a trade that is paid at the
//! cashier is booked in the same way.

use chrono::{DateTime, Utc};

use super::admission::Call;
use super::node::Node;
use super::{Failure, order};
use crate::books::Books;
use crate::fields::Fields;
use crate::server::Shared;
use crate::trade::{Order, Product, State, Trade};

pub(super) fn precreate(
    shared: &Shared,
    books: &mut Books,
    now: DateTime<Utc>,
    call: &Call,
    fields: &Fields,
) -> Result<Node, Failure> {
    let order = order::read(shared, now, call, fields, Product::Code)?;
    let trade = book(books, now, order)?;
    let qr_code = match &books.rules().qr_prefix {
        Some(prefix) => format!("{prefix}{}", trade.token),
        None => shared.buyer_page(&trade.token),
    };
    Ok(Node::success().with("out_trade_no", trade.out_trade_no).with("qr_code", qr_code))
}

/// Keeps an order until the buyer comes, or finds the trade that it has become.
pub(super) fn book(books: &mut Books, now: DateTime<Utc>, order: Order) -> Result<Trade, Failure> {
    match books.trade(&order.out_trade_no, now) {
        None => {
            check_time(order.times_out_at, now)?;
            Ok(books.add_trade(order, now))
        }
        Some(trade) => repeat(books, now, trade, order),
    }
}

/// Whether an order may be made or made again under the number of this trade: the trade is not
/// over, and nothing of it would change.
pub(super) fn check_repeat(
    trade: &Trade,
    order: &Order,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    match trade.progress.state {
        State::TradeSuccess | State::TradeFinished => return Err("ACQ.TRADE_HAS_SUCCESS".into()),
        State::TradeClosed => return Err("ACQ.TRADE_HAS_CLOSE".into()),
        State::NotScanned | State::WaitBuyerPay => {}
    }
    if (trade.product, &trade.content) != (order.product, &order.content) {
        return Err("ACQ.CONTEXT_INCONSISTENT".into());
    }
    check_time(trade.times_out_at, now)
}

/// Nobody can pay what has timed out.
pub(super) fn check_time(times_out_at: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), Failure> {
    if times_out_at <= now {
        return Err("ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR".into());
    }
    Ok(())
}

/// The same content gives the same code, or a new one if the old one can't be scanned any more.
fn repeat(
    books: &mut Books,
    now: DateTime<Utc>,
    trade: Trade,
    order: Order,
) -> Result<Trade, Failure> {
    check_repeat(&trade, &order, now)?;
    let renewed = (trade.code_ends_at <= now).then(|| books.new_token());
    let changed = books.edit(&trade.out_trade_no, now, |trade| {
        if let Some(token) = renewed {
            trade.token = token;
            trade.code_ends_at = order.code_ends_at;
        }
        trade.notify_url = order.notify_url;
        trade.return_url = order.return_url;
        trade.clone()
    });
    Ok(changed.unwrap_or(trade))
}
