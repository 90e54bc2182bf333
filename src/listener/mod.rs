//! The transaction listener: the edge between the broker's questions and the use cases. It decodes,
//! asks a use case, and maps its outcome; it never decides.

use std::any::Any;
use std::sync::Arc;

use tracing::Instrument;

use crate::app::App;
use crate::domain::timeout_message::TimeoutMessage;
use crate::producer::rocketmq::{CheckAnswer, EventProducer, HalfMessage, Job, TransactionHandler};
use crate::producer::runtime::BoxFuture;
use crate::service::check_back::{Verdict, check_back};
use crate::service::place_order::CreationJob;
use crate::service::raise_alarm::{message_alarm, raise_alarm_or_log};

/// Runs creating transactions and answers check-backs.
pub struct OrderListener {
    app: Arc<App>,
    events: Arc<EventProducer>,
}

impl OrderListener {
    /// A listener for this deployment's orders.
    #[must_use]
    pub fn new(app: Arc<App>, events: Arc<EventProducer>) -> Self {
        Self { app, events }
    }
}

impl TransactionHandler for OrderListener {
    fn execute(&self, job: Job) -> BoxFuture<CheckAnswer> {
        Box::pin(execute(job))
    }

    fn check(&self, message: HalfMessage) -> BoxFuture<CheckAnswer> {
        let (app, events) = (Arc::clone(&self.app), Arc::clone(&self.events));
        let span = tracing::info_span!("check_back", order.id = %message.key);
        let checked = async move {
            let answer = check(&app, &events, &message).await;
            app.metrics.check_back(name(answer));
            tracing::debug!(answer = name(answer), broker = message.broker_check_times, "answered");
            answer
        };
        Box::pin(checked.instrument(span))
    }
}

/// The half message stays half: it is the order's timer. Only a business failure drops it.
async fn execute(job: Job) -> CheckAnswer {
    let job: Arc<dyn Any + Send + Sync> = job;
    match job.downcast::<CreationJob>() {
        Ok(job) if job.run().await => CheckAnswer::Unknown,
        Ok(_) => CheckAnswer::Rollback,
        Err(_) => {
            tracing::error!("a half message came with a job that isn't an order's");
            CheckAnswer::Unknown
        }
    }
}

async fn check(app: &App, events: &EventProducer, message: &HalfMessage) -> CheckAnswer {
    let body = match TimeoutMessage::read(&message.body, &app.deployment) {
        Ok(body) => body,
        Err(error) => {
            raise_alarm_or_log(app, &message_alarm(&error, &message.key)).await;
            return CheckAnswer::Unknown;
        }
    };
    match check_back(app, events, &body.order_id).await {
        Ok(Verdict::Deliver) => CheckAnswer::Commit,
        Ok(Verdict::Drop) => CheckAnswer::Rollback,
        Ok(Verdict::AskAgain) => CheckAnswer::Unknown,
        Err(error) => {
            tracing::warn!(%error, "a check-back could not be answered");
            CheckAnswer::Unknown
        }
    }
}

fn name(answer: CheckAnswer) -> &'static str {
    match answer {
        CheckAnswer::Commit => "commit",
        CheckAnswer::Rollback => "rollback",
        CheckAnswer::Unknown => "unknown",
    }
}
