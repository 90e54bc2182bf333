//! What a payment gateway can tell us, in words that no particular gateway owns.
//!
//! Owns the answers that the decision works on and their stored form (they are the evidence of a
//! cancel). It must not know how an answer was asked for, signed or sent.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::money::Fen;

/// What the gateway said about one trade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// The buyer paid, and the money is with the seller.
    Paid(PaidTrade),
    /// The gateway is certain that no money came.
    NotPaid(NotPaid),
    /// It was paid once and given back in full.
    Returned(ReturnedTrade),
    /// Everything else. Unknown is never unpaid.
    Unknown(UnknownReason),
}

/// A trade that the buyer paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaidTrade {
    /// What the buyer was asked for and paid.
    pub amount: Fen,
    /// The gateway's own number for the trade.
    pub trade_no: String,
    /// When the buyer paid, if the gateway said so.
    pub paid_at: Option<DateTime<Utc>>,
}

/// Why there is certainly no money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum NotPaid {
    /// The buyer has scanned the code and can still pay.
    WaitBuyerPay {
        /// The gateway's own number for the trade.
        trade_no: String,
    },
    /// The gateway knows no such trade; its code, if there is one, was not scanned yet.
    NotExist,
    /// The trade was closed without a payment.
    Closed,
}

impl NotPaid {
    /// Whether this word ([`Answer::code`]) says that nothing was paid, and that it still can be.
    #[must_use]
    pub fn can_follow(word: &str) -> bool {
        matches!(word, "not_exist" | "wait_buyer_pay")
    }
}

/// A trade that was paid and then given back in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnedTrade {
    /// The gateway's own number for the trade, if it gave one.
    pub trade_no: Option<String>,
    /// What the buyer had paid, if the gateway said so.
    pub amount: Option<Fen>,
    /// When the buyer paid, if the gateway said so.
    pub paid_at: Option<DateTime<Utc>>,
    /// How much went back, if the gateway said so.
    pub refunded: Option<Fen>,
}

/// Why the gateway's answer says nothing about the money.
///
/// Texts in here come from the peer: they are cut and stripped of control characters at birth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum UnknownReason {
    /// No complete answer arrived in time.
    Timeout,
    /// Too many calls were under way; this one was not sent.
    Overloaded,
    /// The connection could not be made, or it broke.
    Transport {
        /// What broke, in the words of the HTTP client.
        detail: String,
    },
    /// The HTTP status was not 200.
    HttpStatus {
        /// The status.
        status: u16,
    },
    /// The answer exceeds the size limit.
    TooLarge,
    /// The answer is not of the documented form, or lacks what its status needs.
    Malformed {
        /// What is wrong with it.
        detail: String,
    },
    /// The answer carries no signature, so that anyone may have written it.
    Unsigned {
        /// The result code that it claims.
        code: Option<String>,
        /// The detailed code that it claims.
        sub_code: Option<String>,
    },
    /// The signature does not fit the answer.
    BadSignature,
    /// The answer is about another trade than the one we asked about.
    OtherTrade,
    /// The gateway says that it had an internal error; the call may have been executed.
    Unavailable {
        /// The result code.
        code: String,
        /// The detailed code.
        sub_code: Option<String>,
    },
    /// The gateway limits how often we may call; it did not execute this one.
    RateLimited {
        /// The result code.
        code: String,
        /// The detailed code.
        sub_code: Option<String>,
    },
    /// Our account, key or request is wrong: a person has to look, and no repeat will help.
    AccountBroken {
        /// The result code.
        code: String,
        /// The detailed code.
        sub_code: Option<String>,
    },
    /// A signed refusal that says nothing about the money.
    Rejected {
        /// The result code.
        code: String,
        /// The detailed code.
        sub_code: Option<String>,
    },
    /// Closing the waiting trade was refused, or its answer was lost.
    NotClosed,
    /// Nobody could ask: the account that made the trade is not configured here.
    NotAsked,
}

/// What came of asking for a code that the buyer can scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrecreateOutcome {
    /// The text to show as a QR code.
    QrCode(String),
    /// The number was paid before: query it.
    AlreadyPaid,
    /// The number was closed before: take a new one.
    AlreadyClosed,
    /// A definite refusal.
    Refused(Refusal),
    /// Our account, key or request is wrong: nothing was made, and a person has to look.
    AccountBroken(Refusal),
    /// It may have been made; asking again with the same content is harmless.
    Unknown(UnknownReason),
}

/// What came of closing a trade that waits for its buyer. Closing never gives money back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseOutcome {
    /// Closed; nobody can pay it any more.
    Closed,
    /// The gateway knows no such trade.
    NotExist,
    /// It does not wait any more (it is paid or closed): query it.
    StateChanged,
    /// It may be closed or not.
    Unknown(UnknownReason),
}

/// What came of cancelling a trade, whatever its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It was unpaid and is closed.
    Closed,
    /// It was paid, and all the money went back.
    Returned(ReturnedTrade),
    /// It did nothing: the gateway knows no such trade, or it was closed before, perhaps by a
    /// cancel whose answer was lost. Only a query tells these apart.
    NothingDone,
    /// A definite refusal.
    Refused(Refusal),
    /// It may be cancelled or not; repeating it is harmless.
    Unknown(UnknownReason),
}

