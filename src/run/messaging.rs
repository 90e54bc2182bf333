//! Everything that talks to the broker, started and stopped together. Nothing here needs the
//! broker to be there: topics are made, and consumers started, as soon as it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::config::Rocketmq;
use crate::consumers::bridge::Consumer;
use crate::consumers::cancel_order;
use crate::domain::event::ORDER_EVENTS_TOPIC;
use crate::domain::timeout_message::ORDER_TIMEOUT_TOPIC;
use crate::listener::OrderListener;
use crate::producer::admin::{Admin, TopicType};
use crate::producer::rocketmq::{EventProducer, TransactionProducer};
use crate::producer::runtime::{BrokerSettings, MessagingRuntime};

/// Producer group of half messages.
const TIMEOUT_PRODUCER_GROUP: &str = "checkback-order-timeout-producer";
/// Producer group of everything else.
const PRODUCER_GROUP: &str = "checkback-producer";
/// Pause between two tries to reach the broker.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The topics that the service uses, with their types.
#[must_use]
pub fn topics() -> [(&'static str, TopicType); 2] {
    [(ORDER_TIMEOUT_TOPIC, TopicType::Transaction), (ORDER_EVENTS_TOPIC, TopicType::Normal)]
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
    admin: Arc<Admin>,
    pub half_messages: Arc<TransactionProducer>,
    pub events: Arc<EventProducer>,
    consumers: Arc<Mutex<Vec<Consumer>>>,
}

impl Messaging {
    pub(super) async fn start(
        app: &Arc<App>,
        listener: Arc<OrderListener>,
    ) -> anyhow::Result<Self> {
        let settings = broker_settings(&app.config.rocketmq);
        let runtime = Arc::new(MessagingRuntime::start(settings).context("RocketMQ's client")?);
        let admin = Arc::new(Admin::new(&runtime));
        if let Err(error) = ensure_topics(&admin).await {
            tracing::warn!(%error, "topics can't be made yet");
        }
        let topics = [ORDER_TIMEOUT_TOPIC];
        let half_messages =
            TransactionProducer::start(&runtime, TIMEOUT_PRODUCER_GROUP, &topics, listener).await?;
        let events = EventProducer::start(&runtime, PRODUCER_GROUP).await?;
        Ok(Self {
            runtime,
            admin,
            half_messages: Arc::new(half_messages),
            events: Arc::new(events),
            consumers: Arc::default(),
        })
    }

    pub(super) fn consumer_starter(&self, app: Arc<App>) -> ConsumerStarter {
        ConsumerStarter {
            app,
            runtime: Arc::clone(&self.runtime),
            admin: Arc::clone(&self.admin),
            consumers: Arc::clone(&self.consumers),
        }
    }

    /// Consumers finish the message that they have.
    pub(super) async fn stop_consumers(&self) {
        let consumers = std::mem::take(&mut *lock(&self.consumers));
        futures_util::future::join_all(consumers.iter().map(Consumer::shutdown)).await;
    }

    pub(super) async fn shutdown(&self) {
        tokio::join!(self.half_messages.shutdown(), self.events.shutdown());
        self.runtime.shutdown().await;
    }
}

/// Starts consumers once their topics exist: a group that starts before its topic gets its first
/// message late.
pub(super) struct ConsumerStarter {
    app: Arc<App>,
    runtime: Arc<MessagingRuntime>,
    admin: Arc<Admin>,
    consumers: Arc<Mutex<Vec<Consumer>>>,
}

impl ConsumerStarter {
    /// Tries until it works, then waits for the end.
    pub(super) async fn run(self, stop: CancellationToken) {
        loop {
            match self.start().await {
                Ok(consumer) => {
                    lock(&self.consumers).push(consumer);
                    stop.cancelled().await;
                    return;
                }
                Err(error) => tracing::debug!(%error, "consumers wait for the broker"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RETRY_INTERVAL) => {}
            }
        }
    }

    async fn start(&self) -> anyhow::Result<Consumer> {
        ensure_topics(&self.admin).await?;
        self.admin.ensure_group(cancel_order::GROUP).await?;
        let handler = cancel_order::handler(Arc::clone(&self.app));
        let group = cancel_order::GROUP;
        Ok(Consumer::start(&self.runtime, group, ORDER_TIMEOUT_TOPIC, handler).await?)
    }
}

async fn ensure_topics(admin: &Admin) -> anyhow::Result<()> {
    for (topic, topic_type) in topics() {
        admin.ensure_topic(topic, topic_type).await?;
    }
    Ok(())
}

fn lock(consumers: &Mutex<Vec<Consumer>>) -> std::sync::MutexGuard<'_, Vec<Consumer>> {
    consumers.lock().unwrap_or_else(PoisonError::into_inner)
}
