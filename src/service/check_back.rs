//! A check-back: the broker asks what became of a half message, and the answer is definite
//! whenever it can be. The check is counted, the gateway asked; a cancel is left to the committed
//! message.

use std::time::Duration;

use crate::app::App;
use crate::domain::gateway::NotPaid;
use crate::domain::ids::OrderId;
use crate::domain::order::OrderStatus;
use crate::domain::trigger::Trigger;
use crate::producer::rocketmq::EventProducer;
use crate::store::orders::OrderRecord;
use crate::store::pending::{self, Kind, Pending};
use crate::store::{StoreError, barriers, held_order, orders};

use super::forward::{cancel_message, has_come_true, riding_event};
use super::settle::{Outcome, Request, settle};

/// A creating transaction that is still open is waited for this long.
const BARRIER_WAIT: Duration = Duration::from_secs(1);

/// What the broker is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Deliver the message: it cancels the order, or tells of its payment.
    Deliver,
    /// Drop the message: the order has ended in another way, or never existed.
    Drop,
    /// Ask again in the next round.
    AskAgain,
}

/// Answers a check-back about one of our orders.
///
/// # Errors
/// If the database fails; the broker is told to ask again then.
pub async fn check_back(
    app: &App,
    events: &EventProducer,
    order_id: &OrderId,
) -> Result<Verdict, StoreError> {
    let Some(order) = orders::find(&app.store, order_id).await? else {
        return never_written(app, order_id).await;
    };
    if order.order.status != OrderStatus::AwaitingPayment {
        return ended(app, &order).await;
    }
    if was_just_answered(app, &order).await? {
        return Ok(Verdict::AskAgain);
    }
    match settle(app, &Request::by(Trigger::CheckBack, order_id)).await? {
        Outcome::Ended(_) => ended(app, &order).await,
        Outcome::ReadyToCancel if app.may_cancel() => Ok(time_out(app, events, &order).await),
        Outcome::ReadyToCancel | Outcome::Waiting | Outcome::Unknown => Ok(Verdict::AskAgain),
        Outcome::NoSuchOrder => never_written(app, order_id).await,
    }
}

/// Whether somebody else has just asked about everything that this check would ask about, and got
/// definite answers: it is counted then, and the gateway left alone. From the deadline on it is
/// always asked.
async fn was_just_answered(app: &App, order: &OrderRecord) -> Result<bool, StoreError> {
    let (now, interval) = (app.now(), app.check_interval());
    if !app.may_cancel() {
        // By this machine's clock nothing can be scheduled.
        return Ok(false);
    }
    if now >= order.order.due_at(app.policy().grace) {
        return Ok(false);
    }
    let rows = pending::of_order(&app.store, &order.order.id).await?;
    let attempts: Vec<_> = rows.iter().filter(|row| row.kind == Kind::Attempt).collect();
    let is_fresh = |row: &&Pending| {
        let answered = row.last_answer_at.is_some_and(|at| at <= now && now - at < interval / 2);
        answered && row.last_answer.as_deref().is_some_and(NotPaid::can_follow)
    };
    // Without an attempt nobody is asked; a closed one has its last look at its own time; and the
    // broker's last check is told of.
    let is_plain = !attempts.is_empty() && attempts.len() + 1 == rows.len();
    let is_last =
        |row: &Pending| row.check_count + 1 >= i64::from(app.config.timeout.broker_check_max);
    if !is_plain || rows.iter().any(is_last) || !attempts.iter().all(is_fresh) {
        return Ok(false);
    }
    let mut tx = app.store.begin().await?;
    if !held_order::hold_unchanged(&mut tx, &order.order).await? {
        tx.rollback().await?;
        return Ok(false);
    }
    pending::count_check(&mut tx, &order.order.id, now + interval * 3).await?;
    tx.commit().await?;
    Ok(true)
}

async fn ended(app: &App, order: &OrderRecord) -> Result<Verdict, StoreError> {
    let come_true = has_come_true(app, order).await?;
    Ok(if come_true { Verdict::Deliver } else { Verdict::Drop })
}

/// The half message cancels the order; where it would tell of a payment, another message does, and
/// the half message stays until that one is sent.
async fn time_out(app: &App, events: &EventProducer, order: &OrderRecord) -> Verdict {
    if riding_event(app, order).is_none() {
        return Verdict::Deliver;
    }
    let order_id = &order.order.id;
    match events.send(cancel_message(app, order_id)).await {
        Ok(()) => Verdict::Drop,
        Err(error) => {
            tracing::debug!(order.id = %order_id, %error, "its cancel waits for the broker");
            Verdict::AskAgain
        }
    }
}

/// The creating transaction is open, was rolled back, or never began: the barrier tells, and keeps
/// it from happening later.
async fn never_written(app: &App, order_id: &OrderId) -> Result<Verdict, StoreError> {
    let settled = barriers::settle(&app.store, order_id, app.now());
    match tokio::time::timeout(BARRIER_WAIT, settled).await {
        Ok(Ok(barriers::Outcome::RolledBack)) => Ok(Verdict::Drop),
        Ok(Ok(barriers::Outcome::Committed)) | Err(_) => Ok(Verdict::AskAgain),
        Ok(Err(error)) => Err(error),
    }
}
