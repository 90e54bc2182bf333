//! An order and the only ways its status may change.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{OrderId, OutTradeNo};
use super::money::Fen;

/// Where an order stands. The names are those of the API and of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Stock is locked, the buyer may pay until the deadline.
    AwaitingPayment,
    /// Exactly one payment is applied.
    Paid,
    /// Ended unpaid, its stock is back.
    Cancelled,
    /// Paid, and a refund is under way.
    Refunding,
    /// Paid once, and everything was given back.
    Refunded,
}

impl OrderStatus {
    /// Every status, in the order of an order's life.
    pub const ALL: [Self; 5] =
        [Self::AwaitingPayment, Self::Paid, Self::Cancelled, Self::Refunding, Self::Refunded];

    /// The name in the API and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AwaitingPayment => "awaiting_payment",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
            Self::Refunding => "refunding",
            Self::Refunded => "refunded",
        }
    }

    /// Reads the database's name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether the state machine allows this change. The table `order_transitions` holds the same
    /// pairs, and a test compares the two.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::AwaitingPayment => matches!(next, Self::Paid | Self::Cancelled),
            Self::Paid => matches!(next, Self::Refunding),
            Self::Refunding => matches!(next, Self::Paid | Self::Refunded),
            Self::Cancelled => matches!(next, Self::Paid),
            Self::Refunded => false,
        }
    }
}

/// How the timeout of an order is driven; stored with the order, so that a changed configuration
/// never strands an open one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// A RocketMQ half message is the timer.
    Transaction,
    /// A RocketMQ delayed message is the timer.
    Delay,
    /// The pending table is polled.
    Poll,
}

impl Engine {
    /// The name in the configuration and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Delay => "delay",
            Self::Poll => "poll",
        }
    }

    /// Reads the database's name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Transaction, Self::Delay, Self::Poll].into_iter().find(|e| e.as_str() == text)
    }
}

/// What a half message says when it is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HalfMessageMeaning {
    /// Reverse notification: a commit cancels the order.
    Cancel,
    /// Forward notification: a commit tells that the order is paid.
    Paid,
}

impl HalfMessageMeaning {
    /// The name in the configuration and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Paid => "paid",
        }
    }

    /// Reads the database's name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Cancel, Self::Paid].into_iter().find(|m| m.as_str() == text)
    }
}

/// A stored wish to cancel: it stops new attempts and counts as a deadline that has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelRequest {
    /// When it was stored.
    pub at: DateTime<Utc>,
    /// The key's or operator's name.
    pub by: String,
}

/// What the decision needs to know of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Bumped by every change; a decision names the version that it read.
    pub version: i64,
    /// Where it stands.
    pub status: OrderStatus,
    /// What the buyer owes.
    pub amount: Fen,
    /// The deadline that the buyer was shown, whole seconds.
    pub expires_at: DateTime<Utc>,
    /// A stored cancel request, if any.
    pub cancel_request: Option<CancelRequest>,
    /// The attempt whose payment is applied, once paid through a gateway.
    pub applied: Option<OutTradeNo>,
}

impl Order {
    /// The first instant at which answers may lead to a cancel: deadline plus grace, or the instant
    /// at which a cancel request was stored (no grace then).
    #[must_use]
    pub fn due_at(&self, grace: Duration) -> DateTime<Utc> {
        let deadline = self.expires_at.checked_add_signed(grace).unwrap_or(self.expires_at);
        match &self.cancel_request {
            Some(request) => request.at.min(deadline),
            None => deadline,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for status in OrderStatus::ALL {
            assert_eq!(OrderStatus::parse(status.as_str()), Some(status));
        }
        assert_eq!(OrderStatus::parse("PAID"), None);
    }

    #[test]
    fn paid_and_cancelled_never_turn_into_each_other_but_by_reopening() {
        assert!(!OrderStatus::Paid.may_become(OrderStatus::Cancelled));
        assert!(OrderStatus::Cancelled.may_become(OrderStatus::Paid));
        for next in OrderStatus::ALL {
            assert!(!OrderStatus::Refunded.may_become(next));
            assert!(!next.may_become(OrderStatus::AwaitingPayment));
        }
    }
}
