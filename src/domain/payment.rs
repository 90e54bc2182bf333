//! A payment attempt: one number at the gateway, through one channel and one account.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::OutTradeNo;
use super::money::Fen;

/// Where a payment attempt stands. The names are those of the API and of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Its row is committed; the gateway may or may not know its number.
    Created,
    /// The gateway has a trade that waits for the buyer.
    Waiting,
    /// Its payment is the order's payment.
    Applied,
    /// No money can come for it any more.
    Closed,
    /// The gateway refused to make it.
    Failed,
    /// Paid after its order was cancelled.
    Late,
    /// Paid although another attempt of the order is applied.
    Duplicate,
    /// Paid with another amount than asked.
    WrongAmount,
    /// Paid, signed, with our prefix, but no attempt is known.
    Orphan,
}

impl PaymentStatus {
    /// Every status.
    pub const ALL: [Self; 9] = [
        Self::Created,
        Self::Waiting,
        Self::Applied,
        Self::Closed,
        Self::Failed,
        Self::Late,
        Self::Duplicate,
        Self::WrongAmount,
        Self::Orphan,
    ];

    /// The name in the API and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Waiting => "waiting",
            Self::Applied => "applied",
            Self::Closed => "closed",
            Self::Failed => "failed",
            Self::Late => "late",
            Self::Duplicate => "duplicate",
            Self::WrongAmount => "wrong_amount",
            Self::Orphan => "orphan",
        }
    }

    /// Reads the database's name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether money can still come for it, so that it must have a row in the pending table.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Self::Created | Self::Waiting)
    }
}

/// The account that made an attempt: it is asked, closed and refunded only with this one, because
/// a gateway's *not exist* means something only to the account that created the trade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRef {
    /// The gateway's address.
    pub gateway_url: String,
    /// Our application there.
    pub app_id: String,
    /// The seller who gets the money.
    pub seller_id: String,
}

/// What the decision needs to know of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its number at the gateway.
    pub out_trade_no: OutTradeNo,
    /// Where it stands.
    pub status: PaymentStatus,
    /// What the buyer was asked to pay.
    pub amount: Fen,
    /// Whether the gateway ever showed a trade for it; *not exist* can't be true after that.
    pub seen: bool,
    /// Whether a payment for it is recorded, whatever became of the money.
    pub paid: bool,
    /// How much of that payment went back to the buyer.
    pub refunded: Fen,
    /// How much of it our unfinished refunds may still give back, or have given back already.
    pub refunding: Fen,
    /// After this instant a number that the gateway still doesn't know can't be paid any more.
    pub code_dies_at: DateTime<Utc>,
    /// The account that made it.
    pub account: AccountRef,
}
