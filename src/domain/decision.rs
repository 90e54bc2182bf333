//! The one decision. Whatever wakes the service up, `decide` says what becomes of an order and of
//! each of its attempts, from what was read and what the gateway answered. Total and pure; the
//! table is that of design section 2, and each row of it is a test.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::alarm::{Alarm, AlarmKind};
use super::answer_log::Answers;
use super::gateway::{Answer, NotPaid, PaidTrade, ReturnedTrade, UnknownReason};
use super::ids::OutTradeNo;
use super::money::Fen;
use super::order::{Order, OrderStatus};
use super::payment::{Attempt, PaymentStatus};

/// What becomes of a payment that arrives after its order was cancelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLatePayment {
    /// It goes back.
    #[default]
    Refund,
    /// The order is paid after all if its stock can be locked again; else it goes back.
    Reopen,
}

/// What the operator of the service chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Time after the deadline in which nothing is cancelled yet.
    pub grace: Duration,
    /// Time past due after which an order that can't be ended opens an alarm.
    pub overdue_alarm_after: Duration,
    /// What becomes of a late payment.
    pub late: OnLatePayment,
}

/// What becomes of the order itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderStep {
    /// Not due yet and not paid: nothing to write.
    KeepWaiting,
    /// Due, but an answer is missing or unknown: never cancel on that.
    AwaitAnswer,
    /// Due and all answers are definite, but trades that wait for the buyer must be closed first.
    CloseFirst,
    /// Due, and no attempt can be paid unnoticed: cancel with the answers as evidence.
    Cancel,
    /// Paid: apply this attempt's payment.
    Confirm(OutTradeNo),
    /// Cancelled, and paid late: paid after all, if its stock can be locked again.
    Reopen(OutTradeNo),
    /// The order has ended before; only its attempts are looked after.
    Settled,
}

/// What becomes of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptStep {
    /// Record its payment as applied, late, duplicate or of a wrong amount.
    RecordPayment {
        /// The payment's status from now on.
        status: PaymentStatus,
        /// What the gateway confirmed.
        trade: PaidTrade,
    },
    /// Record that it was paid and that the money went back.
    RecordReturn(ReturnedTrade),
    /// Record that so much of its recorded payment went back by somebody else's doing.
    RecordElsewhere(Fen),
    /// Ask the gateway to close its trade.
    Close,
    /// Drop its pending row: no money can come for it any more.
    End,
    /// Note that the gateway has a trade for it now.
    NoteSeen {
        /// The gateway's number of it.
        trade_no: String,
    },
}

/// The outcome of [`decide`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of the order.
    pub order: OrderStep,
    /// What becomes of its attempts; one without an entry stays as it is.
    pub attempts: Vec<(OutTradeNo, AttemptStep)>,
    /// What a person has to look at.
    pub alarms: Vec<Alarm>,
}

impl Decision {
    /// The attempts whose trades must be closed at the gateway.
    pub fn closes(&self) -> impl Iterator<Item = &OutTradeNo> {
        self.attempts
            .iter()
            .filter(|(_, step)| matches!(step, AttemptStep::Close))
            .map(|(number, _)| number)
    }
}

