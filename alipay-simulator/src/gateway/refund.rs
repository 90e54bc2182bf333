//! `alipay.trade.refund` and `alipay.trade.fastpay.refund.query`.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::node::Node;
use super::trade_calls::identified;
use super::{Failure, number_of};
use crate::books::Books;
use crate::clock::wire_time;
use crate::faults::{Hits, Kind};
use crate::fields::{FieldError, Fields};
use crate::money::Fen;
use crate::notify::{self, BUYER_ID, BUYER_LOGON_ID};
use crate::trade::{Refunded, State};

/// How long `refund_visible_late` hides a refund unless told otherwise.
const DEFAULT_LATENESS: TimeDelta = TimeDelta::seconds(10);

/// What a merchant names to be told where the money came from and went to.
const DETAILS: &str = "refund_detail_item_list";

pub(super) fn refund(
    books: &mut Books,
    now: DateTime<Utc>,
    fields: &Fields,
) -> Result<Node, Failure> {
    let amount = fields
        .amount("refund_amount")?
        .ok_or_else(|| FieldError::new("refund_amount", "is missing"))?;
    let request = fields.text("out_request_no", 64)?;
    let reason = fields.text("refund_reason", 256)?;
    let wants_details = fields.lists("query_options", DETAILS)?;
    let number = number_of(books, fields)?;
    let rules = books.rules().clone();
    let refunded = books.edit(&number, now, |trade| {
        let refunded = trade.refund(now, request.clone(), amount, reason, &rules)?;
        Ok::<_, Failure>((refunded, trade.clone()))
    });
    let (refunded, trade) = refunded.ok_or("ACQ.TRADE_NOT_EXIST")??;
    let granted = trade.refund_of(request.as_deref().unwrap_or(&trade.out_trade_no));
    if let (Refunded::Moved, Some(granted)) = (refunded, granted) {
        notify::refunded(books, &trade, granted, now);
        books.take_balance(amount);
    }
    let moved = refunded == Refunded::Moved;
    let node = identified(&trade)
        .with("buyer_logon_id", BUYER_LOGON_ID)
        .with("buyer_user_id", BUYER_ID)
        .with("fund_change", if moved { "Y" } else { "N" })
        .with("refund_fee", trade.progress.refunded().to_string());
    Ok(if moved && wants_details { with_details(node, amount) } else { node })
}

/// A success without a `refund_status` says that there is no such refund.
pub(super) fn query(
    books: &mut Books,
    now: DateTime<Utc>,
    fields: &Fields,
    hits: &Hits,
) -> Result<Node, Failure> {
    let request = fields.required_text("out_request_no", 64)?;
    let trade = books.trade(&number_of(books, fields)?, now).ok_or("ACQ.TRADE_NOT_EXIST")?;
    if trade.progress.state == State::NotScanned {
        return Err("ACQ.TRADE_NOT_EXIST".into());
    }
    let hidden = |at: DateTime<Utc>| {
        let delay = hits.delay(Kind::RefundVisibleLate, DEFAULT_LATENESS);
        delay.is_some_and(|delay| now < at + delay)
    };
    let Some(refund) = trade.refund_of(&request).filter(|refund| !hidden(refund.at)) else {
        return Ok(Node::success());
    };
    let mut node = identified(&trade)
        .with("out_request_no", request)
        .with("total_amount", trade.total().to_string())
        .with("refund_amount", refund.amount.to_string())
        .with("refund_status", "REFUND_SUCCESS");
    if fields.lists("query_options", "gmt_refund_pay")? {
        node = node.with("gmt_refund_pay", wire_time(refund.at));
    }
    if fields.lists("query_options", DETAILS)? {
        node = with_details(node, refund.amount);
    }
    if let Some(reason) = &refund.reason {
        node = node.with("refund_reason", reason.clone());
    }
    Ok(node)
}

/// All that is refunded comes from the merchant: there are no vouchers.
fn with_details(node: Node, amount: Fen) -> Node {
    let amount = amount.to_string();
    let items = json!([{"fund_channel": "ALIPAYACCOUNT", "amount": amount}]);
    node.with("send_back_fee", amount).with(DETAILS, items)
}
