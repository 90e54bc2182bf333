//! The timers of the engine `delay`: a message at the deadline, and one for each time of the query
//! schedule. A window that is longer than the broker's timer takes is cut in pieces: the message
//! that comes before its time arms the next one.

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};

use crate::app::{App, to_chrono};
use crate::domain::ids::OrderId;
use crate::domain::order::Order;
use crate::domain::payment_check::{CheckReason, PAYMENT_CHECK_TOPIC, PaymentCheck, next_query};
use crate::producer::rocketmq::{EventProducer, OutgoingMessage, SendError};

/// Has the broker deliver a message when this order becomes due, or earlier if that is too far off.
pub(super) async fn arm_deadline(
    app: &App,
    events: &EventProducer,
    order: &Order,
) -> Result<(), SendError> {
    let due_at = order.due_at(app.policy().grace);
    arm(app, events, &order.id, CheckReason::Deadline, due_at).await
}

/// Has the broker deliver a message at the next time of the schedule of an attempt that was made
/// at `since`; none past the order's deadline, where another message comes.
pub(super) async fn arm_query(
    app: &App,
    events: &EventProducer,
    order: &Order,
    since: DateTime<Utc>,
) -> Result<(), SendError> {
    let at = next_query(&app.config.timeout.query_schedule, since, app.now());
    if at >= order.due_at(app.policy().grace) {
        return Ok(());
    }
    arm(app, events, &order.id, CheckReason::Schedule { since }, at).await
}

/// The same in the background: whoever starts a payment doesn't wait for the broker, and what can't
/// be sent is noticed by the poll.
pub(super) fn arm_query_soon(
    app: &Arc<App>,
    events: &Arc<EventProducer>,
    order: Order,
    since: DateTime<Utc>,
) {
    let (app, events) = (Arc::clone(app), Arc::clone(events));
    tokio::spawn(async move {
        if let Err(error) = arm_query(&app, &events, &order, since).await {
            tracing::debug!(order.id = %order.id, %error, "no timer for the next query");
        }
    });
}

async fn arm(
    app: &App,
    events: &EventProducer,
    order_id: &OrderId,
    reason: CheckReason,
    at: DateTime<Utc>,
) -> Result<(), SendError> {
    let longest = to_chrono(app.config.timeout.timer_max);
    let delay = (at - app.now()).clamp(Duration::zero(), longest);
    let check = PaymentCheck::new(app.deployment.clone(), order_id.clone(), reason);
    let message = OutgoingMessage {
        topic: PAYMENT_CHECK_TOPIC.to_owned(),
        tag: reason.tag().to_owned(),
        key: order_id.to_string(),
        body: check.to_bytes(),
    };
    events.send_later(message, delay.to_std().unwrap_or_default()).await
}
