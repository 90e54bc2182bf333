//! One run of the benchmark: its options, its figures, and how far it is.

use anyhow::Context as _;
use checkback::app::App;
use checkback::metrics::Metrics;
use checkback::service::audit::audit;
use indicatif::{ProgressBar, ProgressStyle};

use crate::figures::{Figures, Unit};
use crate::load::Load;
use crate::options::Options;

/// How often the bar is drawn.
const TICK: std::time::Duration = std::time::Duration::from_millis(200);

/// What every scenario works with.
pub(crate) struct Run {
    pub(crate) options: Options,
    pub(crate) figures: Figures,
    bar: ProgressBar,
    scenario: &'static str,
}

impl Run {
    pub(crate) fn new(options: Options, scenarios: u64) -> Self {
        let broker = options.rocketmq.as_ref().map_or("embedded RocketMQ", |_| "RocketMQ");
        let database = options.database.as_ref().map_or("SQLite", |_| "MySQL or MariaDB");
        let figures = Figures::new(broker, database);
        let bar = ProgressBar::new(scenarios);
        let style = ProgressStyle::with_template("{spinner} [{elapsed_precise}] {wide_bar} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(TICK);
        Self { options, figures, bar, scenario: "" }
    }

    /// What is measured from now on.
    pub(crate) fn begin(&mut self, scenario: &'static str) {
        self.scenario = scenario;
        self.tell("starting");
    }

    /// What is under way.
    pub(crate) fn tell(&self, what: impl std::fmt::Display) {
        self.bar.set_message(format!("{}: {what}", self.scenario));
    }

    /// A scenario is over.
    pub(crate) fn end(&self) {
        self.bar.inc(1);
    }

    /// Everything is over.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    pub(crate) fn add(&mut self, name: impl Into<String>, value: u64, unit: Unit) {
        self.figures.add(self.scenario, name, value, unit);
    }

    pub(crate) fn add_load(&mut self, name: &str, load: &Load) {
        self.figures.add_load(self.scenario, name, load);
    }

    /// What this whole process has in memory: service, callers, and what is embedded.
    pub(crate) fn add_memory(&mut self) {
        let resident = memory_stats::memory_stats().map_or(0, |stats| stats.physical_mem);
        let resident = u64::try_from(resident).unwrap_or(u64::MAX);
        self.add("resident memory of the whole process", resident, Unit::Bytes);
    }

    /// Something that must hold, beside the invariants.
    pub(crate) fn require(&mut self, holds: bool, what: impl std::fmt::Display) {
        if !holds {
            self.figures.violated(format!("{}: {what}", self.scenario));
        }
    }

    /// Checks every invariant of the database, and that every order has the message that it should
    /// have: one without is cheaper.
    pub(crate) async fn audit(&mut self, app: &App) -> anyhow::Result<()> {
        self.tell("audit");
        let degraded = degraded(&app.metrics)?;
        self.require(degraded == 0, format_args!("{degraded} orders without a message"));
        for (check, ids) in audit(app).await?.violated() {
            self.figures.violated(format!("{}: {check}: {ids:?}", self.scenario));
        }
        Ok(())
    }
}

/// Orders that were placed without their message.
fn degraded(metrics: &Metrics) -> anyhow::Result<u64> {
    let text = metrics.encode()?;
    let name = "checkback_orders_total{outcome=\"degraded\"}";
    let counter = text.lines().find_map(|line| line.strip_prefix(name));
    Ok(counter.context("the counter of degraded orders")?.trim().parse()?)
}
