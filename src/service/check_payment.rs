//! A message of the engine `delay` has come: the order is settled, and its next message armed.

use crate::app::App;
use crate::domain::ids::OrderId;
use crate::domain::payment_check::CheckReason;
use crate::domain::trigger::Trigger;
use crate::producer::rocketmq::{EventProducer, SendError};
use crate::store::pending::{self, Kind};
use crate::store::{StoreError, orders};

use super::arm_timer::{arm_deadline, arm_query};
use super::settle::{Outcome, Request, settle};

/// Why a message has to come again.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The order is due, but a definite answer is missing.
    #[error("the gateway's answer is missing")]
    Unknown,
    /// The next message can't be sent.
    #[error(transparent)]
    NotArmed(#[from] SendError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Settles an order, whatever the message says, and arms its next message if it still awaits its
/// payment. One that comes early, late, twice, or of an order that doesn't exist does no harm.
///
/// # Errors
/// If the same message has to come again.
pub async fn check_payment(
    app: &App,
    events: &EventProducer,
    order_id: &OrderId,
    reason: CheckReason,
) -> Result<(), CheckError> {
    match settle(app, &Request::by(Trigger::PaymentCheck, order_id)).await? {
        Outcome::Ended(_) | Outcome::NoSuchOrder => Ok(()),
        Outcome::Waiting if app.may_cancel() => arm_next(app, events, order_id, reason).await,
        // By a clock that is off a deadline may be over, and its next message would come at once,
        // and again at once.
        Outcome::Waiting | Outcome::Unknown | Outcome::ReadyToCancel => match reason {
            CheckReason::Deadline => Err(CheckError::Unknown),
            // The message of the deadline comes, or has come.
            CheckReason::Schedule { .. } => Ok(()),
        },
    }
}

async fn arm_next(
    app: &App,
    events: &EventProducer,
    order_id: &OrderId,
    reason: CheckReason,
) -> Result<(), CheckError> {
    let Some(record) = orders::find(&app.store, order_id).await? else { return Ok(()) };
    match reason {
        CheckReason::Deadline => arm_deadline(app, events, &record.order).await?,
        // The schedule ends with its attempt, long before a window of days does.
        CheckReason::Schedule { since } => {
            let rows = pending::of_order(&app.store, order_id).await?;
            let open = rows.iter().filter(|row| row.kind == Kind::Attempt);
            if open.map(|row| row.created_at).any(|made_at| made_at == since) {
                arm_query(app, events, &record.order, since).await?;
            }
        }
    }
    Ok(())
}
