//! `settle(order)`: the one use case behind every trigger. Load, ask the gateway about each attempt
//! that can still bring money, decide in pure code, close what waits, write with compare-and-set,
//! publish. Whoever loses the compare-and-set reads again and decides again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;

use crate::app::App;
use crate::domain::answer_log::{Answers, Asked};
use crate::domain::decision::{Decision, OnLatePayment, OrderStep, Policy, account_alarm, decide};
use crate::domain::gateway::{Answer, CloseOutcome, NotPaid, UnknownReason};
use crate::domain::ids::{OrderId, OutTradeNo};
use crate::domain::order::OrderStatus;
use crate::domain::payment::Attempt;
use crate::domain::priority::Priority;
use crate::domain::trigger::Trigger;
use crate::store::notifications::Notification;
use crate::store::orders::OrderRecord;
use crate::store::pending::{Kind, Pending};
use crate::store::{StoreError, orders, payments, pending};

mod alarms;
mod lines;
mod plan;
mod questions;
mod schedule;
pub(super) mod write;

use super::raise_alarm::raise_alarm;
use questions::Questions;
pub use schedule::last_look_at;
use write::Written;

/// The gateway's word for a trade that is over.
const TRADE_CLOSED: &str = "TRADE_CLOSED";

/// How often a lost compare-and-set, or a busy database, is tried again.
const TRIES_MAX: u32 = 8;

/// Pause before the first repetition with a busy database; it grows with each.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Why an order is looked at, and what is already known.
#[derive(Debug)]
pub struct Request<'a> {
    /// Which order.
    pub order_id: &'a OrderId,
    /// What woke us up.
    pub trigger: Trigger,
    /// Who stands in the history; the trigger's own name unless a caller did it.
    pub actor: &'a str,
    /// An attempt that is asked about whatever its state: somebody says that it was paid.
    pub named: Option<&'a OutTradeNo>,
    /// A verified notification: its answer, and the row that commits with its effect.
    pub notified: Option<Notified<'a>>,
}

/// A verified notification that agrees with an attempt of ours.
#[derive(Debug)]
pub struct Notified<'a> {
    /// What it says; `None` if the gateway has to be asked.
    pub answer: Option<Asked>,
    /// The row that commits with its effect.
    pub row: &'a Notification,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The order has ended, now or before.
    Ended(OrderStatus),
    /// Its deadline isn't reached.
    Waiting,
    /// It may be cancelled, but this trigger doesn't write cancels.
    ReadyToCancel,
    /// It is due, but a definite answer is missing.
    Unknown,
    /// There is no such order.
    NoSuchOrder,
}

/// Everything that was read before the decision.
pub(super) struct Snapshot {
    order: OrderRecord,
    attempts: Vec<Attempt>,
    pending: Vec<Pending>,
}

impl Snapshot {
    /// Whether a closed attempt has its last look until this time.
    fn is_watched_closed(&self, out_trade_no: &OutTradeNo, until: DateTime<Utc>) -> bool {
        self.pending.iter().any(|row| {
            row.kind == Kind::Closed
                && row.subject == out_trade_no.as_str()
                && row.next_query_at <= until
        })
    }
}

impl<'a> Request<'a> {
    /// A request by a trigger in its own name.
    #[must_use]
    pub fn by(trigger: Trigger, order_id: &'a OrderId) -> Self {
        Self { order_id, trigger, actor: trigger.as_str(), named: None, notified: None }
    }
}

/// Looks at an order and does what has to be done.
///
/// # Errors
/// If the database fails; the next trigger does it again.
pub async fn settle(app: &App, request: &Request<'_>) -> Result<Outcome, StoreError> {
    let questions = Questions::default();
    let outcome = settle_asking(app, request, &questions).await;
    questions.keep(app, request).await;
    outcome
}

