//! Ends a half message of this process at once when its order has ended by another trigger, so that
//! the broker appends and checks it no more. A favour that may fail: a half message that was not
//! ended is checked in its next round, and answered then.
//!
//! The client ends a half message only in the answer to its send or to a check-back. An end of
//! one's own making names the copy by its place in the broker's log: the one that was sent, or the
//! one that the last check-back here was about, for each round appends another. An end that names
//! an older copy changes nothing (`TransactionalMessageServiceImpl`), but that a *commit* delivers
//! it once more.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rocketmq_client_rust::{
    ClientError, ClientResult, DefaultMQProducer, LocalTransactionState, SendResult,
};
use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_model::common::message::message_single::Message;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::callback::state;
use super::plain::event_producer;
use super::renewal::{Current, Lifecycle, renew};
use super::rocketmq::CheckAnswer;
use super::runtime::{MessagingRuntime, Outages, StartError};
use crate::text::causes;

/// Half messages that are remembered: as many in each of two generations.
const GENERATION_MAX: usize = 50_000;
/// Ends that wait for their turn; more than that are left to the broker's next round.
const WAITING_MAX: usize = 4_096;
/// Hex digits of the place in the log, the end of a message id.
const PLACE_DIGITS: usize = 16;

/// A copy that no check-back here was about for so many check intervals is another one by now.
const FRESH_INTERVALS: u32 = 2;

/// A half message's topic under its name on the broker, and its newest copy there.
#[derive(Clone)]
pub(super) struct Copy {
    pub(super) topic: String,
    pub(super) sent: SendResult,
    /// When the broker last told of its place.
    pub(super) told: Told,
}

/// When a broker told of a place, and how many outages there were before.
#[derive(Clone, Copy)]
pub(super) struct Told {
    at: Instant,
    outages: u64,
}

/// The newest copies of this process's half messages, by key: bounded, the oldest go first.
///
/// The broker compares no more than the group and the place of an end with what lies there. A
/// broker that lost the end of its log writes another order's half message to the same place: so
/// none is kept over an outage of any broker, and none is ended by an old place.
pub(super) struct Copies {
    kept: Mutex<Generations>,
    outages: Outages,
    fresh_for: Duration,
}

#[derive(Default)]
struct Generations {
    young: HashMap<String, Copy>,
    old: HashMap<String, Copy>,
}

impl Copies {
    pub(super) fn new(check_interval: Duration, outages: Outages) -> Self {
        let fresh_for = check_interval.saturating_mul(FRESH_INTERVALS);
        Self { kept: Mutex::default(), outages, fresh_for }
    }

    /// For a place that is told of from now on.
    pub(super) fn told_now(&self) -> Told {
        Told { at: Instant::now(), outages: self.outages.load(Ordering::Relaxed) }
    }

    /// Whether no broker was away since a place was told of, and that is not long ago.
    fn is_fresh(&self, told: Told) -> bool {
        told.at.elapsed() < self.fresh_for && told.outages == self.outages.load(Ordering::Relaxed)
    }

    /// The broker was away, or is another one.
    fn forget_all(&self) {
        *self.lock() = Generations::default();
    }

