//! One clock: whether a broker holds a half message for as long as its order needs it, and checks
//! back when the schedule of the light poll expects it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Rounds that the broker must hold a half message for beyond the window and its grace.
pub const SPARE_ROUNDS: u32 = 3;
/// Rounds after which the light poll looks at a fresh order that was not checked yet.
const ROUNDS_BEFORE_POLL: u32 = 3;
/// A creating transaction takes no longer, as a rule: an earlier check races it.
const CREATION_TIME: Duration = Duration::from_secs(1);

const CHECK_INTERVAL: &str = "transactionCheckInterval";
const CHECK_MAX: &str = "transactionCheckMax";
const FIRST_CHECK_AGE: &str = "transactionTimeOut";
const MARK_INTERVAL: &str = "transactionOpBatchInterval";
const RETENTION: &str = "fileReservedTime";
const TIMER_MAX: &str = "timerMaxDelaySec";

/// What a broker says about its check-backs; `None` where it does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// Pause between two rounds of check-backs, `transactionCheckInterval`.
    pub check_interval: Option<Duration>,
    /// Checks after which a half message is given up, `transactionCheckMax`.
    pub check_max: Option<u32>,
    /// Age before the first check, `transactionTimeOut`.
    pub first_check_age: Option<Duration>,
    /// How long resolved half messages wait to be marked as such, `transactionOpBatchInterval`.
    pub mark_interval: Option<Duration>,
    /// Age at which every message is deleted, `fileReservedTime`.
    pub retention: Option<Duration>,
    /// The longest delay of a message, `timerMaxDelaySec`.
    pub timer_max: Option<Duration>,
}

impl Reported {
    /// Reads a broker's own names of its settings. A value that can't be read counts as unsaid.
    #[must_use]
    pub fn read<'a>(value_of: impl Fn(&str) -> Option<&'a str>) -> Self {
        let number = |key| value_of(key).and_then(|value| value.trim().parse::<u64>().ok());
        let millis = |key| number(key).map(Duration::from_millis);
        let hours = number(RETENTION);
        let seconds = |key| number(key).map(Duration::from_secs);
        Self {
            check_interval: millis(CHECK_INTERVAL),
            check_max: number(CHECK_MAX).map(|value| u32::try_from(value).unwrap_or(u32::MAX)),
            first_check_age: millis(FIRST_CHECK_AGE),
            mark_interval: millis(MARK_INTERVAL),
            retention: hours.map(|hours| Duration::from_secs(hours.saturating_mul(3_600))),
            timer_max: seconds(TIMER_MAX),
        }
    }

    /// Whether the broker said everything that decides about its check-backs.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.check_interval.is_some()
            && self.check_max.is_some()
            && self.first_check_age.is_some()
            && self.mark_interval.is_some()
    }
}

/// What the configured windows need of every broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// Of its check-backs; `None` if no order has a half message.
    pub half_messages: Option<HalfMessages>,
    /// The longest delay that a message is sent with; `None` if no order has a timer.
    pub longest_timer: Option<Duration>,
}

/// What the windows that half messages time need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HalfMessages {
    /// The shortest payment window.
    pub shortest_window: Duration,
    /// The longest payment window.
    pub longest_window: Duration,
    /// The key of the longest payment window.
    pub longest_window_key: String,
    /// The key that gives that window another engine.
    pub engine_key: String,
    /// Time after the deadline in which nothing is cancelled.
    pub grace: Duration,
    /// How often the broker is expected to check back.
    pub check_interval: Duration,
    /// Checks that fit the longest window.
    pub max_checks: u32,
    /// After how many checks the broker is expected to give up.
    pub broker_check_max: u32,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It works, at a price.
    Warning,
    /// Orders would not end as promised by their half messages.
    Mismatch,
}

/// A setting of a broker that does not fit ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The broker's name of the setting.
    pub key: &'static str,
    /// Its value there.
    pub broker: String,
    /// What we have, with the key.
    pub ours: String,
    /// How much it matters.
    pub weight: Weight,
    /// What happens because of it.
    pub consequence: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, broker, ours, consequence, remedy, .. } = self;
        write!(f, "{key} is {broker}, {ours}: {consequence}; {remedy}")
    }
}

