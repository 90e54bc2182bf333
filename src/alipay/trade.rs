//! What the calls say in their business parameters, and what each signed answer means.
//!
//! Pure: text in, words of [`crate::domain::gateway`] out. The rule of every function here: what is
//! not understood completely is unknown.

use serde::{Deserialize, Serialize};

use super::call::Request;
use super::code::CodeClass;
use super::time::{format_china, parse_china};
use super::{Account, Precreate, shorten};
use crate::domain::gateway::{
    Answer, CancelOutcome, CloseOutcome, NotPaid, PaidTrade, PrecreateOutcome, Refusal,
    ReturnedTrade, UnknownReason,
};
use crate::domain::money::Fen;

/// The product that is paid by scanning a code.
const PRODUCT_CODE: &str = "FACE_TO_FACE_PAYMENT";
/// The detailed code that says that no such trade is known.
const TRADE_NOT_EXIST: &str = "ACQ.TRADE_NOT_EXIST";
/// The detailed code whose text repeats everything that was signed.
const INVALID_SIGNATURE: &str = "isv.invalid-signature";
/// Longest trade number, in characters.
const TRADE_NO_CHARS_MAX: usize = 64;
/// Longest text of a QR code, in characters.
const QR_CODE_CHARS_MAX: usize = 1024;

/// The node of an answer; every field may be absent, and unknown ones are ignored.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Reply {
    pub(super) code: Option<String>,
    pub(super) sub_code: Option<String>,
    pub(super) trade_no: Option<String>,
    sub_msg: Option<String>,
    pub(super) out_trade_no: Option<String>,
    pub(super) fund_change: Option<String>,
    pub(super) out_request_no: Option<String>,
    pub(super) refund_amount: Option<String>,
    pub(super) refund_status: Option<String>,
    pub(super) bill_download_url: Option<String>,
    qr_code: Option<String>,
    trade_status: Option<String>,
    total_amount: Option<String>,
    receipt_amount: Option<String>,
    send_pay_date: Option<String>,
    fund_bill_list: Option<serde_json::Value>,
    action: Option<String>,
    retry_flag: Option<String>,
    /// Whether it came as an error that belongs to no method.
    #[serde(skip)]
    pub(super) is_bare_error: bool,
}

/// A signed answer of the business about the trade we asked about.
pub(super) enum Told<'a> {
    Done(&'a Reply),
    Refused(&'a str),
}

#[derive(Serialize)]
struct PrecreateContent<'a> {
    out_trade_no: &'a str,
    total_amount: String,
    subject: &'a str,
    product_code: &'a str,
    seller_id: &'a str,
    time_expire: String,
}

#[derive(Serialize)]
struct NumberContent<'a> {
    out_trade_no: &'a str,
}

impl<'a> Request<'a> {
    pub(super) fn precreate(trade: &Precreate<'a>, account: &'a Account) -> Self {
        let content = PrecreateContent {
            out_trade_no: trade.out_trade_no,
            total_amount: trade.total.to_yuan(),
            subject: trade.subject,
            product_code: PRODUCT_CODE,
            seller_id: &account.seller_id,
            time_expire: format_china(trade.time_expire),
        };
        Self {
            name: "precreate",
            method: "alipay.trade.precreate",
            node: "alipay_trade_precreate_response",
            out_trade_no: trade.out_trade_no,
            biz_content: to_json(&content),
            notify_url: &account.notify_url,
        }
    }

    pub(super) fn query(out_trade_no: &'a str) -> Self {
        let (method, node) = ("alipay.trade.query", "alipay_trade_query_response");
        Self::about("query", method, node, out_trade_no)
    }

    pub(super) fn close(out_trade_no: &'a str) -> Self {
        let (method, node) = ("alipay.trade.close", "alipay_trade_close_response");
        Self::about("close", method, node, out_trade_no)
    }

    pub(super) fn cancel(out_trade_no: &'a str) -> Self {
        let (method, node) = ("alipay.trade.cancel", "alipay_trade_cancel_response");
        Self::about("cancel", method, node, out_trade_no)
    }

    /// A call whose only business parameter is the trade's number.
    fn about(
        name: &'static str,
        method: &'static str,
        node: &'static str,
        out_trade_no: &'a str,
    ) -> Self {
        let biz_content = to_json(&NumberContent { out_trade_no });
        Self { name, method, node, out_trade_no, biz_content, notify_url: "" }
    }
}

