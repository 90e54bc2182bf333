//! The surroundings of a scenario: broker, database, gateway, and the service's configuration. All
//! of them are fresh, so that no scenario works on what another one left.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use alipay_simulator::Simulator;
use alipay_simulator::development_keys::{APP_PRIVATE_KEY, GATEWAY_PUBLIC_KEY};
use anyhow::Context as _;
use checkback::app::App;
use checkback::clock::{Clock as _, SystemClock};
use checkback::config::Config;
use checkback::domain::ids::SkuId;
use checkback::domain::money::Fen;
use checkback::domain::stock::Sku;
use checkback::run::{Environment, HttpSockets, Service};
use checkback::store::skus;
use embedded_rocketmq::EmbeddedRocketMq;
use tempfile::TempDir;

use crate::database::Database;
use crate::gateway::Gateway;
use crate::options::Options;
use crate::shop::{KEY, Shop};

/// What every piece costs (fen).
pub(crate) const PRICE_FEN: i64 = 100;
/// The window of flash orders, which are waited for.
const FLASH_WINDOW: Duration = Duration::from_secs(5);
/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";
/// Rounds of check-backs that a broker must hold beyond a window, and the grace's.
const ROUNDS_SPARE: u32 = 5;

static GROUNDS: AtomicU32 = AtomicU32::new(0);

/// How often the broker checks back, and how long buyers may pay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tempo {
    pub(crate) check_interval: Duration,
    pub(crate) pay_window: Duration,
}

impl Tempo {
    /// No check-back comes while something else is measured.
    pub(crate) const STILL: Self =
        Self { check_interval: Duration::from_mins(30), pay_window: Duration::from_hours(2) };
    /// Check-backs come every second.
    pub(crate) const QUICK: Self =
        Self { check_interval: Duration::from_secs(1), pay_window: Duration::from_mins(10) };
}

/// Whether a scenario needs a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    Broker,
    NoBroker,
}

/// The surroundings of a scenario.
pub(crate) struct Ground {
    pub(crate) config: Config,
    pub(crate) database: Database,
    broker: Option<EmbeddedRocketMq>,
    simulator: Simulator,
    _dir: TempDir,
}

impl Ground {
    pub(crate) async fn start(
        options: &Options,
        needs: Needs,
        tempo: Tempo,
    ) -> anyhow::Result<Self> {
        let dir = options.dir.as_ref().map_or_else(tempfile::tempdir, tempfile::tempdir_in)?;
        let database = Database::create(options.database.as_deref(), dir.path()).await?;
        let simulator = alipay_simulator::start(alipay_simulator::Settings::default()).await?;
        let broker = match (needs, &options.rocketmq) {
            (Needs::Broker, None) => Some(start_broker(dir.path(), tempo).await?),
            _ => None,
        };
        let clock = BrokerClock::of(options, tempo, broker.as_ref(), needs);
        let gateway_url = simulator.gateway_url();
        let text = configuration(dir.path(), &database.url, &gateway_url, &clock);
        let file = dir.path().join("checkback.toml");
        std::fs::write(dir.path().join("app.pem"), APP_PRIVATE_KEY)?;
        std::fs::write(dir.path().join("gateway.pem"), GATEWAY_PUBLIC_KEY)?;
        std::fs::write(&file, text)?;
        let config = Config::load(&file).context("the benchmark's configuration")?;
        Ok(Self { config, database, broker, simulator, _dir: dir })
    }

    /// Starts the service, with everything that belongs to it.
    pub(crate) async fn start_service(&self) -> anyhow::Result<Service> {
        let sockets = HttpSockets::bind(self.config.http.listen, None)?;
        Service::start(self.config.clone(), sockets, Environment::default()).await
    }

    /// The gateway's own side.
    pub(crate) fn gateway(&self) -> anyhow::Result<Gateway> {
        Gateway::new(self.simulator.address())
    }

    /// Takes everything down; the service must have been stopped.
    pub(crate) async fn clear(self) -> anyhow::Result<()> {
        self.simulator.shutdown().await;
        if let Some(broker) = self.broker {
            broker.shutdown().await;
        }
        self.database.remove().await
    }
}