/// Compares what a broker says with what we need; empty if everything said fits.
#[must_use]
pub fn compare(reported: &Reported, needed: &Needed) -> Vec<Finding> {
    let half_messages = needed.half_messages.iter().flat_map(|needed| {
        [
            interval(reported, needed),
            check_max(reported, needed),
            first_check(reported, needed),
            retention(reported, needed),
            marks(reported),
        ]
    });
    let timer = needed.longest_timer.map(|longest| timer(reported, longest));
    half_messages.chain(timer).flatten().collect()
}

/// Rounds of this interval that a time takes, the last one begun counted.
#[must_use]
pub fn rounds(time: Duration, interval: Duration) -> u32 {
    let rounds = time.as_millis().div_ceil(interval.as_millis().max(1));
    u32::try_from(rounds).unwrap_or(u32::MAX)
}

fn interval(reported: &Reported, needed: &HalfMessages) -> Option<Finding> {
    let (theirs, ours) = (reported.check_interval?, needed.check_interval);
    (theirs != ours).then(|| Finding {
        key: CHECK_INTERVAL,
        broker: ms(theirs),
        ours: format!("timeout.check_interval is {}", ms(ours)),
        weight: Weight::Mismatch,
        consequence: "checks come at other times than the light poll and the counts expect".into(),
        remedy: format!(
            "{}, or timeout.check_interval to {}",
            set(CHECK_INTERVAL, ours),
            ms(theirs)
        ),
    })
}

fn check_max(reported: &Reported, needed: &HalfMessages) -> Option<Finding> {
    let theirs = reported.check_max?;
    let interval = reported.check_interval.unwrap_or(needed.check_interval);
    let to_the_end = rounds(needed.longest_window + needed.grace, interval);
    let least = to_the_end.max(needed.max_checks).saturating_add(SPARE_ROUNDS);
    let window = format!(
        "{} of {:?} with its grace and {SPARE_ROUNDS} rounds needs {least}",
        needed.longest_window_key, needed.longest_window
    );
    if theirs < least {
        return Some(Finding {
            key: CHECK_MAX,
            broker: theirs.to_string(),
            ours: window,
            weight: Weight::Mismatch,
            consequence: "the broker gives half messages up before their orders end".into(),
            remedy: format!(
                "set {CHECK_MAX} to {least} or more, shorten that window, or set {} to \"delay\"",
                needed.engine_key
            ),
        });
    }
    (theirs < needed.broker_check_max).then(|| Finding {
        key: CHECK_MAX,
        broker: theirs.to_string(),
        ours: format!("timeout.broker_check_max is {}", needed.broker_check_max),
        weight: Weight::Warning,
        consequence: "the alarm check_count_at_maximum comes too late".into(),
        remedy: format!("set timeout.broker_check_max to {theirs}"),
    })
}

fn first_check(reported: &Reported, needed: &HalfMessages) -> Option<Finding> {
    let theirs = reported.first_check_age?;
    let interval = needed.check_interval;
    let finding = |weight, ours: String, consequence: &str, remedy: String| {
        let consequence = consequence.to_owned();
        Some(Finding {
            key: FIRST_CHECK_AGE,
            broker: ms(theirs),
            ours,
            weight,
            consequence,
            remedy,
        })
    };
    if theirs >= needed.shortest_window {
        let ours = format!("the shortest timeout.pay_window is {}", ms(needed.shortest_window));
        let consequence = "no order of it is checked before its window ends";
        return finding(Weight::Mismatch, ours, consequence, set(FIRST_CHECK_AGE, interval));
    }
    let ours = format!("timeout.check_interval is {}", ms(interval));
    if theirs > interval.saturating_mul(ROUNDS_BEFORE_POLL) {
        let consequence = "the light poll looks at orders before their first check comes";
        return finding(Weight::Warning, ours, consequence, set(FIRST_CHECK_AGE, interval));
    }
    if theirs < CREATION_TIME {
        let consequence = "checks race the transaction that creates the order";
        return finding(Weight::Warning, ours, consequence, set(FIRST_CHECK_AGE, CREATION_TIME));
    }
    None
}

