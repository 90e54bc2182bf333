//! The RocketMQ client's runtime: threads, connections and routes, shared by all producers and
//! consumers.
//!
//! Three of the client's habits shape it:
//!
//! - Every callback runs on one blocking lane (its `runtime.rs`, `metadata_io`) whose default on
//!   two cores is 4 threads and 16 waiting; above that a check-back is lost and a local transaction
//!   does not run. The lane gets real numbers.
//! - Five failed connections open its circuit breaker, which then refuses for 30 s
//!   (`rocketmq-transport`, `clients/reconnect.rs`), and it looks for routes no more often than
//!   every ten seconds (`base/client_config_validation.rs`). Neither can be set. So a pulse of our
//!   own notices the end of an outage, and producers and consumers renew themselves then, each with
//!   a fresh connection.
//! - Message trace changes a producer's request hook, and its pool refuses two hooks under one
//!   client id (`implementation/mq_client_manager.rs`). So every producer and consumer has a
//!   connection of its own.

use std::error::Error;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rocketmq_client_rust::{
    AclClientRPCHook, ClientConfig, ClientRpcHook, ClientRuntime, ClientRuntimeConfig,
    SessionCredentials, TelemetryHandle,
};
use rocketmq_runtime::{RuntimeConfig, RuntimeOwner, ShutdownDeadline};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::callback::Callbacks;
use crate::text::causes;

mod pulse;

pub(super) use pulse::Outages;
use pulse::{Pulse, Routes};

/// The client's own limit for a callback, above every deadline of ours.
const LANE_TASK_TIMEOUT: Duration = Duration::from_mins(1);
/// A callback waits for a thread no longer than this.
const LANE_QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
/// Callbacks that wait for a thread.
const LANE_QUEUE_DEPTH: usize = 4_096;
/// Callback threads: the client allows 512 for all lanes together.
const CALLBACK_THREADS_MAX: usize = 448;
/// Threads for the client's other blocking work.
const OTHER_BLOCKING_THREADS: usize = 32;
/// Stack of a callback thread: a use case's future is polled on it, in debug builds too (bytes).
const CALLBACK_STACK_BYTES: usize = 8 * 1024 * 1024;
/// The client's code for a connection that failed, or that its circuit breaker did not try.
const CONNECTION_REFUSED: &str = "transport.connection.failed";
/// The shortest interval that the client itself accepts (milliseconds).
const CLIENT_INTERVAL_MIN_MS: u32 = 10_000;
/// Consumer offsets are stored this often (milliseconds): what a kill makes them consume again.
const OFFSET_INTERVAL_MS: u32 = 1_000;
/// One request to a broker or name server.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(2_500);
/// Stopping takes no longer.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// A future on the heap.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Where RocketMQ is and how we appear there.
#[derive(Clone)]
pub struct BrokerSettings {
    /// Name servers, `host:port`, separated by `;`.
    pub namesrv: String,
    /// Stands before every topic and group name, so that environments can share a cluster.
    pub name_prefix: String,
    /// ACL user; used together with `secret_key`.
    pub access_key: Option<String>,
    /// ACL password.
    pub secret_key: Option<String>,
    /// Threads for callbacks (local transactions, check-backs, deliveries); half of them take
    /// check-backs.
    pub callback_threads: usize,
}

/// A client, producer or consumer that did not start. Starting it again is allowed.
#[derive(Debug, thiserror::Error)]
#[error("the RocketMQ {part} did not start: {message}")]
pub struct StartError {
    part: String,
    message: String,
}

impl StartError {
    pub(crate) fn new(part: impl Into<String>, error: &dyn Error) -> Self {
        Self { part: part.into(), message: causes(error) }
    }
}

/// Threads, connections and routes. Stop producers and consumers first, then this.
pub struct MessagingRuntime {
    settings: BrokerSettings,
    client: Arc<ClientRuntime>,
    owner: Mutex<Option<RuntimeOwner>>,
    hook: Option<Arc<ClientRpcHook>>,
    instances: Arc<Instances>,
    callbacks: Callbacks,
    routes: Arc<Mutex<Routes>>,
    /// Counts the outages that have ended and the routes that came late.
    recoveries: watch::Receiver<u64>,
    outages: Outages,
    pulse: AbortHandle,
}

impl MessagingRuntime {
    /// Starts the client's threads; needs no broker. Callbacks run with the calling Tokio runtime's
    /// handle.
    ///
    /// # Errors
    /// When the name server's address is malformed or no threads can be had.
    pub fn start(settings: BrokerSettings) -> Result<Self, StartError> {
        let failed = |error: &dyn Error| StartError::new("client", error);
        let owner = RuntimeOwner::plan(lanes(settings.callback_threads))
            .map_err(|error| failed(&error))?
            .build()
            .map_err(|error| failed(&error))?;
        let client = ClientRuntime::try_new(
            owner.root_context().component("client"),
            ClientRuntimeConfig {
                shutdown_timeout: SHUTDOWN_TIMEOUT,
                ..ClientRuntimeConfig::default()
            },
            TelemetryHandle::noop(),
        )
        .map_err(|error| failed(&error))?;
        let hook = acl_hook(&settings);
        let instances = Arc::new(Instances::new(&settings.namesrv));
        let routes: Arc<Mutex<Routes>> = Arc::default();
        let (recovered, recoveries) = watch::channel(0);
        let outages = Outages::default();
        let pulse = Pulse::new(&client, hook.as_ref(), &instances, &routes, &outages);
        let pulse = tokio::spawn(pulse.run(recovered)).abort_handle();
        let callbacks = Callbacks { app: Handle::current() };
        let owner = Mutex::new(Some(owner));
        Ok(Self {
            settings,
            client,
            owner,
            hook,
            instances,
            callbacks,
            routes,
            recoveries,
            outages,
            pulse,
        })
    }

