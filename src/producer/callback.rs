//! What the client calls on its blocking lane: the way into asynchronous code, and the transaction
//! listener.
//!
//! `LocalTransactionState::default()` is *Commit*: it is used nowhere.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rocketmq_client_rust::{LocalTransactionState, TransactionListener};
use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_model::common::message::{MessageConst, MessageTrait};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::early_end::Copies;
use super::rocketmq::{CheckAnswer, HalfMessage, Job, TransactionHandler};
use super::runtime::BoxFuture;

/// A local transaction that takes longer is abandoned; the barrier says what became of it.
pub(super) const EXECUTE_TIMEOUT: Duration = Duration::from_secs(8);
/// A check-back that takes longer is answered *unknown*: room for a few gateway calls of 5 s.
const CHECK_TIMEOUT: Duration = Duration::from_secs(25);

/// From the client's blocking threads into the application's runtime.
#[derive(Clone)]
pub(crate) struct Callbacks {
    pub(super) app: Handle,
}

impl Callbacks {
    /// Runs the future in the application's runtime and waits for it here; `None` if it panicked or
    /// took too long. It isn't polled on this thread, which would be woken for each of its steps.
    pub(crate) fn run<T>(
        &self,
        what: &str,
        limit: Duration,
        start: impl FnOnce() -> BoxFuture<T>,
    ) -> Option<T>
    where
        T: Send + 'static,
    {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let future = start();
            // The timer of `timeout` needs the runtime, so it is made inside.
            let task = self.app.spawn(async move { timeout(limit, future).await });
            self.app.block_on(task)
        }));
        match outcome.map(Result::ok).unwrap_or_default() {
            Some(Ok(value)) => Some(value),
            Some(Err(_)) => {
                tracing::error!("the {what} took longer than {limit:?} and was abandoned");
                None
            }
            None => {
                tracing::error!("the {what} panicked");
                None
            }
        }
    }
}

/// What travels through the client from the sender to the listener.
pub(super) struct Ticket {
    pub(super) job: Job,
    pub(super) slot: Arc<Slot>,
}

/// Whether the local transaction ran, and its answer; sender and listener decide it by
/// compare-and-set.
#[derive(Default)]
pub(super) struct Slot {
    state: AtomicU8,
    answer: OnceLock<CheckAnswer>,
}

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const ABANDONED: u8 = 2;

impl Slot {
    fn begin(&self) -> bool {
        self.state.compare_exchange(WAITING, BEGUN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Whether the local transaction has not begun, and now never will.
    pub(super) fn abandon(&self) -> bool {
        self.state.compare_exchange(WAITING, ABANDONED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The local transaction's answer, if it ran to its end.
    pub(super) fn answer(&self) -> Option<CheckAnswer> {
        self.answer.get().copied()
    }
}

/// Between the client and our handler.
pub(super) struct Listener {
    pub(super) handler: Arc<dyn TransactionHandler>,
    pub(super) callbacks: Callbacks,
    pub(super) prefix: String,
    pub(super) copies: Arc<Copies>,
}

impl TransactionListener for Listener {
    fn execute_local_transaction(
        &self,
        _message: &dyn MessageTrait,
        arg: Option<&(dyn Any + Send + Sync)>,
    ) -> LocalTransactionState {
        let Some(ticket) = arg.and_then(|arg| arg.downcast_ref::<Ticket>()) else {
            return LocalTransactionState::Unknown;
        };
        if !ticket.slot.begin() {
            // The sender has given up and told its caller that nothing was written.
            return LocalTransactionState::RollbackMessage;
        }
        let job = Arc::clone(&ticket.job);
        let answer =
            self.callbacks.run("local transaction", EXECUTE_TIMEOUT, || self.handler.execute(job));
        if let Some(answer) = answer {
            // Set once: `begin` lets only one caller pass.
            let _ = ticket.slot.answer.set(answer);
        }
        state(answer)
    }

    fn check_local_transaction(&self, message: &MessageExt) -> LocalTransactionState {
        let checked = half_message(message, &self.prefix);
        let key = checked.key.clone();
        self.copies.renew(&key, message);
        let check = || self.handler.check(checked);
        let answer = self.callbacks.run("check-back", CHECK_TIMEOUT, check);
        if matches!(answer, Some(CheckAnswer::Commit | CheckAnswer::Rollback)) {
            // The client ends it with this answer.
            drop(self.copies.take(&key));
        }
        state(answer)
    }
}

pub(super) fn state(answer: Option<CheckAnswer>) -> LocalTransactionState {
    match answer {
        Some(CheckAnswer::Commit) => LocalTransactionState::CommitMessage,
        Some(CheckAnswer::Rollback) => LocalTransactionState::RollbackMessage,
        Some(CheckAnswer::Unknown) | None => LocalTransactionState::Unknown,
    }
}

fn half_message(message: &MessageExt, prefix: &str) -> HalfMessage {
    let property = |name: &'static str| message.property_ref(&name.into()).map(ToString::to_string);
    let topic = message.topic().as_str();
    HalfMessage {
        topic: topic.strip_prefix(prefix).unwrap_or(topic).to_owned(),
        key: property(MessageConst::PROPERTY_KEYS).unwrap_or_default(),
        body: message.body().map(|body| body.to_vec()).unwrap_or_default(),
        broker_check_times: property(MessageConst::PROPERTY_TRANSACTION_CHECK_TIMES)
            .and_then(|times| times.parse().ok()),
        transaction_id: property(MessageConst::PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX)
            .unwrap_or_default(),
    }
}
