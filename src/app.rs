//! What every use case works with: configuration, clock, ids, database, gateway, metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use crate::alipay::Alipay as Gateway;
use crate::alipay::notify::{self, NotifyError, VerifiedNotify};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::decision::Policy;
use crate::domain::ids::{DeploymentId, OrderId};
use crate::domain::payment::AccountRef;
use crate::domain::priority::Priority;
use crate::ids::Ids;
use crate::metrics::Metrics;
use crate::store::Store;

mod changes;
mod half_message_ends;

pub use changes::{Changes, OrderWatch};
pub use half_message_ends::{EndHalfMessage, HalfMessageEnds};

/// The context of all use cases.
#[derive(Debug)]
pub struct App {
    /// What was configured.
    pub config: Config,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes ids.
    pub ids: Ids,
    /// The database.
    pub store: Store,
    /// The payment gateway, a client an account; the first one's makes new attempts.
    pub gateways: Vec<Gateway>,
    /// Whose messages are ours.
    pub deployment: DeploymentId,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Tells the pages of an order that it has changed.
    pub changes: Changes,
    /// Rings when an event was written, so that it is published without a delay.
    pub outbox_bell: Notify,
    /// Rings when a refund was written, so that the gateway hears of it without a delay.
    pub refund_bell: Notify,
    /// Ends half messages before the broker asks.
    pub half_message_ends: HalfMessageEnds,
    /// Whether the last call got an answer from the gateway that can be believed.
    pub gateway_answered: Arc<AtomicBool>,
    /// Whether this machine's clock agrees with the database's: if not, nothing is cancelled here.
    pub clock_trusted: AtomicBool,
    /// Whether the brokers hold half messages for as long as orders need them: if not, new orders
    /// go without one.
    pub half_messages_fit: AtomicBool,
}

impl App {
    /// The time now.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// A fresh id.
    #[must_use]
    pub fn fresh_id(&self) -> String {
        self.ids.fresh(self.now())
    }

    /// What the decision needs of the configuration.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            grace: to_chrono(self.config.timeout.grace),
            overdue_alarm_after: to_chrono(self.config.timeout.overdue_alarm_after),
            late: self.config.payment.late,
        }
    }

    /// Ends the half message of an order that has ended, if this process sent it: it is delivered
    /// if what it says has come true, else dropped.
    pub fn end_half_message(&self, order_id: &OrderId, has_come_true: bool) {
        if self.half_message_ends.end(order_id, has_come_true) {
            self.metrics.half_messages_ended_early.inc();
        }
    }

    /// How often the broker is expected to check back.
    #[must_use]
    pub fn check_interval(&self) -> chrono::Duration {
        to_chrono(self.config.timeout.check_interval)
    }

    /// The account that new attempts are made with.
    #[must_use]
    pub fn account(&self) -> AccountRef {
        AccountRef {
            gateway_url: self.config.alipay.gateway_url.clone(),
            app_id: self.config.alipay.app_id.clone(),
            seller_id: self.config.alipay.seller_id.clone(),
        }
    }

    /// Every account that is configured; new attempts are made with the first one.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountRef> {
        let accounts = self.gateways.iter().map(Gateway::account).map(|ours| AccountRef {
            gateway_url: ours.gateway_url.to_string(),
            app_id: ours.app_id.clone(),
            seller_id: ours.seller_id.clone(),
        });
        accounts.collect()
    }

    /// So many instances share what the gateway allows from now on.
    pub fn share_gateways(&self, instances: u32) {
        for gateway in &self.gateways {
            gateway.budget().share_between(instances);
        }
    }

    /// The application of an account whose gateway has had enough of our calls, if there is one.
    #[must_use]
    pub fn slowed_gateway(&self) -> Option<&str> {
        let slowed = self.gateways.iter().find(|gateway| gateway.budget().is_slowed());
        slowed.map(|gateway| gateway.account().app_id.as_str())
    }

    /// How many calls a minute the account for new attempts may be sent from here, and how many
    /// wait for their turn, by class.
    #[must_use]
    pub fn gateway_budget(&self) -> Option<(i64, [(Priority, i64); 4])> {
        let budget = self.gateways.first()?.budget();
        Some((budget.calls_per_minute(), budget.waiting()))
    }

    /// The gateway that an attempt was made with; `None` if that account isn't configured. Its
    /// address may have moved: app and seller make the account.
    #[must_use]
    pub fn gateway_of(&self, account: &AccountRef) -> Option<&Gateway> {
        self.gateways.iter().find(|gateway| {
            let ours = gateway.account();
            account.app_id == ours.app_id && account.seller_id == ours.seller_id
        })
    }

    /// The account that a notification is about, if it is configured here. Without a seller, the
    /// first one of the application.
    #[must_use]
    pub fn account_named(&self, app_id: &str, seller_id: Option<&str>) -> Option<AccountRef> {
        let named = self.gateways.iter().map(Gateway::account).find(|ours| {
            ours.app_id == app_id && seller_id.is_none_or(|seller_id| seller_id == ours.seller_id)
        });
        named.map(|ours| AccountRef {
            gateway_url: ours.gateway_url.to_string(),
            app_id: ours.app_id.clone(),
            seller_id: ours.seller_id.clone(),
        })
    }

    /// Verifies the raw body of a notification with the keys of the application that it names; one
    /// of an application that isn't configured, with those of the account for new attempts: it
    /// agrees with none of our attempts then, and the gateway is asked.
    ///
    /// # Errors
    /// If none of these keys made its signature, or it can't be read.
    pub fn verify_notification(&self, raw_body: &[u8]) -> Result<VerifiedNotify, NotifyError> {
        let app_id = notify::claimed_app_id(raw_body);
        let is_named = |gateway: &&Gateway| Some(&gateway.account().app_id) == app_id.as_ref();
        let named = self.gateways.iter().filter(is_named);
        let keys: Vec<_> = named.flat_map(|gateway| &gateway.account().alipay_keys).collect();
        let current = || self.gateways.iter().take(1).flat_map(|one| &one.account().alipay_keys);
        let keys = if keys.is_empty() { current().collect() } else { keys };
        let keys: Vec<_> = keys.into_iter().cloned().collect();
        notify::verify(raw_body, &keys)
    }

    /// Whether the last call got an answer from the gateway that can be believed.
    #[must_use]
    pub fn gateway_answers(&self) -> bool {
        self.gateway_answered.load(Ordering::Relaxed)
    }

    /// Whether new orders may have half messages: not with a broker that gives them up too early.
    #[must_use]
    pub fn half_messages_fit(&self) -> bool {
        self.half_messages_fit.load(Ordering::Relaxed)
    }

    /// Whether this instance may cancel: not with a clock that is off.
    #[must_use]
    pub fn may_cancel(&self) -> bool {
        self.clock_trusted.load(Ordering::Relaxed)
    }
}

/// A duration of the configuration as one that times understand.
#[must_use]
pub fn to_chrono(duration: std::time::Duration) -> chrono::Duration {
    chrono::Duration::from_std(duration).unwrap_or(chrono::Duration::MAX)
}
