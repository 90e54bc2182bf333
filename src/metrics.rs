//! Metrics for Prometheus. One registry an instance, so that tests with several don't mix.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

mod labels;

pub use labels::*;

/// All metrics of this instance.
pub struct Metrics {
    registry: Registry,
    /// Orders by what became of them: `placed`, `degraded`, `paid`, `reopened`, `cancelled`,
    /// `refused`.
    pub orders: Family<OutcomeLabel, Counter>,
    /// Check-backs by the answer given.
    pub check_backs: Family<AnswerLabel, Counter>,
    /// Delivered messages by the answer given: `done`, `later`.
    pub deliveries: Family<AnswerLabel, Counter>,
    /// Seconds from the end of an order's window to its cancel.
    pub cancel_lateness: Histogram,
    /// Gateway calls by method and result.
    pub gateway_calls: Family<CallLabel, Counter>,
    /// Duration of gateway calls.
    pub gateway_seconds: Family<MethodLabel, Histogram>,
    /// Calls a minute that this instance may make to the gateway; set when scraped.
    pub gateway_share: Gauge,
    /// Gateway calls that wait for their permit, by class; set when scraped.
    pub gateway_waiting: Family<ClassLabel, Gauge>,
    /// Notifications by effect.
    pub notifications: Family<EffectLabel, Counter>,
    /// Recorded payments, by what they are; an orphan that is attached counts again as what it
    /// becomes. `late` ones that came in time should not exist.
    pub payments: Family<PaymentLabel, Counter>,
    /// Ended refunds.
    pub refunds: Family<RefundLabel, Counter>,
    /// Notifications that nobody believes, by reason.
    pub notifications_refused: Family<ReasonLabel, Counter>,
    /// Published events.
    pub events_published: Counter,
    /// HTTP answers.
    pub http_answers: Family<RouteLabel, Counter>,
    /// Half messages of ours that the broker gave up on.
    pub half_messages_given_up: Family<GivenUpLabel, Counter>,
    /// Half messages that were ended before the broker asked about them.
    pub half_messages_ended_early: Counter,
    /// 1 if given-up half messages are watched for.
    pub given_up_watched: Gauge,
    /// 1 if every broker told its settings at the last look; else the configured ones are assumed.
    pub broker_settings_verified: Gauge,
    /// Rows of the pending table; set when scraped.
    pub pending_rows: Gauge,
    /// Rows of the pending table whose time has come; set when scraped.
    pub pending_due: Gauge,
    /// Age of the oldest pending row in seconds; set when scraped.
    pub pending_oldest: Gauge,
    /// Events that wait to be published; set when scraped.
    pub outbox_unpublished: Gauge,
    /// Open alarms by kind; set when scraped.
    pub alarms_open: Family<KindLabel, Gauge>,
    /// Open alarms that were not settled within their age limit; set when scraped.
    pub alarms_escalated: Gauge,
    /// Messages that wait for the webhook, none where none is configured; set when scraped.
    pub alarm_notices_waiting: Gauge,
    /// Days of the last month by how their bills stand; set when scraped.
    pub bill_days: Family<StateLabel, Gauge>,
    /// Open differences between bills and records; set when scraped.
    pub bill_differences: Gauge,
    /// Violations that the last audit listed, by invariant; set when scraped.
    pub audit_violations: Family<CheckLabel, Gauge>,
    /// What the last audit found late, by promise; set when scraped.
    pub audit_late: Family<PromiseLabel, Gauge>,
    /// When the last audit was done, in seconds since 1970; set when scraped.
    pub audit_last_run: Gauge,
    /// When configured certificates end, in seconds since 1970; set at start.
    pub certificate_ends: Family<CertificateLabel, Gauge>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A registry with every metric at zero.
    #[must_use]
    pub fn new() -> Self {
        let gateway_seconds = Family::new_with_constructor(gateway_histogram as fn() -> Histogram);
        let mut metrics = Self {
            registry: Registry::with_prefix("checkback"),
            orders: Family::default(),
            check_backs: Family::default(),
            deliveries: Family::default(),
            cancel_lateness: Histogram::new(exponential_buckets(0.25, 2.0, 14)),
            gateway_calls: Family::default(),
            gateway_seconds,
            gateway_share: Gauge::default(),
            gateway_waiting: Family::default(),
            notifications: Family::default(),
            notifications_refused: Family::default(),
            payments: Family::default(),
            refunds: Family::default(),
            events_published: Counter::default(),
            http_answers: Family::default(),
            half_messages_given_up: Family::default(),
            half_messages_ended_early: Counter::default(),
            given_up_watched: Gauge::default(),
            broker_settings_verified: Gauge::default(),
            pending_rows: Gauge::default(),
            pending_due: Gauge::default(),
            pending_oldest: Gauge::default(),
            outbox_unpublished: Gauge::default(),
            alarms_open: Family::default(),
            alarms_escalated: Gauge::default(),
            alarm_notices_waiting: Gauge::default(),
            bill_days: Family::default(),
            bill_differences: Gauge::default(),
            audit_violations: Family::default(),
            audit_late: Family::default(),
            audit_last_run: Gauge::default(),
            certificate_ends: Family::default(),
        };
        metrics.begin_at_zero();
        metrics.register_flow();
        metrics.register_backlog();
        metrics.register_broker();
        metrics.register_audit();
        metrics.register_certificates();
        metrics
    }

