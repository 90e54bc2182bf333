//! A decision with everything that it rests on, and what it makes of the order.

use chrono::{DateTime, Utc};

use super::questions::Questions;
use super::schedule::last_look_is_over;
use super::{Outcome, Request, Snapshot};
use crate::app::App;
use crate::domain::answer_log::Answers;
use crate::domain::decision::{AttemptStep, Decision, OrderStep};
use crate::domain::gateway::{Answer, NotPaid, UnknownReason};
use crate::domain::ids::OutTradeNo;
use crate::domain::money::Fen;
use crate::domain::order::{Order, OrderStatus};
use crate::domain::payment::{Attempt, PaymentStatus};
use crate::domain::payment_check::next_query;
use crate::domain::trigger::Trigger;
use crate::store::pending::{Kind, Lane, Pending};

/// A decision with everything that it rests on.
pub(super) struct Plan<'a> {
    pub request: &'a Request<'a>,
    /// What was asked until now, to be written down.
    pub questions: &'a Questions,
    pub snapshot: &'a Snapshot,
    pub decision: Decision,
    /// What the gateway said before anything was closed.
    pub shown: Answers,
    pub answers: Answers,
    /// Read before the first question was sent.
    pub asked_at: DateTime<Utc>,
}

/// What this plan makes of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Paid,
    /// Paid after it was cancelled.
    Reopened,
    Cancelled,
    /// Money of its applied payment went back by somebody else's doing.
    WalkedBack(OrderStatus),
    Unchanged,
}

impl Turn {
    /// What the order is now.
    pub(super) fn status(self, before: OrderStatus) -> OrderStatus {
        match self {
            Self::Paid | Self::Reopened => OrderStatus::Paid,
            Self::Cancelled => OrderStatus::Cancelled,
            Self::WalkedBack(status) => status,
            Self::Unchanged => before,
        }
    }
}

