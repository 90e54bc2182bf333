//! Load, in two shapes. A closed loop has so many callers, each of whom waits for its answer before
//! it asks again. An open loop sends each request at its intended time, whatever became of those
//! before, and counts its latency from that time: a service that stalls is charged for the requests
//! that waited behind the stall (the correction of coordinated omission).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// A rate is sustained if this part of the requests (per mille) was answered within
/// [`SUSTAINED_LATENCY`], and none failed.
const SUSTAINED_QUANTILE: f64 = 0.99;
/// Longest latency at that quantile.
const SUSTAINED_LATENCY: Duration = Duration::from_millis(500);
/// Each step of the rate is this much above the last (per cent).
const STEP_PERCENT: u64 = 8;
/// The first step, of what a closed loop reached (per cent).
const FIRST_STEP_PERCENT: u64 = 60;
/// Steps at most.
const STEPS_MAX: u32 = 14;
/// Significant digits of latencies.
const DIGITS: u8 = 3;

/// What became of a load.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Requests that were answered as they should.
    pub(crate) done: u64,
    /// Requests that were not.
    pub(crate) failed: u64,
    /// From the first intended time to the last answer.
    pub(crate) elapsed: Duration,
    latency_us: Histogram<u64>,
}

impl Load {
    fn new() -> anyhow::Result<Self> {
        let latency_us = Histogram::new(DIGITS).context("a histogram")?;
        Ok(Self { done: 0, failed: 0, elapsed: Duration::ZERO, latency_us })
    }

    fn count(&mut self, ok: bool, latency: Duration) -> anyhow::Result<()> {
        if ok {
            self.done += 1;
        } else {
            self.failed += 1;
        }
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latency_us.record(us).context("a latency")
    }

    /// Requests that were answered as they should, per second.
    pub(crate) fn per_second(&self) -> u64 {
        per_second(self.done, self.elapsed)
    }

    /// The latency at a quantile (microseconds).
    pub(crate) fn quantile_us(&self, quantile: f64) -> u64 {
        self.latency_us.value_at_quantile(quantile)
    }

    fn is_sustained(&self, lasted: Duration) -> bool {
        let late = Duration::from_micros(self.quantile_us(SUSTAINED_QUANTILE));
        self.failed == 0
            && late <= SUSTAINED_LATENCY
            && self.elapsed <= lasted + 2 * SUSTAINED_LATENCY
    }
}

/// How many of something there are in a second.
pub(crate) fn per_second(count: u64, elapsed: Duration) -> u64 {
    let us = elapsed.as_micros().max(1);
    u64::try_from(u128::from(count) * 1_000_000 / us).unwrap_or(u64::MAX)
}

/// So many callers for so long. `request` gets a number of its own each time, and says whether it
/// was answered as it should.
pub(crate) async fn closed<F, R>(
    callers: u64,
    lasts: Duration,
    request: &Arc<F>,
) -> anyhow::Result<Load>
where
    F: Fn(u64) -> R + Send + Sync + 'static,
    R: Future<Output = bool> + Send,
{
    let end = Instant::now() + lasts;
    call(callers, request, move |_| Instant::now() < end).await
}

/// So many callers until each number below the count was asked for.
pub(crate) async fn each<F, R>(callers: u64, count: u64, request: &Arc<F>) -> anyhow::Result<Load>
where
    F: Fn(u64) -> R + Send + Sync + 'static,
    R: Future<Output = bool> + Send,
{
    call(callers, request, move |number| number < count).await
}

async fn call<F, R, M>(callers: u64, request: &Arc<F>, more: M) -> anyhow::Result<Load>
where
    F: Fn(u64) -> R + Send + Sync + 'static,
    R: Future<Output = bool> + Send,
    M: Fn(u64) -> bool + Copy + Send + 'static,
{
    let start = Instant::now();
    let numbers = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (request, numbers) = (Arc::clone(request), Arc::clone(&numbers));
        tasks.spawn(async move {
            let mut own = Vec::new();
            loop {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                if !more(number) {
                    return own;
                }
                let asked = Instant::now();
                let ok = request(number).await;
                own.push((ok, asked.elapsed()));
            }
        });
    }
    let mut load = Load::new()?;
    while let Some(own) = tasks.join_next().await {
        for (ok, latency) in own.context("a caller died")? {
            load.count(ok, latency)?;
        }
    }
    load.elapsed = start.elapsed();
    Ok(load)
}

/// So many requests a second.
pub(crate) async fn open<F, R>(rate: u64, lasts: Duration, request: &Arc<F>) -> anyhow::Result<Load>
where
    F: Fn(u64) -> R + Send + Sync + 'static,
    R: Future<Output = bool> + Send,
{
    let start = Instant::now();
    let count = rate * lasts.as_secs();
    let mut tasks = JoinSet::new();
    let mut load = Load::new()?;
    for number in 0..count {
        let intended = start + Duration::from_nanos(number * 1_000_000_000 / rate);
        if intended > Instant::now() {
            sleep_until(intended).await;
        }
        let request = Arc::clone(request);
        tasks.spawn(async move { (request(number).await, intended.elapsed()) });
        while let Some(answered) = tasks.try_join_next() {
            let (ok, latency) = answered.context("a caller died")?;
            load.count(ok, latency)?;
        }
    }
    while let Some(answered) = tasks.join_next().await {
        let (ok, latency) = answered.context("a caller died")?;
        load.count(ok, latency)?;
    }
    load.elapsed = start.elapsed();
    Ok(load)
}

/// The highest rate that is sustained, stepped up from below what a closed loop reached; `None` if
/// not even the lowest was.
pub(crate) async fn highest<F, R>(
    closed_rate: u64,
    lasts: Duration,
    request: &Arc<F>,
    mut tell: impl FnMut(u64),
) -> anyhow::Result<Option<(u64, Load)>>
where
    F: Fn(u64) -> R + Send + Sync + 'static,
    R: Future<Output = bool> + Send,
{
    let mut rate = (closed_rate * FIRST_STEP_PERCENT / 100).max(1);
    let mut best = None;
    for _ in 0..STEPS_MAX {
        tell(rate);
        let load = open(rate, lasts, request).await?;
        let sustained = load.is_sustained(lasts);
        if sustained {
            best = Some((rate, load));
            rate = (rate * (100 + STEP_PERCENT) / 100).max(rate + 1);
        } else if best.is_some() || rate == 1 {
            break;
        } else {
            rate = (rate / 2).max(1);
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_whole_numbers_a_second() {
        assert_eq!(per_second(3, Duration::from_millis(1_500)), 2);
        assert_eq!(per_second(1, Duration::ZERO), 1_000_000);
    }

    #[tokio::test]
    async fn a_stall_is_charged_to_those_who_wait_behind_it() {
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        let request = Arc::new(move |number| {
            let turn = Arc::clone(&turn);
            async move {
                let _turn = turn.lock().await;
                if number == 0 {
                    tokio::time::sleep(Duration::from_millis(400)).await;
                }
                true
            }
        });
        let load = open(100, Duration::from_secs(1), &request).await.expect("a load");
        assert_eq!((load.done, load.failed), (100, 0));
        // Forty requests were due during the stall.
        assert!(load.quantile_us(0.8) > 100_000, "{}", load.quantile_us(0.8));
    }
}