    /// A counter that first appears with a one hasn't grown: what alert rules wait for stands at
    /// zero from the start.
    fn begin_at_zero(&self) {
        let degraded = OutcomeLabel { outcome: "degraded".into() };
        drop(self.orders.get_or_create(&degraded));
        let late = PaymentLabel { status: "late".into(), in_time: true.to_string() };
        drop(self.payments.get_or_create(&late));
    }

    fn register_flow(&mut self) {
        let registry = &mut self.registry;
        registry.register("orders", "Orders by outcome", self.orders.clone());
        registry.register("check_backs", "Check-backs by answer", self.check_backs.clone());
        let deliveries = self.deliveries.clone();
        registry.register("deliveries", "Delivered messages by answer", deliveries);
        registry.register_with_unit(
            "cancel_lateness",
            "From the end of the window to the cancel",
            Unit::Seconds,
            self.cancel_lateness.clone(),
        );
        let calls = self.gateway_calls.clone();
        registry.register("gateway_calls", "Gateway calls by method and result", calls);
        registry.register_with_unit(
            "gateway_call_duration",
            "Duration of gateway calls",
            Unit::Seconds,
            self.gateway_seconds.clone(),
        );
        let share = self.gateway_share.clone();
        registry.register("gateway_calls_per_minute", "Gateway calls that are allowed", share);
        let waiting = self.gateway_waiting.clone();
        registry.register("gateway_calls_waiting", "Gateway calls that wait by class", waiting);
        let notifications = self.notifications.clone();
        registry.register("notifications", "Notifications by effect", notifications);
        registry.register("payments", "Recorded payments by status", self.payments.clone());
        registry.register("refunds", "Ended refunds by cause and result", self.refunds.clone());
        let refused = self.notifications_refused.clone();
        registry.register("notifications_refused", "Refused notifications by reason", refused);
        let published = self.events_published.clone();
        registry.register("events_published", "Events that the broker has", published);
        let answers = self.http_answers.clone();
        registry.register("http_answers", "HTTP answers by route and status", answers);
    }

    fn register_backlog(&mut self) {
        let registry = &mut self.registry;
        registry.register("pending_rows", "Unsettled rows", self.pending_rows.clone());
        let due = self.pending_due.clone();
        registry.register("pending_due_rows", "Unsettled rows whose time has come", due);
        registry.register_with_unit(
            "pending_oldest",
            "Age of the oldest unsettled row",
            Unit::Seconds,
            self.pending_oldest.clone(),
        );
        let unpublished = self.outbox_unpublished.clone();
        registry.register("outbox_unpublished", "Events that wait", unpublished);
        registry.register("alarms_open", "Open alarms by kind", self.alarms_open.clone());
    }

    fn register_broker(&mut self) {
        let registry = &mut self.registry;
        let given_up = self.half_messages_given_up.clone();
        registry.register(
            "half_messages_given_up",
            "Half messages given up by the broker",
            given_up,
        );
        let ended = self.half_messages_ended_early.clone();
        let help = "Half messages ended before the broker asked again";
        registry.register("half_messages_ended_early", help, ended);
        let watched = self.given_up_watched.clone();
        registry.register("given_up_watched", "1: given-up half messages are watched for", watched);
        let verified = self.broker_settings_verified.clone();
        let help = "1: every broker told its settings; 0: the configured ones are assumed";
        registry.register("broker_settings_verified", help, verified);
    }

