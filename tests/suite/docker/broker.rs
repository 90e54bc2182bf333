//! `broker.conf` and `mysql.cnf`: the broker ignores what it doesn't know, so this doesn't.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{read, service_config};

/// What may stand in `broker.conf`, with what it is for. These are setters of the broker's own
/// configuration classes in 5.5.0; another spelling is a default without a word.
const KNOWN: [(&str, &str); 19] = [
    ("brokerClusterName", "where topics are made"),
    ("brokerName", "stands in routes, and so in offsets"),
    ("brokerId", "0 is a master"),
    ("listenPort", "clients; the fast listener is two below"),
    ("storePathRootDir", "the volume"),
    ("transactionCheckInterval", "timeout.check_interval"),
    ("transactionCheckMax", "timeout.broker_check_max"),
    ("transactionTimeOut", "the age of the first check; `transactionTimeout` is ignored"),
    ("transactionOpBatchInterval", "above the others it makes duplicates"),
    ("flushDiskType", "what an acknowledgement is worth"),
    ("brokerRole", "what an acknowledgement is worth"),
    ("fileReservedTime", "half messages are kept no longer"),
    ("autoCreateTopicEnable", "a first send makes topics without a type"),
    ("autoCreateSubscriptionGroup", "a typing error makes a group"),
    ("traceTopicEnable", "message trace"),
    ("recallMessageEnable", "delayed messages can be taken back; off by default"),
    ("metricsExporterType", "PROM"),
    ("metricsPromExporterHost", "the container's address"),
    ("metricsPromExporterPort", "what Prometheus scrapes"),
];

/// The `key = value` lines of a file; a key that stands twice is an error.
fn settings(file: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in read(file).lines().filter(|line| !line.starts_with(['#', '['])) {
        let Some((key, value)) = line.split_once('=') else { continue };
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        assert!(found.insert(key.clone(), value).is_none(), "{key} stands twice in {file}");
    }
    found
}

pub(super) fn broker_setting(key: &str) -> String {
    settings("docker/broker.conf").remove(key).unwrap_or_else(|| panic!("no {key}"))
}

fn millis(key: &str) -> Duration {
    Duration::from_millis(broker_setting(key).parse().expect("milliseconds"))
}

#[test]
fn the_broker_knows_every_key_of_its_configuration() {
    for key in settings("docker/broker.conf").keys() {
        assert!(KNOWN.iter().any(|(known, _)| known == key), "the broker would ignore {key}");
    }
}

#[test]
fn broker_and_service_have_one_clock() {
    let (config, _secrets) = service_config();
    let timeout = &config.timeout;
    assert_eq!(millis("transactionCheckInterval"), timeout.check_interval);
    let check_max: u32 = broker_setting("transactionCheckMax").parse().expect("a number");
    assert_eq!(check_max, timeout.broker_check_max);
    assert!(check_max >= timeout.max_checks() + 3, "three rounds beyond the window");
    let (first, batch) = (millis("transactionTimeOut"), millis("transactionOpBatchInterval"));
    assert!(first < timeout.check_interval && batch < first, "{first:?} {batch:?}");
    let hours: u64 = broker_setting("fileReservedTime").parse().expect("hours");
    assert!(Duration::from_hours(hours) > timeout.pay_window * 2, "{hours} hours");
}

#[test]
fn what_was_acknowledged_is_on_disk() {
    assert_eq!(broker_setting("flushDiskType"), "SYNC_FLUSH");
    assert_eq!(broker_setting("autoCreateTopicEnable"), "false");
    let mysql = settings("docker/mysql.cnf");
    for (key, wanted) in [
        ("innodb_flush_log_at_trx_commit", "1"),
        ("sync_binlog", "1"),
        ("character_set_server", "utf8mb4"),
        ("collation_server", "utf8mb4_bin"),
    ] {
        assert_eq!(mysql.get(key).map(String::as_str), Some(wanted), "{key}");
    }
    assert!(mysql["sql_mode"].contains("STRICT_TRANS_TABLES"));
}
