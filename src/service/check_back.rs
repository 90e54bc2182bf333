//! A check-back: the broker asks what became of a half message, and the answer is definite
//! whenever it can be. The check is counted, the gateway asked; a cancel is left to the committed
//! message.

use std::time::Duration;

use crate::app::App;
use crate::domain::ids::OrderId;
use crate::domain::order::OrderStatus;
use crate::domain::trigger::Trigger;
use crate::store::{StoreError, barriers, orders};

use super::settle::{Outcome, Request, settle};

/// A creating transaction that is still open is waited for this long.
const BARRIER_WAIT: Duration = Duration::from_secs(1);

/// What the broker is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Deliver the message: it cancels the order.
    Cancel,
    /// Drop the message: the order has ended, or never existed.
    Drop,
    /// Ask again in the next round.
    AskAgain,
}

/// Answers a check-back about one of our orders.
///
/// # Errors
/// If the database fails; the broker is told to ask again then.
pub async fn check_back(app: &App, order_id: &OrderId) -> Result<Verdict, StoreError> {
    let order = orders::find(&app.store, order_id).await?;
    if order.is_some_and(|record| record.order.status != OrderStatus::AwaitingPayment) {
        return Ok(Verdict::Drop);
    }
    match settle(app, &Request::by(Trigger::CheckBack, order_id)).await? {
        Outcome::Ended(_) => Ok(Verdict::Drop),
        Outcome::ReadyToCancel if app.may_cancel() => Ok(Verdict::Cancel),
        Outcome::ReadyToCancel | Outcome::Waiting | Outcome::Unknown => Ok(Verdict::AskAgain),
        Outcome::NoSuchOrder => never_written(app, order_id).await,
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
