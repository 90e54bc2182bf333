//! A service and its doctor beside brokers and databases that are set up well, and badly.

use std::fs;
use std::path::{Path, PathBuf};

use alipay_simulator::development_keys::{APP_PRIVATE_KEY, APP_PUBLIC_KEY};
use alipay_simulator::development_keys::{GATEWAY_PRIVATE_KEY, GATEWAY_PUBLIC_KEY};
use alipay_simulator::{DEFAULT_APP_ID, DEFAULT_SELLER_ID, Simulator};
use tempfile::TempDir;

use super::child::{Ended, checkback};
use super::demo::run;
use super::start_up::{CONFIG, assert_refused, serve};
use crate::support::engines::{ApacheRocketMq, MariaDb};
use crate::support::loopback;

/// A configuration that names these, and the directory that it lives in.
pub(super) fn configured(changes: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("app.pem"), APP_PRIVATE_KEY).expect("a file");
    fs::write(dir.path().join("gateway.pem"), GATEWAY_PUBLIC_KEY).expect("a file");
    let mut text = CONFIG.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let file = dir.path().join("checkback.toml");
    fs::write(&file, text.replace("DIR", &dir.path().display().to_string())).expect("a file");
    (dir, file)
}

pub(super) async fn tool(name: &str, file: &Path) -> Ended {
    let mut command = checkback();
    command.arg(name).arg("--config").arg(file);
    run(command).await
}

async fn simulator() -> Simulator {
    alipay_simulator::start(alipay_simulator::Settings {
        listen: loopback(),
        data_dir: None,
        app_id: DEFAULT_APP_ID.to_owned(),
        seller_id: DEFAULT_SELLER_ID.to_owned(),
        app_public_key_pem: APP_PUBLIC_KEY.to_owned(),
        private_key_pem: GATEWAY_PRIVATE_KEY.to_owned(),
        certificates: None,
    })
    .await
    .expect("the simulator starts")
}

/// The table has each of these rows: a mark, and words that stand behind it in this order.
pub(super) fn assert_rows(table: &str, rows: &[(&str, &[&str])]) {
    for (mark, words) in rows {
        let fits = |line: &&str| {
            let mut rest = line.strip_prefix(mark);
            for word in *words {
                rest = rest.and_then(|rest| rest.split_once(word)).map(|(_, after)| after);
            }
            rest.is_some()
        };
        assert!(table.lines().any(|line| fits(&line)), "no {mark} {words:?} in\n{table}");
    }
}

#[tokio::test]
async fn brokers_that_give_up_too_early_are_refused_with_keys_values_and_remedy() {
    let settings = ["transactionCheckInterval=5000", "transactionCheckMax=15"];
    let Some(broker) = ApacheRocketMq::start(&settings) else { return };
    broker.wait_until_registered().await;
    let (_dir, file) = configured(&[("namesrv = \"127.0.0.1:1", &namesrv(&broker))]);
    let words = [
        "timeout.on_clock_mismatch",
        "broker-a",
        "transactionCheckMax is 15",
        "timeout.pay_window of 60s",
        "needs 16",
        "set transactionCheckMax to 16 or more",
    ];
    assert_refused(serve(&file), &words).await;
}

fn namesrv(broker: &ApacheRocketMq) -> String {
    format!("namesrv = \"{}", broker.namesrv())
}

#[tokio::test]
async fn the_doctor_finds_what_is_set_badly_and_changes_nothing() {
    let options = [
        "--innodb-flush-log-at-trx-commit=2",
        "--sql-mode=",
        "--collation-server=utf8mb4_general_ci",
    ];
    let Some(database) = MariaDb::start(&options) else { return };
    let settings = ["transactionCheckMax=15", "autoCreateTopicEnable=true"];
    let Some(broker) = ApacheRocketMq::start(&settings) else { return };
    broker.wait_until_registered().await;
    let (_dir, file) = configured(&[
        ("namesrv = \"127.0.0.1:1", &namesrv(&broker)),
        ("sqlite:DIR/checkback.db", &database.url()),
    ]);
    // The second look sees what the first one would have left behind.
    for _ in 0..2 {
        let ended = tool("doctor", &file).await;
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert!(!ended.stdout.contains("secret-of"), "{ended:?}");
        assert_rows(
            &ended.stdout,
            &[
                ("ok", &["API key storefront", "orders"]),
                ("warn", &["secrets", "http.keys.key", "checkback.toml"]),
                ("ok", &["alipay.private_key_file", "2048 bits", "SHA-256"]),
                ("ok", &["certificates", "key mode"]),
                ("ok", &["database", "MariaDB"]),
                ("warn", &["migrations", "0 applied", "the next start applies them"]),
                ("warn", &["deployment", "none yet"]),
                ("FAIL", &["innodb_flush_log_at_trx_commit", "2", "power cut"]),
                ("warn", &["sql_mode", "cut silently"]),
                ("FAIL", &["collation_database", "utf8mb4_general_ci", "letter case"]),
                ("ok", &["clock, against the database"]),
                ("FAIL", &["gateway"]),
                ("ok", &["broker broker-a", "127.0.0.1", "DefaultCluster", "V5_5_0"]),
                ("warn", &["flushDiskType", "ASYNC_FLUSH", "power cut"]),
                ("warn", &["brokerRole", "ASYNC_MASTER", "disk is lost"]),
                ("warn", &["autoCreateTopicEnable", "true"]),
                ("ok", &["transRocksDBEnable", "false"]),
                ("ok", &["fileReservedTime", "72"]),
                ("FAIL", &["one clock", "transactionCheckInterval is 1000 ms", "5000 ms"]),
                ("FAIL", &["one clock", "transactionCheckMax is 15"]),
                ("ok", &["clock, against broker broker-a"]),
                ("warn", &["topic checkback-order-timeout", "missing"]),
                ("warn", &["group checkback-cancel-order", "missing"]),
                ("ok", &["given-up half messages", "none so far"]),
            ],
        );
    }
}

#[tokio::test]
async fn the_doctor_is_content_with_what_is_set_well() {
    let Some(database) = MariaDb::start(&[]) else { return };
    let settings =
        ["transactionCheckInterval=5000", "transactionCheckMax=123", "flushDiskType=SYNC_FLUSH"];
    let Some(broker) = ApacheRocketMq::start(&settings) else { return };
    broker.wait_until_registered().await;
    let simulator = simulator().await;
    let (_dir, file) = configured(&[
        ("namesrv = \"127.0.0.1:1", &namesrv(&broker)),
        ("sqlite:DIR/checkback.db", &database.url()),
        ("http://127.0.0.1:1/gateway.do", &simulator.gateway_url()),
    ]);
    let migrated = tool("migrate", &file).await;
    assert_eq!(migrated.status.code(), Some(0), "{migrated:?}");
    let ended = tool("doctor", &file).await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stdout);
    assert_rows(
        &ended.stdout,
        &[
            ("ok", &["migrations", "all"]),
            ("ok", &["innodb_flush_log_at_trx_commit", "each commit is on disk"]),
            ("ok", &["collation of tables"]),
            ("ok", &["gateway", "signatures agree"]),
            ("ok", &["flushDiskType", "SYNC_FLUSH", "on disk"]),
            ("ok", &["one clock", "verified"]),
        ],
    );
    simulator.shutdown().await;
}
