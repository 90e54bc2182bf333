//! Writes what was decided: one transaction with the order, its attempts, stock, pending rows,
//! history, outbox and alarms, guarded by the version that was read.

use chrono::{DateTime, Duration, Utc};

use super::super::forward::{riding_event, write_riding_event};
use super::super::open_refund::{Opened, automatic, elsewhere, open_refund, record_elsewhere};
use super::Outcome;
use super::alarms::write_alarms;
use super::lines::entries;
use super::plan::{Plan, Turn};
use super::schedule::{NOT_SENT_PAUSE, Situation, last_look_at, next_look};
use crate::app::App;
use crate::domain::alarm::AlarmKind;
use crate::domain::decision::{AttemptStep, OrderStep};
use crate::domain::event::{OrderEvent, OrderEventKind};
use crate::domain::ids::{OrderId, OutTradeNo};
use crate::domain::money::Fen;
use crate::domain::order::OrderStatus;
use crate::domain::payment::PaymentStatus;
use crate::domain::refund::elsewhere_no;
use crate::domain::trigger::Trigger;
use crate::store::history::Entry;
use crate::store::pending::{Kind, Lane, Pending, Round};
use crate::store::{
    StoreError, WriteTx, alarms, held_order, history, notifications, orders, outbox, payments,
    pending, stock_locks,
};

/// Alarms about an order that its end resolves.
pub(in crate::service) const ENDED_WITH_THE_ORDER: [AlarmKind; 4] = [
    AlarmKind::OrderOverdue,
    AlarmKind::HalfMessageGivenUp,
    AlarmKind::CheckCountAtMaximum,
    AlarmKind::PollExhausted,
];

/// The sweep takes a row of the slow lane no more often: less than its own interval.
const SLOW_LANE_PAUSE: Duration = Duration::minutes(5);

/// What became of a plan.
pub(super) enum Written {
    /// It is committed.
    Done(Outcome),
    /// The order has changed since it was read.
    Outdated,
    /// The order can't be reopened: a SKU has too few pieces.
    NoStock,
}

/// Writes the plan.
pub(super) async fn write(app: &App, plan: &Plan<'_>) -> Result<Written, StoreError> {
    let now = app.now();
    let turn = plan.turn(app);
    let mut tx = app.store.begin().await?;
    let entries = entries(app, plan, turn);
    if !entries.is_empty() {
        let written = write_order(app, &mut tx, plan, turn, now).await?
            && write_attempts(app, &mut tx, plan, now).await?;
        if !written {
            tx.rollback().await?;
            return Ok(Written::Outdated);
        }
        if turn == Turn::Reopened
            && let Err(sku_id) = stock_locks::lock_again(&mut tx, &plan.order().id, now).await?
        {
            tx.rollback().await?;
            tracing::info!(order.id = %plan.order().id, %sku_id, "no stock to reopen it");
            return Ok(Written::NoStock);
        }
        let version = plan.order().version + 1;
        let order_id = &plan.order().id;
        history::append(&mut tx, order_id, version, plan.request.actor, &entries, now).await?;
    } else if !held_order::hold_unchanged(&mut tx, plan.order()).await? {
        // The next look and the alarms follow from what was read: a new attempt's own times would
        // be overwritten, and who ended the order looked for its alarms in vain.
        tx.rollback().await?;
        return Ok(Written::Outdated);
    }
    write_pending(app, &mut tx, plan, turn, now).await?;
    write_alarms(app, &mut tx, plan, turn, now).await?;
    if !write_notification(&mut tx, plan, &entries, now).await? {
        tx.rollback().await?;
        return Ok(Written::Done(plan.outcome(Turn::Unchanged)));
    }
    plan.questions.write(app, &mut tx, plan.request).await?;
    tx.commit().await?;
    plan.questions.forget();
    tell(app, plan, turn, &entries, now);
    Ok(Written::Done(plan.outcome(turn)))
}

async fn write_order(
    app: &App,
    tx: &mut WriteTx<'_>,
    plan: &Plan<'_>,
    turn: Turn,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let order = plan.order();
    let won = match (&plan.decision.order, turn) {
        (OrderStep::Confirm(winner), Turn::Paid) => {
            let paid_at = paid_at(plan, winner).unwrap_or(now);
            orders::mark_paid(tx, order, winner, paid_at, now).await?
        }
        (OrderStep::Reopen(winner), Turn::Reopened) => {
            let paid_at = paid_at(plan, winner).unwrap_or(now);
            orders::mark_reopened(tx, order, winner, paid_at, now).await?
        }
        (_, Turn::Cancelled) => orders::mark_cancelled(tx, order, now).await?,
        _ => orders::bump(tx, order, now).await?,
    };
    if !won {
        return Ok(false);
    }
    let (kind, amount) = match turn {
        Turn::Paid | Turn::Reopened => (OrderEventKind::Paid, order.amount),
        Turn::Cancelled => {
            stock_locks::release(tx, &order.id, now).await?;
            (OrderEventKind::Cancelled, order.amount)
        }
        Turn::WalkedBack(status) => {
            let applied = order.applied.as_ref();
            let amount = applied.and_then(|no| plan.gone_elsewhere(no)).unwrap_or_default();
            held_order::move_to(tx, &order.id, status, amount).await?;
            (OrderEventKind::Refunded, amount)
        }
        Turn::Unchanged => return Ok(true),
    };
    let record = &plan.snapshot.order;
    if turn != Turn::Paid || !write_riding_event(app, tx, record, now).await? {
        let sequence = order.version + 1;
        let event = OrderEvent::new(kind, &app.deployment, &order.id, sequence, amount, now);
        outbox::insert(tx, &event, now).await?;
    }
    for kind in ENDED_WITH_THE_ORDER {
        alarms::resolve(tx, kind, order.id.as_str(), "settled", now).await?;
    }
    Ok(true)
}

