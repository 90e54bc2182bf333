//! The buyer's or an operator's cancel. The request is stored first: it stops new attempts and
//! counts as a deadline that has passed, so that any later trigger ends the order if an answer is
//! missing now.

use serde_json::json;

use crate::app::App;
use crate::domain::ids::OrderId;
use crate::domain::order::OrderStatus;
use crate::domain::trigger::Trigger;
use crate::store::history::Entry;
use crate::store::{StoreError, history, orders, pending};

use super::settle::{Outcome, Request, settle};

/// How often a lost race is tried again.
const TRIES_MAX: u32 = 8;

/// What became of a cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The order is cancelled, now or before.
    Cancelled,
    /// It is paid.
    Paid,
    /// An answer is missing; the next trigger ends it.
    InProgress,
    /// There is no such order.
    NoSuchOrder,
}

/// Stores a cancel request and tries to end the order at once.
///
/// # Errors
/// If the database fails.
pub async fn cancel_order(
    app: &App,
    order_id: &OrderId,
    by: &str,
) -> Result<Cancelled, StoreError> {
    if let Some(ended) = store_request(app, order_id, by).await? {
        return Ok(ended);
    }
    let request =
        Request { order_id, trigger: Trigger::Http, actor: by, named: None, notified: None };
    Ok(match settle(app, &request).await? {
        Outcome::Ended(OrderStatus::Cancelled) => Cancelled::Cancelled,
        Outcome::Ended(_) => Cancelled::Paid,
        Outcome::Waiting | Outcome::ReadyToCancel | Outcome::Unknown => Cancelled::InProgress,
        Outcome::NoSuchOrder => Cancelled::NoSuchOrder,
    })
}

/// `Some`: the order has ended, or there is none.
async fn store_request(
    app: &App,
    order_id: &OrderId,
    by: &str,
) -> Result<Option<Cancelled>, StoreError> {
    for _ in 0..TRIES_MAX {
        let Some(record) = orders::find(&app.store, order_id).await? else {
            return Ok(Some(Cancelled::NoSuchOrder));
        };
        let order = &record.order;
        match order.status {
            OrderStatus::AwaitingPayment if order.cancel_request.is_some() => return Ok(None),
            OrderStatus::AwaitingPayment => {}
            OrderStatus::Cancelled => return Ok(Some(Cancelled::Cancelled)),
            OrderStatus::Paid | OrderStatus::Refunding | OrderStatus::Refunded => {
                return Ok(Some(Cancelled::Paid));
            }
        }
        let now = app.now();
        let mut tx = app.store.begin().await?;
        if !orders::request_cancel(&mut tx, order, by, now).await? {
            tx.rollback().await?;
            continue;
        }
        pending::hasten(&mut tx, order_id, now + app.check_interval()).await?;
        let entry = Entry {
            cause: "cancel_requested",
            from: Some(order.status),
            to: order.status,
            detail: json!({ "by": by }),
        };
        history::append(&mut tx, order_id, order.version + 1, by, &[entry], now).await?;
        tx.commit().await?;
        app.changes.announce(order_id);
        return Ok(None);
    }
    Err(StoreError::Busy("the order keeps changing".into()))
}
