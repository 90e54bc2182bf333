//! The sweep of a thousand expired orders, alone and beside a million that have ended: its time
//! follows what is due, not what there is.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use checkback::app::App;
use checkback::clock::ManualClock;
use checkback::fallback_task::sweep;
use checkback::ids::Ids;
use checkback::run::{Environment, open_app};
use tokio::time::Instant;

use super::raw::Transactions;
use crate::database::fill;
use crate::figures::Unit;
use crate::ground::{Ground, Needs, Tempo, stock};
use crate::load::{each, per_second};
use crate::run::Run;

/// Orders that have expired and that nobody paid.
const EXPIRED: u64 = 1_000;
/// Sweeps of as many each, small and large table in turn; the middle one counts.
const ROUNDS: usize = 5;
const CALLERS: u64 = 8;
const SKUS: u64 = 50;
/// The time beside many orders, of the time with few (per mille).
const RATIO_MAX: u64 = 1_200;

/// A database of its own with a clock that is moved past windows.
struct Table {
    ground: Ground,
    app: Arc<App>,
    clock: Arc<ManualClock>,
    orders: Arc<Transactions>,
    times: Vec<Duration>,
}

impl Table {
    async fn start(run: &Run) -> anyhow::Result<Self> {
        let ground = Ground::start(&run.options, Needs::NoBroker, Tempo::QUICK).await?;
        let clock = Arc::new(ManualClock::default());
        let environment =
            Environment { clock: Arc::clone(&clock) as Arc<_>, ids: Ids::from_entropy() };
        let app = Arc::new(open_app(ground.config.clone(), environment).await?);
        stock(&app, SKUS, 1_000_000).await?;
        let orders = Arc::new(Transactions::prepare(&app, SKUS).await?);
        Ok(Self { ground, app, clock, orders, times: Vec::new() })
    }

    /// Lets orders expire, sweeps, and notes how long it took.
    async fn round(&mut self) -> anyhow::Result<()> {
        let orders = Arc::clone(&self.orders);
        let write = Arc::new(move |_| {
            let orders = Arc::clone(&orders);
            async move { orders.write().await }
        });
        let written = each(CALLERS, EXPIRED, &write).await?;
        anyhow::ensure!(written.failed == 0, "orders could not be written");
        let window = chrono::Duration::from_std(2 * self.ground.config.timeout.pay_window)?;
        self.clock.advance(window);
        let start = Instant::now();
        let report = sweep(&self.app).await?;
        self.times.push(start.elapsed());
        let all = report.settled == i64::try_from(EXPIRED)?;
        anyhow::ensure!(all, "a sweep should end {EXPIRED} orders: {report:?}");
        Ok(())
    }

    /// The time of the sweep in the middle.
    fn middle(&mut self) -> anyhow::Result<Duration> {
        self.times.sort_unstable();
        self.times.get(self.times.len() / 2).copied().context("no sweep")
    }

    async fn clear(self, run: &mut Run) -> anyhow::Result<()> {
        run.audit(&self.app).await?;
        self.app.store.close().await;
        self.ground.clear().await
    }
}

pub(super) async fn measure(run: &mut Run) -> anyhow::Result<()> {
    run.begin("sweep");
    let mut table = Table::start(run).await?;
    for round in 1..=ROUNDS {
        run.tell(format_args!("round {round}"));
        table.round().await?;
    }
    let time = table.middle()?;
    run.add("expired orders swept", per_second(EXPIRED, time), Unit::PerSecond);
    table.clear(run).await
}

/// A table with little in it beside one with so many ended orders.
pub(super) async fn measure_scale(run: &mut Run, ended: u64) -> anyhow::Result<()> {
    run.begin("sweep at scale");
    let mut small = Table::start(run).await?;
    let mut large = Table::start(run).await?;
    fill(&large.ground.database, ended, |done| {
        run.tell(format_args!("{done} of {ended} ended orders"));
    })
    .await?;
    for round in 1..=ROUNDS {
        run.tell(format_args!("round {round}"));
        small.round().await?;
        large.round().await?;
    }
    let (few, many) = (small.middle()?, large.middle()?);
    let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    run.add(format!("{EXPIRED} expired orders, no others"), us(few), Unit::Microseconds);
    run.add(format!("the same beside {ended} others"), us(many), Unit::Microseconds);
    let ratio = us(many).saturating_mul(1_000) / us(few).max(1);
    run.add("the one ÷ the other", ratio, Unit::PerMille);
    run.require(ratio <= RATIO_MAX, "the sweep takes longer beside many orders");
    small.clear(run).await?;
    large.clear(run).await
}
