//! Forward notification (`timeout.half_message = "paid"`): an order's half message is the event
//! that tells of its payment. It is delivered if that event was written, and dropped otherwise; the
//! event waits in the outbox all the same, for a half message that the broker gave up on. At the
//! timeout the half message is dropped, and a message of its own cancels the order.

use chrono::{DateTime, Utc};

use crate::app::App;
use crate::domain::event::{ORDER_PAID_TOPIC, OrderEvent};
use crate::domain::ids::OrderId;
use crate::domain::order::{Engine, HalfMessageMeaning};
use crate::domain::timeout_message::{CANCEL_TAG, ORDER_TIMEOUT_TOPIC, TimeoutMessage};
use crate::producer::rocketmq::OutgoingMessage;
use crate::store::orders::OrderRecord;
use crate::store::{StoreError, WriteTx, outbox};

/// Check intervals after which the outbox tells of a payment that a half message tells of first.
const OUTBOX_FOLLOWS_AFTER: i32 = 3;

/// The event that rides on an order's half message, if one does.
pub(super) fn riding_event(app: &App, order: &OrderRecord) -> Option<OrderEvent> {
    let rides = order.engine == Engine::Transaction
        && order.half_message == HalfMessageMeaning::Paid
        && !order.degraded;
    let (id, amount) = (&order.order.id, order.order.amount);
    rides.then(|| OrderEvent::paid_on_half_message(&app.deployment, id, amount))
}

/// Writes the event of a payment in the words of the order's half message, if it has one: the
/// outbox tells of it a little later, or at once when the half message may be gone. `false`:
/// nothing was written, the order's payment is told of like any other change.
pub(super) async fn write_riding_event(
    app: &App,
    tx: &mut WriteTx<'_>,
    order: &OrderRecord,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let Some(event) = riding_event(app, order) else { return Ok(false) };
    let half_message_lives = now < order.order.due_at(app.policy().grace);
    let follows_after = if half_message_lives { OUTBOX_FOLLOWS_AFTER } else { 0 };
    let due_at = now + app.check_interval() * follows_after;
    outbox::insert_due(tx, &event, due_at, now).await?;
    Ok(true)
}

/// Whether what the half message of an ended order says has become true. Only its own event makes
/// it so: an order that was cancelled first, or paid with another amount, is told of in other
/// words.
pub(super) async fn has_come_true(app: &App, order: &OrderRecord) -> Result<bool, StoreError> {
    match riding_event(app, order) {
        Some(event) => outbox::contains(&app.store, &event.id).await,
        None => Ok(false),
    }
}

/// The half message of an order that is about to be written.
pub(super) fn half_message(app: &App, order: &OrderRecord) -> OutgoingMessage {
    match riding_event(app, order) {
        Some(event) => OutgoingMessage {
            topic: ORDER_PAID_TOPIC.to_owned(),
            tag: event.tag.to_owned(),
            key: event.order_id.to_string(),
            body: event.body.into_bytes(),
        },
        None => cancel_message(app, &order.order.id),
    }
}

/// The message that has the consumer cancel an order.
pub(super) fn cancel_message(app: &App, order_id: &OrderId) -> OutgoingMessage {
    let body = TimeoutMessage::new(app.deployment.clone(), order_id.clone()).to_bytes();
    OutgoingMessage {
        topic: ORDER_TIMEOUT_TOPIC.to_owned(),
        tag: CANCEL_TAG.to_owned(),
        key: order_id.to_string(),
        body,
    }
}