/// Reads the answer to precreate.
pub(super) fn read_precreate(reply: Result<Reply, UnknownReason>, asked: &str) -> PrecreateOutcome {
    let reply = match reply {
        Ok(reply) => reply,
        Err(reason) => return PrecreateOutcome::Unknown(reason),
    };
    match reply.told(asked) {
        Ok(Told::Done(reply)) => match reply.qr_code() {
            Ok(qr_code) => PrecreateOutcome::QrCode(qr_code),
            Err(reason) => PrecreateOutcome::Unknown(reason),
        },
        Ok(Told::Refused("ACQ.TRADE_HAS_SUCCESS" | "ACQ.TRADE_HAS_FINISHED")) => {
            PrecreateOutcome::AlreadyPaid
        }
        Ok(Told::Refused("ACQ.TRADE_HAS_CLOSE")) => PrecreateOutcome::AlreadyClosed,
        // The number is known with another content, so there is a code that a buyer may hold.
        Ok(Told::Refused("ACQ.CONTEXT_INCONSISTENT")) => {
            PrecreateOutcome::Unknown(reply.rejected())
        }
        Ok(Told::Refused(_)) => PrecreateOutcome::Refused(reply.refusal()),
        Err(UnknownReason::AccountBroken { .. }) => {
            PrecreateOutcome::AccountBroken(reply.refusal())
        }
        Err(reason) => PrecreateOutcome::Unknown(reason),
    }
}

/// Reads the answer to query.
pub(super) fn read_query(reply: Result<Reply, UnknownReason>, asked: &str) -> Answer {
    let answer = || {
        let reply = reply?;
        match reply.told(asked)? {
            Told::Done(reply) => reply.trade(),
            Told::Refused(TRADE_NOT_EXIST) => Ok(Answer::NotPaid(NotPaid::NotExist)),
            Told::Refused(_) => Err(reply.rejected()),
        }
    };
    answer().unwrap_or_else(Answer::Unknown)
}

/// Reads the answer to close.
pub(super) fn read_close(reply: Result<Reply, UnknownReason>, asked: &str) -> CloseOutcome {
    let outcome = || {
        let reply = reply?;
        match reply.told(asked)? {
            Told::Done(_) => Ok(CloseOutcome::Closed),
            Told::Refused(TRADE_NOT_EXIST) => Ok(CloseOutcome::NotExist),
            Told::Refused(
                "ACQ.TRADE_STATUS_ERROR"
                | "ACQ.REASON_TRADE_STATUS_INVALID"
                | "ACQ.REASON_ILLEGAL_STATUS"
                | "ACQ.TRADE_HAS_SUCCESS"
                | "ACQ.TRADE_HAS_FINISHED"
                | "ACQ.TRADE_HAS_CLOSE",
            ) => Ok(CloseOutcome::StateChanged),
            Told::Refused(_) => Err(reply.rejected()),
        }
    };
    outcome().unwrap_or_else(CloseOutcome::Unknown)
}

/// Reads the answer to cancel.
pub(super) fn read_cancel(reply: Result<Reply, UnknownReason>, asked: &str) -> CancelOutcome {
    let outcome = || {
        let reply = reply?;
        match reply.told(asked)? {
            Told::Done(reply) => reply.cancelled(),
            Told::Refused(TRADE_NOT_EXIST) => Ok(CancelOutcome::NothingDone),
            Told::Refused(_) => Ok(CancelOutcome::Refused(reply.refusal())),
        }
    };
    outcome().unwrap_or_else(CancelOutcome::Unknown)
}

impl Reply {
    /// Reads a node.
    pub(super) fn parse(node: &str, is_bare_error: bool) -> serde_json::Result<Self> {
        serde_json::from_str(node).map(|reply| Self { is_bare_error, ..reply })
    }

