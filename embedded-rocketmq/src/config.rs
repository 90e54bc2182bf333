//! The broker's configuration: one clock for check-backs, small files, lenient disk limits.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rocketmq_broker::config::broker_config::BrokerConfig;
use rocketmq_namesrv::NamesrvConfig;
use rocketmq_store::MessageStoreConfig;
use rocketmq_transport::api::ServerConfig;

use crate::Settings;

/// The name that routes carry; fixed, so that a data directory works under any host name.
const BROKER_NAME: &str = "embedded";
/// A half message is held for so many payment windows.
const WINDOWS_HELD: u32 = 10;
/// … and for so many more rounds, because windows do not end on a round.
const SPARE_ROUNDS: u32 = 3;
/// The first check comes no sooner after the half message, so that it does not race the creating
/// transaction.
const FIRST_CHECK_AGE_MIN: Duration = Duration::from_secs(1);
/// … and no later, which is the broker's default.
const FIRST_CHECK_AGE_MAX: Duration = Duration::from_secs(6);
/// Resolved half messages are marked on disk at least this often. A mark that comes after the next
/// round has read is a message checked, and delivered, twice.
const MARK_RESOLVED_INTERVAL_MAX: Duration = Duration::from_millis(200);
/// Marks are written this many times a round.
const MARKS_PER_ROUND: u32 = 5;
/// Progress of consumers and of the check round is on disk this often: what a kill makes them
/// repeat.
const OFFSET_FLUSH_INTERVAL_MS: u64 = 1_000;
/// Messages older than this are deleted, unless ten windows are longer (hours).
const RETENTION_HOURS_MIN: usize = 72;
/// A send may wait so long for the broker on a busy machine (milliseconds; the default of 200 is
/// for servers).
const SEND_QUEUE_WAIT_MS: u64 = 2_000;
/// Commit log file (bytes).
const COMMIT_LOG_FILE_BYTES: usize = 64 * 1024 * 1024;
/// Timer log file (bytes).
const TIMER_LOG_FILE_BYTES: usize = 10 * 1024 * 1024;
/// Consume queue file: 20 000 entries of 20 bytes.
const CONSUME_QUEUE_FILE_BYTES: usize = 20_000 * 20;
/// Hash slots of an index file.
const INDEX_SLOTS: u32 = 50_000;
/// Entries of an index file.
const INDEX_ENTRIES: u32 = 200_000;
/// A developer's disk is often fuller than a broker's may be: percent at which files that are out
/// of date are deleted early …
const DISK_CLEAN_PERCENT: usize = 84;
/// … at which others would be deleted by force, if that weren't switched off (no message goes
/// before its time) …
const DISK_CLEAN_FORCIBLY_PERCENT: usize = 85;
/// … and at which the store neither starts nor takes a message. It takes no higher figure
/// (`rocketmq-store`, `LocalCleanupConfig`).
pub(crate) const DISK_REFUSE_PERCENT: usize = 90;

/// The name server's own settings. Its home is a field, so `ROCKETMQ_HOME` is not needed.
pub(crate) fn namesrv(data_dir: &Path) -> NamesrvConfig {
    let home = data_dir.join("namesrv");
    NamesrvConfig {
        rocketmq_home: text(&home),
        kv_config_path: text(&home.join("kvConfig.json")),
        config_store_path: text(&home.join("namesrv.properties")),
        ..NamesrvConfig::default()
    }
}

/// Where a server listens.
pub(crate) fn listener(address: SocketAddr) -> ServerConfig {
    ServerConfig {
        listen_port: u32::from(address.port()),
        bind_address: address.ip().to_string(),
        ..ServerConfig::default()
    }
}

