//! Alarms: everything that a person has to look at is a row, written in the transaction that causes
//! it, and unique per open kind and subject.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

/// An alarm that goes on after it escalated does so again no earlier than this.
const ESCALATES_AGAIN_AFTER: Duration = Duration::hours(24);

/// How soon a person should look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Look at it today.
    #[default]
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
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $severity:ident, $minutes:literal;)+) => {
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

            /// How long one may stay open, and after its acknowledgement stay open still, before
            /// it escalates.
            #[must_use]
            pub fn age_limit(self) -> Duration {
                match self {
                    $(Self::$variant => Duration::minutes($minutes),)+
                }
            }
        }
    };
}

alarm_kinds! {
    /// A payment arrived for a cancelled order; the subject is its `out_trade_no`.
    LatePayment = "late_payment", Warning, 60;
    /// A second payment arrived for a paid order; the subject is its `out_trade_no`.
    DuplicatePayment = "duplicate_payment", Warning, 60;
    /// A payment has another amount than asked; the subject is its `out_trade_no`.
    WrongAmount = "wrong_amount", Critical, 30;
    /// A signed payment with our prefix belongs to no attempt; the subject is its `out_trade_no`.
    OrphanPayment = "orphan_payment", Critical, 30;
    /// A payment was given back by someone else; the subject is its `out_trade_no`.
    ReturnedElsewhere = "returned_elsewhere", Critical, 240;
    /// A refund is unfinished for long; the subject is its `out_request_no`.
    RefundOverdue = "refund_overdue", Critical, 60;
    /// The gateway refused a refund for good; the subject is its `out_request_no`.
    RefundRefused = "refund_refused", Critical, 240;
    /// Refunds wait for money on the merchant's account; the subject is the seller id.
    BalanceTooLow = "balance_too_low", Critical, 30;
    /// The gateway no longer knows a trade that it knew; the subject is its `out_trade_no`.
    TradeVanished = "trade_vanished", Critical, 30;
    /// The gateway says *unpaid* about a payment that it confirmed; the subject is `out_trade_no`.
    GatewayContradiction = "gateway_contradiction", Critical, 60;
    /// An order is long past its deadline; the subject is the order id.
    OrderOverdue = "order_overdue", Critical, 15;
    /// An attempt is long past its code's life without a definite answer; `out_trade_no`.
    AttemptOverdue = "attempt_overdue", Warning, 240;
    /// The gateway refuses the account itself; the subject is the app id.
    AccountBroken = "account_broken", Critical, 15;
    /// The gateway says that it is called too often, for a while; the subject is the app id.
    GatewayThrottled = "gateway_throttled", Warning, 60;
    /// An attempt belongs to an account that isn't configured; the subject is its `out_trade_no`.
    AccountUnknown = "account_unknown", Critical, 30;
    /// A message of another deployment arrived; the subject is that deployment.
    ForeignMessage = "foreign_message", Warning, 240;
    /// A message can't be read; the subject is its key.
    MalformedMessage = "malformed_message", Warning, 1440;
    /// A message has a version that this release doesn't know; the subject is its key.
    UnknownMessageVersion = "unknown_message_version", Warning, 60;
    /// A pending order's check count reached the broker's maximum; the subject is the order id.
    CheckCountAtMaximum = "check_count_at_maximum", Warning, 60;
    /// The poll has asked about an order as often as it may; the subject is the order id.
    PollExhausted = "poll_exhausted", Warning, 60;
    /// The broker gave up on an order's half message; the subject is the order id, or `others`.
    HalfMessageGivenUp = "half_message_given_up", Warning, 60;
    /// A broker's settings do not fit the payment windows; the subject is `brokers`.
    ClockMismatch = "clock_mismatch", Critical, 60;
    /// A topic has another message type than needed; the subject is its name.
    TopicWrongType = "topic_wrong_type", Critical, 30;
    /// An event can't be published for long; the subject is its id.
    OutboxStuck = "outbox_stuck", Warning, 30;
    /// This instance's clock is off the database's; the subject is `clock`.
    ClockSkew = "clock_skew", Critical, 15;
    /// A row breaks an invariant; the subject is its table and id.
    CorruptRow = "corrupt_row", Critical, 30;
    /// The gateway's bill and the records differ; the subject is app id, seller id and day.
    BillDifferences = "bill_differences", Critical, 1440;
    /// The gateway has no bill of a day on which money came; app id, seller id and day.
    BillMissing = "bill_missing", Warning, 1440;
    /// The audit found a violated invariant; the subject is its number.
    InvariantViolated = "invariant_violated", Critical, 60;
}

impl AlarmKind {
    /// Reads the database's name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }

    /// When an open alarm of this kind escalates next: at its age limit, counted again from its
    /// acknowledgement, and then once a day.
    #[must_use]
    pub fn escalates_at(
        self,
        opened_at: DateTime<Utc>,
        acknowledged_at: Option<DateTime<Utc>>,
        escalated_at: Option<DateTime<Utc>>,
    ) -> DateTime<Utc> {
        let looked_at = acknowledged_at.unwrap_or(opened_at);
        let first = opened_at.max(looked_at) + self.age_limit();
        let again = escalated_at.map(|at| at + self.age_limit().max(ESCALATES_AGAIN_AFTER));
        again.map_or(first, |again| again.max(first))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_escalates_at_its_age_and_then_daily_unless_somebody_looks() {
        let at = |minutes| DateTime::UNIX_EPOCH + Duration::minutes(minutes);
        let kind = AlarmKind::WrongAmount;
        let next = |acknowledged, escalated| kind.escalates_at(at(0), acknowledged, escalated);
        assert_eq!(kind.age_limit(), Duration::minutes(30));
        assert_eq!(next(None, None), at(30));
        assert_eq!(next(Some(at(20)), None), at(50));
        assert_eq!(next(None, Some(at(30))), at(30 + 24 * 60));
        assert_eq!(next(Some(at(40)), Some(at(30))), at(30 + 24 * 60));
        assert_eq!(next(Some(at(5_000)), Some(at(30))), at(5_030));
    }
}
