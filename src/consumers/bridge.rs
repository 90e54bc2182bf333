//! From the RocketMQ client's consumer to an asynchronous handler.
//!
//! One consumer group, one topic, subscribed to `*`: a group's subscription never changes, filters
//! are code. Delivery is at least once and unordered; the handler decides from the database.

use std::sync::Arc;
use std::time::Duration;

use rocketmq_client_rust::{ConsumeConcurrentlyStatus, DefaultMQPushConsumer, MQPushConsumer};
use rocketmq_model::common::consumer::consume_from_where::ConsumeFromWhere;
use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_model::common::message::{MessageConst, MessageTrait};
use tokio::sync::{Mutex, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::producer::runtime::{BoxFuture, MessagingRuntime, StartError};

/// Deliveries handled at once by one group; each takes a callback thread.
const CONSUME_THREADS: u32 = 8;
/// A delivery that takes longer is abandoned and comes again.
const CONSUME_TIMEOUT: Duration = Duration::from_secs(25);
/// Shutdown waits so long for the deliveries under way (milliseconds).
const FINISH_TIMEOUT_MS: u64 = 3_000;
/// … and so long altogether: the client's own shutdown has been seen to hang for 30 s.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// A delivered message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Topic without prefix.
    pub topic: String,
    /// Tag.
    pub tag: String,
    /// Key, the order id.
    pub key: String,
    /// Body.
    pub body: Vec<u8>,
    /// How often it was consumed later before.
    pub reconsume_times: u32,
    /// The sender's id of the message: the same for every delivery of one send.
    pub message_id: String,
    /// Where a half message that the broker gave up on was to go; topic without prefix.
    pub real_topic: Option<String>,
}

/// A handler's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumed {
    /// Done with it.
    Done,
    /// Deliver it again, with growing pauses from 10 s on; after 16 times it goes to the dead
    /// letter queue.
    Later,
}

impl Consumed {
    /// The name in the metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Later => "later",
        }
    }
}

/// Handles one delivery. A panic or an overrun counts as [`Consumed::Later`].
pub type Handler = Arc<dyn Fn(Delivery) -> BoxFuture<Consumed> + Send + Sync>;

/// A running consumer.
pub struct Consumer {
    group: String,
    client: Arc<Mutex<DefaultMQPushConsumer>>,
    renewal: AbortHandle,
}

impl Consumer {
    /// Joins the consumer group. Succeeds without a broker. Create the topic before: a group that
    /// starts without it gets its first message late.
    ///
    /// # Errors
    /// When the client refuses the group, or its start fails.
    pub async fn start(
        runtime: &Arc<MessagingRuntime>,
        group: &str,
        topic: &str,
        handler: Handler,
    ) -> Result<Self, StartError> {
        Self::start_on(runtime, group, (runtime.name(topic), true), handler).await
    }

    /// The same on a topic of the broker's own, which has no prefix.
    ///
    /// # Errors
    /// When the client refuses the group, or its start fails.
    pub async fn start_on_system_topic(
        runtime: &Arc<MessagingRuntime>,
        group: &str,
        topic: &str,
        handler: Handler,
    ) -> Result<Self, StartError> {
        Self::start_on(runtime, group, (topic.to_owned(), false), handler).await
    }

    async fn start_on(
        runtime: &Arc<MessagingRuntime>,
        group: &str,
        (topic, watched): (String, bool),
        handler: Handler,
    ) -> Result<Self, StartError> {
        let runtime = Arc::clone(runtime);
        let plan = Plan { group: runtime.name(group), topic, handler, runtime };
        let group = plan.group.clone();
        let client = Arc::new(Mutex::new(plan.start().await?));
        if watched {
            plan.runtime.watch(&plan.topic);
        }
        let recoveries = plan.runtime.recoveries();
        let renewal = tokio::spawn(renew(recoveries, Arc::clone(&client), plan));
        Ok(Self { group, client, renewal: renewal.abort_handle() })
    }