fn paid_at(plan: &Plan<'_>, winner: &OutTradeNo) -> Option<DateTime<Utc>> {
    plan.decision.attempts.iter().find_map(|(number, step)| match step {
        AttemptStep::RecordPayment { trade, .. } if number == winner => trade.paid_at,
        _ => None,
    })
}

async fn write_attempts(
    app: &App,
    tx: &mut WriteTx<'_>,
    plan: &Plan<'_>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let order_id = &plan.order().id;
    for (number, step) in plan.steps() {
        let written = match &step {
            AttemptStep::RecordPayment { status, trade } => {
                payments::record_payment(tx, order_id, number, *status, trade, now).await?
                    && give_back(app, tx, (order_id, number), (*status, trade.amount), now).await?
            }
            AttemptStep::RecordElsewhere(amount) => {
                note_elsewhere(app, tx, (order_id, number), *amount, now).await?
            }
            AttemptStep::RecordReturn(trade) => {
                payments::record_return(tx, number, trade, plan.order().amount, now).await?
            }
            AttemptStep::End => {
                let ended = (PaymentStatus::Closed, plan.was_closed(number));
                payments::mark_ended(tx, number, ended, now).await?
            }
            AttemptStep::NoteSeen { trade_no } => {
                payments::mark_waiting(tx, number, Some(trade_no), now).await?
            }
            AttemptStep::Close => true,
        };
        if !written {
            return Ok(false);
        }
        match step {
            AttemptStep::NoteSeen { .. } | AttemptStep::Close | AttemptStep::RecordElsewhere(_) => {
                continue;
            }
            AttemptStep::End if plan.was_closed(number) => {
                let at = last_look_at(plan.code_dies_at(number).unwrap_or(now), now);
                pending::keep_for_last_look(tx, number.as_str(), at).await?;
            }
            AttemptStep::End | AttemptStep::RecordPayment { .. } | AttemptStep::RecordReturn(_) => {
                pending::remove(tx, number.as_str()).await?;
            }
        }
        let kind = AlarmKind::AttemptOverdue;
        alarms::resolve(tx, kind, number.as_str(), "settled", now).await?;
    }
    Ok(true)
}

/// A payment that its order can't take goes back by itself, once. `false`: somebody was first.
async fn give_back(
    app: &App,
    tx: &mut WriteTx<'_>,
    (order_id, number): (&OrderId, &OutTradeNo),
    (status, amount): (PaymentStatus, Fen),
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let Some(refund) = automatic(order_id, number, status, amount) else { return Ok(true) };
    Ok(matches!(open_refund(app, tx, &refund, now).await?, Opened::Opened(_)))
}

/// `false`: the payment's sums have changed since they were read.
async fn note_elsewhere(
    app: &App,
    tx: &mut WriteTx<'_>,
    (order_id, number): (&OrderId, &OutTradeNo),
    amount: Fen,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let request_no = elsewhere_no(&app.fresh_id());
    let refund = elsewhere(Some(order_id), number, request_no, amount, "gateway");
    Ok(record_elsewhere(app, tx, &refund, now).await?.is_some())
}

/// The last look at closed attempts is repeated until its answer is certain.
async fn write_last_looks(
    tx: &mut WriteTx<'_>,
    plan: &Plan<'_>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let due = |row: &&Pending| row.kind == Kind::Closed && row.next_query_at <= plan.asked_at;
    for row in plan.snapshot.pending.iter().filter(due) {
        let number = OutTradeNo::from_trusted(row.subject.as_str());
        match plan.last_look_is_over(&number) {
            Some(true) => pending::remove(tx, &row.subject).await?,
            Some(false) => {
                let at = last_look_at(now, now);
                pending::keep_for_last_look(tx, &row.subject, at).await?;
            }
            None => {}
        }
    }
    Ok(())
}

