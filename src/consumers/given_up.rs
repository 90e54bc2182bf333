//! Consumer group `checkback-given-up`: half messages that the broker gave up on. All services of a
//! broker share the topic, so most of what comes may be others'.

use std::sync::Arc;

use tracing::Instrument;

use super::bridge::{Consumed, Delivery, Handler};
use crate::app::App;
use crate::domain::event::ORDER_PAID_TOPIC;
use crate::domain::timeout_message::{MessageError, ORDER_TIMEOUT_TOPIC, TimeoutMessage};
use crate::service::raise_alarm::{message_alarm, raise_alarm};
use crate::service::report_given_up::report_given_up;

/// The consumer group, without the deployment's name prefix.
pub const GROUP: &str = "checkback-given-up";
/// Where the broker puts them; made when it gives up for the first time, and without a prefix.
pub const TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";

/// Handles half messages that the broker gave up on.
#[must_use]
pub fn handler(app: Arc<App>) -> Handler {
    Arc::new(move |delivery| {
        let app = Arc::clone(&app);
        let span = tracing::info_span!("given_up", order.id = %delivery.key);
        Box::pin(async move { handle(&app, &delivery).await }.instrument(span))
    })
}

/// The messages stay in the broker's topic whatever is answered here, so that only a report that
/// could not be stored is worth a second delivery.
async fn handle(app: &App, delivery: &Delivery) -> Consumed {
    let topic = delivery.real_topic.as_deref();
    if topic != Some(ORDER_TIMEOUT_TOPIC) && topic != Some(ORDER_PAID_TOPIC) {
        return Consumed::Done;
    }
    let reported = match TimeoutMessage::read(&delivery.body, &app.deployment) {
        Ok(message) => report_given_up(app, &message.order_id).await,
        Err(MessageError::Foreign(deployment)) => {
            tracing::debug!(%deployment, "another deployment's half message was given up");
            Ok(())
        }
        Err(error) => raise_alarm(app, &message_alarm(&error, &delivery.key)).await,
    };
    match reported {
        Ok(()) => Consumed::Done,
        Err(error) => {
            tracing::warn!(%error, "could not be reported, later again");
            Consumed::Later
        }
    }
}
