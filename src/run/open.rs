//! Opens the context of all use cases: database, deployment id, gateway, metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::Notify;

use crate::alipay::CallObserver;
use crate::app::{App, Changes, HalfMessageEnds};
use crate::clock::{Clock, SystemClock};
use crate::config::{Alarms, Config, Secret};
use crate::domain::ids::DeploymentId;
use crate::ids::Ids;
use crate::metrics::Metrics;
use crate::store::{Store, deployment};
use crate::webhook::Webhook;

use super::gateways;

/// Results of a call that say that nobody answered, or that the gateway can't now.
const NO_ANSWER: [&str; 5] = ["timeout", "transport", "http_status", "unavailable", "rate_limited"];
/// The result of a call that was not sent: it says nothing about the gateway.
const NOT_SENT: &str = "overloaded";
/// Results of a call that say that the answer can't be believed.
const UNBELIEVABLE: [&str; 5] =
    ["bad_signature", "unsigned", "malformed", "too_large", "other_trade"];

/// What tests put in the place of the real world.
#[derive(Debug)]
pub struct Environment {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes ids.
    pub ids: Ids,
}

impl Default for Environment {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), ids: Ids::from_entropy() }
    }
}

/// Opens the database, brings it up to date if so configured, and makes the gateway's client.
///
/// # Errors
/// If the database can't be used or a key can't be read.
pub async fn open_app(config: Config, environment: Environment) -> anyhow::Result<App> {
    let Environment { clock, ids } = environment;
    let store = Store::connect(config.database.url.expose())
        .await
        .context("the database can't be opened (database.url)")?;
    if config.database.migrate {
        store.migrate().await.context("the database can't be migrated")?;
    }
    store.verify().await.context("the database can't be used")?;
    let fresh = DeploymentId::from_trusted(ids.fresh(clock.now()));
    let deployment = deployment::ensure(&store, fresh, clock.now())
        .await
        .context("the deployment id can't be read")?;
    let metrics = Arc::new(Metrics::new());
    let gateway_answered = Arc::new(AtomicBool::new(true));
    let observer = |is_previous| observer(&metrics, &gateway_answered, is_previous);
    let gateways = gateways::open_all(&config.alipay, observer)?;
    for (key, end) in gateways::certificate_ends(&config.alipay)? {
        metrics.certificate_end(key, end);
    }
    Ok(App {
        config,
        clock,
        ids,
        store,
        gateways,
        deployment,
        metrics,
        changes: Changes::default(),
        outbox_bell: Notify::new(),
        half_message_ends: HalfMessageEnds::default(),
        refund_bell: Notify::new(),
        gateway_answered,
        clock_trusted: AtomicBool::new(true),
        half_messages_fit: AtomicBool::new(true),
    })
}

/// Counts the calls of an account. Only the one that makes new attempts says how ready we are: the
/// gateway of a previous one may be gone for good.
fn observer(metrics: &Arc<Metrics>, answered: &Arc<AtomicBool>, is_previous: bool) -> CallObserver {
    let (metrics, answered) = (Arc::clone(metrics), Arc::clone(answered));
    Arc::new(move |method: &'static str, result: &'static str, duration: Duration| {
        metrics.gateway_call(method, result, duration);
        if !is_previous && result != NOT_SENT {
            let told = !NO_ANSWER.contains(&result) && !UNBELIEVABLE.contains(&result);
            answered.store(told, Ordering::Relaxed);
        }
    })
}

/// Makes the webhook that is told of alarms; `None` where none is configured.
///
/// # Errors
/// If its address or secret can't be read.
pub fn open_webhook(config: &Alarms) -> anyhow::Result<Option<Webhook>> {
    let secret = config.webhook_secret.as_ref().map_or("", Secret::expose);
    let opened = config.webhook_url.as_ref().map(|url| Webhook::new(url.expose(), secret));
    opened.transpose().context("the webhook can't be used (alarms.webhook_url, webhook_secret)")
}
