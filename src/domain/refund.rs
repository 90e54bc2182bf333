//! A refund: money that goes back to a buyer under one number, as often asked for as it takes.
//! Pure: what an exchange with the gateway means for it, and when the next one is due.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::gateway::{Refusal, UnknownReason};
use super::ids::{OrderId, OutRequestNo, OutTradeNo};
use super::money::Fen;
use crate::hash::sha256_hex;

/// Where a refund stands. The names are those of the API and of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundStatus {
    /// Its row is committed; the gateway has not heard of it.
    Requested,
    /// The warehouse is told to keep the goods.
    StoppingWarehouse,
    /// The gateway may have heard of it: it is asked until it is certain.
    Sending,
    /// The money went back.
    Succeeded,
    /// The gateway refused it for good, and a person has to decide.
    Refused,
}

impl RefundStatus {
    /// Every status, in the order of a refund's life.
    pub const ALL: [Self; 5] =
        [Self::Requested, Self::StoppingWarehouse, Self::Sending, Self::Succeeded, Self::Refused];

    /// The name in the API and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::StoppingWarehouse => "stopping_warehouse",
            Self::Sending => "sending",
            Self::Succeeded => "succeeded",
            Self::Refused => "refused",
        }
    }

    /// Reads the database's name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether nothing more happens to it by itself.
    #[must_use]
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Refused)
    }
}

/// Why money goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundCause {
    /// The storefront or an operator asked for it.
    Requested,
    /// The payment came after its order was cancelled.
    Late,
    /// Another payment of its order is applied.
    Duplicate,
    /// An operator gave a payment of a wrong amount back.
    WrongAmount,
    /// An operator gave a payment back that belongs to no attempt.
    Orphan,
    /// Somebody gave it back outside this service.
    Elsewhere,
}

impl RefundCause {
    /// Every cause.
    pub const ALL: [Self; 6] = [
        Self::Requested,
        Self::Late,
        Self::Duplicate,
        Self::WrongAmount,
        Self::Orphan,
        Self::Elsewhere,
    ];

    /// The name in the API and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Late => "late",
            Self::Duplicate => "duplicate",
            Self::WrongAmount => "wrong_amount",
            Self::Orphan => "orphan",
            Self::Elsewhere => "elsewhere",
        }
    }

    /// Reads the database's name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == text)
    }
}

/// Pieces of an order that a refund is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundItem {
    /// What was bought.
    pub sku_id: String,
    /// How many pieces come back.
    pub quantity: i64,
}

/// A refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// Its number at the gateway, for good: a repeat under it moves no money twice.
    pub out_request_no: OutRequestNo,
    /// The order; an orphan's has none.
    pub order_id: Option<OrderId>,
    /// The payment that goes back.
    pub out_trade_no: OutTradeNo,
    /// The number that it was asked for under.
    pub request_no: String,
    /// Why money goes back.
    pub cause: RefundCause,
    /// Where it stands.
    pub status: RefundStatus,
    /// How much.
    pub amount: Fen,
    /// In the words of whoever asked.
    pub reason: String,
    /// The pieces that it is about.
    pub items: Vec<RefundItem>,
    /// How often the gateway was asked.
    pub tries: i64,
    /// When the gateway was last asked without a certain answer, if ever.
    pub doubt_since: Option<DateTime<Utc>>,
}

/// A refund to be sent, again and again under the same number.
#[derive(Debug, Clone, Copy)]
pub struct RefundOrder<'a> {
    /// Our number of the trade.
    pub out_trade_no: &'a str,
    /// Our number of the refund.
    pub out_request_no: &'a str,
    /// How much goes back; the same in every repeat.
    pub amount: Fen,
    /// What the buyer reads; may be empty.
    pub reason: &'a str,
}

/// What came of asking for a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundOutcome {
    /// This very request moved the money.
    Moved,
    /// Taken, or taken before: only a look under its number tells whether money moved.
    Accepted,
    /// Not possible now, and not done; possible later, when the balance is higher for example.
    NotNow(Refusal),
    /// A definite refusal.
    Refused(Refusal),
    /// Our account, key or request is wrong: nothing was done, and a person has to look.
    AccountBroken(Refusal),
    /// It may have been done or not; repeating it with the same number is harmless.
    Unknown(UnknownReason),
}

/// What is found under a refund's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundFound {
    /// This much went back.
    Succeeded(Fen),
    /// The gateway shows nothing: not received, failed, or not visible yet.
    NotFound,
    /// No certain answer.
    Unknown(UnknownReason),
}

