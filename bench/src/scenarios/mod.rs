//! The measurements, one a file. Each starts on fresh ground and ends with an audit.

mod check_backs;
mod drain;
mod hot_sku;
mod lateness;
mod notifications;
mod orders;
mod raw;
mod sweep;

use crate::options::{Options, Scenario};
use crate::run::Run;

/// What is measured without a word on the command line.
const ALL: [Scenario; 6] = [
    Scenario::Orders,
    Scenario::Notifications,
    Scenario::CheckBacks,
    Scenario::Lateness,
    Scenario::HotSku,
    Scenario::Sweep,
];

/// Measures what was asked for and shows it; `false` if an audit found something.
pub(crate) async fn measure(options: Options) -> anyhow::Result<bool> {
    let scenarios = options.scenario.clone().map_or(ALL.to_vec(), |scenario| vec![scenario]);
    let count = u64::try_from(scenarios.len())?;
    let mut run = Run::new(options, count);
    for scenario in scenarios {
        match scenario {
            Scenario::Orders => Box::pin(orders::measure(&mut run)).await?,
            Scenario::Notifications => Box::pin(notifications::measure(&mut run)).await?,
            Scenario::CheckBacks => Box::pin(check_backs::measure(&mut run)).await?,
            Scenario::Lateness => Box::pin(lateness::measure(&mut run)).await?,
            Scenario::HotSku => Box::pin(hot_sku::measure(&mut run)).await?,
            Scenario::Sweep => Box::pin(sweep::measure(&mut run)).await?,
            Scenario::SweepScale { orders } => {
                Box::pin(sweep::measure_scale(&mut run, orders)).await?;
            }
            Scenario::Drain { orders, calls_per_second } => {
                Box::pin(drain::measure(&mut run, orders, calls_per_second)).await?;
            }
        }
        run.end();
    }
    run.finish();
    run.figures.print();
    if let Some(file) = &run.options.json {
        run.figures.write(file)?;
    }
    Ok(run.figures.are_clean())
}