    pub(super) fn keep(&self, key: String, copy: Copy) {
        let mut generations = self.lock();
        if generations.young.len() >= GENERATION_MAX {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(key, copy);
    }

    /// A check-back is about a newer copy.
    pub(super) fn renew(&self, key: &str, message: &MessageExt) {
        let place = (message.queue_offset(), message.commit_log_offset());
        let (Ok(queue_offset), Ok(log_offset)) = (u64::try_from(place.0), u64::try_from(place.1))
        else {
            return;
        };
        let told_now = self.told_now();
        let mut generations = self.lock();
        let Generations { young, old } = &mut *generations;
        let known = young.get_mut(key).or_else(|| old.get_mut(key));
        let Some(Copy { sent, told, .. }) = known else { return };
        *told = told_now;
        sent.queue_offset = queue_offset;
        sent.offset_msg_id = sent.offset_msg_id.take().map(|id| {
            let broker = id.len().saturating_sub(PLACE_DIGITS);
            format!("{}{log_offset:016X}", &id[..broker])
        });
    }

    pub(super) fn take(&self, key: &str) -> Option<Copy> {
        let mut generations = self.lock();
        let young = generations.young.remove(key);
        let copy = young.or_else(|| generations.old.remove(key));
        copy.filter(|copy| self.is_fresh(copy.told))
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes orders whose half messages are to be ended.
#[derive(Clone)]
pub struct EarlyEnds {
    copies: Arc<Copies>,
    waiting: mpsc::Sender<(Copy, CheckAnswer)>,
}

impl fmt::Debug for EarlyEnds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EarlyEnds").finish_non_exhaustive()
    }
}

impl EarlyEnds {
    /// Has the half message with this key ended soon. `false`: it isn't this process's, or too many
    /// wait; the broker's next check-back ends it then.
    #[must_use]
    pub fn end(&self, key: &str, answer: CheckAnswer) -> bool {
        let copy = self.copies.take(key);
        copy.is_some_and(|copy| self.waiting.try_send((copy, answer)).is_ok())
    }
}

/// Sends the ends, over a connection of its own.
pub(super) struct EarlyEnder {
    pub(super) ends: EarlyEnds,
    producer: Arc<Current<Ender>>,
    renewal: AbortHandle,
    stop: CancellationToken,
}

impl EarlyEnder {
    pub(super) async fn start(
        runtime: &Arc<MessagingRuntime>,
        group: &str,
        topics: &[String],
        copies: &Arc<Copies>,
    ) -> Result<Self, StartError> {
        let build = {
            let (runtime, topics) = (Arc::clone(runtime), topics.to_vec());
            let own = runtime.name(&format!("{group}-ends"));
            let named = runtime.name(group);
            let copies = Arc::clone(copies);
            move || {
                copies.forget_all();
                Ender {
                    producer: event_producer(&runtime, &own, &topics),
                    own: own.clone(),
                    named: named.clone(),
                }
            }
        };
        let mut ender = build();
        Lifecycle::start(&mut ender)
            .await
            .map_err(|error| StartError::new(format!("producer {}", ender.own), &error))?;
        let producer = Arc::new(Current::new(ender));
        let renewal = tokio::spawn(renew(runtime.recoveries(), Arc::clone(&producer), build));
        let (waiting, receiver) = mpsc::channel(WAITING_MAX);
        let stop = CancellationToken::new();
        let (app, sender, stopped) = (Handle::current(), Arc::clone(&producer), stop.clone());
        let known = Arc::clone(copies);
        // The client's future has to stay on one thread.
        tokio::task::spawn_blocking(move || {
            app.block_on(stopped.run_until_cancelled(send_ends(sender, known, receiver)))
        });
        let ends = EarlyEnds { copies: Arc::clone(copies), waiting };
        let renewal = renewal.abort_handle();
        Ok(Self { ends, producer, renewal, stop })
    }

    pub(super) async fn shutdown(&self) {
        self.end_tasks();
        self.producer.stop().await;
    }

    fn end_tasks(&self) {
        self.renewal.abort();
        self.stop.cancel();
    }
}

impl Drop for EarlyEnder {
    fn drop(&mut self) {
        self.end_tasks();
    }
}

async fn send_ends(
    producer: Arc<Current<Ender>>,
    copies: Arc<Copies>,
    mut waiting: mpsc::Receiver<(Copy, CheckAnswer)>,
) {
    while let Some((copy, answer)) = waiting.recv().await {
        if !copies.is_fresh(copy.told) {
            // It waited for too long: its place may be another's.
            continue;
        }
        let ender = producer.get();
        if let Err(error) = ender.read().await.end(copy, answer).await {
            tracing::debug!(error = causes(&error), "a half message waits for its next check");
        }
    }
}

/// A producer that sends nothing but ends. It is registered under a group of its own, which gets no
/// check-backs; its ends name the group of the half messages, which the broker compares.
struct Ender {
    producer: DefaultMQProducer,
    own: String,
    named: String,
}

impl Lifecycle for Ender {
    async fn start(&mut self) -> ClientResult<()> {
        Lifecycle::start(&mut self.producer).await?;
        self.producer.set_producer_group(self.named.as_str());
        Ok(())
    }

