//! Consumers start once their topics exist: a group that starts before its topic gets its first
//! message late.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::messaging::topics;
use crate::app::App;
use crate::consumers::bridge::Consumer;
use crate::consumers::{cancel_order, given_up, payment_check};
use crate::domain::alarm::{Alarm, AlarmKind};
use crate::domain::payment_check::PAYMENT_CHECK_TOPIC;
use crate::domain::timeout_message::ORDER_TIMEOUT_TOPIC;
use crate::producer::admin::{Admin, AdminError, SystemTopic};
use crate::producer::rocketmq::EventProducer;
use crate::producer::runtime::MessagingRuntime;
use crate::service::raise_alarm::raise_alarm_or_log;
use crate::service::watch_broker::BrokerWatch;
use crate::store::{StoreError, alarms};

/// Pause between two tries to reach the broker.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Pause between two looks for the topic that the broker makes when it gives up for the first time.
const GIVEN_UP_INTERVAL: Duration = Duration::from_secs(10);

/// The consumers that have started.
#[derive(Default)]
pub(super) struct Consumers(Mutex<Vec<Consumer>>);

impl Consumers {
    fn lock(&self) -> MutexGuard<'_, Vec<Consumer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each finishes the message that it has.
    pub(super) async fn stop(&self) {
        let consumers = std::mem::take(&mut *self.lock());
        join_all(consumers.iter().map(Consumer::shutdown)).await;
    }
}

/// Starts the consumers that settle orders.
pub(super) struct OrderConsumers {
    app: Arc<App>,
    runtime: Arc<MessagingRuntime>,
    admin: Arc<Admin>,
    consumers: Arc<Consumers>,
    events: Arc<EventProducer>,
}

impl OrderConsumers {
    pub(super) fn new(
        app: &Arc<App>,
        runtime: &Arc<MessagingRuntime>,
        admin: &Arc<Admin>,
        consumers: &Arc<Consumers>,
        events: &Arc<EventProducer>,
    ) -> Self {
        let (app, runtime) = (Arc::clone(app), Arc::clone(runtime));
        let (admin, consumers) = (Arc::clone(admin), Arc::clone(consumers));
        Self { app, runtime, admin, consumers, events: Arc::clone(events) }
    }

    /// Tries until it works, then waits for the end.
    pub(super) async fn run(self, watch: Arc<BrokerWatch>, stop: CancellationToken) {
        let mut said = String::new();
        let mut tries = 0_u32;
        while let Err(error) = self.start().await {
            tries += 1;
            let text = error.to_string();
            if text != said {
                tracing::warn!(error = text, "consumers wait for the broker");
                self.alarm(&error).await;
            }
            said = text;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RETRY_INTERVAL) => {}
            }
        }
        if tries > 0 {
            // The broker is back: its settings may be others.
            if let Err(error) = watch.watch().await {
                tracing::warn!(%error, "what became of the broker's settings could not be stored");
            }
        }
        if let Err(error) = self.resolve().await {
            tracing::warn!(%error, "alarms about topics could not be resolved");
        }
        stop.cancelled().await;
    }

    async fn start(&self) -> Result<(), NotStarted> {
        let (cancels, checks) = (cancel_order::GROUP, payment_check::GROUP);
        for unchecked in self.admin.prepare(&topics(), &[cancels, checks]).await? {
            tracing::warn!("{unchecked}");
        }
        let handler = cancel_order::handler(Arc::clone(&self.app));
        let first = Consumer::start(&self.runtime, cancels, ORDER_TIMEOUT_TOPIC, handler).await?;
        let handler = payment_check::handler(Arc::clone(&self.app), Arc::clone(&self.events));
        match Consumer::start(&self.runtime, checks, PAYMENT_CHECK_TOPIC, handler).await {
            Ok(second) => self.consumers.lock().extend([first, second]),
            Err(error) => {
                first.shutdown().await;
                return Err(error.into());
            }
        }
        Ok(())
    }

    async fn alarm(&self, error: &NotStarted) {
        if let NotStarted::Topics(AdminError::WrongType { topic, .. }) = error {
            let alarm = Alarm::new(AlarmKind::TopicWrongType, topic.as_str(), error.to_string());
            raise_alarm_or_log(&self.app, &alarm).await;
        }
    }

    async fn resolve(&self) -> Result<(), StoreError> {
        let prefix = &self.app.config.rocketmq.name_prefix;
        let (kind, now) = (AlarmKind::TopicWrongType, self.app.now());
        let mut tx = self.app.store.begin().await?;
        for (topic, _) in topics() {
            let topic = format!("{prefix}{topic}");
            alarms::resolve(&mut tx, kind, &topic, "its type is right", now).await?;
        }
        tx.commit().await
    }
}

#[derive(Debug, thiserror::Error)]
enum NotStarted {
    #[error(transparent)]
    Topics(#[from] AdminError),
    #[error(transparent)]
    Consumer(#[from] crate::producer::runtime::StartError),
}

/// Starts the consumer of half messages that the broker gave up on.
pub(super) struct GivenUps(OrderConsumers);

impl GivenUps {
    pub(super) fn new(
        app: &Arc<App>,
        runtime: &Arc<MessagingRuntime>,
        admin: &Arc<Admin>,
        consumers: &Arc<Consumers>,
        events: &Arc<EventProducer>,
    ) -> Self {
        Self(OrderConsumers::new(app, runtime, admin, consumers, events))
    }

    /// Waits for the topic, which the broker makes when it first gives up, and for the right to
    /// read it; then for the end.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut refused = false;
        loop {
            match self.start().await {
                Ok(SystemTopic::Readable) => break,
                Ok(SystemTopic::Refused(why)) if !refused => {
                    refused = true;
                    tracing::warn!(
                        why,
                        "given-up half messages are not watched for: this account may not read {}",
                        given_up::TOPIC
                    );
                }
                Ok(SystemTopic::Absent | SystemTopic::Refused(_)) => {}
                Err(error) => tracing::debug!(%error, "given-up half messages can't be read yet"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(GIVEN_UP_INTERVAL) => {}
            }
        }
        self.0.app.metrics.given_up_watched.set(1);
        tracing::info!("given-up half messages are watched for");
        stop.cancelled().await;
    }

    async fn start(&self) -> Result<SystemTopic, NotStarted> {
        let OrderConsumers { app, runtime, admin, consumers, .. } = &self.0;
        let found = admin.system_topic(given_up::TOPIC).await?;
        if found == SystemTopic::Readable {
            for unchecked in admin.prepare(&[], &[given_up::GROUP]).await? {
                tracing::warn!("{unchecked}");
            }
            let handler = given_up::handler(Arc::clone(app));
            let (group, topic) = (given_up::GROUP, given_up::TOPIC);
            let started = Consumer::start_on_system_topic(runtime, group, topic, handler).await?;
            consumers.lock().push(started);
        }
        Ok(found)
    }
}
