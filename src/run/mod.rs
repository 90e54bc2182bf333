//! Puts the service together and takes it down: database, gateway, broker, tasks, HTTP, and back
//! in the order that loses nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::config::Config;
use crate::consumers::{cancel_order, payment_check};
use crate::fallback_task;
use crate::http::auth::KeyRing;
use crate::http::{self, HttpState};
use crate::producer::admin::Admin;
use crate::producer::rocketmq::EventProducer;
use crate::service::age_alarms::raise_age_alarms;
use crate::service::escalate_alarms::escalate_alarms;
use crate::service::find_changes::ChangeFinder;
use crate::service::report_given_up::resolve_given_up;
use crate::service::share_budget::Membership;
use crate::service::watch_broker::BrokerWatch;
use crate::service::watch_clock::watch_clock;
use crate::service::{audit_turn, reconcile, share_budget, tell_of_alarms};
use crate::store::pending::{self, Lane};
use crate::store::{Backend, StoreError, bill_days, refund_steps};

mod gateways;
mod messaging;
mod open;
mod server;
mod sockets;
mod starters;

pub use gateways::open_gateway;
pub use messaging::{broker_settings, groups, topics};
pub use open::{Environment, open_app, open_webhook};
pub use sockets::HttpSockets;

use messaging::Messaging;
use server::Limits;

/// The HTTP port opens without a broker after this.
const ROUTE_WAIT: Duration = Duration::from_secs(10);
/// How often clocks and brokers' settings are compared, and ages looked at.
const CLOCK_INTERVAL: Duration = Duration::from_mins(1);
/// How often the changes of other instances are looked for, while somebody listens.
const CHANGES_INTERVAL: Duration = Duration::from_secs(1);
/// Each of these looks takes no longer.
const WATCH_BUDGET: Duration = Duration::from_secs(30);
/// Requests and tasks under way may finish within this time.
const DRAIN_BUDGET: Duration = Duration::from_secs(5);

/// A running service.
pub struct Service {
    /// The context of all use cases.
    pub app: Arc<App>,
    /// Where storefronts, operators and monitoring find it.
    pub http_address: SocketAddr,
    /// The API keys that are valid now.
    pub keys: Arc<KeyRing>,
    /// Its name among those that share the gateway's budget.
    instance: String,
    messaging: Messaging,
    stop: CancellationToken,
    background: JoinSet<&'static str>,
    requests: TaskTracker,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("http_address", &self.http_address).finish_non_exhaustive()
    }
}