/// The broker's settings.
pub(crate) fn broker(settings: &Settings, namesrv: SocketAddr, broker: SocketAddr) -> BrokerConfig {
    let root = text(&settings.data_dir.join("store"));
    let host = broker.ip().to_string();
    let mut config = BrokerConfig {
        broker_server_config: listener(broker),
        broker_ip1: host.as_str().into(),
        broker_ip2: Some(host.as_str().into()),
        listen_port: u32::from(broker.port()),
        namesrv_addr: Some(namesrv.to_string().into()),
        store_path_root_dir: root.into(),
        trace_topic_enable: true,
        // A topic that a first send creates has no message type, and its consumer waits 20 s for
        // its queues.
        auto_create_topic_enable: false,
        flush_consumer_offset_interval: OFFSET_FLUSH_INTERVAL_MS,
        wait_time_mills_in_send_queue: SEND_QUEUE_WAIT_MS,
        transaction_check_interval: millis(settings.check_interval),
        transaction_timeout: millis(first_check_age(settings.check_interval)),
        transaction_check_max: check_max(settings.pay_window, settings.check_interval),
        transaction_op_batch_interval: millis(mark_resolved_interval(settings.check_interval)),
        ..BrokerConfig::default()
    };
    config.broker_identity.broker_name = BROKER_NAME.into();
    config
}

/// The message store's settings.
pub(crate) fn store(settings: &Settings, replica: SocketAddr) -> MessageStoreConfig {
    let held = settings.pay_window.saturating_mul(WINDOWS_HELD);
    let held_hours =
        usize::try_from(held.as_secs() / 3_600).unwrap_or(usize::MAX).saturating_add(24);
    MessageStoreConfig {
        store_path_root_dir: text(&settings.data_dir.join("store")).into(),
        mapped_file_size_commit_log: COMMIT_LOG_FILE_BYTES,
        mapped_file_size_timer_log: TIMER_LOG_FILE_BYTES,
        mapped_file_size_consume_queue: CONSUME_QUEUE_FILE_BYTES,
        max_hash_slot_num: INDEX_SLOTS,
        max_index_num: INDEX_ENTRIES,
        file_reserved_time: RETENTION_HOURS_MIN.max(held_hours),
        disk_max_used_space_ratio: DISK_CLEAN_PERCENT,
        disk_space_clean_forcibly_ratio: DISK_CLEAN_FORCIBLY_PERCENT,
        disk_space_warning_level_ratio: DISK_REFUSE_PERCENT,
        clean_file_forcibly_enable: false,
        // By default 0.0.0.0:10912; nobody replicates this broker.
        ha_listen_address: replica.ip(),
        ha_listen_port: usize::from(replica.port()),
        ..MessageStoreConfig::default()
    }
}

fn first_check_age(check_interval: Duration) -> Duration {
    check_interval.clamp(FIRST_CHECK_AGE_MIN, FIRST_CHECK_AGE_MAX)
}

fn mark_resolved_interval(check_interval: Duration) -> Duration {
    (check_interval / MARKS_PER_ROUND).min(MARK_RESOLVED_INTERVAL_MAX)
}

/// After so many check-backs the embedded broker gives a half message up: as many as fit ten
/// payment windows. The broker counts a check even when no producer is connected, so the maximum is
/// generous.
#[must_use]
pub fn check_max(pay_window: Duration, check_interval: Duration) -> u32 {
    let held = pay_window.saturating_mul(WINDOWS_HELD).as_millis();
    let rounds = held.div_ceil(check_interval.as_millis().max(1));
    // The broker casts it to a signed number.
    let rounds = u32::try_from(rounds).unwrap_or(u32::MAX).min(u32::MAX / 4);
    rounds.saturating_add(SPARE_ROUNDS)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(check_interval: Duration, pay_window: Duration) -> Settings {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Settings { data_dir: "data".into(), namesrv: any, broker: any, check_interval, pay_window }
    }

    #[test]
    fn a_half_message_outlives_ten_windows() {
        let demo = settings(Duration::from_secs(5), Duration::from_mins(1));
        assert_eq!(check_max(demo.pay_window, demo.check_interval), 123);
        let day = settings(Duration::from_secs(30), Duration::from_hours(24));
        assert_eq!(check_max(day.pay_window, day.check_interval), 28_803);
        assert_eq!(store(&day, day.broker).file_reserved_time, 264);
    }

    #[test]
    fn marks_are_written_well_within_a_round() {
        assert_eq!(mark_resolved_interval(Duration::from_secs(5)), Duration::from_millis(200));
        assert_eq!(mark_resolved_interval(Duration::from_millis(500)), Duration::from_millis(100));
    }
}
