//! A thousand buyers for a hundred pieces at once, and refusals once the pieces are gone.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::figures::Unit;
use crate::ground::{Ground, Needs, Tempo, shop_at, sku_name, stock};
use crate::load::closed;
use crate::run::Run;
use crate::shop::Shop;

const BUYERS: u64 = 1_000;
const PIECES: i64 = 100;
/// Callers of a shop that has sold out.
const LATECOMERS: u64 = 200;
/// A refusal is answered within this time, but for one in a hundred (µs).
const REFUSAL_P99_US: u64 = 50_000;

pub(super) async fn measure(run: &mut Run) -> anyhow::Result<()> {
    run.begin("hot SKU");
    let ground = Ground::start(&run.options, Needs::Broker, Tempo::STILL).await?;
    let service = ground.start_service().await?;
    stock(&service.app, 1, PIECES).await?;
    let shop = shop_at(&service)?;
    let deadlocks = ground.database.deadlocks().await?;
    run.tell(format_args!("{BUYERS} buyers for {PIECES} pieces"));
    let start = Instant::now();
    let answers = rush(&shop).await?;
    let elapsed = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
    let sent = service.half_messages_sent();
    run.add("all buyers answered within", elapsed, Unit::Microseconds);
    for status in [201, 409, 503] {
        let count = answers.iter().filter(|answer| **answer == status).count();
        run.add(format!("answers {status}"), u64::try_from(count)?, Unit::Count);
    }
    let placed = answers.iter().filter(|answer| **answer == 201).count();
    run.require(i64::try_from(placed)? == PIECES, format_args!("{placed} orders"));
    run.require(answers.iter().all(|answer| [201, 409].contains(answer)), "another answer");
    run.add("half messages for them", sent, Unit::Count);
    let broken = ground.database.deadlocks().await? - deadlocks;
    run.add("deadlocks that the database broke", broken, Unit::Count);
    run.tell(format_args!("{LATECOMERS} callers of a shop that has sold out"));
    let refused = Arc::new(move |_| {
        let shop = Arc::clone(&shop);
        async move { matches!(shop.try_place(&sku_name(0)).await, Ok(409)) }
    });
    let load = closed(LATECOMERS, run.options.duration(), &refused).await?;
    run.add_load(&format!("refusals, {LATECOMERS} callers"), &load);
    run.require(load.failed == 0, "another answer than a refusal");
    run.require(load.quantile_us(0.99) < REFUSAL_P99_US, "a refusal takes too long");
    let more = service.half_messages_sent() - sent;
    run.require(more == 0, format_args!("{more} half messages for what is sold out"));
    run.audit(&service.app).await?;
    service.shutdown().await;
    ground.clear().await
}

/// Everybody at once; the statuses that they were answered.
async fn rush(shop: &Arc<Shop>) -> anyhow::Result<Vec<u16>> {
    let mut buyers = JoinSet::new();
    for _ in 0..BUYERS {
        let shop = Arc::clone(shop);
        buyers.spawn(async move { shop.try_place(&sku_name(0)).await });
    }
    buyers.join_all().await.into_iter().collect()
}