impl Service {
    /// Starts everything; returns once the HTTP port is open.
    ///
    /// Boxed, as is [`Self::shutdown`]: whoever calls them needn't compile RocketMQ's client again.
    ///
    /// # Errors
    /// If the database or a socket can't be used. A broker that is away is no error.
    pub fn start(
        config: Config,
        sockets: HttpSockets,
        environment: Environment,
    ) -> BoxFuture<'static, anyhow::Result<Self>> {
        Box::pin(Self::assemble(config, sockets, environment))
    }

    async fn assemble(
        config: Config,
        sockets: HttpSockets,
        environment: Environment,
    ) -> anyhow::Result<Self> {
        let app = Arc::new(open_app(config, environment).await?);
        if app.store.backend() == Backend::Sqlite {
            // A file has one instance: whoever held a lease is dead.
            pending::release_leases(&app.store).await.context("leases can't be freed")?;
            refund_steps::release_leases(&app.store).await.context("leases can't be freed")?;
            bill_days::release_leases(&app.store).await.context("leases can't be freed")?;
        }
        watch_clock(&app).await.context("the database's clock can't be read")?;
        // Before anything calls the gateway: the others' shares are not its own.
        let instance = app.fresh_id();
        let mut membership = Membership::new(instance.clone());
        membership.heartbeat(&app).await.context("who is alive can't be told")?;
        let started = Self::start_parts(&app, sockets, instance.clone(), membership).await;
        if started.is_err() {
            // One that is started again and again would leave a share each time.
            share_budget::leave(&app, &instance).await;
        }
        started
    }

    async fn start_parts(
        app: &Arc<App>,
        sockets: HttpSockets,
        instance: String,
        membership: Membership,
    ) -> anyhow::Result<Self> {
        let app = Arc::clone(app);
        let messaging = Messaging::start(&app).await?;
        let stop = CancellationToken::new();
        let mut background = JoinSet::new();
        let (a, s) = (Arc::clone(&app), stop.clone());
        background.spawn(async move {
            share_budget::run(a, membership, s).await;
            "the sharing of the gateway's budget"
        });
        spawn_tasks(&app, &messaging, &stop, &mut background)?;
        if !messaging.half_messages.wait_ready(ROUTE_WAIT).await {
            tracing::warn!("no broker yet: orders are placed degraded until there is one");
        }
        let requests = TaskTracker::new();
        let http_address = sockets.private_address();
        let keys = Arc::new(KeyRing::new(&app.config.http.keys));
        let state = HttpState::new(
            Arc::clone(&app),
            (Arc::clone(&messaging.half_messages), Arc::clone(&messaging.events)),
            &sockets.public_url(&app.config.http),
            Arc::clone(&keys),
            stop.clone(),
            requests.clone(),
        );
        serve_http(sockets, &state, &stop, &mut background)?;
        Ok(Self { app, http_address, keys, instance, messaging, stop, background, requests })
    }

    /// What compares the brokers' settings with ours every minute.
    #[must_use]
    pub fn broker_watch(&self) -> &BrokerWatch {
        &self.messaging.watch
    }

    /// What sends messages that are no half messages.
    #[must_use]
    pub fn event_producer(&self) -> Arc<EventProducer> {
        Arc::clone(&self.messaging.events)
    }

    /// How many half messages were sent since the start, accepted or not.
    #[must_use]
    pub fn half_messages_sent(&self) -> u64 {
        self.messaging.half_messages.sends()
    }

    /// Waits until a task ends that should never end, and names it.
    pub async fn died(&mut self) -> String {
        match self.background.join_next().await {
            Some(Ok(name)) => format!("{name} ended"),
            Some(Err(error)) => format!("a task died: {error}"),
            None => std::future::pending().await,
        }
    }

    /// Stops everything in bounded time: no new requests, those under way finish, consumers are
    /// done with their message, producers last.
    #[must_use = "nothing stops until it is awaited"]
    pub fn shutdown(self) -> BoxFuture<'static, ()> {
        Box::pin(self.dismantle())
    }

    async fn dismantle(mut self) {
        self.stop.cancel();
        self.requests.close();
        let drained = async {
            while self.background.join_next().await.is_some() {}
            self.requests.wait().await;
        };
        let drain = async {
            if tokio::time::timeout(DRAIN_BUDGET, drained).await.is_err() {
                tracing::warn!("requests or tasks did not finish in {DRAIN_BUDGET:?}");
            }
        };
        tokio::join!(drain, self.messaging.stop_consumers());
        self.background.abort_all();
        self.messaging.shutdown().await;
        share_budget::leave(&self.app, &self.instance).await;
        self.app.store.close().await;
    }
}