async fn settle_asking(
    app: &App,
    request: &Request<'_>,
    questions: &Questions,
) -> Result<Outcome, StoreError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match try_settle(app, request, questions).await {
            Ok(Some(outcome)) => return Ok(outcome),
            Ok(None) if tries < TRIES_MAX => {}
            Ok(None) => return Err(StoreError::Busy("the order keeps changing".into())),
            // Whether a commit whose answer got lost took place is read, never assumed: the version
            // that it was guarded by lets it happen once.
            Err(error) if error.may_be_repeated() && tries < TRIES_MAX => {
                tracing::debug!(order.id = %request.order_id, %error, "settling again");
                tokio::time::sleep(BUSY_PAUSE * tries).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// One try. `None`: the order changed under our hands.
async fn try_settle(
    app: &App,
    request: &Request<'_>,
    questions: &Questions,
) -> Result<Option<Outcome>, StoreError> {
    let Some(snapshot) = load(app, request.order_id).await? else {
        return Ok(Some(Outcome::NoSuchOrder));
    };
    let now = app.now();
    let mut answers = ask(app, questions, &snapshot, request, now).await;
    if lacks_effect(request, &answers) {
        raise_account_alarms(app, &snapshot, &answers).await?;
        return Ok(Some(Outcome::Unknown));
    }
    let mut decision = judge(app, &snapshot, &answers, now);
    let shown = answers.clone();
    if may_close(app, request, &decision) && decision.closes().next().is_some() {
        close(app, questions, &snapshot, &decision, &mut answers).await;
        decision = judge(app, &snapshot, &answers, now);
    }
    let mut plan = plan::Plan {
        request,
        questions,
        snapshot: &snapshot,
        decision,
        shown,
        answers,
        asked_at: now,
    };
    loop {
        match write::write(app, &plan).await? {
            Written::Done(outcome) => return Ok(Some(outcome)),
            Written::Outdated => return Ok(None),
            Written::NoStock => {
                let policy = Policy { late: OnLatePayment::Refund, ..app.policy() };
                plan.decision = judge_by(app, &snapshot, &plan.answers, now, &policy);
            }
        }
    }
}

/// No repeat of the notification helps an account that is refused or isn't configured.
async fn raise_account_alarms(
    app: &App,
    snapshot: &Snapshot,
    answers: &Answers,
) -> Result<(), StoreError> {
    for attempt in &snapshot.attempts {
        let asked = answers.about(&attempt.out_trade_no);
        if let Some(Answer::Unknown(reason)) = asked.map(|asked| &asked.answer)
            && let Some(alarm) = account_alarm(attempt, reason)
        {
            raise_alarm(app, &alarm).await?;
        }
    }
    Ok(())
}

/// A notification that the gateway can't be asked about has no certain effect: it must come again.
fn lacks_effect(request: &Request<'_>, answers: &Answers) -> bool {
    request.notified.as_ref().is_some_and(|notified| {
        let named = OutTradeNo::from_trusted(notified.row.out_trade_no.as_str());
        // It has told of a trade, so *not exist* says that the query lags behind; and so does
        // *paid* of a trade that is closed.
        answers.about(&named).is_none_or(|asked| {
            let lags = match &asked.answer {
                Answer::Paid(_) => notified.row.trade_status == TRADE_CLOSED,
                answer => *answer == Answer::NotPaid(NotPaid::NotExist),
            };
            lags || !asked.answer.is_definite()
        })
    })
}

/// What a settlement would do now, without closing or writing anything.
///
/// # Errors
/// If the database fails.
pub async fn preview(app: &App, order_id: &OrderId) -> Result<Option<Decision>, StoreError> {
    let Some(snapshot) = load(app, order_id).await? else { return Ok(None) };
    let now = app.now();
    let (questions, request) = (Questions::default(), Request::by(Trigger::Sweep, order_id));
    let answers = ask(app, &questions, &snapshot, &request, now).await;
    Ok(Some(judge(app, &snapshot, &answers, now)))
}

/// The order is read first: whatever changes its attempts later bumps its version.
async fn load(app: &App, order_id: &OrderId) -> Result<Option<Snapshot>, StoreError> {
    let Some(order) = orders::find(&app.store, order_id).await? else { return Ok(None) };
    let attempts = payments::of_order(&app.store, order_id).await?;
    let attempts = attempts.into_iter().map(|record| record.attempt).collect();
    let pending = pending::of_order(&app.store, order_id).await?;
    Ok(Some(Snapshot { order, attempts, pending }))
}

/// With a clock that can't be trusted nothing is due and no code is dead.
fn judge(app: &App, snapshot: &Snapshot, answers: &Answers, now: DateTime<Utc>) -> Decision {
    judge_by(app, snapshot, answers, now, &app.policy())
}

fn judge_by(
    app: &App,
    snapshot: &Snapshot,
    answers: &Answers,
    now: DateTime<Utc>,
    policy: &Policy,
) -> Decision {
    let now = if app.may_cancel() { now } else { DateTime::<Utc>::MIN_UTC };
    decide(&snapshot.order.order, &snapshot.attempts, answers, now, policy)
}

/// A check-back leaves closing to the cancel consumer: it has to answer soon. What an ended order
/// left behind is closed by anyone but a notification, which has to be answered soon too.
fn may_close(app: &App, request: &Request<'_>, decision: &Decision) -> bool {
    match decision.order {
        OrderStep::CloseFirst => request.trigger.writes_cancel() && app.may_cancel(),
        OrderStep::Settled => request.trigger != Trigger::Notify,
        OrderStep::KeepWaiting
        | OrderStep::AwaitAnswer
        | OrderStep::Cancel
        | OrderStep::Confirm(_)
        | OrderStep::Reopen(_) => false,
    }
}

/// Asks about every attempt that can still bring money, about a closed one whose last look is due,
/// and about one that a notification is about. Before a cancel also about every closed one that is
/// still watched: its answer is part of the evidence.
async fn ask(
    app: &App,
    questions: &Questions,
    snapshot: &Snapshot,
    request: &Request<'_>,
    now: DateTime<Utc>,
) -> Answers {
    let notified = request.notified.as_ref();
    if let Some(asked) = notified.and_then(|notified| notified.answer.clone()) {
        return Answers::new(vec![asked]);
    }
    let named = notified.map(|notified| notified.row.out_trade_no.as_str());
    let order = &snapshot.order.order;
    let cancels = order.status == OrderStatus::AwaitingPayment
        && now >= order.due_at(app.policy().grace)
        && request.trigger.writes_cancel();
    let last_looks_until = if cancels { DateTime::<Utc>::MAX_UTC } else { now };
    let concerned = |attempt: &&Attempt| {
        attempt.status.is_live()
            || named == Some(attempt.out_trade_no.as_str())
            || request.named == Some(&attempt.out_trade_no)
            || snapshot.is_watched_closed(&attempt.out_trade_no, last_looks_until)
    };
    let priority = priority_of(app, snapshot, request, now);
    let asked = snapshot.attempts.iter().filter(concerned);
    Answers::new(join_all(asked.map(|attempt| questions.query(app, attempt, priority))).await)
}

/// What ends an order comes first, then whoever waits for an answer.
fn priority_of(
    app: &App,
    snapshot: &Snapshot,
    request: &Request<'_>,
    now: DateTime<Utc>,
) -> Priority {
    let order = &snapshot.order.order;
    let awaits = order.status == OrderStatus::AwaitingPayment;
    match request.trigger {
        _ if awaits && now >= order.due_at(app.policy().grace) => Priority::Final,
        Trigger::Notify | Trigger::Http => Priority::Waited,
        _ if snapshot.attempts.iter().any(|attempt| attempt.status.is_live()) => Priority::Routine,
        _ => Priority::Background,
    }
}

/// Closes what waits, and puts what became of it in the place of *waiting*.
async fn close(
    app: &App,
    questions: &Questions,
    snapshot: &Snapshot,
    decision: &Decision,
    answers: &mut Answers,
) {
    let waiting = |attempt: &&Attempt| decision.closes().any(|no| *no == attempt.out_trade_no);
    let closings = snapshot.attempts.iter().filter(waiting);
    let closings = closings.map(|attempt| close_one(app, questions, attempt));
    for asked in join_all(closings).await {
        answers.replace(asked);
    }
}

async fn close_one(app: &App, questions: &Questions, attempt: &Attempt) -> Asked {
    let asked_at = app.now();
    match questions.close(app, attempt, asked_at).await {
        CloseOutcome::Closed => Asked {
            out_trade_no: attempt.out_trade_no.clone(),
            asked_at,
            answer: Answer::NotPaid(NotPaid::Closed),
        },
        // Paid or closed in the meantime, or the answer to an earlier close got lost: ask again.
        CloseOutcome::StateChanged | CloseOutcome::NotExist => {
            let asked = questions.query(app, attempt, Priority::Final).await;
            match asked.answer {
                Answer::NotPaid(NotPaid::WaitBuyerPay { .. } | NotPaid::NotExist) => {
                    unknown(attempt, asked.asked_at, UnknownReason::NotClosed)
                }
                Answer::Paid(_)
                | Answer::NotPaid(NotPaid::Closed)
                | Answer::Returned(_)
                | Answer::Unknown(_) => asked,
            }
        }
        // A person has to be told, or nothing was sent; whatever else it was, it is asked again.
        CloseOutcome::Unknown(reason @ (UnknownReason::NotAsked | UnknownReason::Overloaded)) => {
            unknown(attempt, asked_at, reason)
        }
        CloseOutcome::Unknown(reason) if reason.is_account_broken() => {
            unknown(attempt, asked_at, reason)
        }
        CloseOutcome::Unknown(_) => unknown(attempt, asked_at, UnknownReason::NotClosed),
    }
}

fn unknown(attempt: &Attempt, asked_at: DateTime<Utc>, reason: UnknownReason) -> Asked {
    let out_trade_no = attempt.out_trade_no.clone();
    Asked { out_trade_no, asked_at, answer: Answer::Unknown(reason) }
}
