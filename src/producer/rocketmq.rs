//! The producers: half messages with their transaction listener, and plain messages.
//!
//! It knows topics, groups and bytes, not orders: the listener is a parameter. The client's crates
//! are named only here, in `producer/{callback,early_end,plain,renewal,runtime}.rs`, in
//! `producer/admin/` and in `consumers/bridge.rs`.
//!
//! `send_message_in_transaction` answers `Ok` with *Rollback* when the broker says anything but
//! `SEND_OK`, and *Unknown* when the listener never ran (the client's
//! `default_mq_producer_impl/transaction.rs`). [`HalfSend`] tells these apart with a slot of our
//! own.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rocketmq_client_rust::{ClientError, SendStatus, TransactionMQProducer};
use rocketmq_model::common::message::message_single::Message;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::callback::{EXECUTE_TIMEOUT, Listener, Slot, Ticket};
use super::early_end::{Copies, Copy, EarlyEnder, EarlyEnds};
pub use super::plain::EventProducer;
use super::renewal::{Current, Lifecycle, renew};
pub use super::runtime::{BoxFuture, BrokerSettings, MessagingRuntime, StartError};
use crate::text::causes;

/// The client gives a message up after this time (milliseconds).
pub(super) const SEND_TIMEOUT_MS: u32 = 2_500;
/// We give it up after this time, whatever the client does.
pub(super) const SEND_TIMEOUT: Duration = Duration::from_millis(2_900);
/// A second try within the same time, for a connection that broke since the last send.
pub(super) const SEND_RETRIES: u32 = 1;
/// The client tells the broker the local transaction's answer; we do not wait longer for that.
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// Check-backs that wait for their turn; the client drops more than that, they come again in the
/// next round.
const CHECKS_WAITING_MAX: u32 = 50_000;
/// How often [`TransactionProducer::wait_ready`] looks.
const READY_PROBE_INTERVAL: Duration = Duration::from_millis(50);

/// What the sender hands to its local transaction; the [`TransactionHandler`] downcasts it.
pub type Job = Arc<dyn Any + Send + Sync>;

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// Topic without prefix.
    pub topic: String,
    /// Tag, for filters in the console.
    pub tag: String,
    /// Key by which the console finds it: the order id.
    pub key: String,
    /// Body.
    pub body: Vec<u8>,
}

/// What becomes of a half message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckAnswer {
    /// Deliver it.
    Commit,
    /// Drop it.
    Rollback,
    /// Ask again in the next round.
    Unknown,
}

/// What a check-back brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HalfMessage {
    /// Topic without prefix.
    pub topic: String,
    /// Key, the order id.
    pub key: String,
    /// Body.
    pub body: Vec<u8>,
    /// How often the broker has asked, this time included.
    pub broker_check_times: Option<u32>,
    /// The client's id of the half message, the same in every round.
    pub transaction_id: String,
}

/// The transaction listener. Both futures run on a callback thread inside the application's
/// runtime; a panic or an overrun counts as *unknown*.
pub trait TransactionHandler: Send + Sync + 'static {
    /// The local transaction of a half message that the broker has accepted.
    fn execute(&self, job: Job) -> BoxFuture<CheckAnswer>;
    /// What became of the order of a half message.
    fn check(&self, message: HalfMessage) -> BoxFuture<CheckAnswer>;
}

/// What became of sending a half message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HalfSend {
    /// The broker has it.
    Accepted {
        /// The local transaction's answer; `None` if it did not run or did not end: only the
        /// barrier knows.
        executed: Option<CheckAnswer>,
    },
    /// The broker answered this instead of `SEND_OK`, and the local transaction did not run.
    NotAccepted(String),
}

/// Why a message was not sent. The broker may have it all the same: nothing follows for what it
/// stored.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The client failed, for a local transaction always before it ran.
    #[error("RocketMQ did not take the message for {topic}: {message}")]
    Client {
        /// Topic with prefix.
        topic: String,
        /// The error with its causes.
        message: String,
    },
    /// Taken, but not stored as safely as the broker is asked to.
    #[error("RocketMQ answered {status} to the message for {topic}")]
    NotStored {
        /// Topic with prefix.
        topic: String,
        /// The broker's status.
        status: String,
    },
    /// No answer in time; a local transaction did not run and will not.
    #[error("RocketMQ did not answer in time to the message for {topic}")]
    TimedOut {
        /// Topic with prefix.
        topic: String,
    },
}

