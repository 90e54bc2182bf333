//! Consumer group `checkback-cancel-order`: a committed timeout message cancels its order, after
//! the gateway was asked once more and what waits was closed; or confirms it, if it was paid.

use std::sync::Arc;

use tracing::Instrument;

use super::bridge::{Consumed, Delivery, Handler};
use crate::app::App;
use crate::domain::timeout_message::TimeoutMessage;
use crate::domain::trigger::Trigger;
use crate::service::raise_alarm::{message_alarm, raise_alarm_or_log};
use crate::service::settle::{Outcome, Request, settle};

/// The consumer group, without the deployment's name prefix.
pub const GROUP: &str = "checkback-cancel-order";

/// Handles committed timeout messages.
#[must_use]
pub fn handler(app: Arc<App>) -> Handler {
    Arc::new(move |delivery| {
        let app = Arc::clone(&app);
        let span = tracing::info_span!("cancel_order", order.id = %delivery.key);
        let handled = async move {
            let answer = handle(&app, &delivery).await;
            app.metrics.delivery(answer.as_str());
            answer
        };
        Box::pin(handled.instrument(span))
    })
}

async fn handle(app: &App, delivery: &Delivery) -> Consumed {
    let message = match TimeoutMessage::read(&delivery.body, &app.deployment) {
        Ok(message) => message,
        Err(error) => {
            // After its retries it lies in the dead letter queue; nothing is acknowledged away.
            raise_alarm_or_log(app, &message_alarm(&error, &delivery.key)).await;
            return Consumed::Later;
        }
    };
    match settle(app, &Request::by(Trigger::CancelConsumer, &message.order_id)).await {
        Ok(Outcome::Ended(_)) => Consumed::Done,
        Ok(Outcome::NoSuchOrder) => {
            tracing::warn!("a committed message of an order that doesn't exist");
            Consumed::Done
        }
        Ok(Outcome::Waiting | Outcome::Unknown | Outcome::ReadyToCancel) => Consumed::Later,
        Err(error) => {
            tracing::warn!(%error, "could not settle, later again");
            Consumed::Later
        }
    }
}
