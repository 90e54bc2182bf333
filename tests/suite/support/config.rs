//! What a test's service is configured with.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use checkback::config::{
    Alipay, ApiKey, Config, Database, Http, OrderClass, Rocketmq, RocketmqMode, Scope, Secret,
    Sweep, Timeout,
};
use tempfile::TempDir;

use super::{CHECK_INTERVAL, FLASH_WINDOW, KEY, OPS_KEY, PAY_WINDOW, SHOP_KEY, loopback};

static NEXT_PREFIX: AtomicU32 = AtomicU32::new(0);

/// The application's private key and the gateway's public key, as files.
pub(super) fn write_keys(dir: &TempDir) -> (PathBuf, PathBuf) {
    let private = dir.path().join("app.pem");
    let public = dir.path().join("gateway.pem");
    std::fs::write(&private, alipay_simulator::development_keys::APP_PRIVATE_KEY).expect("a file");
    std::fs::write(&public, alipay_simulator::development_keys::GATEWAY_PUBLIC_KEY)
        .expect("a file");
    (private, public)
}

/// Everything of its own but the broker.
pub(super) fn config(
    dir: &TempDir,
    (private_key_file, alipay_public_key_file): (PathBuf, PathBuf),
    gateway_url: &str,
    namesrv: String,
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
        database: Database {
            url: Secret::new(format!("sqlite:{}", dir.path().join("test.db").display())),
            migrate: true,
        },
        rocketmq: Rocketmq {
            mode: RocketmqMode::Embedded,
            namesrv,
            name_prefix: format!("t{}-", NEXT_PREFIX.fetch_add(1, Ordering::Relaxed)),
            access_key: None,
            secret_key: None,
            secret_key_file: None,
            callback_threads: 16,
        },
        timeout: Timeout {
            pay_window: PAY_WINDOW,
            check_interval: CHECK_INTERVAL,
            class: [("flash".to_owned(), flash)].into(),
            broker_check_max: embedded_rocketmq::check_max(PAY_WINDOW, CHECK_INTERVAL),
            ..Timeout::default()
        },
        alipay: Alipay {
            gateway_url: gateway_url.to_owned(),
            app_id: alipay_simulator::DEFAULT_APP_ID.to_owned(),
            seller_id: alipay_simulator::DEFAULT_SELLER_ID.to_owned(),
            private_key_file,
            alipay_public_key_file,
            notify_url: format!("{base}/v1/alipay/notify"),
            out_trade_no_prefix: "CB".to_owned(),
            code_life: Duration::from_secs(30),
        },
        sweep: Sweep::default(),
    }
}