fn spawn_tasks(
    app: &Arc<App>,
    messaging: &Messaging,
    stop: &CancellationToken,
    background: &mut JoinSet<&'static str>,
) -> anyhow::Result<()> {
    let (a, s) = (Arc::clone(app), stop.clone());
    background.spawn(async move {
        fallback_task::run_sweeps(a, s).await;
        "the sweep"
    });
    for lane in [Lane::NoAttempt, Lane::Fast] {
        let (a, s) = (Arc::clone(app), stop.clone());
        background.spawn(async move {
            fallback_task::run_light_poll(a, lane, s).await;
            "the light poll"
        });
    }
    let (a, s) = (Arc::clone(app), stop.clone());
    background.spawn(async move {
        fallback_task::run_refunds(a, s).await;
        "the refund sender"
    });
    let (a, s, events) = (Arc::clone(app), stop.clone(), Arc::clone(&messaging.events));
    background.spawn(async move {
        crate::producer::outbox_relay::run(a, events, s).await;
        "the outbox relay"
    });
    let (a, s) = (Arc::clone(app), stop.clone());
    let (watch, admin) = (Arc::clone(&messaging.watch), Arc::clone(&messaging.admin));
    background.spawn(async move {
        run_clock_watch(a, watch, admin, s).await;
        "the clock watch"
    });
    let (a, s) = (Arc::clone(app), stop.clone());
    background.spawn(async move {
        run_change_finder(a, s).await;
        "the search for changes"
    });
    messaging.spawn_starters(app, stop, background);
    spawn_watchers(app, stop, background)
}

/// What looks after what a person has to know.
fn spawn_watchers(
    app: &Arc<App>,
    stop: &CancellationToken,
    background: &mut JoinSet<&'static str>,
) -> anyhow::Result<()> {
    let webhook = open_webhook(&app.config.alarms)?;
    let (a, s) = (Arc::clone(app), stop.clone());
    background.spawn(async move {
        tell_of_alarms::run(a, webhook, s).await;
        "the alarms' webhook"
    });
    let (a, s) = (Arc::clone(app), stop.clone());
    background.spawn(async move {
        audit_turn::run(a, s).await;
        "the audit"
    });
    if app.config.reconcile.enabled {
        let (a, s) = (Arc::clone(app), stop.clone());
        background.spawn(async move {
            reconcile::schedule::run(a, s).await;
            "the reconciliation"
        });
    }
    Ok(())
}

async fn run_clock_watch(
    app: Arc<App>,
    watch: Arc<BrokerWatch>,
    admin: Arc<Admin>,
    stop: CancellationToken,
) {
    let topics = topics();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(CLOCK_INTERVAL) => {}
        }
        let looking = async {
            watch_clock(&app).await?;
            resolve_given_up(&app).await?;
            raise_age_alarms(&app).await?;
            escalate_alarms(&app).await.map(drop)
        };
        within_budget("clock and ages", looking).await;
        let looking = async { watch.watch().await.map(drop) };
        within_budget("the brokers' settings", looking).await;
        // A broker that was replaced has none of our topics.
        let preparing = admin.prepare(&topics, &[cancel_order::GROUP, payment_check::GROUP]);
        match tokio::time::timeout(WATCH_BUDGET, preparing).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "topics and groups are looked at again"),
            Err(_) => tracing::debug!("topics and groups could not be looked at in time"),
        }
    }
}

async fn within_budget(what: &str, looking: impl Future<Output = Result<(), StoreError>>) {
    match tokio::time::timeout(WATCH_BUDGET, looking).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "{what} could not be looked at"),
        Err(_) => tracing::warn!("{what} could not be looked at in time"),
    }
}

async fn run_change_finder(app: Arc<App>, stop: CancellationToken) {
    let mut finder = ChangeFinder::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(CHANGES_INTERVAL) => {}
        }
        match tokio::time::timeout(WATCH_BUDGET, finder.look(&app)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "changes are looked for again"),
            Err(_) => tracing::debug!("changes are looked for again: it took too long"),
        }
    }
}

fn serve_http(
    sockets: HttpSockets,
    state: &HttpState,
    stop: &CancellationToken,
    background: &mut JoinSet<&'static str>,
) -> anyhow::Result<()> {
    let (private, public) = sockets.listen()?;
    let routers = match public {
        None => vec![(private, http::router(state))],
        Some(public) => {
            vec![(private, http::private_router(state)), (public, http::public_router(state))]
        }
    };
    for (listener, router) in routers {
        let stop = stop.clone();
        background.spawn(async move {
            server::serve(listener, router, Limits::default(), stop).await;
            "the HTTP server"
        });
    }
    Ok(())
}