    /// Waits for the deliveries under way, stores the offsets and leaves the group, in bounded
    /// time.
    pub async fn shutdown(&self) {
        self.renewal.abort();
        stop(&self.group, &mut *self.client.lock().await).await;
    }
}

/// All that it takes to start the consumer, again after an outage.
struct Plan {
    runtime: Arc<MessagingRuntime>,
    group: String,
    topic: String,
    handler: Handler,
}

impl Plan {
    async fn start(&self) -> Result<DefaultMQPushConsumer, StartError> {
        let (runtime, handler) = (&self.runtime, Arc::clone(&self.handler));
        let callbacks = runtime.callbacks();
        let prefix = runtime.settings().name_prefix.clone();
        let mut consumer = DefaultMQPushConsumer::builder(runtime.client())
            .client_config(runtime.connection())
            .consumer_group(self.group.as_str())
            .consume_from_where(ConsumeFromWhere::ConsumeFromFirstOffset)
            .consume_thread_min(CONSUME_THREADS)
            .consume_thread_max(CONSUME_THREADS)
            .consume_message_batch_max_size(1)
            .await_termination_millis_when_shutdown(FINISH_TIMEOUT_MS)
            .rpc_hook(runtime.hook())
            .build();
        let failed = |error| StartError::new(format!("consumer {}", self.group), &error);
        consumer.subscribe(self.topic.as_str(), "*").await.map_err(failed)?;
        consumer.register_message_listener_concurrently(move |messages: &[&MessageExt], _: &_| {
            let done = messages.iter().all(|message| {
                let delivery = delivery(message, &prefix);
                callbacks.run("delivery", CONSUME_TIMEOUT, || handler(delivery))
                    == Some(Consumed::Done)
            });
            Ok(if done {
                ConsumeConcurrentlyStatus::ConsumeSuccess
            } else {
                ConsumeConcurrentlyStatus::ReconsumeLater
            })
        });
        Box::pin(consumer.start()).await.map_err(failed)?;
        Ok(consumer)
    }
}

/// Replaces the consumer after every outage: the old one's circuit breaker would keep it away for
/// 30 s.
async fn renew(
    mut recoveries: watch::Receiver<u64>,
    current: Arc<Mutex<DefaultMQPushConsumer>>,
    plan: Plan,
) {
    while recoveries.changed().await.is_ok() {
        let mut consumer = current.lock().await;
        match plan.start().await {
            Ok(renewed) => stop(&plan.group, &mut std::mem::replace(&mut *consumer, renewed)).await,
            Err(error) => tracing::warn!(%error, "a RocketMQ consumer was not renewed"),
        }
    }
}

async fn stop(group: &str, consumer: &mut DefaultMQPushConsumer) {
    if timeout(SHUTDOWN_TIMEOUT, Box::pin(consumer.shutdown())).await.is_err() {
        tracing::warn!(group, "a RocketMQ consumer did not stop in {SHUTDOWN_TIMEOUT:?}");
    }
}

fn delivery(message: &MessageExt, prefix: &str) -> Delivery {
    let property = |name: &'static str| message.property_ref(&name.into()).map(ToString::to_string);
    let plain = |topic: &str| topic.strip_prefix(prefix).map(str::to_owned);
    let topic = message.topic().as_str();
    Delivery {
        topic: plain(topic).unwrap_or_else(|| topic.to_owned()),
        tag: property(MessageConst::PROPERTY_TAGS).unwrap_or_default(),
        key: property(MessageConst::PROPERTY_KEYS).unwrap_or_default(),
        body: message.body().map(|body| body.to_vec()).unwrap_or_default(),
        reconsume_times: u32::try_from(message.reconsume_times()).unwrap_or(0),
        message_id: property(MessageConst::PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX)
            .unwrap_or_else(|| message.msg_id().to_string()),
        // Without our prefix it isn't ours.
        real_topic: property(MessageConst::PROPERTY_REAL_TOPIC).and_then(|topic| plain(&topic)),
    }
}
