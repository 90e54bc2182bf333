//! What an outage of the gateway leaves: orders whose window ended while nobody could be asked.
//! They end as fast as the budget of calls allows, and those without an attempt as fast as the
//! database.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use checkback::app::App;
use checkback::clock::ManualClock;
use checkback::fallback_task::sweep;
use checkback::ids::Ids;
use checkback::metrics::Metrics;
use checkback::run::{Environment, open_app};
use tokio::time::{Instant, sleep};

use super::raw::Transactions;
use crate::figures::Unit;
use crate::ground::{Ground, Needs, Tempo, shop_at, stock};
use crate::load::{each, per_second};
use crate::run::Run;

/// Callers of what comes before.
const CALLERS: u64 = 16;
const SKUS: u64 = 50;
/// Calls a second while the backlog is made: no limit.
const UNLIMITED: NonZeroU32 = NonZeroU32::new(1_000_000).unwrap();
/// A second's permits may be early by a tenth, so that the rate is the budget's and so much at most
/// (per mille).
const RATIO_MAX: u64 = 1_100;
/// Orders that a sweep left are looked at again after this.
const PAUSE: Duration = Duration::from_millis(200);
/// They come again by themselves, later each time; nothing may be left that doesn't within this.
const STANDSTILL_MAX: Duration = Duration::from_mins(5);

/// How far the buyer of an order that nobody paid had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    NoAttempt,
    Unscanned,
    Scanned,
}

impl Kind {
    const ALL: [Self; 3] = [Self::NoAttempt, Self::Unscanned, Self::Scanned];

    fn name(self) -> &'static str {
        match self {
            Self::NoAttempt => "no attempt",
            Self::Unscanned => "unscanned",
            Self::Scanned => "scanned",
        }
    }
}

/// Drains so many expired orders of each kind at so many calls a second.
pub(super) async fn measure(run: &mut Run, orders: u64, budget: NonZeroU32) -> anyhow::Result<()> {
    run.begin("drain");
    for kind in Kind::ALL {
        Box::pin(drain(run, kind, orders, budget)).await?;
    }
    Ok(())
}

async fn drain(run: &mut Run, kind: Kind, orders: u64, budget: NonZeroU32) -> anyhow::Result<()> {
    let mut ground = Ground::start(&run.options, Needs::Broker, Tempo::STILL).await?;
    ground.config.alipay.calls_per_second = UNLIMITED;
    run.tell(format_args!("{orders} orders, {}", kind.name()));
    fill(&ground, kind, orders).await?;
    ground.config.alipay.calls_per_second = budget;
    let app = past_the_window(&ground).await?;

    run.tell(format_args!("{}: draining", kind.name()));
    let start = Instant::now();
    let left = sweep_all(&ground, &app).await?;
    let elapsed = start.elapsed();
    run.require(left == 0, format_args!("{left} orders ({}) did not end", kind.name()));
    let (name, calls) = (kind.name(), calls(&app.metrics)?);
    run.add(format!("orders that end, {name}"), per_second(orders, elapsed), Unit::PerSecond);
    if kind == Kind::NoAttempt {
        run.require(calls == 0, "the gateway was asked about orders without an attempt");
    } else {
        let per_order = calls.saturating_mul(1_000) / orders.max(1);
        run.add(format!("calls an order, {name}"), per_order, Unit::PerMille);
        let ratio = per_second(calls.saturating_mul(1_000), elapsed) / u64::from(budget.get());
        run.add(format!("calls ÷ budget of {budget}/s, {name}"), ratio, Unit::PerMille);
        run.require(ratio <= RATIO_MAX, "more calls than the budget allows");
    }
    run.audit(&app).await?;
    app.store.close().await;
    ground.clear().await
}

/// Orders, and as much of their payments as their kind has.
async fn fill(ground: &Ground, kind: Kind, orders: u64) -> anyhow::Result<()> {
    let service = ground.start_service().await?;
    let pieces = i64::try_from(orders)?;
    stock(&service.app, SKUS, pieces).await?;
    let transactions = Arc::new(Transactions::prepare(&service.app, SKUS).await?);
    let write = Arc::new(move |_| {
        let transactions = Arc::clone(&transactions);
        async move { transactions.write().await }
    });
    let written = each(CALLERS, orders, &write).await?;
    anyhow::ensure!(written.failed == 0, "orders could not be written");
    if kind != Kind::NoAttempt {
        let ids = Arc::new(ground.database.unpaid_orders().await?);
        let (shop, gateway) = (shop_at(&service)?, Arc::new(ground.gateway()?));
        let start = Arc::new(move |number| {
            let (ids, shop, gateway) = (Arc::clone(&ids), Arc::clone(&shop), Arc::clone(&gateway));
            async move {
                let id = usize::try_from(number).ok().and_then(|at| ids.get(at));
                let Some(id) = id else { return false };
                let Ok(number) = shop.start_payment(id).await else { return false };
                kind == Kind::Unscanned || gateway.scan(&number).await.is_ok()
            }
        });
        let started = each(CALLERS, orders, &start).await?;
        anyhow::ensure!(started.failed == 0, "payments could not be started");
    }
    service.shutdown().await;
    Ok(())
}

/// The service without its tasks, and everybody's clock past all windows.
async fn past_the_window(ground: &Ground) -> anyhow::Result<Arc<App>> {
    let by = ground.config.timeout.pay_window + Duration::from_mins(1);
    ground.gateway()?.advance(by).await?;
    let clock = Arc::new(ManualClock::default());
    clock.advance(chrono::Duration::from_std(by)?);
    let environment = Environment { clock, ids: Ids::from_entropy() };
    Ok(Arc::new(open_app(ground.config.clone(), environment).await?))
}

/// Sweeps until every order has ended, and returns how many have not.
async fn sweep_all(ground: &Ground, app: &Arc<App>) -> anyhow::Result<usize> {
    let mut moved_at = Instant::now();
    loop {
        let report = sweep(app).await.context("a sweep")?;
        let left = ground.database.unpaid_orders().await?.len();
        if report.settled > 0 {
            moved_at = Instant::now();
        }
        if left == 0 || moved_at.elapsed() > STANDSTILL_MAX {
            return Ok(left);
        }
        sleep(PAUSE).await;
    }
}

/// Calls to the gateway, whatever the answer, but for those that were not sent.
fn calls(metrics: &Metrics) -> anyhow::Result<u64> {
    let text = metrics.encode()?;
    let counters = text.lines().filter(|line| line.starts_with("checkback_gateway_calls_total"));
    let sent = counters.filter(|line| !line.contains("result=\"overloaded\""));
    let counts = sent.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    Ok(counts.sum())
}
