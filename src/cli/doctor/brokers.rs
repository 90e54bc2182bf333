//! Brokers: who they are, how they are set, and whether their clock fits ours.

use std::sync::Arc;

use super::settings::judge_broker;
use super::table::Table;
use super::topics;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, RocketmqMode};
use crate::domain::broker_clock::{Known, Reading, Weight};
use crate::producer::admin::{Admin, BrokerFacts, BrokerProperties};
use crate::producer::runtime::MessagingRuntime;
use crate::run::broker_settings;

/// A broker tells its time to the second, so that less can't be told (ms).
const SKEW_MAX_MS: i64 = 2_000;

pub(super) async fn check(config: &Config, table: &mut Table) {
    let runtime = match MessagingRuntime::start(broker_settings(&config.rocketmq)) {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => return table.fail("RocketMQ", error),
    };
    let admin = Admin::new(&runtime);
    match admin.facts().await {
        Ok(brokers) if brokers.is_empty() => {
            table.fail("brokers", "none is registered at the name server");
        }
        Ok(brokers) => {
            for facts in &brokers {
                check_broker(facts, table);
            }
            compare_clocks(config, &brokers, table);
            topics::check(&admin, table).await;
        }
        Err(error) => table.fail("brokers", error),
    }
    runtime.shutdown().await;
}

fn check_broker(facts: &BrokerFacts, table: &mut Table) {
    let broker = &facts.broker;
    let what = format!("broker {}", broker.name);
    let place = format!("{} in {}", broker.address, broker.cluster);
    match &facts.state {
        Ok(state) => {
            let version = state.get("brokerVersionDesc").unwrap_or("of unknown version");
            table.ok(&what, format!("{place}, master, {version}"));
        }
        Err(why) => table.warn(&what, format!("{place}, master; more can't be read: {why}")),
    }
    match &facts.settings {
        Ok(settings) => judge_broker(&what, settings, table),
        Err(why) => table.warn(&what, format!("its settings can't be read: {why}")),
    }
    check_skew(facts, &what, table);
}

fn check_skew(facts: &BrokerFacts, what: &str, table: &mut Table) {
    let what = format!("clock, against {what}");
    let Some(theirs_ms) = facts.now_ms() else {
        return table.warn(what, "unknown: the broker does not tell its time");
    };
    // It was asked some milliseconds ago, and told whole seconds.
    let off_ms = (SystemClock.now().timestamp_millis() - theirs_ms).abs();
    if off_ms > SKEW_MAX_MS {
        let why = "messages with a delivery time come so much too early or too late";
        table.warn(what, format!("about {off_ms} ms off: {why}"));
    } else {
        table.ok(what, "less than two seconds off");
    }
}

fn compare_clocks(config: &Config, brokers: &[BrokerFacts], table: &mut Table) {
    let what = "one clock";
    let needed = config.timeout.needed_of_brokers();
    let ours = match &needed.half_messages {
        None => "no order class has half messages".to_owned(),
        Some(needed) => format!(
            "windows of {:?} to {:?}, a check every {:?}, {} checks to a window, {} held",
            needed.shortest_window,
            needed.longest_window,
            needed.check_interval,
            needed.max_checks,
            needed.broker_check_max
        ),
    };
    let readings: Vec<_> = brokers
        .iter()
        .map(|facts| Reading {
            broker: facts.broker.name.clone(),
            reported: facts.settings.as_ref().ok().map(BrokerProperties::reported),
        })
        .collect();
    let mut known = Known::default();
    known.note(&readings, &needed);
    let mismatches = known.sentences(Weight::Mismatch);
    for mismatch in &mismatches {
        table.fail(what, mismatch);
    }
    for warning in known.sentences(Weight::Warning) {
        table.warn(what, warning);
    }
    if needed.half_messages.is_none() {
        return table.ok(what, ours);
    }
    match (known.is_verified(), config.rocketmq.mode) {
        (true, _) if mismatches.is_empty() => table.ok(what, format!("verified: {ours}")),
        (true, _) => {}
        (false, RocketmqMode::Embedded) => {
            table.ok(what, format!("not verified: the embedded broker is started with {ours}"));
        }
        (false, RocketmqMode::Cluster) => {
            let why = "a broker does not tell its transaction settings";
            table.warn(what, format!("not verified: {why}; taken as configured: {ours}"));
        }
    }
}