/// Sends half messages and answers their check-backs.
pub struct TransactionProducer {
    runtime: Arc<MessagingRuntime>,
    topics: Vec<String>,
    producer: Arc<Current<TransactionMQProducer>>,
    renewal: AbortHandle,
    copies: Arc<Copies>,
    ender: EarlyEnder,
    /// The epoch in which the last half message was not accepted; 0 if it was.
    refused_in: AtomicU64,
    /// Half messages so far, accepted or not.
    sends: AtomicU64,
}

impl TransactionProducer {
    /// Joins the producer group. Routes and heartbeats of `topics` start at once, so that
    /// check-backs come to a process that sends nothing; they are expected every `check_interval`.
    /// Succeeds without a broker; sends then fail until there is one.
    ///
    /// # Errors
    /// When the client refuses the group, or its start fails.
    pub async fn start(
        runtime: &Arc<MessagingRuntime>,
        group: &str,
        topics: &[&str],
        check_interval: Duration,
        handler: Arc<dyn TransactionHandler>,
    ) -> Result<Self, StartError> {
        let topics: Vec<String> = topics.iter().map(|topic| runtime.name(topic)).collect();
        let copies = Arc::new(Copies::new(check_interval, runtime.outages()));
        let build = {
            let (runtime, group, topics) =
                (Arc::clone(runtime), runtime.name(group), topics.clone());
            let copies = Arc::clone(&copies);
            move || transaction_producer(&runtime, &group, &topics, &handler, &copies)
        };
        let mut producer = build();
        let failed = |error| StartError::new(format!("producer {}", runtime.name(group)), &error);
        Lifecycle::start(&mut producer).await.map_err(failed)?;
        for topic in &topics {
            runtime.watch(topic);
        }
        let producer = Arc::new(Current::new(producer));
        let renewal = tokio::spawn(renew(runtime.recoveries(), Arc::clone(&producer), build));
        let ender = EarlyEnder::start(runtime, group, &topics, &copies).await?;
        let (runtime, renewal) = (Arc::clone(runtime), renewal.abort_handle());
        let (refused_in, sends) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { runtime, topics, producer, renewal, copies, ender, refused_in, sends })
    }

    /// Takes half messages of this producer that are to be ended before their next check-back.
    #[must_use]
    pub fn early_ends(&self) -> EarlyEnds {
        self.ender.ends.clone()
    }

    /// Sends a half message and, once the broker has it, runs the handler's `execute` with `job`.
    ///
    /// # Errors
    /// When the broker did not take it, within three seconds. The local transaction has not run
    /// then and will not.
    pub async fn send_in_transaction(
        &self,
        message: OutgoingMessage,
        job: Job,
    ) -> Result<HalfSend, SendError> {
        self.sends.fetch_add(1, Ordering::Relaxed);
        let sent = self.try_send(message, job).await;
        let accepted = matches!(sent, Ok(HalfSend::Accepted { .. }));
        self.refused_in.store(if accepted { 0 } else { self.epoch() }, Ordering::Relaxed);
        sent
    }

    async fn try_send(&self, message: OutgoingMessage, job: Job) -> Result<HalfSend, SendError> {
        let topic = self.runtime.name(&message.topic);
        let slot = Arc::new(Slot::default());
        let ticket = Ticket { job, slot: Arc::clone(&slot) };
        let key = message.key.clone();
        let message = encode(&topic, message, None)?;
        let told = self.copies.told_now();
        let sent = async {
            let producer = self.producer.get();
            let producer = producer.read().await;
            Box::pin(producer.send_message_in_transaction(message, Some(ticket))).await
        };
        tokio::pin!(sent);
        let result = tokio::select! {
            result = &mut sent => Some(result),
            () = sleep(SEND_TIMEOUT) => None,
        };
        let result = match result {
            Some(result) => result,
            None if slot.abandon() => return Err(SendError::TimedOut { topic }),
            None => match timeout(EXECUTE_TIMEOUT + END_TIMEOUT, sent).await {
                Ok(result) => result,
                Err(_) => return Ok(HalfSend::Accepted { executed: slot.answer() }),
            },
        };
        let result = result.map_err(|error| client_error(&self.runtime, topic.clone(), &error))?;
        match result.send_result {
            Some(sent) if sent.send_status == SendStatus::SendOk => {
                let executed = slot.answer();
                if executed == Some(CheckAnswer::Unknown) {
                    self.copies.keep(key, Copy { topic, sent, told });
                }
                Ok(HalfSend::Accepted { executed })
            }
            sent => {
                let status = sent.map(|sent| sent.send_status);
                Ok(HalfSend::NotAccepted(format!("{status:?}")))
            }
        }
    }

    /// Whether the broker of every topic is known. It stays known while the broker is away.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.topics.iter().all(|topic| self.runtime.has_route(topic))
    }

    /// Whether the broker is known, listened at the last look, up to a second ago, and took the
    /// last half message since it was reached: it may refuse this account.
    #[must_use]
    pub fn reachable(&self) -> bool {
        let refused = self.refused_in.load(Ordering::Relaxed) == self.epoch();
        self.ready() && !self.runtime.is_away() && !refused
    }

    /// Whether no broker listened at the last look, up to a second ago.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.runtime.is_away()
    }

    /// How many half messages were sent since the start, accepted or not.
    #[must_use]
    pub fn sends(&self) -> u64 {
        self.sends.load(Ordering::Relaxed)
    }

    /// Another one after every outage.
    fn epoch(&self) -> u64 {
        *self.runtime.recoveries().borrow() + 1
    }

    /// Waits until [`Self::ready`], or for `limit`.
    pub async fn wait_ready(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while !self.ready() && Instant::now() < deadline {
            sleep(READY_PROBE_INTERVAL).await;
        }
        self.ready()
    }

    /// Waits for the sends and check-backs under way and leaves the group, in bounded time.
    pub async fn shutdown(&self) {
        self.renewal.abort();
        tokio::join!(self.producer.stop(), self.ender.shutdown());
    }
}