/// What an answer means for one attempt, with what is known locally taken into account.
enum Verdict<'a> {
    Paid(&'a PaidTrade),
    WrongAmount(&'a PaidTrade),
    Returned(&'a ReturnedTrade),
    Waiting(&'a str),
    Closed,
    NeverScanned,
    CodeDied,
    Vanished,
    Unknown,
}

/// Decides what becomes of an order and its attempts.
///
/// `now` is read before the first question is sent, so that every answer is younger than it: an
/// answer counts as given after the deadline only if it was asked for after the deadline.
#[must_use]
pub fn decide(
    order: &Order,
    attempts: &[Attempt],
    answers: &Answers,
    now: DateTime<Utc>,
    policy: &Policy,
) -> Decision {
    let verdicts: Vec<_> =
        attempts.iter().map(|attempt| (attempt, verdict(attempt, answers, now))).collect();
    let mut decision = match order.status {
        OrderStatus::AwaitingPayment => decide_awaiting(order, &verdicts, now, policy),
        OrderStatus::Paid | OrderStatus::Refunding | OrderStatus::Refunded => {
            decide_settled(order, &verdicts, PaymentStatus::Duplicate)
        }
        OrderStatus::Cancelled if policy.late == OnLatePayment::Reopen => {
            decide_reopening(order, &verdicts)
        }
        OrderStatus::Cancelled => decide_settled(order, &verdicts, PaymentStatus::Late),
    };
    for (attempt, verdict) in &verdicts {
        let doubt = matches!(verdict, Some(Verdict::Vanished | Verdict::Unknown))
            && answers.about(&attempt.out_trade_no).is_some();
        let overdue = now.signed_duration_since(attempt.code_dies_at) >= policy.overdue_alarm_after;
        if doubt && overdue && attempt.status.is_live() {
            decision.alarms.push(attempt_overdue_alarm(attempt));
        }
        decision.alarms.extend(answer_alarm(attempt, verdict.as_ref(), answers));
    }
    decision
}

/// What an answer alone is reason enough for a person to look at.
fn answer_alarm(
    attempt: &Attempt,
    verdict: Option<&Verdict<'_>>,
    answers: &Answers,
) -> Option<Alarm> {
    if let Some(Verdict::Vanished) = verdict {
        return Some(vanished_alarm(attempt));
    }
    match &answers.about(&attempt.out_trade_no)?.answer {
        Answer::Unknown(reason) => account_alarm(attempt, reason),
        _ => None,
    }
}

/// The alarm of a call that no repeat will help: our account is refused, or isn't configured.
#[must_use]
pub fn account_alarm(attempt: &Attempt, reason: &UnknownReason) -> Option<Alarm> {
    let (kind, subject) = match reason {
        UnknownReason::AccountBroken { .. } => {
            (AlarmKind::AccountBroken, attempt.account.app_id.as_str())
        }
        UnknownReason::NotAsked => (AlarmKind::AccountUnknown, attempt.out_trade_no.as_str()),
        _ => return None,
    };
    Some(Alarm::new(kind, subject, reason.to_string()))
}

fn verdict<'a>(attempt: &Attempt, answers: &'a Answers, now: DateTime<Utc>) -> Option<Verdict<'a>> {
    let Some(asked) = answers.about(&attempt.out_trade_no) else {
        return attempt.status.is_live().then_some(Verdict::Unknown);
    };
    Some(match &asked.answer {
        Answer::Paid(trade) if trade.amount == attempt.amount => Verdict::Paid(trade),
        Answer::Paid(trade) => Verdict::WrongAmount(trade),
        Answer::Returned(trade) => Verdict::Returned(trade),
        Answer::NotPaid(NotPaid::WaitBuyerPay { trade_no }) => Verdict::Waiting(trade_no),
        Answer::NotPaid(NotPaid::Closed) => Verdict::Closed,
        Answer::NotPaid(NotPaid::NotExist) if attempt.seen => Verdict::Vanished,
        Answer::NotPaid(NotPaid::NotExist) if now >= attempt.code_dies_at => Verdict::CodeDied,
        Answer::NotPaid(NotPaid::NotExist) => Verdict::NeverScanned,
        Answer::Unknown(_) => Verdict::Unknown,
    })
}

type Judged<'a> = (&'a Attempt, Option<Verdict<'a>>);

fn decide_awaiting(
    order: &Order,
    verdicts: &[Judged<'_>],
    now: DateTime<Utc>,
    policy: &Policy,
) -> Decision {
    if let Some(winner) = winner(verdicts) {
        return apply(OrderStep::Confirm(winner.clone()), winner, verdicts);
    }
    let due_at = order.due_at(policy.grace);
    let due = now >= due_at;
    let mut decision = Decision { order: OrderStep::KeepWaiting, attempts: vec![], alarms: vec![] };
    let unknown = verdicts.iter().any(|(attempt, verdict)| match verdict {
        // Also about an ended one that was asked about: its buyer may have paid in time.
        Some(Verdict::Unknown | Verdict::Vanished) => !attempt.paid,
        _ => false,
    });
    let waiting = verdicts.iter().any(|(attempt, verdict)| {
        attempt.status.is_live() && matches!(verdict, Some(Verdict::Waiting(_)))
    });
    decision.order = match (due, unknown, waiting) {
        (false, _, _) => OrderStep::KeepWaiting,
        (true, true, _) => OrderStep::AwaitAnswer,
        (true, false, true) => OrderStep::CloseFirst,
        (true, false, false) => OrderStep::Cancel,
    };
    for (attempt, verdict) in verdicts {
        let Some(verdict) = verdict else { continue };
        let closes = decision.order == OrderStep::CloseFirst && attempt.status.is_live();
        match verdict {
            Verdict::Waiting(_) if closes => push(&mut decision, attempt, AttemptStep::Close),
            verdict => look_after(&mut decision, attempt, verdict, PaymentStatus::WrongAmount),
        }
    }
    let overdue = now.signed_duration_since(due_at) >= policy.overdue_alarm_after;
    if decision.order == OrderStep::AwaitAnswer && overdue {
        decision.alarms.push(overdue_alarm(order));
    }
    decision
}

/// The attempt whose payment can be the order's.
fn winner<'a>(verdicts: &'a [Judged<'_>]) -> Option<&'a OutTradeNo> {
    verdicts.iter().find_map(|(attempt, verdict)| match verdict {
        Some(Verdict::Paid(_)) if !attempt.paid => Some(&attempt.out_trade_no),
        _ => None,
    })
}

/// A cancelled order that a late payment brings back.
fn decide_reopening(order: &Order, verdicts: &[Judged<'_>]) -> Decision {
    match winner(verdicts) {
        Some(winner) => apply(OrderStep::Reopen(winner.clone()), winner, verdicts),
        None => decide_settled(order, verdicts, PaymentStatus::Late),
    }
}

/// The winner is applied, and every other attempt is from now on one of a paid order.
fn apply(order: OrderStep, winner: &OutTradeNo, verdicts: &[Judged<'_>]) -> Decision {
    let mut decision = Decision { order, attempts: vec![], alarms: vec![] };
    for (attempt, verdict) in verdicts {
        match verdict {
            Some(Verdict::Paid(trade)) if attempt.out_trade_no == *winner => {
                let status = PaymentStatus::Applied;
                let trade = (*trade).clone();
                push(&mut decision, attempt, AttemptStep::RecordPayment { status, trade });
            }
            Some(verdict) => {
                look_after(&mut decision, attempt, verdict, PaymentStatus::Duplicate);
            }
            None => {}
        }
    }
    decision
}

/// An order that has ended: its attempts may still bring money.
fn decide_settled(order: &Order, verdicts: &[Judged<'_>], more_money: PaymentStatus) -> Decision {
    let mut decision = Decision { order: OrderStep::Settled, attempts: vec![], alarms: vec![] };
    for (attempt, verdict) in verdicts {
        let Some(verdict) = verdict else { continue };
        match verdict {
            Verdict::Waiting(_) if attempt.status.is_live() => {
                push(&mut decision, attempt, AttemptStep::Close);
            }
            _ if order.applied.as_ref() == Some(&attempt.out_trade_no) => {
                recheck_recorded(&mut decision, attempt, verdict);
            }
            verdict => look_after(&mut decision, attempt, verdict, more_money),
        }
    }
    decision
}

/// The part of the table that is the same for every order: what an answer means for an attempt
/// that is not going to be applied. `more_money` is what a payment of the right amount is then.
fn look_after(
    decision: &mut Decision,
    attempt: &Attempt,
    verdict: &Verdict<'_>,
    more_money: PaymentStatus,
) {
    if attempt.paid {
        return recheck_recorded(decision, attempt, verdict);
    }
    let live = attempt.status.is_live();
    match verdict {
        Verdict::Paid(trade) => record(decision, attempt, more_money, trade),
        Verdict::WrongAmount(trade) => {
            record(decision, attempt, PaymentStatus::WrongAmount, trade);
        }
        Verdict::Returned(trade) => {
            push(decision, attempt, AttemptStep::RecordReturn((*trade).clone()));
        }
        Verdict::Waiting(trade_no) if live && attempt.status == PaymentStatus::Created => {
            let trade_no = (*trade_no).to_owned();
            push(decision, attempt, AttemptStep::NoteSeen { trade_no });
        }
        Verdict::Closed | Verdict::CodeDied if live => push(decision, attempt, AttemptStep::End),
        Verdict::Waiting(_)
        | Verdict::Closed
        | Verdict::CodeDied
        | Verdict::NeverScanned
        | Verdict::Vanished
        | Verdict::Unknown => {}
    }
}

/// A payment that is already recorded: the same answer again changes nothing.
fn recheck_recorded(decision: &mut Decision, attempt: &Attempt, verdict: &Verdict<'_>) {
    match verdict {
        Verdict::Returned(trade) => recheck_returned(decision, attempt, trade),
        Verdict::Waiting(_) | Verdict::Closed | Verdict::NeverScanned | Verdict::CodeDied => {
            let detail = "the gateway says unpaid about a payment that it confirmed before";
            let subject = attempt.out_trade_no.as_str();
            decision.alarms.push(Alarm::new(AlarmKind::GatewayContradiction, subject, detail));
        }
        Verdict::Paid(_) | Verdict::WrongAmount(_) | Verdict::Vanished | Verdict::Unknown => {}
    }
}

/// What our own refunds don't explain, those under way included, somebody else gave back.
fn recheck_returned(decision: &mut Decision, attempt: &Attempt, trade: &ReturnedTrade) {
    let paid = trade.amount.unwrap_or(attempt.amount);
    let ours = attempt.refunded.checked_add(attempt.refunding).unwrap_or(Fen::MAX);
    let Some(elsewhere) = paid.checked_sub(ours).filter(|amount| !amount.is_zero()) else {
        return;
    };
    let detail =
        format!("{elsewhere} yuan of a recorded payment went back, not by a refund of ours");
    let subject = attempt.out_trade_no.as_str();
    decision.alarms.push(Alarm::new(AlarmKind::ReturnedElsewhere, subject, detail));
    push(decision, attempt, AttemptStep::RecordElsewhere(elsewhere));
}

fn record(decision: &mut Decision, attempt: &Attempt, status: PaymentStatus, trade: &PaidTrade) {
    let (kind, detail) = match status {
        PaymentStatus::Late => (AlarmKind::LatePayment, "paid after its order was cancelled"),
        PaymentStatus::Duplicate => {
            (AlarmKind::DuplicatePayment, "paid although another payment of its order is applied")
        }
        _ => (AlarmKind::WrongAmount, "paid with another amount than asked"),
    };
    let detail = format!("{detail}: asked {}, got {}", attempt.amount, trade.amount);
    decision.alarms.push(Alarm::new(kind, attempt.out_trade_no.as_str(), detail));
    push(decision, attempt, AttemptStep::RecordPayment { status, trade: trade.clone() });
}

fn push(decision: &mut Decision, attempt: &Attempt, step: AttemptStep) {
    decision.attempts.push((attempt.out_trade_no.clone(), step));
}

fn vanished_alarm(attempt: &Attempt) -> Alarm {
    let detail =
        "the gateway says it doesn't know a trade that it knew; nothing is cancelled on it";
    Alarm::new(AlarmKind::TradeVanished, attempt.out_trade_no.as_str(), detail)
}

fn attempt_overdue_alarm(attempt: &Attempt) -> Alarm {
    let detail = "past its code's life, and the gateway gives no definite answer";
    Alarm::new(AlarmKind::AttemptOverdue, attempt.out_trade_no.as_str(), detail)
}

fn overdue_alarm(order: &Order) -> Alarm {
    let detail = "past its deadline, and the gateway gives no definite answer";
    Alarm::new(AlarmKind::OrderOverdue, order.id.as_str(), detail)
}
