//! `alipay.trade.precreate`: a number gets its QR code.

use chrono::{DateTime, Days, Duration, NaiveTime, Utc};

use super::Failure;
use super::admission::Call;
use super::node::Node;
use crate::books::Books;
use crate::clock::{china, parse_wire_time};
use crate::fields::{FieldError, Fields};
use crate::server::Shared;
use crate::trade::{CODE_LIFE, Order, State, Trade};

/// How long a face-to-face trade waits unless told otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::hours(3);
const LONGEST_TIMEOUT: Duration = Duration::days(15);

pub(super) fn precreate(
    shared: &Shared,
    books: &mut Books,
    now: DateTime<Utc>,
    call: &Call,
    fields: &Fields,
) -> Result<Node, Failure> {
    let order = read(shared, now, call, fields)?;
    let number = order.out_trade_no.clone();
    let trade = match books.trade(&number, now) {
        None => {
            if order.times_out_at <= now {
                return Err("ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR".into());
            }
            books.add_trade(order, now)
        }
        Some(trade) => repeat(books, now, trade, order)?,
    };
    let qr_code = shared.buyer_page(&trade.token);
    Ok(Node::success().with("out_trade_no", number).with("qr_code", qr_code))
}

/// The same content gives the same code, or a new one if the old one can't be scanned any more.
fn repeat(
    books: &mut Books,
    now: DateTime<Utc>,
    trade: Trade,
    order: Order,
) -> Result<Trade, Failure> {
    match trade.progress.state {
        State::TradeSuccess | State::TradeFinished => return Err("ACQ.TRADE_HAS_SUCCESS".into()),
        State::TradeClosed => return Err("ACQ.TRADE_HAS_CLOSE".into()),
        State::NotScanned | State::WaitBuyerPay => {}
    }
    if trade.content != order.content {
        return Err("ACQ.CONTEXT_INCONSISTENT".into());
    }
    if trade.times_out_at <= now {
        return Err("ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR".into());
    }
    let renewed = (trade.code_ends_at <= now).then(|| books.new_token());
    let changed = books.edit(&trade.out_trade_no, now, |trade| {
        if let Some(token) = renewed {
            trade.token = token;
            trade.code_ends_at = order.code_ends_at;
        }
        trade.notify_url = order.notify_url;
        trade.clone()
    });
    Ok(changed.unwrap_or(trade))
}

fn read(
    shared: &Shared,
    now: DateTime<Utc>,
    call: &Call,
    fields: &Fields,
) -> Result<Order, FieldError> {
    let out_trade_no = fields.required_text("out_trade_no", 64)?;
    if !out_trade_no.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(FieldError::new("out_trade_no", "has other than letters, digits and _"));
    }
    let total = fields
        .amount("total_amount")?
        .ok_or_else(|| FieldError::new("total_amount", "is missing"))?;
    let subject = fields.required_text("subject", 256)?;
    fields.text("body", 128)?;
    fields.text("passback_params", 512)?;
    if fields.text("seller_id", 28)?.is_some_and(|seller_id| seller_id != shared.seller_id) {
        return Err(FieldError::new("seller_id", "is another seller"));
    }
    Ok(Order {
        out_trade_no,
        content: fields.to_value(),
        total,
        subject,
        notify_url: call.notify_url.clone(),
        times_out_at: times_out_at(now, fields)?,
        code_ends_at: code_ends_at(now, fields)?,
    })
}

/// The absolute time wins over the relative one.
fn times_out_at(now: DateTime<Utc>, fields: &Fields) -> Result<DateTime<Utc>, FieldError> {
    if let Some(text) = fields.text("time_expire", 32)? {
        let problem = "is no time like 2026-01-02 03:04:05";
        // Older pages write it without seconds.
        return parse_wire_time(&text)
            .or_else(|| parse_wire_time(&format!("{text}:00")))
            .ok_or_else(|| FieldError::new("time_expire", problem));
    }
    Ok(relative(now, fields, "timeout_express")?.unwrap_or(now + DEFAULT_TIMEOUT))
}

fn code_ends_at(now: DateTime<Utc>, fields: &Fields) -> Result<DateTime<Utc>, FieldError> {
    let asked = relative(now, fields, "qr_code_timeout_express")?;
    Ok(asked.unwrap_or(now + CODE_LIFE).min(now + CODE_LIFE))
}

/// `90m`, `2h`, `15d`, or `1c` for the end of the day in China.
fn relative(
    now: DateTime<Utc>,
    fields: &Fields,
    name: &str,
) -> Result<Option<DateTime<Utc>>, FieldError> {
    let Some(text) = fields.text(name, 6)? else { return Ok(None) };
    if text == "1c" {
        let today = now.with_timezone(&china()).date_naive();
        let midnight = (today + Days::new(1)).and_time(NaiveTime::MIN);
        return Ok(midnight.and_local_timezone(china()).single().map(|at| at.to_utc()));
    }
    let unit = text.chars().last().and_then(|unit| match unit {
        'm' => Some(Duration::minutes(1)),
        'h' => Some(Duration::hours(1)),
        'd' => Some(Duration::days(1)),
        _ => None,
    });
    let digits = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
    let count = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let count = count.and_then(|digits| digits.parse::<i32>().ok());
    let timeout = unit.zip(count).map(|(unit, count)| unit * count);
    match timeout.filter(|timeout| (Duration::minutes(1)..=LONGEST_TIMEOUT).contains(timeout)) {
        Some(timeout) => Ok(Some(now + timeout)),
        None => Err(FieldError::new(name, "is no time from 1m to 15d, in m, h or d, or 1c")),
    }
}
