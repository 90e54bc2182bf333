//! Orders over HTTP beside the raw limits, in rounds that take turns, so that a machine that slows
//! down slows all of them down.

use std::sync::Arc;

use super::raw::{HalfMessages, Transactions};
use crate::figures::Unit;
use crate::ground::{Ground, Needs, Tempo, shop_at, stock};
use crate::load::{Load, closed, highest};
use crate::run::Run;

/// Rounds; the middle one counts.
const ROUNDS: usize = 3;
/// Callers of a closed loop; the best number counts, for each side its own.
const CALLERS: [u64; 3] = [1, 16, 64];
/// SKUs, so that orders don't wait for each other's stock.
const SKUS: u64 = 200;
/// Pieces of each.
const PIECES: i64 = 1_000_000;

/// The rates of one side, one a round.
#[derive(Default)]
struct Side {
    rounds: Vec<(u64, u64, Load)>,
}

impl Side {
    /// Notes the best load of a round.
    fn note(&mut self, loads: Vec<(u64, Load)>) {
        let rated = loads.into_iter().map(|(callers, load)| (load.per_second(), callers, load));
        self.rounds.extend(rated.max_by_key(|(rate, _, _)| *rate));
    }

    /// The round in the middle: its rate, callers and load.
    fn middle(&mut self) -> Option<&(u64, u64, Load)> {
        self.rounds.sort_by_key(|(rate, _, _)| *rate);
        self.rounds.get(self.rounds.len() / 2)
    }

    fn rate(&mut self) -> u64 {
        self.middle().map_or(0, |(rate, _, _)| *rate)
    }
}

pub(super) async fn measure(run: &mut Run) -> anyhow::Result<()> {
    run.begin("orders");
    let ground = Ground::start(&run.options, Needs::Broker, Tempo::STILL).await?;
    let service = ground.start_service().await?;
    stock(&service.app, SKUS, PIECES).await?;
    let half_messages = Arc::new(HalfMessages::start(&ground.config.rocketmq).await?);
    let transactions = Arc::new(Transactions::prepare(&service.app, SKUS).await?);
    let shop = shop_at(&service)?;
    let half = {
        let half_messages = Arc::clone(&half_messages);
        Arc::new(move |_| {
            let half_messages = Arc::clone(&half_messages);
            async move { half_messages.send().await }
        })
    };
    let database = Arc::new(move |_| {
        let transactions = Arc::clone(&transactions);
        async move { transactions.write().await }
    });
    let order = Arc::new(move |number| {
        let shop = Arc::clone(&shop);
        async move { matches!(shop.try_place(&format!("sku-{}", number % SKUS)).await, Ok(201)) }
    });
    let (mut halves, mut writes, mut orders) = (Side::default(), Side::default(), Side::default());
    for round in 1..=ROUNDS {
        halves.note(loads(run, &format!("half messages, round {round}"), &half).await?);
        writes.note(loads(run, &format!("transactions, round {round}"), &database).await?);
        orders.note(loads(run, &format!("orders, round {round}"), &order).await?);
    }
    let lasts = run.options.duration();
    let tell = |rate| run.tell(format_args!("open loop, {rate}/s"));
    let open = highest(orders.rate(), lasts, &order, tell).await?;
    report_side(run, "half messages of the client", &mut halves);
    report_side(run, "order transactions of the database", &mut writes);
    report_side(run, "orders over HTTP", &mut orders);
    let series = in_series(halves.rate(), writes.rate());
    run.add("the two limits in series", series, Unit::PerSecond);
    run.add("orders ÷ limits in series, closed loop", ratio(orders.rate(), series), Unit::PerMille);
    if let Some((rate, load)) = &open {
        run.add_load(&format!("orders over HTTP, open loop of {rate}/s"), load);
        let open = ratio(load.per_second(), series);
        run.add("orders ÷ limits in series, open loop", open, Unit::PerMille);
    }
    run.add_memory();
    half_messages.stop().await;
    run.audit(&service.app).await?;
    service.shutdown().await;
    ground.clear().await
}

/// A closed loop with each number of callers.
async fn loads<F, R>(
    run: &mut Run,
    what: &str,
    request: &Arc<F>,
) -> anyhow::Result<Vec<(u64, Load)>>
where
    F: Fn(u64) -> R + Send + Sync + 'static,
    R: Future<Output = bool> + Send,
{
    let mut loads = Vec::new();
    for callers in CALLERS {
        run.tell(format_args!("{what}, {callers} callers"));
        let load = closed(callers, run.options.duration(), request).await?;
        run.require(load.failed == 0, format_args!("{} failed: {what}", load.failed));
        loads.push((callers, load));
    }
    Ok(loads)
}

fn report_side(run: &mut Run, name: &str, side: &mut Side) {
    if let Some((_, callers, load)) = side.middle() {
        run.add_load(&format!("{name}, {callers} callers"), load);
    }
}

/// The rate of whatever needs one of each, one after the other, on the same cores.
fn in_series(one: u64, other: u64) -> u64 {
    one * other / (one + other).max(1)
}

/// Per mille.
fn ratio(part: u64, whole: u64) -> u64 {
    part * 1_000 / whole.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_limits_in_series_are_less_than_either() {
        assert_eq!(in_series(1_000, 1_000), 500);
        assert_eq!(in_series(0, 0), 0);
        assert_eq!(ratio(400, 500), 800);
    }
}