    /// Stops everything that producers and consumers have left, in bounded time.
    pub async fn shutdown(&self) {
        self.pulse.abort();
        let deadline = ShutdownDeadline::after(SHUTDOWN_TIMEOUT);
        if timeout(SHUTDOWN_TIMEOUT, self.client.shutdown_until(deadline)).await.is_err() {
            tracing::warn!("the RocketMQ client did not stop in {SHUTDOWN_TIMEOUT:?}");
        }
        let owner = lock(&self.owner).take();
        if let Some(owner) = owner {
            owner.shutdown_background();
        }
    }

    /// A topic's or group's name on the broker.
    pub(crate) fn name(&self, plain: &str) -> String {
        format!("{}{plain}", self.settings.name_prefix)
    }

    /// Has the pulse look for the route of a topic, under its name on the broker.
    pub(crate) fn watch(&self, topic: &str) {
        lock(&self.routes).wanted.insert(topic.to_owned());
    }

    /// Whether the name server has told where a topic is. It stays known while the broker is away.
    pub(crate) fn has_route(&self, topic: &str) -> bool {
        lock(&self.routes).known.contains(topic)
    }

    /// Whether no broker listened at the last look, up to a second ago.
    pub(crate) fn is_away(&self) -> bool {
        lock(&self.routes).away
    }

    /// Takes note of a failed send. When the brokers listen all the same, the circuit breaker is
    /// open after an outage that was too short for the pulse, and everything is renewed.
    pub(crate) fn note_failure(&self, message: &str) {
        if message.contains(CONNECTION_REFUSED) {
            lock(&self.routes).refused = true;
        }
    }

    /// Changes whenever an outage has ended, or a route has come late.
    pub(crate) fn recoveries(&self) -> watch::Receiver<u64> {
        self.recoveries.clone()
    }

    pub(super) fn outages(&self) -> Outages {
        Arc::clone(&self.outages)
    }

    pub(crate) fn client(&self) -> Arc<ClientRuntime> {
        Arc::clone(&self.client)
    }

    /// A connection of its own for every call.
    pub(crate) fn connection(&self) -> ClientConfig {
        self.instances.next()
    }

    pub(crate) fn hook(&self) -> Option<Arc<ClientRpcHook>> {
        self.hook.clone()
    }

    pub(crate) fn callbacks(&self) -> Callbacks {
        self.callbacks.clone()
    }

    pub(crate) fn settings(&self) -> &BrokerSettings {
        &self.settings
    }
}

impl Drop for MessagingRuntime {
    fn drop(&mut self) {
        self.pulse.abort();
    }
}

fn lanes(callback_threads: usize) -> RuntimeConfig {
    let callback_threads = callback_threads.clamp(2, CALLBACK_THREADS_MAX);
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let mut config = RuntimeConfig::for_parallelism("rocketmq-client", cores);
    config.thread_stack_size = Some(CALLBACK_STACK_BYTES);
    config.max_blocking_threads = callback_threads + OTHER_BLOCKING_THREADS;
    let lane = &mut config.blocking_lane_policies.metadata_io;
    lane.max_concurrency = callback_threads;
    lane.max_queue_depth = LANE_QUEUE_DEPTH;
    lane.queue_timeout = LANE_QUEUE_TIMEOUT;
    lane.task_timeout = LANE_TASK_TIMEOUT;
    config
}

fn acl_hook(settings: &BrokerSettings) -> Option<Arc<ClientRpcHook>> {
    let (access, secret) = (settings.access_key.as_deref()?, settings.secret_key.as_deref()?);
    Some(Arc::new(AclClientRPCHook::new(SessionCredentials::with_keys(access, secret))))
}

/// Client configurations, each under a name of its own: the broker tells clients apart by address
/// and name.
struct Instances {
    namesrv: Vec<String>,
    prefix: String,
    number: AtomicU64,
}

impl Instances {
    fn new(namesrv: &str) -> Self {
        // Process ids repeat, in containers above all.
        let random = RandomState::new().build_hasher().finish();
        Self {
            namesrv: namesrv.split(';').map(|address| address.trim().to_owned()).collect(),
            prefix: format!("{}-{random:x}", std::process::id()),
            number: AtomicU64::new(0),
        }
    }

    fn next(&self) -> ClientConfig {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let mut config = ClientConfig::new();
        config.set_namesrv_addr(self.namesrv.join(";").into());
        config.set_instance_name(format!("{}-{number}", self.prefix).into());
        config.set_poll_name_server_interval(CLIENT_INTERVAL_MIN_MS);
        config.set_heartbeat_broker_interval(CLIENT_INTERVAL_MIN_MS);
        config.set_persist_consumer_offset_interval(OFFSET_INTERVAL_MS);
        config.set_mq_client_api_timeout(
            u64::try_from(REQUEST_TIMEOUT.as_millis()).unwrap_or(u64::MAX),
        );
        config.set_enable_trace(true);
        config
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
