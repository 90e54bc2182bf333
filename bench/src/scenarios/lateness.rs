//! How long after the end of its window an unpaid order is cancelled, by the broker's check-backs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::DateTime;
use hdrhistogram::Histogram;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::figures::Unit;
use crate::ground::{Ground, Needs, Tempo, shop_at, sku_name, stock};
use crate::run::Run;
use crate::shop::{Shop, text};

/// Orders, and the pause between two of them.
const ORDERS: u64 = 300;
const SPACING: Duration = Duration::from_millis(40);
const SKUS: u64 = 50;
/// The last one is cancelled by then.
const PATIENCE: Duration = Duration::from_mins(2);
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

pub(super) async fn measure(run: &mut Run) -> anyhow::Result<()> {
    run.begin("lateness");
    let ground = Ground::start(&run.options, Needs::Broker, Tempo::QUICK).await?;
    let service = ground.start_service().await?;
    stock(&service.app, SKUS, 1_000_000).await?;
    let shop = shop_at(&service)?;
    run.tell(format_args!("{ORDERS} orders that nobody pays"));
    let ids = place_all(&shop).await?;
    let mut late_ms = Histogram::<u64>::new(3).context("a histogram")?;
    let deadline = Instant::now() + PATIENCE;
    for id in &ids {
        late_ms.record(wait_for_cancel(&shop, id, deadline).await?).context("a lateness")?;
    }
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        let us = late_ms.value_at_quantile(quantile) * 1_000;
        let name = format!("cancel after the window's end, {name}");
        run.add(name, us, Unit::Microseconds);
    }
    let grace = u64::try_from(ground.config.timeout.grace.as_micros()).unwrap_or(u64::MAX);
    run.add("of it the grace", grace, Unit::Microseconds);
    run.audit(&service.app).await?;
    service.shutdown().await;
    ground.clear().await
}

async fn place_all(shop: &Arc<Shop>) -> anyhow::Result<Vec<String>> {
    let mut placing = Vec::new();
    for number in 0..ORDERS {
        let shop = Arc::clone(shop);
        let sku = sku_name(number % SKUS);
        placing.push(tokio::spawn(async move { shop.place(&sku, Some("flash")).await }));
        sleep(SPACING).await;
    }
    let mut ids = Vec::new();
    for order in placing {
        ids.push(text(&order.await.context("a caller died")??, "id")?);
    }
    Ok(ids)
}

/// How much later than its window's end an order was cancelled (ms).
async fn wait_for_cancel(shop: &Shop, id: &str, deadline: Instant) -> anyhow::Result<u64> {
    loop {
        let order = shop.show(id).await?;
        if order["status"] == "cancelled" {
            let late = time(&order, "cancelled_at")? - time(&order, "expires_at")?;
            return Ok(u64::try_from(late).unwrap_or(0));
        }
        anyhow::ensure!(Instant::now() < deadline, "not cancelled in time: {order}");
        sleep(LOOK_INTERVAL).await;
    }
}

fn time(order: &Value, field: &str) -> anyhow::Result<i64> {
    let parsed = DateTime::parse_from_rfc3339(&text(order, field)?);
    Ok(parsed.with_context(|| format!("{field} is no time"))?.timestamp_millis())
}
