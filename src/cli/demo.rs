//! `checkback demo`: everything in one process, on loopback, on disk.

use std::num::NonZeroU32;
use std::process::ExitCode;

use anyhow::Context as _;

use super::data_dir::DataDir;
use super::signals::{Signals, run_until_stopped, stop_in_time};
use super::{DemoArgs, say};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{
    Alarms, Alipay, ApiKey, Audit, Config, Database, Http, Payment, Poll, Reconcile, Refund,
    Rocketmq, RocketmqMode, Scope, Secret, Sweep, Timeout,
};
use crate::domain::ids::SkuId;
use crate::domain::money::Fen;
use crate::domain::stock::Sku;
use crate::run::{Environment, HttpSockets, Service};
use crate::store::{Store, skus};

/// The key of the demo's storefront.
const DEMO_KEY: &str = "dev";
/// The simulator is on this machine.
const CALLS_PER_SECOND: NonZeroU32 = NonZeroU32::new(1_000).unwrap();
/// How long an unscanned code may still be scanned, in the demo.
const CODE_LIFE: std::time::Duration = std::time::Duration::from_secs(30);
/// SKUs to try: id, title, price in fen, stock.
const SKUS: [(&str, &str, i64, i64); 3] = [
    ("tea-250g", "龙井茶 Longjing tea, 250 g", 12_800, 100),
    ("cup-blue", "青花杯 Blue cup", 3_900, 50),
    ("last-one", "孤品 The last one", 100, 1),
];

/// What runs beside the service.
struct Surroundings {
    simulator: alipay_simulator::Simulator,
    broker: Option<embedded_rocketmq::EmbeddedRocketMq>,
}

impl Surroundings {
    async fn shutdown(self) {
        self.simulator.shutdown().await;
        if let Some(broker) = self.broker {
            broker.shutdown().await;
        }
    }
}

pub(super) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    if !args.http.ip().is_loopback() {
        anyhow::bail!("the demo's key is public, so --http must be a loopback address");
    }
    let mut signals = Signals::listen().context("signals can't be listened to")?;
    let data_dir = DataDir::open(&args.data_dir)?;
    let sockets = HttpSockets::bind(args.http, None)?;
    let (surroundings, config) = tokio::select! {
        started = surround(&args, &data_dir, &sockets) => started?,
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    data_dir.write_config(&config)?;
    say("starting the service …");
    let starting = async {
        seed(&config).await?;
        Service::start(config, sockets, Environment::default()).await
    };
    let service = tokio::select! {
        started = starting => started?,
        () = signals.next() => {
            stop_in_time(surroundings.shutdown(), &mut signals).await;
            return Ok(ExitCode::SUCCESS);
        }
    };
    surroundings.simulator.deliver_notifications();
    welcome(&args, &service, &surroundings);
    Ok(run_until_stopped(service, &mut signals, surroundings.shutdown()).await)
}

async fn surround(
    args: &DemoArgs,
    data_dir: &DataDir,
    sockets: &HttpSockets,
) -> anyhow::Result<(Surroundings, Config)> {
    say("making keys …");
    let keys = data_dir.keys()?;
    say("starting the Alipay simulator …");
    let simulator = alipay_simulator::start_quietly(alipay_simulator::Settings {
        listen: args.simulator,
        data_dir: Some(data_dir.join("simulator")),
        app_id: alipay_simulator::DEFAULT_APP_ID.to_owned(),
        seller_id: alipay_simulator::DEFAULT_SELLER_ID.to_owned(),
        app_public_key_pem: keys.app_public_pem.clone(),
        private_key_pem: keys.gateway_private_pem.clone(),
        certificates: None,
    })
    .await?;
    let broker = if args.rocketmq.is_none() {
        say("starting RocketMQ …");
        let settings = super::broker::settings(
            data_dir.join("rocketmq"),
            args.namesrv,
            args.broker,
            args.check_interval,
            args.pay_window,
        );
        Some(embedded_rocketmq::start(settings).await?)
    } else {
        None
    };
    let namesrv = namesrv(args, broker.as_ref());
    let public_url = format!("http://{}", sockets.private_address());
    let config = Config {
        http: Http {
            listen: sockets.private_address(),
            public_listen: None,
            public_url: Some(public_url.clone()),
            keys: vec![demo_key()],
        },
        database: Database {
            url: Secret::new(format!("sqlite:{}", data_dir.join("checkback.db").display())),
            url_file: None,
            migrate: true,
        },
        rocketmq: Rocketmq {
            mode: if broker.is_some() { RocketmqMode::Embedded } else { RocketmqMode::Cluster },
            namesrv,
            name_prefix: String::new(),
            access_key: None,
            secret_key: None,
            secret_key_file: None,
            callback_threads: 128,
        },
        timeout: timeout(args),
        alipay: Alipay {
            gateway_url: simulator.gateway_url(),
            app_id: alipay_simulator::DEFAULT_APP_ID.to_owned(),
            seller_id: alipay_simulator::DEFAULT_SELLER_ID.to_owned(),
            private_key_file: keys.app_private,
            alipay_public_key_file: Some(keys.gateway_public),
            next_alipay_public_key_file: None,
            app_cert_file: None,
            alipay_cert_file: None,
            next_alipay_cert_file: None,
            alipay_root_cert_file: None,
            notify_url: format!("{public_url}/v1/alipay/notify"),
            out_trade_no_prefix: "CB".to_owned(),
            code_life: CODE_LIFE,
            calls_per_second: CALLS_PER_SECOND,
            previous: Vec::new(),
        },
        payment: Payment::default(),
        // The gateway of a demo has no reason to keep refunds apart.
        refund: Refund { spacing: std::time::Duration::ZERO, ..Refund::default() },
        poll: Poll::default(),
        sweep: Sweep::default(),
        reconcile: Reconcile::default(),
        alarms: Alarms::default(),
        audit: Audit::default(),
    };
    config.validate()?;
    Ok((Surroundings { simulator, broker }, config))
}

