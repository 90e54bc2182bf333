//! `alipay.trade.query`, `close` and `cancel`.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::admission::Call;
use super::node::Node;
use super::{Failure, number_of};
use crate::books::Books;
use crate::clock::wire_time;
use crate::faults::{Hits, Kind};
use crate::fields::Fields;
use crate::money::Fen;
use crate::notify::{self, BUYER_ID, BUYER_LOGON_ID};
use crate::trade::{Cancelled, State, Trade};

/// How far back `stale_query` looks unless told otherwise.
const DEFAULT_STALENESS: TimeDelta = TimeDelta::seconds(5);

pub(super) fn query(
    books: &mut Books,
    now: DateTime<Utc>,
    fields: &Fields,
    hits: &Hits,
) -> Result<Node, Failure> {
    let trade = books.trade(&number_of(books, fields)?, now).ok_or("ACQ.TRADE_NOT_EXIST")?;
    let trade = match hits.delay(Kind::StaleQuery, DEFAULT_STALENESS) {
        Some(delay) => trade.as_of(now - delay),
        None => trade,
    };
    if trade.progress.state == State::NotScanned {
        return Err("ACQ.TRADE_NOT_EXIST".into());
    }
    let node = identified(&trade)
        .with("trade_status", trade.progress.state.name())
        .with("total_amount", trade.total().to_string())
        .with("buyer_logon_id", BUYER_LOGON_ID)
        .with("buyer_user_id", BUYER_ID)
        .with("buyer_user_type", "PRIVATE");
    let node = with_payment(node, &trade);
    match &trade.progress.payment {
        Some(payment) => Ok(node.with("send_pay_date", wire_time(payment.at))),
        None => Ok(node),
    }
}

/// What was paid and from where; nothing, before there is a payment.
pub(super) fn with_payment(node: Node, trade: &Trade) -> Node {
    let paid = trade.progress.payment.as_ref();
    let amount = paid.map_or(Fen::ZERO, |payment| payment.amount).to_string();
    let bill = json!([{"fund_channel": "ALIPAYACCOUNT", "amount": amount}]);
    let node = node
        .with("buyer_pay_amount", amount.clone())
        .with("invoice_amount", amount.clone())
        .with("receipt_amount", amount)
        .with("point_amount", "0.00");
    if paid.is_some() { node.with("fund_bill_list", bill) } else { node }
}

pub(super) fn close(
    books: &mut Books,
    now: DateTime<Utc>,
    call: &Call,
    fields: &Fields,
) -> Result<Node, Failure> {
    let number = number_of(books, fields)?;
    let rules = books.rules().clone();
    let closed = books.edit(&number, now, |trade| trade.close(now, &rules).map(|()| trade.clone()));
    let trade = closed.ok_or("ACQ.TRADE_NOT_EXIST")??;
    notify::closed(books, &trade, call.notify_url.clone(), now);
    Ok(identified(&trade))
}

/// An unknown trade can be cancelled too: there is nothing to do, and no `action`.
pub(super) fn cancel(
    books: &mut Books,
    now: DateTime<Utc>,
    fields: &Fields,
) -> Result<Node, Failure> {
    let number = match number_of(books, fields) {
        Err(Failure::Business(_)) => return Ok(Node::success().with("retry_flag", "N")),
        number => number?,
    };
    let unknown = || Node::success().with("out_trade_no", number.clone());
    let rules = books.rules().clone();
    let cancelled =
        books.edit(&number, now, |trade| Ok((trade.cancel(now, &rules)?, trade.clone())));
    let node = match cancelled.transpose() {
        Err("ACQ.SELLER_BALANCE_NOT_ENOUGH") => {
            return Ok(Node::sub_code("ACQ.SELLER_BALANCE_NOT_ENOUGH").with("retry_flag", "Y"));
        }
        Err(sub_code) => return Err(sub_code.into()),
        Ok(Some((Cancelled::Closed, trade))) => identified(&trade).with("action", "close"),
        Ok(Some((Cancelled::Refunded, trade))) => {
            books.take_balance(trade.total());
            identified(&trade).with("action", "refund")
        }
        Ok(Some((Cancelled::Nothing, trade))) if trade.progress.trade_no.is_some() => {
            match rules.cancel_action_of_closed {
                Some(action) => identified(&trade).with("action", action.name()),
                None => identified(&trade),
            }
        }
        Ok(Some((Cancelled::Nothing, _)) | None) => unknown(),
    };
    Ok(node.with("retry_flag", "N"))
}

/// A success that says which trade it is about.
pub(super) fn identified(trade: &Trade) -> Node {
    let trade_no = trade.progress.trade_no.clone();
    Node::success().with("trade_no", trade_no).with("out_trade_no", trade.out_trade_no.clone())
}