pub(super) fn client_error(
    runtime: &MessagingRuntime,
    topic: String,
    error: &ClientError,
) -> SendError {
    let message = causes(error);
    runtime.note_failure(&message);
    SendError::Client { topic, message }
}

pub(super) fn encode(
    topic: &str,
    message: OutgoingMessage,
    delay: Option<Duration>,
) -> Result<Message, SendError> {
    let builder =
        Message::builder().topic(topic).tags(message.tag).key(message.key).body(message.body);
    // No delay at all is no timer message.
    let delay_ms = delay.map_or(0, |delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
    let builder = if delay_ms == 0 { builder } else { builder.delay_millis(delay_ms) };
    builder
        .build()
        .map_err(|error| SendError::Client { topic: topic.to_owned(), message: causes(&error) })
}

fn transaction_producer(
    runtime: &MessagingRuntime,
    group: &str,
    topics: &[String],
    handler: &Arc<dyn TransactionHandler>,
    copies: &Arc<Copies>,
) -> TransactionMQProducer {
    let check_threads =
        u32::try_from(runtime.settings().callback_threads / 2).unwrap_or(u32::MAX).max(1);
    let builder = TransactionMQProducer::builder(runtime.client())
        .client_config(runtime.connection())
        .producer_group(group)
        .topics(topics.to_vec())
        .send_msg_timeout(SEND_TIMEOUT_MS)
        .retry_times_when_send_failed(SEND_RETRIES)
        .check_thread_pool_min_size(check_threads)
        .check_thread_pool_max_size(check_threads)
        .check_request_hold_max(CHECKS_WAITING_MAX)
        .transaction_listener(Listener {
            handler: Arc::clone(handler),
            callbacks: runtime.callbacks(),
            prefix: runtime.settings().name_prefix.clone(),
            copies: Arc::clone(copies),
        });
    match runtime.hook() {
        Some(hook) => builder.rpc_hook(hook).build(),
        None => builder.build(),
    }
}
