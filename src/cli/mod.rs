//! The command line.

#[cfg(feature = "broker")]
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
#[cfg(feature = "broker")]
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;

mod audit;
#[cfg(feature = "broker")]
mod broker;
#[cfg(feature = "demo")]
mod data_dir;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod logging;
mod reconcile;
mod reload;
mod serve;
mod signals;
mod sweep;

/// Every order ends exactly once: paid, or cancelled with its stock released.
#[derive(Debug, Parser)]
#[command(name = "checkback", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything in one process: RocketMQ, `SQLite`, the Alipay simulator and the service.
    #[cfg(feature = "demo")]
    Demo(DemoArgs),
    /// The embedded RocketMQ alone.
    #[cfg(feature = "broker")]
    Broker(BrokerArgs),
    /// The service against the configured RocketMQ, database and gateway.
    Serve(ConfigArgs),
    /// Brings the database's schema up to date.
    Migrate(Target),
    /// Settles whatever is due.
    Sweep(SweepArgs),
    /// Checks all invariants; exit code 1 on a violation.
    Audit(AuditArgs),
    /// Compares the gateway's bill of a day with what is recorded; exit code 1 on a difference.
    Reconcile(ReconcileArgs),
    /// Checks settings, database, broker, topics, keys and gateway.
    Doctor(Target),
}

#[cfg(feature = "demo")]
#[derive(Debug, Args)]
struct DemoArgs {
    /// Where everything is kept.
    #[arg(long, default_value = "checkback-demo")]
    data_dir: PathBuf,
    /// The service.
    #[arg(long, default_value = "127.0.0.1:8620")]
    http: SocketAddr,
    /// The Alipay simulator.
    #[arg(long, default_value = "127.0.0.1:8630")]
    simulator: SocketAddr,
    /// The embedded name server.
    #[arg(long, default_value = "127.0.0.1:9876")]
    namesrv: SocketAddr,
    /// The embedded broker; it takes the port two below as well.
    #[arg(long, default_value = "127.0.0.1:10911")]
    broker: SocketAddr,
    /// Use the RocketMQ at this name server instead of the embedded one.
    #[arg(long)]
    rocketmq: Option<String>,
    /// How long a buyer may pay.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    pay_window: Duration,
    /// How often the broker checks back.
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    check_interval: Duration,
}

#[cfg(feature = "broker")]
#[derive(Debug, Args)]
struct BrokerArgs {
    /// Where messages are kept.
    #[arg(long, default_value = "checkback-broker")]
    data_dir: PathBuf,
    /// The name server.
    #[arg(long, default_value = "127.0.0.1:9876")]
    namesrv: SocketAddr,
    /// The broker; it takes the port two below as well.
    #[arg(long, default_value = "127.0.0.1:10911")]
    broker: SocketAddr,
    /// The window of the orders whose half messages it holds.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    pay_window: Duration,
    /// How often it checks back.
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    check_interval: Duration,
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration, TOML.
    #[arg(long)]
    config: PathBuf,
}

/// Which deployment a tool works on.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// The configuration, TOML.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The data directory of a demo, which may be running.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct SweepArgs {
    #[command(flatten)]
    target: Target,
    /// One sweep, then the end; the running service sweeps by itself.
    #[arg(long, required = true)]
    once: bool,
    /// Say what it would do, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct AuditArgs {
    #[command(flatten)]
    target: Target,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ReconcileArgs {
    #[command(flatten)]
    target: Target,
    /// The day of China, such as 2026-01-31.
    #[arg(long)]
    date: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Target {
    fn file(&self) -> anyhow::Result<PathBuf> {
        let file = match (&self.config, &self.data_dir) {
            (Some(file), _) => file.clone(),
            (None, Some(dir)) => config_file(dir),
            (None, None) => anyhow::bail!("--config or --data-dir is needed"),
        };
        if !file.exists() {
            anyhow::bail!("there is no configuration at {}", file.display());
        }
        Ok(file)
    }

    fn load(&self) -> anyhow::Result<Config> {
        let mut config = Config::load(&self.file()?)?;
        // A tool looks at a database as it is; `migrate` and the service change its schema.
        config.database.migrate = false;
        Ok(config)
    }
}

/// The effective configuration in the data directory of a demo.
fn config_file(dir: &Path) -> PathBuf {
    dir.join("checkback.toml")
}

impl Command {
    /// Whether it runs until it is told to stop.
    fn is_server(&self) -> bool {
        match self {
            #[cfg(feature = "demo")]
            Self::Demo(_) => true,
            #[cfg(feature = "broker")]
            Self::Broker(_) => true,
            Self::Serve(_) => true,
            Self::Migrate(_)
            | Self::Sweep(_)
            | Self::Audit(_)
            | Self::Reconcile(_)
            | Self::Doctor(_) => false,
        }
    }
}

impl Cli {
    /// Runs the command. Boxed, so that the binary doesn't compile everything behind it again.
    #[must_use]
    pub fn run(self) -> Pin<Box<dyn Future<Output = ExitCode>>> {
        Box::pin(self.execute())
    }

    async fn execute(self) -> ExitCode {
        logging::init(self.command.is_server());
        let result = match self.command {
            #[cfg(feature = "demo")]
            Command::Demo(args) => demo::run(args).await,
            #[cfg(feature = "broker")]
            Command::Broker(args) => broker::run(args).await,
            Command::Serve(args) => serve::run(&args.config).await,
            Command::Migrate(target) => serve::migrate(&target).await,
            Command::Sweep(args) => sweep::run(&args).await,
            Command::Audit(args) => audit::run(&args).await,
            Command::Reconcile(args) => reconcile::run(&args).await,
            Command::Doctor(target) => doctor::run(&target).await,
        };
        result.unwrap_or_else(|error| {
            complain(&error);
            ExitCode::FAILURE
        })
    }
}

/// Logs to standard error as the service does, for whoever runs it in a process of its own.
pub fn log_as_service() {
    logging::init(true);
}

/// One clear sentence with its causes.
#[expect(clippy::print_stderr, reason = "the command line's own voice")]
fn complain(error: &anyhow::Error) {
    eprintln!("checkback: {}", sentence(error));
}

/// An error with its causes on one line; a cause that the text before it tells already is left out.
fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = String::new();
    for cause in error.chain() {
        let words: Vec<_> = cause.to_string().split_whitespace().map(str::to_owned).collect();
        let cause = words.join(" ");
        if !sentence.contains(&cause) {
            sentence = if sentence.is_empty() { cause } else { format!("{sentence}: {cause}") };
        }
    }
    sentence
}

/// What a command has to say to the person who called it.
#[expect(clippy::print_stdout, reason = "the command line's own voice")]
fn say(text: impl std::fmt::Display) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once_and_on_one_line() {
        let error =
            anyhow::anyhow!("port\n  in use").context("no start: port in use").context("demo");
        assert_eq!(sentence(&error), "demo: no start: port in use");
    }
}
