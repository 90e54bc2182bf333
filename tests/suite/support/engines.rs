//! The engines of production. Where the environment names a server, the tests run on it instead of
//! the embedded broker and SQLite; tests that take an engine away start one of their own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::AssertSqlSafe;
use sqlx::any::AnyPoolOptions;
use tempfile::TempDir;

/// Names the name server of a real Apache RocketMQ, as `tests/apache/rocketmq` starts it.
const NAMESRV: &str = "CHECKBACK_TEST_NAMESRV";
/// Names a server on which a database may be made for each test, as `tests/mariadb/server` does.
const MYSQL_URL: &str = "CHECKBACK_TEST_MYSQL_URL";
/// Ids that differ in letter case only must stay apart.
const CHARACTERS: &str = "character set utf8mb4 collate utf8mb4_bin";
/// The `transactionCheckMax` that `tests/apache/rocketmq` gives its broker.
pub(crate) const APACHE_CHECK_MAX: u32 = 200;

/// Starts, stops and asks Apache RocketMQ.
const APACHE: &str = "apache/rocketmq";

static DATABASES: AtomicU32 = AtomicU32::new(0);

/// The name server of the Apache RocketMQ that tests share; `None` without one.
pub(crate) fn apache_namesrv() -> Option<String> {
    std::env::var(NAMESRV).ok()
}

/// The database server that tests share; `None` without one.
pub(crate) fn mysql_server() -> Option<String> {
    std::env::var(MYSQL_URL).ok()
}

/// An empty database on the shared server.
pub(crate) struct MysqlDatabase {
    pub(crate) url: String,
    server: String,
    name: String,
}

impl MysqlDatabase {
    /// `None` without a server.
    pub(crate) async fn create() -> Option<Self> {
        Some(Self::create_on(&mysql_server()?).await)
    }

    /// On a server of the caller's.
    pub(crate) async fn create_on(server: &str) -> Self {
        let count = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("checkback_test_{}_{count}", std::process::id());
        execute(server, format!("drop database if exists {name}")).await;
        execute(server, format!("create database {name} {CHARACTERS}")).await;
        let (address, options) = server.split_once('?').unwrap_or((server, ""));
        let (host, _) = address.rsplit_once('/').expect("a database in the address");
        let url = format!("{host}/{name}?{options}");
        Self { url, server: server.to_owned(), name }
    }

    /// Removes it; nothing may be connected any more.
    pub(crate) async fn remove(self) {
        execute(&self.server, format!("drop database {}", self.name)).await;
    }
}

/// Runs a statement on a server.
pub(crate) async fn execute(url: &str, sql: String) {
    sqlx::any::install_default_drivers();
    let server = AnyPoolOptions::new().max_connections(1).connect(url).await.expect("a server");
    sqlx::query(AssertSqlSafe(sql)).execute(&server).await.expect("executed");
    server.close().await;
}

fn path_of(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script)
}

/// Runs a script, which must succeed, and returns what it says.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("the script can be run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {said}{complained}");
    said
}

/// Runs a command of Apache's console against any name server, and returns what it says.
pub(crate) fn mqadmin(namesrv: &str, command: &str, arguments: &[&str]) -> String {
    let mut script = Command::new(path_of(APACHE));
    without_log(&run(script.args(["mqadmin", namesrv, command]).args(arguments)))
}

/// The console's library logs how it is set up.
fn without_log(said: &str) -> String {
    said.lines().filter(|line| !line.contains("|-")).collect::<Vec<_>>().join("\n")
}

/// An engine of one test, started by its script; ended, whatever state it is in, with the test.
struct Engine {
    script: PathBuf,
    dir: TempDir,
}

impl Engine {
    fn start(script: &str, settings: &[&str]) -> Self {
        let engine =
            Self { script: path_of(script), dir: tempfile::tempdir().expect("a directory") };
        engine.run("start", settings);
        engine
    }

    /// Runs `script ACTION DIR arguments` and returns what it says.
    fn run(&self, action: &str, arguments: &[&str]) -> String {
        run(Command::new(&self.script).arg(action).arg(self.dir.path()).args(arguments))
    }

    /// What the script wrote down about it.
    fn fact(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.dir.path().join(name)).expect("a fact");
        text.trim().to_owned()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.run("stop", &[]);
    }
}

/// An Apache RocketMQ, name server and broker, of one test.
pub(crate) struct ApacheRocketMq(Engine);

impl ApacheRocketMq {
    /// Starts one with these lines (`key=value`) in its `broker.conf`; `None` where tests have no
    /// Apache RocketMQ.
    pub(crate) fn start(settings: &[&str]) -> Option<Self> {
        apache_namesrv().map(|_| Self(Engine::start(APACHE, settings)))
    }

    pub(crate) fn namesrv(&self) -> String {
        self.0.fact("namesrv")
    }

    /// Stops name server and broker.
    pub(crate) fn stop(&self) {
        self.0.run("stop", &[]);
    }

    /// Starts both again, on their store and ports.
    pub(crate) fn restart(&self) {
        self.0.run("restart", &[]);
    }

    /// Has its own console call itself this account.
    pub(crate) fn log_in(&self, account: &str, secret: &str) {
        let folder = self.0.dir.path().join("conf");
        std::fs::create_dir_all(&folder).expect("a folder");
        let text = format!("accessKey: {account}\nsecretKey: {secret}\n");
        std::fs::write(folder.join("tools.yml"), text).expect("a file");
    }

    /// Runs Apache's console against it and returns what it says.
    pub(crate) fn mqadmin(&self, arguments: &[&str]) -> String {
        without_log(&self.0.run("mqadmin", arguments))
    }

    /// Waits until the name server knows the broker, on a busy machine later than its start.
    pub(crate) async fn wait_until_registered(&self) {
        let known = async || self.mqadmin(&["clusterList"]).contains("broker-a");
        super::wait_until("the broker is registered", known).await;
    }

    /// The broker's address.
    pub(crate) fn broker(&self) -> String {
        self.0.fact("broker")
    }

    /// Changes a setting of the running broker, by its name in `broker.conf`.
    pub(crate) fn set(&self, key: &str, value: &str) {
        let said =
            self.mqadmin(&["updateBrokerConfig", "-b", &self.broker(), "-k", key, "-v", value]);
        assert!(said.contains("update broker config success"), "{said}");
    }

    /// Sends the broker a signal; `TERM` and `KILL` wait for its end.
    pub(crate) fn stop_broker(&self, signal: &str) {
        self.0.run("stop-broker", &[signal]);
    }

    /// Starts the broker again, on its store and port.
    pub(crate) fn start_broker(&self) {
        self.0.run("start-broker", &[]);
    }
}

/// A MariaDB server of one test.
pub(crate) struct MariaDb(Engine);

impl MariaDb {
    /// Starts one with these options of `mariadbd`; `None` where tests have no database server.
    pub(crate) fn start(options: &[&str]) -> Option<Self> {
        mysql_server().map(|_| Self(Engine::start("mariadb/server", options)))
    }

    /// An address with all rights, of an empty database.
    pub(crate) fn url(&self) -> String {
        self.0.fact("url")
    }

    /// Sends it a signal; `TERM` and `KILL` wait for its end.
    pub(crate) fn stop(&self, signal: &str) {
        self.0.run("stop", &[signal]);
    }

    /// Starts it again, on its files and port.
    pub(crate) fn restart(&self) {
        self.0.run("restart", &[]);
    }
}