/// A definite refusal in the gateway's words, cut and stripped of control characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The result code.
    pub code: String,
    /// The detailed code.
    pub sub_code: Option<String>,
    /// The text for people.
    pub sub_msg: Option<String>,
}

impl Refusal {
    /// The most telling code.
    #[must_use]
    pub fn in_short(&self) -> &str {
        self.sub_code.as_deref().unwrap_or(&self.code)
    }

    /// The most telling code with the text for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        match &self.sub_msg {
            Some(text) => format!("{}: {text}", self.in_short()),
            None => self.in_short().to_owned(),
        }
    }
}

impl Answer {
    /// A stable word for logs, metrics and tables.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Paid(_) => "paid",
            Self::NotPaid(NotPaid::WaitBuyerPay { .. }) => "wait_buyer_pay",
            Self::NotPaid(NotPaid::NotExist) => "not_exist",
            Self::NotPaid(NotPaid::Closed) => "closed",
            Self::Returned(_) => "returned",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Whether the gateway was certain.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        !matches!(self, Self::Unknown(_))
    }

    /// The gateway's own number for the trade, where the answer has one.
    #[must_use]
    pub fn trade_no(&self) -> Option<&str> {
        match self {
            Self::Paid(PaidTrade { trade_no, .. })
            | Self::NotPaid(NotPaid::WaitBuyerPay { trade_no }) => Some(trade_no),
            Self::Returned(ReturnedTrade { trade_no, .. }) => trade_no.as_deref(),
            Self::NotPaid(NotPaid::NotExist | NotPaid::Closed) | Self::Unknown(_) => None,
        }
    }
}

impl UnknownReason {
    /// The code of a call that was refused for its being one too many.
    pub const RATE_LIMITED: &'static str = "rate_limited";

    /// A stable word for logs, metrics and tables; the same as the stored `reason`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Overloaded => "overloaded",
            Self::Transport { .. } => "transport",
            Self::HttpStatus { .. } => "http_status",
            Self::TooLarge => "too_large",
            Self::Malformed { .. } => "malformed",
            Self::Unsigned { .. } => "unsigned",
            Self::BadSignature => "bad_signature",
            Self::OtherTrade => "other_trade",
            Self::Unavailable { .. } => "unavailable",
            Self::RateLimited { .. } => Self::RATE_LIMITED,
            Self::AccountBroken { .. } => "account_broken",
            Self::Rejected { .. } => "rejected",
            Self::NotClosed => "not_closed",
            Self::NotAsked => "not_asked",
        }
    }

    /// Whether a person has to repair our account, key or configuration.
    #[must_use]
    pub fn is_account_broken(&self) -> bool {
        matches!(self, Self::AccountBroken { .. })
    }
}

impl PrecreateOutcome {
    /// A stable word for logs and metrics; an unknown outcome is named by its reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::QrCode(_) => "qr_code",
            Self::AlreadyPaid => "already_paid",
            Self::AlreadyClosed => "already_closed",
            Self::Refused(_) => "refused",
            Self::AccountBroken(_) => "account_broken",
            Self::Unknown(reason) => reason.code(),
        }
    }
}

impl CloseOutcome {
    /// A stable word for logs and metrics; an unknown outcome is named by its reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::NotExist => "not_exist",
            Self::StateChanged => "state_changed",
            Self::Unknown(reason) => reason.code(),
        }
    }
}

impl CancelOutcome {
    /// A stable word for logs and metrics; an unknown outcome is named by its reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Returned(_) => "returned",
            Self::NothingDone => "nothing_done",
            Self::Refused(_) => "refused",
            Self::Unknown(reason) => reason.code(),
        }
    }
}

impl fmt::Display for UnknownReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => out.write_str("no complete answer in time"),
            Self::Overloaded => out.write_str("too many calls under way, not sent"),
            Self::Transport { detail } => write!(out, "the connection failed: {detail}"),
            Self::HttpStatus { status } => write!(out, "HTTP status {status}"),
            Self::TooLarge => out.write_str("the answer exceeds the size limit"),
            Self::Malformed { detail } => write!(out, "malformed answer: {detail}"),
            Self::Unsigned { code, sub_code } => {
                let code = code.as_deref().unwrap_or("no code");
                with_codes(out, "the answer is not signed", code, sub_code.as_ref())
            }
            Self::BadSignature => out.write_str("the signature does not fit the answer"),
            Self::OtherTrade => out.write_str("the answer is about another trade"),
            Self::Unavailable { code, sub_code } => {
                with_codes(out, "the gateway had an error", code, sub_code.as_ref())
            }
            Self::RateLimited { code, sub_code } => {
                with_codes(out, "called too often", code, sub_code.as_ref())
            }
            Self::AccountBroken { code, sub_code } => {
                with_codes(out, "our account or key is refused", code, sub_code.as_ref())
            }
            Self::Rejected { code, sub_code } => {
                with_codes(out, "refused", code, sub_code.as_ref())
            }
            Self::NotClosed => out.write_str("the waiting trade could not be closed"),
            Self::NotAsked => out.write_str("its account is not configured here"),
        }
    }
}

fn with_codes(
    out: &mut fmt::Formatter<'_>,
    text: &str,
    code: &str,
    sub_code: Option<&String>,
) -> fmt::Result {
    write!(out, "{text}: {code}")?;
    sub_code.map_or(Ok(()), |sub_code| write!(out, " {sub_code}"))
}

#[cfg(test)]
mod tests;