/// What an exchange with the gateway means for a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundStep {
    /// The money went back.
    Succeed,
    /// Not certain, or not possible now: ask again, with the same number.
    AskAgain {
        /// One word for the answer.
        answer: String,
        /// Whether the gateway may have taken this request.
        in_doubt: bool,
    },
    /// The gateway refuses it for good, and no money moved.
    Refuse(Refusal),
    /// Our account, key or request is refused: a person has to look, and it is asked again.
    AccountBroken(String),
    /// The gateway tells of another amount under this number: nothing is done with that.
    Contradiction(Fen),
}

/// After an uncertain request the gateway's *no such refund* says nothing for this long.
const VISIBLE_AFTER: Duration = Duration::seconds(10);
/// Longest pause between two requests.
const PAUSE_MAX: Duration = Duration::hours(1);
/// Longest number of somebody else's that is kept as it is.
const ELSEWHERE_CHARS_MAX: usize = 50;
/// Doublings after which the pause is the longest anyway.
const DOUBLINGS_MAX: i64 = 12;

impl RefundOutcome {
    /// A stable word for logs and metrics; an unknown outcome is named by its reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Moved => "moved",
            Self::Accepted => "accepted",
            Self::NotNow(_) => "not_now",
            Self::Refused(_) => "refused",
            Self::AccountBroken(_) => "account_broken",
            Self::Unknown(reason) => reason.code(),
        }
    }
}

impl RefundFound {
    /// A stable word for logs and metrics; an unknown outcome is named by its reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Succeeded(_) => "succeeded",
            Self::NotFound => "not_found",
            Self::Unknown(reason) => reason.code(),
        }
    }
}

/// Reads an exchange: what the request was answered, and what was found under its number where that
/// answer alone decides nothing. Only `fund_change=Y` or a found refund of the right amount moved
/// money; a refusal counts only if the gateway certainly never took an earlier request.
#[must_use]
pub fn judge(
    refund: &Refund,
    sent: &RefundOutcome,
    found: Option<&RefundFound>,
    now: DateTime<Utc>,
) -> RefundStep {
    match found {
        Some(RefundFound::Succeeded(amount)) if *amount == refund.amount => {
            return RefundStep::Succeed;
        }
        Some(RefundFound::Succeeded(amount)) => return RefundStep::Contradiction(*amount),
        Some(RefundFound::Unknown(reason)) if reason.is_account_broken() => {
            return RefundStep::AccountBroken(reason.to_string());
        }
        Some(RefundFound::NotFound | RefundFound::Unknown(_)) | None => {}
    }
    let again =
        |answer: &str, in_doubt| RefundStep::AskAgain { answer: answer.to_owned(), in_doubt };
    match sent {
        RefundOutcome::Moved => RefundStep::Succeed,
        RefundOutcome::Accepted => again("accepted", true),
        RefundOutcome::NotNow(refusal) => again(refusal.in_short(), false),
        RefundOutcome::AccountBroken(refusal) => RefundStep::AccountBroken(refusal.in_words()),
        RefundOutcome::Unknown(reason) => again(reason.code(), true),
        RefundOutcome::Refused(refusal) => {
            let recent = |since: DateTime<Utc>| now < since + VISIBLE_AFTER;
            let certain =
                found == Some(&RefundFound::NotFound) && !refund.doubt_since.is_some_and(recent);
            if certain {
                RefundStep::Refuse(refusal.clone())
            } else {
                again(refusal.in_short(), false)
            }
        }
    }
}

/// The number under which a refund of somebody else's is recorded. Numbers of callers have no
/// colon; the gateway's may be longer than ours.
#[must_use]
pub fn elsewhere_no(number: &str) -> String {
    if number.len() <= ELSEWHERE_CHARS_MAX && number.is_ascii() {
        return format!("elsewhere:{number}");
    }
    let hash: String = sha256_hex(&[number]).chars().take(ELSEWHERE_CHARS_MAX).collect();
    format!("elsewhere:{hash}")
}

/// When a refund that was asked for `tries` times is asked for again: after a second, four times in
/// the first half minute, then with doubled pauses up to an hour, without end.
#[must_use]
pub fn next_try(tries: i64, now: DateTime<Utc>) -> DateTime<Utc> {
    let doublings = u32::try_from(tries.saturating_sub(1).clamp(0, DOUBLINGS_MAX)).unwrap_or(0);
    now + Duration::seconds(2_i64.pow(doublings)).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests;
