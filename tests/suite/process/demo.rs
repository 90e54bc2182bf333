//! A demo with a directory and ports that stay the same over its restarts.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::child::{Ended, Process, checkback, note, until};
use super::shop::Shop;

/// A demo is ready within this time, also on a busy machine.
pub(super) const START_PATIENCE: Duration = Duration::from_mins(1);
/// A tool answers within this time.
const TOOL_PATIENCE: Duration = Duration::from_mins(1);
/// What the contract promises about SIGTERM.
pub(super) const STOP_BUDGET: Duration = Duration::from_secs(15);

/// Ports are taken from below the range that the system uses for outgoing connections: nobody
/// takes one of them while a demo is between two lives.
const FIRST_PORT: u32 = 12_000;
const PORTS_A_BLOCK: u32 = 8;
const BLOCKS: u32 = 2_000;
/// The broker's place in a block; its fast listener takes the port two below.
const BROKER: u16 = 6;

static NEXT_BLOCK: AtomicU32 = AtomicU32::new(0);

/// The addresses of one demo.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) http: SocketAddr,
    pub(super) simulator: SocketAddr,
    pub(super) namesrv: SocketAddr,
    pub(super) broker: SocketAddr,
}

impl Ports {
    /// Ports that nobody listens on. Test runs at the same time begin at different places.
    pub(super) fn free() -> Self {
        let ours = std::process::id().wrapping_mul(137);
        loop {
            let next = NEXT_BLOCK.fetch_add(1, Ordering::Relaxed);
            assert!(next < BLOCKS, "no free ports");
            let first = FIRST_PORT + ours.wrapping_add(next) % BLOCKS * PORTS_A_BLOCK;
            let first = u16::try_from(first).expect("a port");
            let at = |offset| SocketAddr::from(([127, 0, 0, 1], first + offset));
            if [0, 1, 2, BROKER - 2, BROKER].into_iter().all(|n| TcpListener::bind(at(n)).is_ok()) {
                return Self { http: at(0), simulator: at(1), namesrv: at(2), broker: at(BROKER) };
            }
        }
    }
}

/// Where a demo lives, before, between and after its lives.
pub(super) struct Site {
    pub(super) dir: TempDir,
    pub(super) ports: Ports,
    pub(super) options: Vec<String>,
    variables: Vec<(&'static str, &'static str)>,
}

impl Site {
    /// A fresh directory and free ports.
    pub(super) fn new(pay_window: &str, check_interval: &str) -> Self {
        let options = ["--pay-window", pay_window, "--check-interval", check_interval];
        Self {
            dir: tempfile::tempdir().expect("a directory"),
            ports: Ports::free(),
            options: options.map(str::to_owned).to_vec(),
            variables: Vec::new(),
        }
    }

    /// With this variable in its environment.
    pub(super) fn with(mut self, variable: &'static str, value: &'static str) -> Self {
        self.variables.push((variable, value));
        self
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The command line of a demo in this place.
    pub(super) fn demo(&self) -> Command {
        let mut command = demo(&self.data_dir(), &self.ports, &self.options);
        command.envs(self.variables.iter().copied());
        command
    }

    /// Starts the demo and does not wait for it.
    pub(super) fn spawn(&self) -> Process {
        Process::start("demo", self.dir.path(), self.demo())
    }

    /// Starts the demo and waits until it is ready.
    pub(super) async fn start(&self) -> Demo {
        let mut process = self.spawn();
        let shop = self.shop();
        until("the demo is ready", START_PATIENCE, async || {
            assert!(!process.has_ended(), "the demo ended: {}", process.stderr());
            shop.is_ready().await
        })
        .await;
        Demo { process, shop }
    }

    /// A caller without open connections.
    pub(super) fn shop(&self) -> Shop {
        Shop::new(self.ports.http, self.ports.simulator)
    }

    /// Runs one of the tools on the data directory to its end.
    pub(super) async fn tool(&self, args: &[&str]) -> Ended {
        let mut command = checkback();
        command.args(args).arg("--data-dir").arg(self.data_dir());
        run(command).await
    }

    /// Audits the data directory: no invariant is violated.
    pub(super) async fn assert_sound(&self) {
        let ended = self.tool(&["audit", "--json"]).await;
        let report: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
        let violated = report["checks"].as_array().expect("checks").iter();
        let violated: Vec<_> =
            violated.filter(|check| check["violations"] != serde_json::json!([])).collect();
        assert!(report["ok"] == true && violated.is_empty(), "{violated:#?}");
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    }
}

impl Drop for Site {
    /// What a failing test leaves behind can be looked at.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dir.disable_cleanup(true);
            note(format_args!("=== kept: {}", self.dir.path().display()));
        }
    }
}

/// The command line of a demo.
pub(super) fn demo(data_dir: &Path, ports: &Ports, options: &[String]) -> Command {
    let mut command = checkback();
    command.arg("demo").arg("--data-dir").arg(data_dir);
    let addresses = [
        ("--http", ports.http),
        ("--simulator", ports.simulator),
        ("--namesrv", ports.namesrv),
        ("--broker", ports.broker),
    ];
    for (name, address) in addresses {
        command.args([name, &address.to_string()]);
    }
    command.args(options);
    command
}

/// Runs a command that ends by itself.
pub(super) async fn run(command: Command) -> Ended {
    let logs = tempfile::tempdir().expect("a directory");
    Process::start("tool", logs.path(), command).end_within(TOOL_PATIENCE).await
}

/// A running demo and somebody who uses it.
pub(super) struct Demo {
    pub(super) process: Process,
    pub(super) shop: Shop,
}

impl Demo {
    /// Asks it to end, which is a success within the promised time.
    pub(super) async fn terminate(mut self) {
        let begun = Instant::now();
        self.process.signal("TERM");
        let ended = self.process.end_within(STOP_BUDGET).await;
        note(format_args!("{} {:?} after SIGTERM", ended.status, begun.elapsed()));
        assert_eq!(ended.status.code(), Some(0), "{}", ended.status);
    }

    /// No task of any life of it panicked.
    pub(super) fn assert_no_panic(&self) {
        let log = self.process.stderr();
        let panics: Vec<_> = log.lines().filter(|line| line.contains("panicked")).collect();
        assert!(panics.is_empty(), "{panics:#?}");
    }
}
