//! What carries the promise, each part a switch, and how far a check goes.

use super::properties;

/// A rule that can be left out. The check must find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Rule {
    /// Rule 1: an attempt's row outlives its order.
    PendingOutlivesTheOrder,
    /// Rule 1: an unscanned code keeps its row until it can't be scanned any more.
    PendingUntilTheCodeIsDead,
    /// Rule 1: a closed trade is looked at once more.
    LastLook,
    /// Rule 2: every live attempt is asked about.
    EveryAttemptIsAsked,
    /// Rule 2: the deadline counts with its grace.
    Grace,
    /// Rule 2: an answer is as old as its question.
    TimeIsReadBeforeAsking,
    /// Rule 2: a cancel request counts for questions that were sent after it was stored.
    RequestIsReadBeforeAsking,
    /// Rule 2: what waits is closed first.
    WaitingIsClosedFirst,
    /// Unknown is not unpaid.
    UnknownIsNotUnpaid,
    /// A close whose answer got lost closed nothing.
    LostCloseIsUnknown,
    /// *Not exist* about a trade that was seen is unknown.
    NotExistOfASeenTradeIsUnknown,
    /// A decision is written only on the version that it read.
    CompareAndSet,
    /// A new attempt bumps the version.
    AttemptBumpsTheVersion,
    /// Rule 3: an attempt's row is committed before the gateway hears its number.
    RowBeforeTheGateway,
    /// Rule 4: a refund's row is committed with what decides it.
    RefundRowInTheTransaction,
    /// Rule 4: a refund stays due until the money moved.
    RefundStaysDue,
    /// Rule 4: a refund is sent again under its own number.
    RefundHasOneNumber,
    /// Rule 4: a refusal counts only where a look finds nothing, after a while.
    RefusalNeedsALook,
    /// Rule 4: a refund is in doubt from before it is sent.
    SendingIsInDoubt,
    /// Rule 5: an alarm is committed with what causes it.
    AlarmInTheTransaction,
    /// A check-back of an order that was never written settles the barrier.
    CheckBackSettlesTheBarrier,
}

impl Rule {
    pub(super) const ALL: [Self; 21] = [
        Self::PendingOutlivesTheOrder,
        Self::PendingUntilTheCodeIsDead,
        Self::LastLook,
        Self::EveryAttemptIsAsked,
        Self::Grace,
        Self::TimeIsReadBeforeAsking,
        Self::RequestIsReadBeforeAsking,
        Self::WaitingIsClosedFirst,
        Self::UnknownIsNotUnpaid,
        Self::LostCloseIsUnknown,
        Self::NotExistOfASeenTradeIsUnknown,
        Self::CompareAndSet,
        Self::AttemptBumpsTheVersion,
        Self::RowBeforeTheGateway,
        Self::RefundRowInTheTransaction,
        Self::RefundStaysDue,
        Self::RefundHasOneNumber,
        Self::RefusalNeedsALook,
        Self::SendingIsInDoubt,
        Self::AlarmInTheTransaction,
        Self::CheckBackSettlesTheBarrier,
    ];
}

impl Rule {
    /// The property that doesn't hold without it.
    pub(super) fn keeps(self) -> &'static str {
        match self {
            Self::PendingOutlivesTheOrder
            | Self::PendingUntilTheCodeIsDead
            | Self::LastLook
            | Self::RowBeforeTheGateway
            | Self::RefundStaysDue => properties::SETTLED,
            Self::EveryAttemptIsAsked
            | Self::Grace
            | Self::TimeIsReadBeforeAsking
            | Self::UnknownIsNotUnpaid
            | Self::NotExistOfASeenTradeIsUnknown => properties::IN_TIME,
            Self::RequestIsReadBeforeAsking
            | Self::WaitingIsClosedFirst
            | Self::LostCloseIsUnknown
            | Self::AttemptBumpsTheVersion => properties::EVIDENCE,
            Self::CompareAndSet => properties::TRANSITIONS,
            Self::RefundRowInTheTransaction | Self::AlarmInTheTransaction => properties::EXPLAINED,
            Self::RefundHasOneNumber => properties::MOVED_ONCE,
            Self::RefusalNeedsALook | Self::SendingIsInDoubt => properties::NOT_REFUSED,
            Self::CheckBackSettlesTheBarrier => properties::ROLLED_BACK,
        }
    }
}

/// What may happen, so that a check ends in the time that it has. What is not bounded here may
/// happen any number of times: lost answers, crashes, lost, late and repeated notifications,
/// deliveries and check-backs.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches, each named where it is set"
)]
pub(super) struct Bounds {
    /// Attempts that an order may have.
    pub(super) attempts: usize,
    /// Workers at the same time.
    pub(super) workers: usize,
    /// Answers are gathered one by one, with anything in between; else all in one instant.
    pub(super) one_by_one: bool,
    /// Workers that read an older version go on; else they read again at once.
    pub(super) stale_workers: bool,
    /// There may be a half message.
    pub(super) half_message: bool,
    /// There may be none.
    pub(super) degraded: bool,
    /// Between a payment's request and its row anything may happen.
    pub(super) slow_requests: bool,
    /// Queries lag behind.
    pub(super) lag: bool,
    /// The gateway denies trades that it showed.
    pub(super) amnesia: bool,
    /// A closed trade turns out to be paid.
    pub(super) late_confirmation: bool,
    /// Buyers pay other amounts, and merchants give money back by hand.
    pub(super) strange_money: bool,
    /// The gateway refuses to make a trade, and a buyer replaces an attempt.
    pub(super) ended_attempts: bool,
    /// Paid orders are refunded on request.
    pub(super) requested_refunds: bool,
    /// Between a refund and a look that finds it anything may happen.
    pub(super) slow_refunds: bool,
    /// A late payment reopens its order while there is stock.
    pub(super) reopening: bool,
}

impl Bounds {
    /// Everything, within two attempts and two workers.
    pub(super) const ALL: Self = Self {
        attempts: 2,
        workers: 2,
        one_by_one: true,
        stale_workers: true,
        half_message: true,
        degraded: true,
        slow_requests: true,
        lag: true,
        amnesia: true,
        late_confirmation: true,
        strange_money: true,
        ended_attempts: true,
        requested_refunds: true,
        slow_refunds: true,
        reopening: false,
    };
}
