//! Check-backs: as many as the broker asks and the service answers, when each open order is due for
//! one every second.

use std::sync::Arc;
use std::time::Duration;

use checkback::metrics::Metrics;
use tokio::time::{Instant, sleep};

use crate::figures::Unit;
use crate::ground::{Ground, Needs, Tempo, shop_at, sku_name, stock};
use crate::load::{each, per_second};
use crate::run::Run;

/// Open orders: more than the broker checks in a second.
const ORDERS: u64 = 3_000;
const CALLERS: u64 = 32;
const SKUS: u64 = 50;
/// Check-backs have begun by then.
const WARM_UP: Duration = Duration::from_secs(3);

pub(super) async fn measure(run: &mut Run) -> anyhow::Result<()> {
    run.begin("check-backs");
    let ground = Ground::start(&run.options, Needs::Broker, Tempo::QUICK).await?;
    let service = ground.start_service().await?;
    stock(&service.app, SKUS, 1_000_000).await?;
    let shop = shop_at(&service)?;
    run.tell(format_args!("{ORDERS} orders"));
    let place = Arc::new(move |number| {
        let shop = Arc::clone(&shop);
        async move { matches!(shop.try_place(&sku_name(number % SKUS)).await, Ok(201)) }
    });
    let placed = each(CALLERS, ORDERS, &place).await?;
    run.require(placed.failed == 0, "orders could not be placed");
    run.add_load(&format!("orders beside check-backs, {CALLERS} callers"), &placed);
    sleep(WARM_UP).await;
    run.tell("check-backs");
    let before = answered(&service.app.metrics)?;
    let start = Instant::now();
    sleep(2 * run.options.duration()).await;
    let count = answered(&service.app.metrics)? - before;
    run.add("check-backs answered", per_second(count, start.elapsed()), Unit::PerSecond);
    run.audit(&service.app).await?;
    service.shutdown().await;
    ground.clear().await
}

/// Check-backs that were answered, whatever the answer.
fn answered(metrics: &Metrics) -> anyhow::Result<u64> {
    let text = metrics.encode()?;
    let counters = text.lines().filter(|line| line.starts_with("checkback_check_backs_total"));
    let counts = counters.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    Ok(counts.sum())
}
