//! What settings of databases and brokers mean for orders and payments, in words.

use super::table::Table;
use crate::producer::admin::BrokerProperties;

/// How good a value is.
enum Mark {
    Good(&'static str),
    Costly(&'static str),
    Bad(&'static str),
}

fn row(what: &str, value: &str, mark: &Mark, table: &mut Table) {
    match mark {
        Mark::Good("") => table.ok(what, value),
        Mark::Good(why) => table.ok(what, format!("{value}: {why}")),
        Mark::Costly(why) => table.warn(what, format!("{value}: {why}")),
        Mark::Bad(why) => table.fail(what, format!("{value}: {why}")),
    }
}

/// Prints a setting of the database server.
pub(super) fn judge_database(name: &str, value: &str, table: &mut Table) {
    let off = value == "0" || value.eq_ignore_ascii_case("off");
    let mark = match name {
        "innodb_flush_log_at_trx_commit" if value == "1" => Mark::Good("each commit is on disk"),
        "innodb_flush_log_at_trx_commit" => {
            Mark::Bad("a power cut loses orders and payments that were answered; set it to 1")
        }
        "innodb_doublewrite" if off => {
            Mark::Costly("a power cut can tear pages, unless the file system writes them whole")
        }
        "sync_binlog" if value == "1" => Mark::Good("replicas and backups miss no commit"),
        "sync_binlog" => Mark::Costly(
            "after a crash, replicas and backups by the binary log can miss commits; set it to 1",
        ),
        "sql_mode" if !value.contains("STRICT_TRANS_TABLES") && !value.contains("STRICT_ALL") => {
            Mark::Costly("values that do not fit are cut silently, but for our own connections")
        }
        "read_only" if !off => Mark::Bad("nothing can be written: is it a replica?"),
        "character_set_database" if value != "utf8mb4" => {
            Mark::Bad("not every character can be kept; make the database with utf8mb4")
        }
        "collation_database" if !tells_letter_case(value) => {
            Mark::Bad("ids and keys that differ in letter case only are the same; use utf8mb4_bin")
        }
        "default_storage_engine" if !value.eq_ignore_ascii_case("innodb") => {
            Mark::Costly("tables without transactions, but for those that we make")
        }
        "journal_mode" if value != "wal" => Mark::Costly("the next start sets it to wal"),
        _ => Mark::Good(""),
    };
    row(&format!("database {name}"), value, &mark, table);
}

/// Whether texts that differ in letter case only are told apart.
pub(super) fn tells_letter_case(collation: &str) -> bool {
    collation.ends_with("_bin") || collation.ends_with("_cs") || collation.contains("_cs_")
}

/// Settings of a broker that decide what it may lose.
const BROKER_KEYS: [&str; 10] = [
    "flushDiskType",
    "brokerRole",
    "inSyncReplicas",
    "minInSyncReplicas",
    "enableAutoInSyncReplicas",
    "autoCreateTopicEnable",
    "autoCreateSubscriptionGroup",
    "transRocksDBEnable",
    "rejectTransactionMessage",
    "fileReservedTime",
];

/// Prints the settings of a broker that it tells.
pub(super) fn judge_broker(name: &str, settings: &BrokerProperties, table: &mut Table) {
    let role = settings.get("brokerRole").unwrap_or_default();
    for key in BROKER_KEYS {
        let Some(value) = settings.get(key) else { continue };
        row(&format!("{name} {key}"), value, &judge(key, value, role), table);
    }
}

fn judge(key: &str, value: &str, role: &str) -> Mark {
    let replicas: u32 = value.parse().unwrap_or(1);
    match (key, value) {
        ("flushDiskType", "SYNC_FLUSH") => Mark::Good("what was acknowledged is on disk"),
        ("flushDiskType", _) => Mark::Costly(
            "a power cut loses acknowledged half messages: their orders end by the light poll",
        ),
        ("brokerRole", "SYNC_MASTER") => Mark::Good("what was acknowledged is on a replica, too"),
        ("brokerRole", _) => Mark::Costly(
            "a broker whose disk is lost takes its half messages along: their orders end by the \
             light poll, and events of the last days are gone",
        ),
        ("inSyncReplicas", _) if role == "SYNC_MASTER" && replicas < 2 => {
            Mark::Costly("SYNC_MASTER waits for nobody with it; set it to 2")
        }
        ("minInSyncReplicas", _) if role == "SYNC_MASTER" && replicas < 2 => {
            Mark::Costly("without its replica, the broker acknowledges alone")
        }
        ("autoCreateTopicEnable", "true") => Mark::Costly(
            "a topic that a send makes has no message type, and its consumers begin late",
        ),
        ("transRocksDBEnable", "true") => Mark::Costly(
            "checks cost no log, but half messages that are given up vanish without a trace: \
             none is reported, the light poll ends their orders",
        ),
        ("transRocksDBEnable", _) => Mark::Good("each check writes its half message again"),
        ("rejectTransactionMessage", "true") => {
            Mark::Bad("the broker takes no half messages: every order is degraded")
        }
        ("fileReservedTime", _) => Mark::Good("hours until any message is deleted"),
        _ => Mark::Good(""),
    }
}
