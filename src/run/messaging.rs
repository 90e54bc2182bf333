//! Everything that talks to the broker, started and stopped together. Nothing here needs the
//! broker to be there: topics are made, and consumers started, as soon as it is.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::{App, EndHalfMessage};
use crate::config::{OnClockMismatch, Rocketmq};
use crate::consumers::{cancel_order, given_up, payment_check};
use crate::domain::event::{ORDER_EVENTS_TOPIC, ORDER_PAID_TOPIC};
use crate::domain::payment_check::PAYMENT_CHECK_TOPIC;
use crate::domain::timeout_message::ORDER_TIMEOUT_TOPIC;
use crate::listener::OrderListener;
use crate::producer::admin::{Admin, TopicType};
use crate::producer::rocketmq::{CheckAnswer, EventProducer, TransactionProducer};
use crate::producer::runtime::{BrokerSettings, MessagingRuntime};
use crate::service::watch_broker::BrokerWatch;

use super::starters::{Consumers, GivenUps, OrderConsumers};

/// Producer group of half messages.
const TIMEOUT_PRODUCER_GROUP: &str = "checkback-order-timeout-producer";
/// Producer group of everything else.
const PRODUCER_GROUP: &str = "checkback-producer";
/// The topics that the service uses, with their types.
#[must_use]
pub fn topics() -> [(&'static str, TopicType); 4] {
    [
        (ORDER_TIMEOUT_TOPIC, TopicType::Transaction),
        (ORDER_PAID_TOPIC, TopicType::Transaction),
        (PAYMENT_CHECK_TOPIC, TopicType::Delay),
        (ORDER_EVENTS_TOPIC, TopicType::Normal),
    ]
}

/// The consumer groups that the service joins.
#[must_use]
pub fn groups() -> [&'static str; 3] {
    [cancel_order::GROUP, payment_check::GROUP, given_up::GROUP]
}

/// The broker as the client wants to know it.
#[must_use]
pub fn broker_settings(config: &Rocketmq) -> BrokerSettings {
    BrokerSettings {
        namesrv: config.namesrv.clone(),
        name_prefix: config.name_prefix.clone(),
        access_key: config.access_key.clone(),
        secret_key: config.secret_key.as_ref().map(|secret| secret.expose().to_owned()),
        callback_threads: config.callback_threads,
    }
}

pub(super) struct Messaging {
    runtime: Arc<MessagingRuntime>,
    pub admin: Arc<Admin>,
    pub half_messages: Arc<TransactionProducer>,
    pub events: Arc<EventProducer>,
    pub watch: Arc<BrokerWatch>,
    consumers: Arc<Consumers>,
}

impl Messaging {
    pub(super) async fn start(app: &Arc<App>) -> anyhow::Result<Self> {
        let settings = broker_settings(&app.config.rocketmq);
        let runtime = Arc::new(MessagingRuntime::start(settings).context("RocketMQ's client")?);
        let admin = Arc::new(Admin::new(&runtime));
        let watch = Arc::new(BrokerWatch::new(app, &admin));
        if let Err(error) = compare_clocks(app, &watch).await {
            runtime.shutdown().await;
            return Err(error);
        }
        if let Err(error) = admin.prepare(&topics(), &[]).await {
            tracing::warn!(%error, "topics can't be made yet");
        }
        let events = Arc::new(EventProducer::start(&runtime, PRODUCER_GROUP).await?);
        let listener = Arc::new(OrderListener::new(Arc::clone(app), Arc::clone(&events)));
        let topics = [ORDER_TIMEOUT_TOPIC, ORDER_PAID_TOPIC];
        let (group, interval) = (TIMEOUT_PRODUCER_GROUP, app.config.timeout.check_interval);
        let half_messages =
            TransactionProducer::start(&runtime, group, &topics, interval, listener).await?;
        let ends = half_messages.early_ends();
        let end: EndHalfMessage = Box::new(move |order_id, has_come_true| {
            let delivered = CheckAnswer::Commit;
            let answer = if has_come_true { delivered } else { CheckAnswer::Rollback };
            ends.end(order_id.as_str(), answer)
        });
        if !app.half_message_ends.set(end) {
            tracing::warn!("half messages are ended early by another producer");
        }
        Ok(Self {
            runtime,
            admin,
            half_messages: Arc::new(half_messages),
            events,
            watch,
            consumers: Arc::default(),
        })
    }

    /// Starts consumers as soon as their topics exist.
    pub(super) fn spawn_starters(
        &self,
        app: &Arc<App>,
        stop: &CancellationToken,
        background: &mut JoinSet<&'static str>,
    ) {
        let (runtime, admin) = (&self.runtime, &self.admin);
        let starter = OrderConsumers::new(app, runtime, admin, &self.consumers, &self.events);
        let (watch, s) = (Arc::clone(&self.watch), stop.clone());
        background.spawn(async move {
            starter.run(watch, s).await;
            "the consumers"
        });
        let starter = GivenUps::new(app, runtime, admin, &self.consumers, &self.events);
        let s = stop.clone();
        background.spawn(async move {
            starter.run(s).await;
            "the watch for given-up half messages"
        });
    }

    /// Consumers finish the message that they have.
    pub(super) async fn stop_consumers(&self) {
        self.consumers.stop().await;
    }

    pub(super) async fn shutdown(&self) {
        tokio::join!(self.half_messages.shutdown(), self.events.shutdown());
        self.runtime.shutdown().await;
    }
}

/// Refuses to start with brokers that would not hold half messages for long enough. Brokers that
/// are away, or don't tell, are taken to be as configured.
async fn compare_clocks(app: &App, watch: &BrokerWatch) -> anyhow::Result<()> {
    let look = watch.look().await;
    let refuse = app.config.timeout.on_clock_mismatch == OnClockMismatch::Refuse;
    if !refuse || look.mismatches.is_empty() {
        return watch.record(&look).await.context("an alarm can't be written");
    }
    anyhow::bail!(
        "the broker's settings don't fit the payment windows (timeout.on_clock_mismatch = \
         \"degrade\" starts all the same, and orders go without half messages): {}",
        look.mismatches.join(". ")
    )
}
