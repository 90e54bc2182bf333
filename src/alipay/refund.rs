//! Refund and refund query (`alipay.trade.refund`, `alipay.trade.fastpay.refund.query`): what they
//! say in their business parameters, and what each signed answer means. `10000` alone never means
//! that money moved.

use serde::Serialize;

use super::call::Request;
use super::trade::{Reply, Told, to_json};
use crate::domain::gateway::UnknownReason;
use crate::domain::money::Fen;
use crate::domain::refund::{RefundFound, RefundOrder, RefundOutcome};

/// The answer to a refund whose money this very request moved.
const MOVED: &str = "Y";
/// The state of a refund whose money is back.
const REFUND_SUCCESS: &str = "REFUND_SUCCESS";
/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 256;

/// Nothing but the documented parameters: others can make a refund fail or happen twice.
#[derive(Serialize)]
struct RefundContent<'a> {
    out_trade_no: &'a str,
    refund_amount: String,
    out_request_no: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    refund_reason: String,
}

#[derive(Serialize)]
struct RefundQueryContent<'a> {
    out_trade_no: &'a str,
    out_request_no: &'a str,
}

impl<'a> Request<'a> {
    pub(super) fn refund(refund: &RefundOrder<'a>) -> Self {
        let content = RefundContent {
            out_trade_no: refund.out_trade_no,
            refund_amount: refund.amount.to_yuan(),
            out_request_no: refund.out_request_no,
            refund_reason: refund.reason.chars().take(REASON_CHARS_MAX).collect(),
        };
        Self {
            name: "refund",
            method: "alipay.trade.refund",
            node: "alipay_trade_refund_response",
            out_trade_no: refund.out_trade_no,
            biz_content: to_json(&content),
            notify_url: "",
        }
    }

    pub(super) fn refund_query(out_trade_no: &'a str, out_request_no: &'a str) -> Self {
        Self {
            name: "refund_query",
            method: "alipay.trade.fastpay.refund.query",
            node: "alipay_trade_fastpay_refund_query_response",
            out_trade_no,
            biz_content: to_json(&RefundQueryContent { out_trade_no, out_request_no }),
            notify_url: "",
        }
    }
}

/// Reads the answer to refund.
pub(super) fn read_refund(reply: Result<Reply, UnknownReason>, asked: &str) -> RefundOutcome {
    let reply = match reply {
        Ok(reply) => reply,
        Err(reason) => return RefundOutcome::Unknown(reason),
    };
    match reply.told(asked) {
        Ok(Told::Done(reply)) if reply.fund_change.as_deref() == Some(MOVED) => {
            RefundOutcome::Moved
        }
        Ok(Told::Done(_)) => RefundOutcome::Accepted,
        Ok(Told::Refused("ACQ.SELLER_BALANCE_NOT_ENOUGH" | "ACQ.REFUND_CHARGE_ERROR")) => {
            RefundOutcome::NotNow(reply.refusal())
        }
        Ok(Told::Refused(_)) => RefundOutcome::Refused(reply.refusal()),
        Err(UnknownReason::AccountBroken { .. }) => RefundOutcome::AccountBroken(reply.refusal()),
        Err(reason) => RefundOutcome::Unknown(reason),
    }
}

/// Reads the answer to refund query. Success without any field of a refund says that nothing is
/// known under this number; a part of them says nothing.
pub(super) fn read_refund_query(
    reply: Result<Reply, UnknownReason>,
    asked: &str,
    out_request_no: &str,
) -> RefundFound {
    let found = || {
        let reply = reply?;
        if reply.knows_no_refund() && reply.is_done_about(asked) {
            return Ok(RefundFound::NotFound);
        }
        match reply.told(asked)? {
            Told::Done(reply) if reply.knows_no_refund() => Ok(RefundFound::NotFound),
            Told::Done(reply) => reply.refunded(out_request_no).map(RefundFound::Succeeded),
            // No trade, no refund of it.
            Told::Refused("ACQ.TRADE_NOT_EXIST") => Ok(RefundFound::NotFound),
            Told::Refused(_) => Err(reply.rejected()),
        }
    };
    found().unwrap_or_else(RefundFound::Unknown)
}

impl Reply {
    /// Whether it is a success that names no other trade than ours; it may name none.
    fn is_done_about(&self, asked: &str) -> bool {
        let other = self.out_trade_no.as_deref().is_some_and(|number| number != asked);
        !other && !self.is_bare_error && self.code.as_deref() == Some("10000")
    }

    fn knows_no_refund(&self) -> bool {
        self.refund_status.is_none() && self.refund_amount.is_none()
    }

    fn refunded(&self, out_request_no: &str) -> Result<Fen, UnknownReason> {
        let malformed = |detail: &str| UnknownReason::Malformed { detail: detail.to_owned() };
        if self.refund_status.as_deref() != Some(REFUND_SUCCESS) {
            return Err(malformed("no refund_status that is known"));
        }
        if self.out_request_no.as_deref() != Some(out_request_no) {
            return Err(malformed("an answer about another out_request_no"));
        }
        let amount = self.refund_amount.as_deref().unwrap_or_default();
        Fen::parse_yuan(amount).map_err(|_| malformed("refund_amount is no amount"))
    }
}