    /// What the business says about the trade, if it is the one we asked about and if the gateway
    /// let the call through to it.
    pub(super) fn told(&self, asked: &str) -> Result<Told<'_>, UnknownReason> {
        self.told_if(|class| match self.out_trade_no.as_deref() {
            Some(number) => number == asked,
            None => class != CodeClass::Success,
        })
    }

    /// What the business says where no trade was asked about.
    pub(super) fn told_of_no_trade(&self) -> Result<Told<'_>, UnknownReason> {
        self.told_if(|_| true)
    }

    fn told_if(
        &self,
        is_about_ours: impl Fn(CodeClass) -> bool,
    ) -> Result<Told<'_>, UnknownReason> {
        let code = self.code.as_deref().ok_or_else(|| lacks("code"))?;
        let sub_code = self.sub_code.as_deref().unwrap_or_default();
        let class = CodeClass::of(code, sub_code);
        let codes = || (shorten(code), self.sub_code.as_deref().map(shorten));
        match class {
            CodeClass::Success | CodeClass::Business if self.is_bare_error => Err(self.rejected()),
            CodeClass::Success | CodeClass::Business if !is_about_ours(class) => {
                Err(UnknownReason::OtherTrade)
            }
            CodeClass::Success => Ok(Told::Done(self)),
            CodeClass::Business => Ok(Told::Refused(sub_code)),
            CodeClass::Unavailable => {
                let (code, sub_code) = codes();
                Err(UnknownReason::Unavailable { code, sub_code })
            }
            CodeClass::RateLimited => {
                let (code, sub_code) = codes();
                Err(UnknownReason::RateLimited { code, sub_code })
            }
            CodeClass::AccountBroken => {
                let (code, sub_code) = codes();
                Err(UnknownReason::AccountBroken { code, sub_code })
            }
            CodeClass::Other => Err(self.rejected()),
        }
    }

    /// The state of the trade in a successful answer to query.
    fn trade(&self) -> Result<Answer, UnknownReason> {
        let trade_no = self.trade_no()?;
        let paid_at = self.send_pay_date.as_deref().and_then(parse_china);
        match self.trade_status.as_deref() {
            Some("WAIT_BUYER_PAY") => Ok(Answer::NotPaid(NotPaid::WaitBuyerPay { trade_no })),
            Some("TRADE_SUCCESS" | "TRADE_FINISHED") => {
                let amount = self.total_amount()?;
                Ok(Answer::Paid(PaidTrade { amount, trade_no, paid_at }))
            }
            Some("TRADE_CLOSED") if self.was_paid()? => {
                let (trade_no, amount) = (Some(trade_no), Some(self.total_amount()?));
                let returned = ReturnedTrade { trade_no, amount, paid_at, refunded: None };
                Ok(Answer::Returned(returned))
            }
            Some("TRADE_CLOSED") => Ok(Answer::NotPaid(NotPaid::Closed)),
            Some(status) => {
                let detail = format!("trade_status {}", shorten(status));
                Err(UnknownReason::Malformed { detail })
            }
            None => Err(lacks("trade_status")),
        }
    }

    /// Whether money ever came for a trade that is closed now. Amounts of `0.00` say nothing:
    /// Alipay sends them for every unpaid trade.
    fn was_paid(&self) -> Result<bool, UnknownReason> {
        let received = match self.receipt_amount.as_deref() {
            None | Some("") => false,
            Some(amount) => !parse_amount(amount, "receipt_amount")?.is_zero(),
        };
        let has_bills = match &self.fund_bill_list {
            None | Some(serde_json::Value::Null) => false,
            Some(serde_json::Value::Array(bills)) => !bills.is_empty(),
            Some(serde_json::Value::String(bills)) => !matches!(bills.as_str(), "" | "[]"),
            Some(_) => true,
        };
        let has_date = self.send_pay_date.as_deref().is_some_and(|date| !date.is_empty());
        Ok(received || has_bills || has_date)
    }

    /// What a successful answer to cancel says was done.
    fn cancelled(&self) -> Result<CancelOutcome, UnknownReason> {
        if self.retry_flag.as_deref() == Some("Y") {
            let (code, sub_code) = (self.refusal().code, Some("retry_flag=Y".to_owned()));
            return Err(UnknownReason::Unavailable { code, sub_code });
        }
        match self.action.as_deref() {
            Some("close") => Ok(CancelOutcome::Closed),
            Some("refund") => Ok(CancelOutcome::Returned(ReturnedTrade {
                trade_no: self.trade_no.is_some().then(|| self.trade_no()).transpose()?,
                amount: None,
                paid_at: None,
                refunded: None,
            })),
            None | Some("") => Ok(CancelOutcome::NothingDone),
            Some(action) => {
                let detail = format!("action {}", shorten(action));
                Err(UnknownReason::Malformed { detail })
            }
        }
    }

    fn trade_no(&self) -> Result<String, UnknownReason> {
        let trade_no = self.trade_no.as_deref().ok_or_else(|| lacks("trade_no"))?;
        let is_number = (1..=TRADE_NO_CHARS_MAX).contains(&trade_no.len())
            && trade_no.bytes().all(|byte| byte.is_ascii_graphic());
        is_number.then(|| trade_no.to_owned()).ok_or_else(|| lacks("trade_no"))
    }

    fn total_amount(&self) -> Result<Fen, UnknownReason> {
        let amount = self.total_amount.as_deref().ok_or_else(|| lacks("total_amount"))?;
        parse_amount(amount, "total_amount")
    }

    fn qr_code(&self) -> Result<String, UnknownReason> {
        let qr_code = self.qr_code.as_deref().ok_or_else(|| lacks("qr_code"))?;
        let is_text = (1..=QR_CODE_CHARS_MAX).contains(&qr_code.len())
            && qr_code.bytes().all(|byte| byte.is_ascii_graphic());
        is_text.then(|| qr_code.to_owned()).ok_or_else(|| lacks("qr_code"))
    }

    pub(super) fn refusal(&self) -> Refusal {
        let repeats_request = self.sub_code.as_deref() == Some(INVALID_SIGNATURE);
        let sub_msg = self.sub_msg.as_deref().filter(|_| !repeats_request);
        Refusal {
            code: shorten(self.code.as_deref().unwrap_or_default()),
            sub_code: self.sub_code.as_deref().map(shorten),
            sub_msg: sub_msg.map(shorten),
        }
    }

    pub(super) fn rejected(&self) -> UnknownReason {
        let Refusal { code, sub_code, .. } = self.refusal();
        UnknownReason::Rejected { code, sub_code }
    }
}

fn parse_amount(text: &str, name: &str) -> Result<Fen, UnknownReason> {
    Fen::parse_yuan(text).map_err(|_| lacks(name))
}

fn lacks(name: &str) -> UnknownReason {
    UnknownReason::Malformed { detail: format!("no usable {name}") }
}

/// Writes business parameters; a struct of texts can always be written.
pub(super) fn to_json(content: &impl Serialize) -> String {
    serde_json::to_string(content).unwrap_or_default()
}