    async fn stop(&mut self) {
        self.producer.set_producer_group(self.own.as_str());
        Lifecycle::stop(&mut self.producer).await;
    }
}

impl Ender {
    async fn end(&self, copy: Copy, answer: CheckAnswer) -> ClientResult<()> {
        let Some(client) = self.producer.default_mq_producer_impl() else { return Ok(()) };
        let message = Message::builder()
            .topic(copy.topic)
            .body(Vec::new())
            .build()
            .map_err(ClientError::from)?;
        let state: LocalTransactionState = state(Some(answer));
        Box::pin(client.end_transaction(&message, &copy.sent, state, None)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(log_offset: u64) -> Copy {
        let sent = SendResult {
            queue_offset: 7,
            offset_msg_id: Some(format!("7F00000100002A9F{log_offset:016X}")),
            ..SendResult::default()
        };
        Copy { topic: "T".into(), sent, told: Told { at: Instant::now(), outages: 0 } }
    }

    #[test]
    fn a_check_back_is_about_a_newer_copy() {
        let copies = Copies::new(Duration::from_mins(1), Outages::default());
        copies.keep("A".into(), copy(1));
        let mut message = MessageExt::default();
        message.set_queue_offset(12);
        message.set_commit_log_offset(0xABC);
        copies.renew("A", &message);
        copies.renew("unknown", &message);
        let newest = copies.take("A").expect("it is known").sent;
        assert_eq!(newest.queue_offset, 12);
        assert_eq!(newest.offset_msg_id, copy(0xABC).sent.offset_msg_id);
        assert!(copies.take("A").is_none() && copies.take("unknown").is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let copies = Copies::new(Duration::from_mins(1), Outages::default());
        for number in 0..=2 * GENERATION_MAX {
            copies.keep(number.to_string(), copy(1));
        }
        assert!(copies.take("0").is_none());
        assert!(copies.take(&GENERATION_MAX.to_string()).is_some());
        assert!(copies.take(&(2 * GENERATION_MAX).to_string()).is_some());
    }

    #[test]
    fn no_half_message_is_ended_by_an_old_place() {
        let copies = Copies::new(Duration::ZERO, Outages::default());
        copies.keep("old".into(), copy(1));
        assert!(copies.take("old").is_none(), "many rounds may have been since");
        let copies = Copies::new(Duration::from_mins(1), Outages::default());
        copies.keep("of before".into(), copy(1));
        copies.forget_all();
        assert!(copies.take("of before").is_none(), "the broker was away since");
    }

    #[test]
    fn no_half_message_is_ended_by_a_place_from_before_an_outage_of_any_broker() {
        let outages = Outages::default();
        let copies = Copies::new(Duration::from_mins(1), Arc::clone(&outages));
        let told = copies.told_now();
        copies.keep("before".into(), Copy { told, ..copy(1) });
        copies.keep("checked".into(), Copy { told, ..copy(2) });
        outages.fetch_add(1, Ordering::Relaxed);
        copies.keep("sent before, kept after".into(), Copy { told, ..copy(3) });
        let mut message = MessageExt::default();
        message.set_commit_log_offset(4);
        copies.renew("checked", &message);
        assert!(copies.take("before").is_none());
        assert!(copies.take("sent before, kept after").is_none());
        assert!(copies.take("checked").is_some(), "the broker told of it since");
    }
}
