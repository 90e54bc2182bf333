//! What a test's service is configured with.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use checkback::config::{
    Alarms, Alipay, ApiKey, Audit, Config, Database, Http, OnClockMismatch, OrderClass, Payment,
    Poll, Reconcile, Refund, Rocketmq, RocketmqMode, Scope, Secret, Sweep, Timeout,
};
use tempfile::TempDir;

use super::engines::APACHE_CHECK_MAX;
use super::{CHECK_INTERVAL, FLASH_WINDOW, KEY, OPS_KEY, PAY_WINDOW, SHOP_KEY, loopback};

static NEXT_PREFIX: AtomicU32 = AtomicU32::new(0);

/// Topics and groups of one test on a broker that outlives this process.
fn fresh_prefix() -> String {
    format!("t{}x{}-", std::process::id(), NEXT_PREFIX.fetch_add(1, Ordering::Relaxed))
}

/// The application's private key and the gateway's public key, as files.
pub(crate) fn write_keys(dir: &TempDir) -> (PathBuf, PathBuf) {
    let private = dir.path().join("app.pem");
    let public = dir.path().join("gateway.pem");
    std::fs::write(&private, alipay_simulator::development_keys::APP_PRIVATE_KEY).expect("a file");
    std::fs::write(&public, alipay_simulator::development_keys::GATEWAY_PUBLIC_KEY)
        .expect("a file");
    (private, public)
}

/// The broker of a test, and how the test's deployment appears there.
#[derive(Clone, Debug)]
pub(crate) struct Broker {
    pub(crate) mode: RocketmqMode,
    pub(crate) namesrv: String,
    pub(crate) check_max: u32,
    pub(crate) name_prefix: String,
    pub(crate) on_clock_mismatch: OnClockMismatch,
    /// The account and its secret, where the broker wants to know who asks.
    pub(crate) account: Option<(&'static str, &'static str)>,
}

impl Broker {
    /// One of this project's own.
    pub(crate) fn embedded(namesrv: String) -> Self {
        let check_max = embedded_rocketmq::check_max(PAY_WINDOW, CHECK_INTERVAL);
        let on_clock_mismatch = OnClockMismatch::Refuse;
        let (mode, name_prefix) = (RocketmqMode::Embedded, fresh_prefix());
        Self { mode, namesrv, check_max, name_prefix, on_clock_mismatch, account: None }
    }

    /// One that `tests/apache/rocketmq` has started.
    pub(crate) fn apache(namesrv: String) -> Self {
        let check_max = APACHE_CHECK_MAX;
        Self { mode: RocketmqMode::Cluster, check_max, ..Self::embedded(namesrv) }
    }
}

/// Everything of its own but the broker.
pub(super) fn config(
    (private_key_file, alipay_public_key_file): (PathBuf, PathBuf),
    gateway_url: &str,
    broker: Broker,
    database_url: &str,
    base: &str,
) -> Config {
    let key = |name: &str, key: &str, scopes: &[Scope]| ApiKey {
        name: name.to_owned(),
        key: Secret::new(key),
        key_file: None,
        scopes: scopes.to_vec(),
    };
    let flash = OrderClass { pay_window: Some(FLASH_WINDOW), engine: None };
    let all = [Scope::Orders, Scope::SetAmount, Scope::Refunds, Scope::Ops];
    Config {
        http: Http {
            listen: loopback(),
            public_listen: None,
            public_url: Some(base.to_owned()),
            keys: vec![
                key("test", KEY, &all),
                key("operator", OPS_KEY, &[Scope::Ops]),
                key("shop", SHOP_KEY, &[Scope::Orders]),
            ],
        },
        database: Database { url: Secret::new(database_url), url_file: None, migrate: true },
        rocketmq: Rocketmq {
            mode: broker.mode,
            namesrv: broker.namesrv,
            name_prefix: broker.name_prefix,
            access_key: broker.account.map(|(name, _)| name.to_owned()),
            secret_key: broker.account.map(|(_, secret)| Secret::new(secret)),
            secret_key_file: None,
            callback_threads: 16,
        },
        timeout: Timeout {
            pay_window: PAY_WINDOW,
            check_interval: CHECK_INTERVAL,
            class: [("flash".to_owned(), flash)].into(),
            broker_check_max: broker.check_max,
            on_clock_mismatch: broker.on_clock_mismatch,
            ..Timeout::default()
        },
        alipay: Alipay {
            gateway_url: gateway_url.to_owned(),
            app_id: alipay_simulator::DEFAULT_APP_ID.to_owned(),
            seller_id: alipay_simulator::DEFAULT_SELLER_ID.to_owned(),
            private_key_file,
            alipay_public_key_file: Some(alipay_public_key_file),
            next_alipay_public_key_file: None,
            app_cert_file: None,
            alipay_cert_file: None,
            next_alipay_cert_file: None,
            alipay_root_cert_file: None,
            notify_url: format!("{base}/v1/alipay/notify"),
            out_trade_no_prefix: "CB".to_owned(),
            code_life: Duration::from_secs(30),
            calls_per_second: NonZeroU32::new(1_000).expect("not zero"),
            previous: Vec::new(),
        },
        payment: Payment::default(),
        refund: Refund { spacing: Duration::ZERO, ..Refund::default() },
        poll: Poll::default(),
        sweep: Sweep::default(),
        // Tests say themselves when bills are looked at.
        reconcile: Reconcile { enabled: false, ..Reconcile::default() },
        alarms: Alarms::default(),
        audit: Audit::default(),
    }
}
