//! The command line.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// The budget of calls that is drained at: the service's own default.
const CALLS_PER_SECOND: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// Measures checkback beside the raw limits of broker and database, in one run.
#[derive(Clone, Debug, Parser)]
#[command(name = "checkback-bench", version)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) scenario: Option<Scenario>,
    /// Use the `RocketMQ` at this name server instead of the embedded one.
    #[arg(long, global = true)]
    pub(crate) rocketmq: Option<String>,
    /// What that broker has as `transactionCheckInterval` (seconds).
    #[arg(long, global = true, default_value_t = 1_800)]
    pub(crate) check_interval: u64,
    /// What that broker has as `transactionCheckMax`.
    #[arg(long, global = true, default_value_t = 15)]
    pub(crate) check_max: u32,
    /// Make databases on the server at this `mysql://` address instead of `SQLite` files.
    #[arg(long, global = true)]
    pub(crate) database: Option<String>,
    /// Where files are kept while it runs; a directory of the system's without it.
    #[arg(long, global = true)]
    pub(crate) dir: Option<PathBuf>,
    /// How long each load lasts (seconds).
    #[arg(long, global = true, default_value_t = 4)]
    pub(crate) seconds: u64,
    /// Write all figures to this file.
    #[arg(long, global = true)]
    pub(crate) json: Option<PathBuf>,
    /// Log to standard error as the service does.
    #[arg(long, global = true)]
    pub(crate) log: bool,
}

/// What to measure; everything but the last ones without it.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Scenario {
    /// Half messages, order transactions and orders over HTTP, and how they compare.
    Orders,
    /// Signed notifications through the webhook.
    Notifications,
    /// Check-backs that the broker asks and the service answers.
    CheckBacks,
    /// How long after its window an unpaid order is cancelled.
    Lateness,
    /// A thousand buyers for a hundred pieces, and refusals once they are gone.
    HotSku,
    /// The sweep of a thousand expired orders.
    Sweep,
    /// The same beside a million ended orders.
    SweepScale {
        /// How many orders have ended.
        #[arg(long, default_value_t = 1_000_000)]
        orders: u64,
    },
    /// The end of orders that expired while the gateway was away, by how far their buyers had come.
    Drain {
        /// How many orders of each kind have expired.
        #[arg(long, default_value_t = 5_000)]
        orders: u64,
        /// The budget of calls to the gateway.
        #[arg(long, default_value_t = CALLS_PER_SECOND)]
        calls_per_second: NonZeroU32,
    },
}

impl Options {
    /// How long each load lasts.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds.max(1))
    }
}