async fn write_pending(
    app: &App,
    tx: &mut WriteTx<'_>,
    plan: &Plan<'_>,
    turn: Turn,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let order = plan.order();
    if turn != Turn::Unchanged {
        pending::remove(tx, order.id.as_str()).await?;
    }
    if !app.may_cancel() {
        // By this machine's clock nothing can be scheduled.
        return Ok(());
    }
    if plan.request.trigger == Trigger::Notify {
        // It says nothing about other attempts; but what a winner left open is closed at once.
        let comes_back = plan.was_slow() && plan.lane(app, turn) != Lane::Slow;
        if matches!(turn, Turn::Paid | Turn::Reopened) || comes_back {
            pending::start_over(tx, &order.id, now).await?;
        }
        return write_last_looks(tx, plan, now).await;
    }
    let situation = Situation {
        trigger: plan.request.trigger,
        engine: plan.snapshot.order.engine,
        scheduled_at: plan.next_scheduled(app, now),
        degraded: plan.snapshot.order.degraded,
        awaiting: turn.status(order.status) == OrderStatus::AwaitingPayment,
        handed_over: plan.leaves_the_cancel_to_others(),
        due_at: order.due_at(app.policy().grace),
        looks: match turn {
            Turn::Unchanged => plan.looks(),
            Turn::Paid | Turn::Reopened | Turn::Cancelled | Turn::WalkedBack(_) => 0,
        },
        code_dies_at: plan.next_code_death(now),
        check_interval: app.check_interval(),
    };
    let lane = plan.lane(app, turn);
    let next_query_at = match turn {
        // Whatever the winner left open is closed at once.
        Turn::Paid | Turn::Reopened => now,
        Turn::Unchanged if lane == Lane::Slow => now + SLOW_LANE_PAUSE,
        // Before the deadline the next check or time of the schedule is soon enough: questions that
        // come again would only crowd out those that end orders.
        Turn::Unchanged if plan.was_not_sent() && situation.is_past_due(now) => {
            now + NOT_SENT_PAUSE
        }
        Turn::Cancelled | Turn::Unchanged | Turn::WalkedBack(_) => next_look(&situation, now),
    };
    let is_check = plan.request.trigger == Trigger::CheckBack;
    let starts_over = turn != Turn::Unchanged || plan.is_first_look_past_due(app);
    let answer = plan.answers.summary();
    let is_counted = !plan.was_not_sent();
    let round = Round { is_check, is_counted, answer, starts_over, lane, next_query_at };
    pending::record_round(tx, &order.id, &round, now).await?;
    if let answers @ [_, _, ..] = plan.answers.as_slice() {
        for asked in answers {
            pending::note_answer(tx, &asked.out_trade_no, asked.answer.code()).await?;
        }
    }
    write_last_looks(tx, plan, now).await
}

/// `false`: another delivery of the same notification was first.
async fn write_notification(
    tx: &mut WriteTx<'_>,
    plan: &Plan<'_>,
    entries: &[Entry],
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let Some(notified) = &plan.request.notified else { return Ok(true) };
    let effect = entries.last().map_or("none", |entry| entry.cause);
    notifications::insert(tx, notified.row, effect, now).await
}

/// Tells the world, after the commit.
fn tell(app: &App, plan: &Plan<'_>, turn: Turn, entries: &[Entry], now: DateTime<Utc>) {
    let order = plan.order();
    for entry in entries {
        tracing::info!(
            order.id = %order.id,
            actor = plan.request.actor,
            cause = entry.cause,
            status = entry.to.as_str(),
            amount_fen = order.amount.fen(),
            "order changed"
        );
    }
    tell_of_payments(app, plan);
    if entries.iter().any(|entry| entry.cause == "refund_requested") {
        app.refund_bell.notify_one();
    }
    match turn {
        Turn::Paid => app.metrics.order("paid"),
        Turn::Reopened => app.metrics.order("reopened"),
        Turn::Cancelled => {
            app.metrics.order("cancelled");
            let lateness = now.signed_duration_since(order.expires_at).num_milliseconds().max(0);
            if order.cancel_request.is_none() {
                app.metrics.cancel_lateness.observe(milliseconds_to_seconds(lateness));
            }
        }
        Turn::WalkedBack(_) | Turn::Unchanged => {}
    }
    if turn != Turn::Unchanged {
        app.outbox_bell.notify_one();
    }
    if matches!(turn, Turn::Paid | Turn::Cancelled) && plan.request.trigger != Trigger::CheckBack {
        let has_come_true = turn == Turn::Paid && riding_event(app, &plan.snapshot.order).is_some();
        app.end_half_message(&order.id, has_come_true);
    }
    if !entries.is_empty() {
        app.changes.announce(&order.id);
    }
}

/// A late payment that the gateway dates before the deadline, and before the order was cancelled on
/// request, is one that we were told of too late.
fn tell_of_payments(app: &App, plan: &Plan<'_>) {
    for (_, step) in plan.steps() {
        let AttemptStep::RecordPayment { status, trade } = step else { continue };
        let due_at = plan.order().due_at(Duration::zero());
        let in_time = trade.paid_at.is_some_and(|at| at < due_at);
        app.metrics.payment(status.as_str(), in_time);
    }
}

fn milliseconds_to_seconds(ms: i64) -> f64 {
    std::time::Duration::from_millis(u64::try_from(ms).unwrap_or(0)).as_secs_f64()
}