    fn register_audit(&mut self) {
        let registry = &mut self.registry;
        let escalated = self.alarms_escalated.clone();
        registry.register("alarms_escalated", "Open alarms past their age limit", escalated);
        let waiting = self.alarm_notices_waiting.clone();
        registry.register("alarm_notices_waiting", "Messages to the webhook that wait", waiting);
        let days = self.bill_days.clone();
        registry.register("bill_days", "Days of the last month by how their bills stand", days);
        let differences = self.bill_differences.clone();
        registry.register("bill_differences", "Open differences to bills", differences);
        let violations = self.audit_violations.clone();
        registry.register("audit_violations", "Violations of the last audit", violations);
        let late = self.audit_late.clone();
        registry.register("audit_late", "What the last audit found late", late);
        registry.register_with_unit(
            "audit_last_run_timestamp",
            "When the last audit was done",
            Unit::Seconds,
            self.audit_last_run.clone(),
        );
    }

    fn register_certificates(&mut self) {
        self.registry.register_with_unit(
            "certificate_end_timestamp",
            "When a configured certificate ends",
            Unit::Seconds,
            self.certificate_ends.clone(),
        );
    }

    /// Sets when a certificate ends; by its key in the configuration.
    pub fn certificate_end(&self, key: String, end: DateTime<Utc>) {
        let label = CertificateLabel { certificate: key };
        self.certificate_ends.get_or_create(&label).set(end.timestamp());
    }

    /// Sets what the last audit found.
    pub fn audited<'a>(
        &self,
        violations: impl Iterator<Item = (&'a String, &'a i64)>,
        late: impl Iterator<Item = (&'a String, &'a i64)>,
    ) {
        for (check, count) in violations {
            let label = CheckLabel { check: check.clone() };
            self.audit_violations.get_or_create(&label).set(*count);
        }
        for (promise, count) in late {
            let label = PromiseLabel { promise: promise.clone() };
            self.audit_late.get_or_create(&label).set(*count);
        }
    }

    /// Counts a half message that the broker gave up on.
    pub fn given_up(&self, order: &str) {
        self.half_messages_given_up.get_or_create(&GivenUpLabel { order: order.into() }).inc();
    }

    /// Counts a gateway call.
    pub fn gateway_call(&self, method: &'static str, result: &'static str, duration: Duration) {
        let call = CallLabel { method: method.into(), result: result.into() };
        self.gateway_calls.get_or_create(&call).inc();
        let method = MethodLabel { method: method.into() };
        self.gateway_seconds.get_or_create(&method).observe(duration.as_secs_f64());
    }

    /// Counts what became of an order.
    pub fn order(&self, outcome: &str) {
        self.orders.get_or_create(&OutcomeLabel { outcome: outcome.into() }).inc();
    }

    /// Counts a recorded payment; whether the gateway dates it before the deadline.
    pub fn payment(&self, status: &str, in_time: bool) {
        let label = PaymentLabel { status: status.into(), in_time: in_time.to_string() };
        self.payments.get_or_create(&label).inc();
    }

    /// Counts an ended refund.
    pub fn refund(&self, cause: &str, result: &str) {
        let label = RefundLabel { cause: cause.into(), result: result.into() };
        self.refunds.get_or_create(&label).inc();
    }

    /// Counts what became of a notification.
    pub fn notification(&self, effect: &str) {
        self.notifications.get_or_create(&EffectLabel { effect: effect.into() }).inc();
    }

    /// Counts a notification that was refused.
    pub fn notification_refused(&self, reason: &str) {
        self.notifications_refused.get_or_create(&ReasonLabel { reason: reason.into() }).inc();
    }

    /// Counts the answer to a check-back.
    pub fn check_back(&self, answer: &str) {
        self.check_backs.get_or_create(&AnswerLabel { answer: answer.into() }).inc();
    }

    /// Counts the answer to a delivered message.
    pub fn delivery(&self, answer: &str) {
        self.deliveries.get_or_create(&AnswerLabel { answer: answer.into() }).inc();
    }

    /// The text that Prometheus reads.
    ///
    /// # Errors
    /// If a metric can't be written.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// From 5 ms to the budget of a call.
fn gateway_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 11))
}
