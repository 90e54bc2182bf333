//! Looks for routes and listeners every second: the client notices the end of an outage late.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use rocketmq_client_rust::{ClientRpcHook, ClientRuntime};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::super::admin::{admin_client, masters, stop_admin};
use super::{Instances, lock};

/// How often the pulse looks for missing routes and for the brokers' listeners.
const PULSE_INTERVAL: Duration = Duration::from_secs(1);
/// Refused sends renew everything no more often than this.
const REFUSED_SPACING: Duration = Duration::from_secs(3);
/// A broker that does not take a connection within this time is away.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// What the pulse looks for, and what it has found.
#[derive(Default)]
pub(super) struct Routes {
    pub(super) wanted: HashSet<String>,
    pub(super) known: HashSet<String>,
    /// Masters of the known topics, `host:port`.
    brokers: HashSet<String>,
    /// Whether a connection was refused since the last look.
    pub(super) refused: bool,
    /// Whether no broker listened at the last look.
    pub(super) away: bool,
}

/// Counts the looks at which a broker was missing: what one told before such a look may not be true
/// any more.
pub(in crate::producer) type Outages = Arc<AtomicU64>;

/// Finds routes that are missing, and notices the end of an outage.
pub(super) struct Pulse {
    client: Arc<ClientRuntime>,
    hook: Option<Arc<ClientRpcHook>>,
    instances: Arc<Instances>,
    routes: Arc<Mutex<Routes>>,
    outages: Outages,
    /// Topics that were looked for in vain.
    missed: HashSet<String>,
    /// Whether there was an outage that producers and consumers have not been renewed after.
    stale: bool,
    renewed_at: Instant,
}

impl Pulse {
    pub(super) fn new(
        client: &Arc<ClientRuntime>,
        hook: Option<&Arc<ClientRpcHook>>,
        instances: &Arc<Instances>,
        routes: &Arc<Mutex<Routes>>,
        outages: &Outages,
    ) -> Self {
        Self {
            client: Arc::clone(client),
            hook: hook.cloned(),
            instances: Arc::clone(instances),
            routes: Arc::clone(routes),
            outages: Arc::clone(outages),
            missed: HashSet::new(),
            stale: false,
            renewed_at: Instant::now(),
        }
    }

    pub(super) async fn run(mut self, recovered: watch::Sender<u64>) {
        let mut ticks = interval(PULSE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let away = self.look_for_outage().await;
            let (wanted, missing) = self.topics();
            // A broker listens before the name server knows it again, and one that was renewed in
            // between would look for its route ten seconds later. It may have moved, too.
            let looked_for = if self.stale { &wanted } else { &missing };
            let found = self.find_routes(looked_for).await;
            let late = found.iter().any(|topic| self.missed.remove(topic));
            self.missed.extend(missing.into_iter().filter(|topic| !found.contains(topic)));
            let back = self.stale && !away && found.len() == wanted.len();
            if late || back {
                self.stale = false;
                self.renewed_at = Instant::now();
                recovered.send_modify(|count| *count += 1);
            }
        }
    }

    /// Whether no broker listens; a missing one counts. That, and a refused send, make what is
    /// connected stale.
    async fn look_for_outage(&mut self) -> bool {
        let brokers = lock(&self.routes).brokers.clone();
        let listening = join_all(brokers.iter().map(listens)).await;
        if listening.contains(&false) {
            self.outages.fetch_add(1, Ordering::Relaxed);
        }
        let away = !brokers.is_empty() && !listening.contains(&true);
        let mut routes = lock(&self.routes);
        routes.away = away;
        let refused =
            self.renewed_at.elapsed() > REFUSED_SPACING && std::mem::take(&mut routes.refused);
        self.stale |= away || refused;
        away
    }

    /// The topics that are wanted, and those of them without a route.
    fn topics(&self) -> (Vec<String>, Vec<String>) {
        let routes = lock(&self.routes);
        let missing = routes.wanted.difference(&routes.known).cloned().collect();
        (routes.wanted.iter().cloned().collect(), missing)
    }

    /// Those of the topics that the name server has a route for.
    async fn find_routes(&self, topics: &[String]) -> HashSet<String> {
        let mut found = HashSet::new();
        if topics.is_empty() || !any_listens(&self.instances.namesrv).await {
            return found;
        }
        // A fresh connection has no open circuit breaker.
        let (client, config) = (Arc::clone(&self.client), self.instances.next());
        let Ok(mut admin) = admin_client(client, self.hook.clone(), config).await else {
            return found;
        };
        for topic in topics {
            let brokers = masters(&admin, topic).await;
            if !brokers.is_empty() {
                let mut routes = lock(&self.routes);
                routes.known.insert(topic.clone());
                routes.brokers.extend(brokers);
                found.insert(topic.clone());
            }
        }
        stop_admin(&mut admin).await;
        found
    }
}

async fn any_listens(addresses: impl IntoIterator<Item = &String>) -> bool {
    for address in addresses {
        if listens(address).await {
            return true;
        }
    }
    false
}

async fn listens(address: &String) -> bool {
    matches!(timeout(PROBE_TIMEOUT, TcpStream::connect(address)).await, Ok(Ok(_)))
}
