//! Messages that are no half messages: events, and messages with a delivery time.

use std::sync::Arc;
use std::time::Duration;

use rocketmq_client_rust::{DefaultMQProducer, SendStatus};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::renewal::{Current, Lifecycle, renew};
use super::rocketmq::{
    OutgoingMessage, SEND_RETRIES, SEND_TIMEOUT, SEND_TIMEOUT_MS, SendError, client_error, encode,
};
use super::runtime::{MessagingRuntime, StartError};

/// Sends plain messages.
pub struct EventProducer {
    runtime: Arc<MessagingRuntime>,
    producer: Arc<Current<DefaultMQProducer>>,
    renewal: AbortHandle,
}

impl EventProducer {
    /// Joins the producer group; succeeds without a broker. The group must not be a transaction
    /// producer's.
    ///
    /// # Errors
    /// When the client refuses the group, or its start fails.
    pub async fn start(runtime: &Arc<MessagingRuntime>, group: &str) -> Result<Self, StartError> {
        let build = {
            let (runtime, group) = (Arc::clone(runtime), runtime.name(group));
            move || event_producer(&runtime, &group, &[])
        };
        let mut producer = build();
        let failed = |error| StartError::new(format!("producer {}", runtime.name(group)), &error);
        Lifecycle::start(&mut producer).await.map_err(failed)?;
        let producer = Arc::new(Current::new(producer));
        let renewal = tokio::spawn(renew(runtime.recoveries(), Arc::clone(&producer), build));
        Ok(Self { runtime: Arc::clone(runtime), producer, renewal: renewal.abort_handle() })
    }

    /// Sends a message; only `SEND_OK` is a success.
    ///
    /// # Errors
    /// When the broker did not take it or did not say so, within three seconds. It may have it all
    /// the same.
    pub async fn send(&self, message: OutgoingMessage) -> Result<(), SendError> {
        self.send_encoded(message, None).await
    }

    /// The same, to be delivered after this time by the broker's own clock: its timer is precise to
    /// a second, and takes no more than its `timerMaxDelaySec`.
    ///
    /// # Errors
    /// As those of [`Self::send`].
    pub async fn send_later(
        &self,
        message: OutgoingMessage,
        delay: Duration,
    ) -> Result<(), SendError> {
        self.send_encoded(message, Some(delay)).await
    }

    async fn send_encoded(
        &self,
        message: OutgoingMessage,
        delay: Option<Duration>,
    ) -> Result<(), SendError> {
        let topic = self.runtime.name(&message.topic);
        let message = encode(&topic, message, delay)?;
        let sent = async {
            let producer = self.producer.get();
            let producer = producer.read().await;
            Box::pin(producer.send(message)).await
        };
        match timeout(SEND_TIMEOUT, sent).await {
            Ok(Ok(Some(result))) if result.send_status == SendStatus::SendOk => Ok(()),
            Ok(Ok(result)) => {
                let status = format!("{:?}", result.map(|result| result.send_status));
                Err(SendError::NotStored { topic, status })
            }
            Ok(Err(error)) => Err(client_error(&self.runtime, topic, &error)),
            Err(_) => Err(SendError::TimedOut { topic }),
        }
    }

    /// Waits for the sends under way and leaves the group, in bounded time.
    pub async fn shutdown(&self) {
        self.renewal.abort();
        self.producer.stop().await;
    }
}

pub(super) fn event_producer(
    runtime: &MessagingRuntime,
    group: &str,
    topics: &[String],
) -> DefaultMQProducer {
    let builder = DefaultMQProducer::builder(runtime.client())
        .client_config(runtime.connection())
        .producer_group(group)
        .topics(topics.iter().map(Into::into).collect())
        .send_msg_timeout(SEND_TIMEOUT_MS)
        .retry_times_when_send_failed(SEND_RETRIES);
    match runtime.hook() {
        Some(hook) => builder.rpc_hook(hook).build(),
        None => builder.build(),
    }
}
