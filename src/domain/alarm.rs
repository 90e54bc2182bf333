//! Alarms: everything that a person has to look at is a row, written in the transaction that causes
//! it, and unique per open kind and subject.

use serde::{Deserialize, Serialize};

/// How soon a person should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Look at it today.
    Warning,
    /// Money or stock is at stake: look now.
    Critical,
}

impl Severity {
    /// The name in the database and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

macro_rules! alarm_kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $severity:ident;)+) => {
        /// What an alarm is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum AlarmKind {
            $($(#[$doc])* $variant,)+
        }

        impl AlarmKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in the API, the database and metrics.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// How soon a person should look.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self {
                    $(Self::$variant => Severity::$severity,)+
                }
            }
        }
    };
}

alarm_kinds! {
    /// A payment arrived for a cancelled order; the subject is its `out_trade_no`.
    LatePayment = "late_payment", Warning;
    /// A second payment arrived for a paid order; the subject is its `out_trade_no`.
    DuplicatePayment = "duplicate_payment", Warning;
    /// A payment has another amount than asked; the subject is its `out_trade_no`.
    WrongAmount = "wrong_amount", Critical;
    /// A signed payment with our prefix belongs to no attempt; the subject is its `out_trade_no`.
    OrphanPayment = "orphan_payment", Critical;
    /// A payment was given back by someone else; the subject is its `out_trade_no`.
    ReturnedElsewhere = "returned_elsewhere", Critical;
    /// A refund is unfinished for long; the subject is its `out_request_no`.
    RefundOverdue = "refund_overdue", Critical;
    /// The gateway refused a refund for good; the subject is its `out_request_no`.
    RefundRefused = "refund_refused", Critical;
    /// Refunds wait for money on the merchant's account; the subject is the app id.
    BalanceTooLow = "balance_too_low", Critical;
    /// The gateway no longer knows a trade that it knew; the subject is its `out_trade_no`.
    TradeVanished = "trade_vanished", Critical;
    /// The gateway says *unpaid* about a payment that it confirmed; the subject is `out_trade_no`.
    GatewayContradiction = "gateway_contradiction", Critical;
    /// An order is long past its deadline; the subject is the order id.
    OrderOverdue = "order_overdue", Critical;
    /// An attempt is long past its code's life without a definite answer; `out_trade_no`.
    AttemptOverdue = "attempt_overdue", Warning;
    /// The gateway refuses the account itself; the subject is the app id.
    AccountBroken = "account_broken", Critical;
    /// An attempt belongs to an account that isn't configured; the subject is its `out_trade_no`.
    AccountUnknown = "account_unknown", Critical;
    /// A message of another deployment arrived; the subject is that deployment.
    ForeignMessage = "foreign_message", Warning;
    /// A message can't be read; the subject is its key.
    MalformedMessage = "malformed_message", Warning;
    /// A message has a version that this release doesn't know; the subject is its key.
    UnknownMessageVersion = "unknown_message_version", Warning;
    /// A pending order's check count reached the broker's maximum; the subject is the order id.
    CheckCountAtMaximum = "check_count_at_maximum", Warning;
    /// The broker gave up on an order's half message; the subject is the order id, or `others`.
    HalfMessageGivenUp = "half_message_given_up", Warning;
    /// A broker's settings do not fit the payment windows; the subject is `brokers`.
    ClockMismatch = "clock_mismatch", Critical;
    /// A topic has another message type than needed; the subject is its name.
    TopicWrongType = "topic_wrong_type", Critical;
    /// An event can't be published for long; the subject is its id.
    OutboxStuck = "outbox_stuck", Warning;
    /// This instance's clock is off the database's; the subject is `clock`.
    ClockSkew = "clock_skew", Critical;
    /// A row breaks an invariant; the subject is its table and id.
    CorruptRow = "corrupt_row", Critical;
}

/// An alarm that a decision or a use case raises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// What it is about.
    pub kind: AlarmKind,
    /// Which order, trade, message or deployment.
    pub subject: String,
    /// One sentence for the person who looks.
    pub detail: String,
}

impl Alarm {
    /// An alarm of this kind.
    #[must_use]
    pub fn new(kind: AlarmKind, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, subject: subject.into(), detail: detail.into() }
    }
}
