//! Consumer group `checkback-payment-check`: the delayed messages of the engine `delay`, each of
//! which settles its order.

use std::sync::Arc;

use tracing::Instrument;

use super::bridge::{Consumed, Delivery, Handler};
use crate::app::App;
use crate::domain::payment_check::PaymentCheck;
use crate::producer::rocketmq::EventProducer;
use crate::service::check_payment::check_payment;
use crate::service::raise_alarm::{message_alarm, raise_alarm_or_log};

/// The consumer group, without the deployment's name prefix.
pub const GROUP: &str = "checkback-payment-check";

/// Handles delayed messages.
#[must_use]
pub fn handler(app: Arc<App>, events: Arc<EventProducer>) -> Handler {
    Arc::new(move |delivery| {
        let (app, events) = (Arc::clone(&app), Arc::clone(&events));
        let span = tracing::info_span!("payment_check", order.id = %delivery.key);
        let handled = async move {
            let answer = handle(&app, &events, &delivery).await;
            app.metrics.delivery(answer.as_str());
            answer
        };
        Box::pin(handled.instrument(span))
    })
}

async fn handle(app: &App, events: &EventProducer, delivery: &Delivery) -> Consumed {
    let check = match PaymentCheck::read(&delivery.body, &app.deployment) {
        Ok(check) => check,
        Err(error) => {
            // After its retries it lies in the dead letter queue; nothing is acknowledged away.
            raise_alarm_or_log(app, &message_alarm(&error, &delivery.key)).await;
            return Consumed::Later;
        }
    };
    match check_payment(app, events, &check.about.order_id, check.reason).await {
        Ok(()) => Consumed::Done,
        Err(error) => {
            tracing::warn!(%error, "could not be settled, later again");
            Consumed::Later
        }
    }
}