fn namesrv(args: &DemoArgs, broker: Option<&embedded_rocketmq::EmbeddedRocketMq>) -> String {
    let embedded = broker.map(|broker| broker.namesrv_address().to_string());
    embedded.or_else(|| args.rocketmq.clone()).unwrap_or_default()
}

fn timeout(args: &DemoArgs) -> Timeout {
    Timeout {
        pay_window: args.pay_window,
        check_interval: args.check_interval,
        broker_check_max: embedded_rocketmq::check_max(args.pay_window, args.check_interval),
        ..Timeout::default()
    }
}

fn demo_key() -> ApiKey {
    ApiKey {
        name: "demo".to_owned(),
        key: Secret::new(DEMO_KEY),
        key_file: None,
        scopes: vec![Scope::Orders, Scope::SetAmount, Scope::Refunds, Scope::Ops],
    }
}

/// SKUs to try, there before the first request; those of an earlier start stay as they are.
async fn seed(config: &Config) -> anyhow::Result<()> {
    let store = Store::connect(config.database.url.expose()).await?;
    store.migrate().await?;
    for (sku_id, title, price_fen, stock) in SKUS {
        let sku = Sku {
            sku_id: SkuId::parse(sku_id).context("a seed SKU has a bad id")?,
            title: title.to_owned(),
            price_fen: Fen::new(price_fen).context("a seed SKU has a bad price")?,
            available: stock,
            locked: 0,
            sold: 0,
        };
        skus::insert(&store, &sku, "demo", SystemClock.now()).await?;
    }
    store.close().await;
    Ok(())
}

fn welcome(args: &DemoArgs, service: &Service, surroundings: &Surroundings) {
    let http = service.http_address;
    let simulator = surroundings.simulator.address();
    let namesrv = namesrv(args, surroundings.broker.as_ref());
    say(format_args!(
        "
checkback is ready.

  API and its documentation   http://{http}/docs          (Authorization: Bearer {DEMO_KEY})
  operator console            http://{http}/ops           (log in with {DEMO_KEY})
  metrics, health             http://{http}/metrics   http://{http}/readyz
  Alipay simulator            http://{simulator}/_ctl/trades
  RocketMQ name server        {namesrv}

Place an order, start its payment, and open the two pages that it answers:

  curl -s http://{http}/v1/orders -H 'Authorization: Bearer {DEMO_KEY}' -H 'Idempotency-Key: 1' \\
    -d '{{\"member_id\":\"m1\",\"items\":[{{\"sku_id\":\"tea-250g\",\"quantity\":1}}]}}'
  curl -s http://{http}/v1/orders/<id>/payments -H 'Authorization: Bearer {DEMO_KEY}' \\
    -d '{{\"channel\":\"alipay\"}}'
  the cashier page            http://{http}/pay/<id>
  the buyer's phone           the address in \"qr_code\"

It is cancelled after {:?} if nobody pays. Ctrl-C stops; the same directory goes on where it was.
",
        args.pay_window
    ));
}