/// A shop at a running service.
pub(crate) fn shop_at(service: &Service) -> anyhow::Result<Arc<Shop>> {
    Ok(Arc::new(Shop::new(service.http_address)?))
}

/// Makes so many SKUs with so many pieces each, `sku-0` and so on.
pub(crate) async fn stock(app: &App, count: u64, pieces: i64) -> anyhow::Result<()> {
    for number in 0..count {
        let sku = Sku {
            sku_id: SkuId::parse(&sku_name(number)).context("a SKU's id")?,
            title: "a thing".to_owned(),
            price_fen: Fen::new(PRICE_FEN).context("a price")?,
            available: pieces,
            locked: 0,
            sold: 0,
        };
        skus::insert(&app.store, &sku, "bench", SystemClock.now()).await?;
    }
    Ok(())
}

pub(crate) fn sku_name(number: u64) -> String {
    format!("sku-{number}")
}

async fn start_broker(dir: &Path, tempo: Tempo) -> anyhow::Result<EmbeddedRocketMq> {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = embedded_rocketmq::Settings {
        data_dir: dir.join("rocketmq"),
        namesrv: anywhere,
        broker: anywhere,
        check_interval: tempo.check_interval,
        pay_window: tempo.pay_window,
    };
    Ok(embedded_rocketmq::start(settings).await?)
}

/// Where the broker is, and its clock, as the service is told of it.
struct BrokerClock {
    mode: &'static str,
    namesrv: String,
    check_interval: Duration,
    pay_window: Duration,
    check_max: u32,
}

impl BrokerClock {
    fn of(
        options: &Options,
        tempo: Tempo,
        embedded: Option<&EmbeddedRocketMq>,
        needs: Needs,
    ) -> Self {
        let Tempo { check_interval, pay_window } = tempo;
        if let (Needs::Broker, Some(namesrv)) = (needs, &options.rocketmq) {
            let interval = Duration::from_secs(options.check_interval.max(1));
            let rounds = options.check_max.saturating_sub(ROUNDS_SPARE).max(1);
            return Self {
                mode: "cluster",
                namesrv: namesrv.clone(),
                check_interval: interval,
                pay_window: pay_window.min(interval * rounds).max(FLASH_WINDOW),
                check_max: options.check_max,
            };
        }
        let namesrv = embedded.map(|broker| broker.namesrv_address().to_string());
        Self {
            mode: "embedded",
            namesrv: namesrv.unwrap_or_else(|| NOWHERE.to_owned()),
            check_interval,
            pay_window,
            check_max: embedded_rocketmq::check_max(pay_window, check_interval),
        }
    }
}

/// The configuration file, with names of its own on a shared broker.
fn configuration(
    dir: &Path,
    database_url: &str,
    gateway_url: &str,
    broker: &BrokerClock,
) -> String {
    let number = GROUNDS.fetch_add(1, Ordering::Relaxed);
    let prefix = format!("bench{}x{number}-", std::process::id());
    let BrokerClock { mode, namesrv, check_interval, pay_window, check_max } = broker;
    let (interval, window) = (check_interval.as_secs(), pay_window.as_secs());
    let (app_id, seller_id) =
        (alipay_simulator::DEFAULT_APP_ID, alipay_simulator::DEFAULT_SELLER_ID);
    let (dir, flash) = (dir.display(), FLASH_WINDOW.as_secs());
    format!(
        r#"
[http]
listen = "127.0.0.1:0"
[[http.keys]]
name = "bench"
key = "{KEY}"
scopes = ["orders", "set_amount", "refunds", "ops"]
[database]
url = "{database_url}"
[rocketmq]
mode = "{mode}"
namesrv = "{namesrv}"
name_prefix = "{prefix}"
[timeout]
pay_window = "{window}s"
check_interval = "{interval}s"
broker_check_max = {check_max}
[timeout.class.flash]
pay_window = "{flash}s"
[alipay]
gateway_url = "{gateway_url}"
app_id = "{app_id}"
seller_id = "{seller_id}"
private_key_file = "{dir}/app.pem"
alipay_public_key_file = "{dir}/gateway.pem"
notify_url = "http://127.0.0.1:1/v1/alipay/notify"
[reconcile]
enabled = false
"#
    )
}