impl Plan<'_> {
    pub(super) fn order(&self) -> &Order {
        &self.snapshot.order.order
    }

    pub(super) fn turn(&self, app: &App) -> Turn {
        match self.decision.order {
            OrderStep::Confirm(_) => Turn::Paid,
            OrderStep::Reopen(_) => Turn::Reopened,
            OrderStep::Settled => self.walked_back().map_or(Turn::Unchanged, Turn::WalkedBack),
            OrderStep::Cancel if self.request.trigger.writes_cancel() && app.may_cancel() => {
                Turn::Cancelled
            }
            OrderStep::Cancel
            | OrderStep::CloseFirst
            | OrderStep::KeepWaiting
            | OrderStep::AwaitAnswer => Turn::Unchanged,
        }
    }

    /// What the order becomes when its applied payment was given back elsewhere.
    fn walked_back(&self) -> Option<OrderStatus> {
        let applied = self.order().applied.as_ref()?;
        let amount = self.gone_elsewhere(applied)?;
        let record = &self.snapshot.order;
        let attempt = self.attempt(applied)?;
        Some(match record.refunded.checked_add(amount) {
            Some(refunded) if refunded == record.order.amount => OrderStatus::Refunded,
            _ if attempt.refunding.is_zero() => OrderStatus::Paid,
            _ => OrderStatus::Refunding,
        })
    }

    /// How much of an attempt's payment went back by somebody else's doing.
    pub(super) fn gone_elsewhere(&self, number: &OutTradeNo) -> Option<Fen> {
        self.decision.attempts.iter().find_map(|(decided, step)| match step {
            AttemptStep::RecordElsewhere(amount) if decided == number => Some(*amount),
            _ => None,
        })
    }

    /// The steps that change a row.
    pub(super) fn steps(&self) -> impl Iterator<Item = (&OutTradeNo, AttemptStep)> {
        let decided = self.decision.attempts.iter().filter(|(_, step)| match step {
            AttemptStep::Close => false,
            // Whoever cancels asks about it again: its answer is part of the evidence.
            AttemptStep::End => !self.leaves_the_cancel_to_others(),
            AttemptStep::RecordPayment { .. }
            | AttemptStep::RecordReturn(_)
            | AttemptStep::RecordElsewhere(_)
            | AttemptStep::NoteSeen { .. } => true,
        });
        let decided = decided.map(|(number, step)| (number, step.clone()));
        decided.chain(self.snapshot.attempts.iter().filter_map(|known| self.left_open(known)))
    }

    /// A trade that waited and isn't closed, by choice or by failure, is noted as seen: the gateway
    /// can't deny it from now on.
    pub(super) fn left_open<'a>(
        &'a self,
        known: &'a Attempt,
    ) -> Option<(&'a OutTradeNo, AttemptStep)> {
        let number = &known.out_trade_no;
        let has_step = |(decided, step): &(OutTradeNo, AttemptStep)| {
            decided == number && !matches!(step, AttemptStep::Close)
        };
        if known.status != PaymentStatus::Created || self.decision.attempts.iter().any(has_step) {
            return None;
        }
        match &self.shown.about(number)?.answer {
            Answer::NotPaid(NotPaid::WaitBuyerPay { trade_no }) => {
                Some((number, AttemptStep::NoteSeen { trade_no: trade_no.clone() }))
            }
            _ => None,
        }
    }

    pub(super) fn leaves_the_cancel_to_others(&self) -> bool {
        !self.request.trigger.writes_cancel()
            && matches!(self.decision.order, OrderStep::Cancel | OrderStep::CloseFirst)
    }

    /// Whether the gateway said *closed*, rather than that it never knew the number.
    pub(super) fn was_closed(&self, number: &OutTradeNo) -> bool {
        let closed = Answer::NotPaid(NotPaid::Closed);
        self.answers.about(number).is_some_and(|asked| asked.answer == closed)
    }

    /// Whether the last look at this attempt is over. `None`: it wasn't asked about.
    pub(super) fn last_look_is_over(&self, number: &OutTradeNo) -> Option<bool> {
        let was_seen = self.attempt(number).is_some_and(|attempt| attempt.seen);
        self.answers.about(number).map(|asked| last_look_is_over(&asked.answer, was_seen))
    }

    pub(super) fn code_dies_at(&self, number: &OutTradeNo) -> Option<DateTime<Utc>> {
        let known = self.attempt(number);
        known.map(|attempt| attempt.code_dies_at)
    }

    fn attempt(&self, number: &OutTradeNo) -> Option<&Attempt> {
        self.snapshot.attempts.iter().find(|known| known.out_trade_no == *number)
    }

    pub(super) fn looks(&self) -> i64 {
        let open = self.snapshot.pending.iter().filter(|row| row.kind != Kind::Closed);
        open.map(|row| row.query_count).max().unwrap_or(0)
    }

    /// Who looks at the order's rows from now on. The poll gives an order up that it has asked
    /// about as often as it may, and takes it back once there is an answer.
    pub(super) fn lane(&self, app: &App, turn: Turn) -> Lane {
        let open = self.snapshot.pending.iter().filter(|row| row.kind == Kind::Attempt).count();
        let no_answer = match self.request.trigger {
            Trigger::Notify => self.was_slow(),
            _ => self.answers.as_slice().iter().any(|asked| !asked.answer.is_definite()),
        };
        let used_up = self.request.trigger == Trigger::Poll
            && !self.was_not_sent()
            && !self.is_first_look_past_due(app)
            && self.looks() + 1 >= i64::from(app.config.poll.max_queries)
            && (self.order().status != OrderStatus::AwaitingPayment || self.is_past_due(app));
        let given_up = no_answer && (used_up || self.was_slow());
        match turn {
            Turn::Unchanged if given_up && self.leaves_questions() => Lane::Slow,
            _ if open == 0 => Lane::NoAttempt,
            _ => Lane::Fast,
        }
    }

    /// Whether an attempt has to be asked about later.
    fn leaves_questions(&self) -> bool {
        let is_settled = |row: &Pending| {
            let number = OutTradeNo::from_trusted(row.subject.as_str());
            let ends = |step: &AttemptStep| match step {
                AttemptStep::RecordPayment { .. } | AttemptStep::RecordReturn(_) => true,
                AttemptStep::End => !self.was_closed(&number),
                AttemptStep::Close
                | AttemptStep::NoteSeen { .. }
                | AttemptStep::RecordElsewhere(_) => false,
            };
            self.decision.attempts.iter().any(|(of, step)| *of == number && ends(step))
        };
        let about_attempts = self.snapshot.pending.iter().filter(|row| row.kind != Kind::Order);
        about_attempts.into_iter().any(|row| !is_settled(row))
    }

    /// Whether a question was not sent, because too many waited before it.
    pub(super) fn was_not_sent(&self) -> bool {
        let overloaded = Answer::Unknown(UnknownReason::Overloaded);
        self.answers.as_slice().iter().any(|asked| asked.answer == overloaded)
    }

    pub(super) fn was_slow(&self) -> bool {
        self.snapshot.pending.iter().any(|row| row.lane == Lane::Slow)
    }

    fn is_past_due(&self, app: &App) -> bool {
        self.asked_at >= self.order().due_at(app.policy().grace)
    }

    /// From here on the queries of an order that awaits its payment are counted.
    pub(super) fn is_first_look_past_due(&self, app: &App) -> bool {
        let due_at = self.order().due_at(app.policy().grace);
        let order_row = self.snapshot.pending.iter().find(|row| row.kind == Kind::Order);
        self.is_past_due(app)
            && order_row.is_some_and(|row| row.last_answer_at.is_none_or(|at| at < due_at))
    }

    /// The next time of the query schedule, counted from the making of the youngest open attempt.
    pub(super) fn next_scheduled(&self, app: &App, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let open = self.snapshot.pending.iter().filter(|row| row.kind == Kind::Attempt);
        let since = open.map(|row| row.created_at).max()?;
        Some(next_query(&app.config.timeout.query_schedule, since, now))
    }

    /// The next instant at which an unscanned code can't be scanned any more.
    pub(super) fn next_code_death(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let live = self.snapshot.attempts.iter().filter(|attempt| attempt.status.is_live());
        live.map(|attempt| attempt.code_dies_at).filter(|at| *at > now).min()
    }

    /// The answers that the decision rests on: an ended attempt whose last look got no answer isn't
    /// among them.
    pub(super) fn evident_answers(&self) -> Answers {
        let is_live = |number: &OutTradeNo| {
            let known = self.attempt(number);
            known.is_some_and(|attempt| attempt.status.is_live())
        };
        let answers = self.answers.as_slice().iter();
        let evident =
            answers.filter(|asked| asked.answer.is_definite() || is_live(&asked.out_trade_no));
        Answers::new(evident.cloned().collect())
    }

    pub(super) fn check_count(&self) -> i64 {
        let stored = self.snapshot.pending.iter().find(|row| row.kind == Kind::Order);
        let this_one = i64::from(self.request.trigger == Trigger::CheckBack);
        stored.map_or(0, |row| row.check_count) + this_one
    }

    /// What the trigger is told.
    pub(super) fn outcome(&self, turn: Turn) -> Outcome {
        match (turn, &self.decision.order) {
            (Turn::Paid | Turn::Reopened, _) => Outcome::Ended(OrderStatus::Paid),
            (Turn::Cancelled, _) => Outcome::Ended(OrderStatus::Cancelled),
            (Turn::WalkedBack(status), _) => Outcome::Ended(status),
            (Turn::Unchanged, OrderStep::Settled | OrderStep::Reopen(_)) => {
                Outcome::Ended(self.order().status)
            }
            (Turn::Unchanged, OrderStep::KeepWaiting) => Outcome::Waiting,
            (Turn::Unchanged, OrderStep::Cancel | OrderStep::CloseFirst) => Outcome::ReadyToCancel,
            (Turn::Unchanged, OrderStep::AwaitAnswer | OrderStep::Confirm(_)) => Outcome::Unknown,
        }
    }
}