fn retention(reported: &Reported, needed: &HalfMessages) -> Option<Finding> {
    let theirs = reported.retention?;
    let interval = reported.check_interval.unwrap_or(needed.check_interval);
    let least = needed.longest_window + needed.grace + interval.saturating_mul(SPARE_ROUNDS);
    let hours = |time: Duration| time.as_secs().div_ceil(3_600);
    (theirs < least).then(|| Finding {
        key: RETENTION,
        broker: format!("{} h", hours(theirs)),
        ours: format!("{} is {:?}", needed.longest_window_key, needed.longest_window),
        weight: Weight::Mismatch,
        consequence: "half messages are deleted before their orders end".into(),
        remedy: format!(
            "set {RETENTION} to {} or more, or {} to \"delay\"",
            hours(least),
            needed.engine_key
        ),
    })
}

/// Resolved half messages that are not marked before the next round are checked again: 336 to 658
/// of 2,000 were delivered twice with marks every 3 s and a check every second, and none of 2,000
/// with marks every 200 ms (Apache RocketMQ 5.5.0).
fn marks(reported: &Reported) -> Option<Finding> {
    let theirs = reported.mark_interval?;
    let (key, limit) =
        [(CHECK_INTERVAL, reported.check_interval), (FIRST_CHECK_AGE, reported.first_check_age)]
            .into_iter()
            .filter_map(|(key, time)| Some((key, time?)))
            .min_by_key(|(_, time)| *time)?;
    (theirs >= limit).then(|| Finding {
        key: MARK_INTERVAL,
        broker: ms(theirs),
        ours: format!("which is not below {key} ({})", ms(limit)),
        weight: Weight::Warning,
        consequence: "resolved half messages are checked again: 336 to 658 of 2000 were delivered \
                      twice in measurements, and none with 200 ms"
            .into(),
        remedy: set(MARK_INTERVAL, (limit / 5).max(Duration::from_millis(100))),
    })
}

fn timer(reported: &Reported, longest: Duration) -> Option<Finding> {
    let theirs = reported.timer_max?;
    (theirs < longest).then(|| Finding {
        key: TIMER_MAX,
        broker: format!("{} s", theirs.as_secs()),
        ours: format!("and timers of {longest:?} are sent"),
        weight: Weight::Warning,
        consequence: "it refuses the timers of such orders, and only the light poll ends them"
            .into(),
        remedy: format!("set timeout.timer_max to {}s or less", theirs.as_secs()),
    })
}

fn ms(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

fn set(key: &str, time: Duration) -> String {
    format!("set {key} to {}", time.as_millis())
}

/// What a broker said when it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The broker's name.
    pub broker: String,
    /// `None`: it did not answer, or may not be asked by us.
    pub reported: Option<Reported>,
}

/// What is known of all brokers. What can't be read now counts as it was read last; a broker that
/// is gone does not count.
#[derive(Clone, Debug, Default)]
pub struct Known {
    findings: BTreeMap<String, Vec<Finding>>,
    verified: bool,
}

impl Known {
    /// Takes note of what all brokers said. No reading at all says nothing: they are away.
    pub fn note(&mut self, readings: &[Reading], needed: &Needed) {
        self.verified = !readings.is_empty();
        if readings.is_empty() {
            return;
        }
        self.findings.retain(|name, _| readings.iter().any(|reading| reading.broker == *name));
        for Reading { broker, reported } in readings {
            if let Some(reported) = reported {
                self.findings.insert(broker.clone(), compare(reported, needed));
            }
            self.verified &= reported.as_ref().is_some_and(Reported::is_complete);
        }
    }

    /// Takes note that nobody could be asked.
    pub fn nobody_answers(&mut self) {
        self.verified = false;
    }

    /// Whether every broker has said everything, at the last look.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.verified
    }

    /// The findings of this weight, each as a sentence with its broker's name.
    #[must_use]
    pub fn sentences(&self, weight: Weight) -> Vec<String> {
        let of_broker = |(name, findings): (&String, &Vec<Finding>)| {
            let found = findings.iter().filter(|finding| finding.weight == weight);
            found.map(|finding| format!("broker {name}: {finding}")).collect::<Vec<_>>()
        };
        self.findings.iter().flat_map(of_broker).collect()
    }
}

#[cfg(test)]
mod tests;
