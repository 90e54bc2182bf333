//! Instances of `checkback serve` that make one deployment: one broker, one database, one gateway.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use alipay_simulator::{DEFAULT_APP_ID, DEFAULT_SELLER_ID, Settings, Simulator, development_keys};
use checkback::config::RocketmqMode;
use tempfile::TempDir;

use super::child::{Ended, Process, checkback, note, until};
use super::demo::{Ports, START_PATIENCE, STOP_BUDGET, run};
use super::shop::Shop;
use crate::support::engines::{MysqlDatabase, apache_namesrv};
use crate::support::{Broker, loopback, shared_broker, write_keys};

/// The keys of every instance, unless a test has others: all scopes for the shop's own.
const KEYS: &str = r#"
[[http.keys]]
name = "demo"
key = "dev"
scopes = ["orders", "set_amount", "refunds", "ops"]
"#;

/// A deployment, before, between and after the lives of its instances.
pub(super) struct Fleet {
    pub(super) dir: TempDir,
    pub(super) pay_window: &'static str,
    /// Where the gateway sends notifications.
    pub(super) webhook: SocketAddr,
    /// The `[[http.keys]]` of the next configuration that is written.
    pub(super) keys: String,
    pub(super) public_listen: Option<SocketAddr>,
    broker: Broker,
    gateway: Option<Simulator>,
    database: Option<MysqlDatabase>,
}

impl Fleet {
    /// On whatever broker and database the tests have; a SQLite file allows one instance only.
    pub(super) async fn new(pay_window: &'static str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        write_keys(&dir);
        let gateway = alipay_simulator::start(Settings {
            listen: loopback(),
            data_dir: None,
            app_id: DEFAULT_APP_ID.to_owned(),
            seller_id: DEFAULT_SELLER_ID.to_owned(),
            app_public_key_pem: development_keys::APP_PUBLIC_KEY.to_owned(),
            private_key_pem: development_keys::GATEWAY_PRIVATE_KEY.to_owned(),
            certificates: None,
        });
        Self {
            dir,
            pay_window,
            webhook: SocketAddr::from(([127, 0, 0, 1], 1)),
            keys: KEYS.to_owned(),
            public_listen: None,
            broker: shared_broker().await,
            gateway: Some(gateway.await.expect("the simulator starts")),
            database: MysqlDatabase::create().await,
        }
    }

    /// On Apache RocketMQ and MariaDB; `None` where tests have none.
    pub(super) async fn on_engines(pay_window: &'static str) -> Option<Self> {
        apache_namesrv()?;
        let fleet = Self::new(pay_window).await;
        fleet.database.is_some().then_some(fleet)
    }

    /// On MariaDB and whatever broker the tests have; `None` where they have no server.
    pub(super) async fn on_server(pay_window: &'static str) -> Option<Self> {
        let fleet = Self::new(pay_window).await;
        fleet.database.is_some().then_some(fleet)
    }

    /// Writes the configuration of the instance that listens there.
    pub(super) fn configure(&self, http: SocketAddr) -> PathBuf {
        let file = self.dir.path().join(format!("{}.toml", http.port()));
        fs::write(&file, self.config(http)).expect("a file");
        file
    }

    fn config(&self, http: SocketAddr) -> String {
        let dir = self.dir.path().display();
        let public = self.public_listen.map(|public| format!("public_listen = \"{public}\""));
        let sqlite = || format!("sqlite:{dir}/checkback.db");
        let database = self.database.as_ref().map_or_else(sqlite, |database| database.url.clone());
        let mode = match self.broker.mode {
            RocketmqMode::Embedded => "embedded",
            RocketmqMode::Cluster => "cluster",
        };
        let (keys, pay_window, webhook) = (&self.keys, self.pay_window, self.webhook);
        let gateway = self.gateway.as_ref().expect("it runs until finish()").gateway_url();
        format!(
            r#"
[http]
listen = "{http}"
{public}
{keys}
[database]
url = "{database}"
[rocketmq]
mode = "{mode}"
namesrv = "{namesrv}"
name_prefix = "{prefix}"
callback_threads = 32
[timeout]
pay_window = "{pay_window}"
check_interval = "1s"
broker_check_max = {check_max}
[alipay]
gateway_url = "{gateway}"
app_id = "{DEFAULT_APP_ID}"
seller_id = "{DEFAULT_SELLER_ID}"
private_key_file = "{dir}/app.pem"
alipay_public_key_file = "{dir}/gateway.pem"
notify_url = "http://{webhook}/v1/alipay/notify"
code_life = "20s"
calls_per_second = 1000
[refund]
spacing = "200ms"
"#,
            public = public.unwrap_or_default(),
            namesrv = self.broker.namesrv,
            prefix = self.broker.name_prefix,
            check_max = self.broker.check_max,
        )
    }

    /// The simulator's address.
    pub(super) fn simulator(&self) -> SocketAddr {
        self.gateway.as_ref().expect("it runs until finish()").address()
    }

    /// Starts an instance there and waits until it is ready.
    pub(super) async fn start(&self, name: &'static str, http: SocketAddr) -> Instance {
        let mut command = checkback();
        command.arg("serve").arg("--config").arg(self.configure(http));
        let mut process = Process::start(name, self.dir.path(), command);
        let shop = Shop::new(http, self.simulator());
        let begun = Instant::now();
        until("the instance is ready", START_PATIENCE, async || {
            assert!(!process.has_ended(), "it ended: {}", process.stderr());
            shop.is_ready().await
        })
        .await;
        note(format_args!("{name} is ready after {:?}", begun.elapsed()));
        Instance { name, process, shop, http }
    }

    /// Two instances; notifications go to the second.
    pub(super) async fn start_two(&mut self) -> (Instance, Instance) {
        let (a, b) = (Ports::free().http, Ports::free().http);
        self.webhook = b;
        (self.start("a", a).await, self.start("b", b).await)
    }

    /// Runs one of the tools to its end.
    pub(super) async fn tool(&self, args: &[&str]) -> Ended {
        let file = self.configure(loopback());
        let mut command = checkback();
        command.args(args).arg("--config").arg(file);
        run(command).await
    }

    /// No invariant is violated.
    pub(super) async fn assert_sound(&self) {
        let ended = self.tool(&["audit"]).await;
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    }

    /// Audits, and takes everything down; all instances have ended.
    pub(super) async fn finish(mut self) {
        self.assert_sound().await;
        if let Some(gateway) = self.gateway.take() {
            gateway.shutdown().await;
        }
        if let Some(database) = self.database.take() {
            database.remove().await;
        }
    }
}

/// A running instance and somebody who uses it.
pub(super) struct Instance {
    pub(super) name: &'static str,
    pub(super) process: Process,
    pub(super) shop: Shop,
    pub(super) http: SocketAddr,
}

impl Instance {
    /// Asks it to end, which is a success within the promised time.
    pub(super) async fn terminate(mut self) -> Duration {
        let begun = Instant::now();
        self.process.signal("TERM");
        let ended = self.process.end_within(STOP_BUDGET).await;
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
        begun.elapsed()
    }
}
