//! `[timeout]`: payment windows, and how often the broker checks back.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::domain::broker_clock::{HalfMessages, Needed, SPARE_ROUNDS, rounds};
use crate::domain::order::{Engine, HalfMessageMeaning};

/// Payment windows and how they are driven.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeout {
    /// The engine of orders without a class of their own.
    pub engine: Engine,
    /// What a half message says when it is committed.
    pub half_message: HalfMessageMeaning,
    /// How long a buyer may pay.
    #[serde(with = "humantime_serde")]
    pub pay_window: Duration,
    /// Time after the deadline in which nothing is cancelled yet.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// How often the broker is expected to check back.
    #[serde(with = "humantime_serde")]
    pub check_interval: Duration,
    /// The number of checks that fit the window; derived from the two if unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_checks: Option<u32>,
    /// After this many checks the broker gives a half message up (`transactionCheckMax`).
    pub broker_check_max: u32,
    /// When the gateway is asked about an attempt, counted from its making; the last distance is
    /// repeated. For orders that no broker checks back about.
    #[serde(with = "durations")]
    pub query_schedule: Vec<Duration>,
    /// The longest time that the broker's timer takes (`timerMaxDelaySec`).
    #[serde(with = "humantime_serde")]
    pub timer_max: Duration,
    /// What to do when a broker's settings do not fit these.
    pub on_clock_mismatch: OnClockMismatch,
    /// Time past due after which an order that can't be ended opens an alarm.
    #[serde(with = "humantime_serde")]
    pub overdue_alarm_after: Duration,
    /// Windows and engines of order classes.
    pub class: BTreeMap<String, OrderClass>,
}

/// What to do at start when a broker's settings do not fit the windows. Later it is an alarm, and
/// new orders go without a half message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnClockMismatch {
    /// Do not start.
    #[default]
    Refuse,
    /// Start; new orders go without a half message, and the light poll ends them.
    Degrade,
}

/// What differs for a class of orders.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OrderClass {
    /// Its payment window.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub pay_window: Option<Duration>,
    /// Its engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
}

impl Default for Timeout {
    fn default() -> Self {
        Self {
            engine: Engine::Transaction,
            half_message: HalfMessageMeaning::Cancel,
            pay_window: Duration::from_mins(5),
            grace: Duration::from_secs(2),
            check_interval: Duration::from_secs(30),
            max_checks: None,
            query_schedule: [15, 30, 60, 120, 300].map(Duration::from_secs).to_vec(),
            timer_max: Duration::from_hours(71),
            broker_check_max: 15,
            on_clock_mismatch: OnClockMismatch::Refuse,
            overdue_alarm_after: Duration::from_mins(5),
            class: BTreeMap::new(),
        }
    }
}

/// Shortest payment window.
const PAY_WINDOW_MIN: Duration = Duration::from_secs(5);
/// Longest payment window: thirty days.
const PAY_WINDOW_MAX: Duration = Duration::from_hours(30 * 24);
/// Shortest time for the broker's timer: it is precise to a second.
const TIMER_MIN: Duration = Duration::from_secs(2);
/// Queries are no closer to each other.
const QUERY_SPACING_MIN: Duration = Duration::from_secs(1);
/// Most times of the schedule.
const QUERIES_MAX: usize = 64;
/// Longest time past due without an alarm.
const OVERDUE_ALARM_MAX: Duration = Duration::from_hours(72);
/// Longest grace.
const GRACE_MAX: Duration = Duration::from_hours(1);
/// Shortest check interval.
const CHECK_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Longest name of a class.
const CLASS_CHARS_MAX: usize = 32;

/// What an order class makes of its orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long a buyer may pay.
    pub pay_window: Duration,
    /// How the timeout is driven.
    pub engine: Engine,
    /// The section of their keys.
    section: String,
}

impl Terms {
    fn window_key(&self) -> String {
        format!("{}.pay_window", self.section)
    }

    fn engine_key(&self) -> String {
        format!("{}.engine", self.section)
    }
}

impl Timeout {
    /// The terms of an order class; `None` if there is no such class.
    #[must_use]
    pub fn terms_of(&self, class: Option<&str>) -> Option<Terms> {
        let Some(name) = class else { return Some(self.terms()) };
        self.class.get(name).map(|class| self.terms_with(name, class))
    }

    /// The number of checks that fit the longest window that half messages time: count and window
    /// are two views of one deadline.
    #[must_use]
    pub fn max_checks(&self) -> u32 {
        let longest = self.with_half_messages().map(|terms| terms.pay_window).max();
        let longest = longest.map_or(Duration::ZERO, |window| window + self.grace);
        self.max_checks.unwrap_or_else(|| rounds(longest, self.check_interval))
    }

    /// What every broker must have for these windows.
    #[must_use]
    pub fn needed_of_brokers(&self) -> Needed {
        let with_timers = self.all_terms().filter(|terms| terms.engine == Engine::Delay);
        let longest = with_timers.map(|terms| terms.pay_window + self.grace).max();
        let longest_timer = longest.map(|longest| longest.min(self.timer_max));
        Needed { half_messages: self.needed_by_half_messages(), longest_timer }
    }

    fn needed_by_half_messages(&self) -> Option<HalfMessages> {
        let longest = self.with_half_messages().max_by_key(|terms| terms.pay_window)?;
        Some(HalfMessages {
            shortest_window: self.with_half_messages().map(|terms| terms.pay_window).min()?,
            longest_window: longest.pay_window,
            longest_window_key: longest.window_key(),
            engine_key: longest.engine_key(),
            grace: self.grace,
            check_interval: self.check_interval,
            max_checks: self.max_checks(),
            broker_check_max: self.broker_check_max,
        })
    }

    fn terms(&self) -> Terms {
        let section = "timeout".to_owned();
        Terms { pay_window: self.pay_window, engine: self.engine, section }
    }

    fn terms_with(&self, name: &str, class: &OrderClass) -> Terms {
        Terms {
            pay_window: class.pay_window.unwrap_or(self.pay_window),
            engine: class.engine.unwrap_or(self.engine),
            section: format!("timeout.class.{name}"),
        }
    }

    fn all_terms(&self) -> impl Iterator<Item = Terms> {
        let classes = self.class.iter().map(|(name, class)| self.terms_with(name, class));
        std::iter::once(self.terms()).chain(classes)
    }

    fn with_half_messages(&self) -> impl Iterator<Item = Terms> {
        self.all_terms().filter(|terms| terms.engine == Engine::Transaction)
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        for terms in self.all_terms() {
            let fits = (PAY_WINDOW_MIN..=PAY_WINDOW_MAX).contains(&terms.pay_window);
            if !fits || terms.pay_window.subsec_nanos() != 0 {
                let why = "must be whole seconds, from 5s to 30 days";
                return Err(ConfigError::invalid(&terms.window_key(), why));
            }
        }
        if self.check_interval < CHECK_INTERVAL_MIN || self.check_interval > self.pay_window {
            let why = "must be at least 100ms and not longer than timeout.pay_window";
            return Err(ConfigError::invalid("timeout.check_interval", why));
        }
        if self.grace > GRACE_MAX || self.overdue_alarm_after > OVERDUE_ALARM_MAX {
            let why = "grace is at most 1h, overdue_alarm_after at most 3 days";
            return Err(ConfigError::invalid("timeout.grace", why));
        }
        if self.class.keys().any(|name| name.is_empty() || name.len() > CLASS_CHARS_MAX) {
            return Err(ConfigError::invalid("timeout.class", "a name has 1 to 32 characters"));
        }
        self.validate_schedule()?;
        self.validate_check_max()
    }

    fn validate_schedule(&self) -> Result<(), ConfigError> {
        let times = std::iter::once(&Duration::ZERO).chain(&self.query_schedule);
        let spaced = times.zip(&self.query_schedule);
        let grows = spaced.into_iter().all(|(one, next)| {
            next.checked_sub(*one).is_some_and(|spacing| spacing >= QUERY_SPACING_MIN)
        });
        let ends = self.query_schedule.last().is_some_and(|last| *last <= PAY_WINDOW_MAX);
        if !grows || !ends || self.query_schedule.len() > QUERIES_MAX {
            let why = "must be 1 to 64 times, each at least a second after the one before, and \
                       none beyond 30 days";
            return Err(ConfigError::invalid("timeout.query_schedule", why));
        }
        if self.timer_max < TIMER_MIN {
            return Err(ConfigError::invalid("timeout.timer_max", "must be at least 2s"));
        }
        Ok(())
    }

    /// A half message lives for as many rounds as the broker checks it.
    fn validate_check_max(&self) -> Result<(), ConfigError> {
        let needed = self.max_checks().saturating_add(SPARE_ROUNDS);
        let longest = self.with_half_messages().max_by_key(|terms| terms.pay_window);
        match longest {
            Some(terms) if self.broker_check_max < needed => {
                let (key, engine) = (terms.window_key(), terms.engine_key());
                let why = format!(
                    "the engine \"transaction\" can't hold {key}: the broker gives a half message \
                     up after {} checks every {:?}, but a window needs {needed}: set {engine} to \
                     \"delay\", or raise transactionCheckMax and timeout.broker_check_max, \
                     lengthen the check interval, or shorten the window",
                    self.broker_check_max, self.check_interval
                );
                Err(ConfigError::invalid("timeout.broker_check_max", why))
            }
            _ => Ok(()),
        }
    }
}

/// A list of durations as people write them.
mod durations {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    /// A list, or one text with commas: the environment has no lists.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        List(Vec<String>),
        Text(String),
    }

    pub(super) fn serialize<S: Serializer>(
        times: &[Duration],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer
            .collect_seq(times.iter().map(|time| humantime::format_duration(*time).to_string()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Duration>, D::Error> {
        let texts = match Written::deserialize(deserializer)? {
            Written::List(texts) => texts,
            Written::Text(text) => text.split(',').map(|one| one.trim().to_owned()).collect(),
        };
        let parse = |text: &String| humantime::parse_duration(text).map_err(D::Error::custom);
        texts.iter().map(parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_fit_a_default_broker() {
        assert_eq!(Timeout::default().max_checks(), 11);
        assert!(Timeout::default().validate().is_ok());
    }

    #[test]
    fn a_window_that_the_broker_cannot_hold_is_refused() {
        let timeout = Timeout { pay_window: Duration::from_mins(30), ..Timeout::default() };
        let error = timeout.validate().expect_err("30 minutes need 61 checks").to_string();
        assert!(error.starts_with("timeout.broker_check_max"), "{error}");
        assert!(error.contains("set timeout.engine to \"delay\""), "{error}");
        let slow = OrderClass { pay_window: Some(Duration::from_mins(30)), engine: None };
        let mut timeout = Timeout { class: [("slow".into(), slow)].into(), ..Timeout::default() };
        let error = timeout.validate().expect_err("so do those of a class").to_string();
        assert!(error.contains("set timeout.class.slow.engine to \"delay\""), "{error}");
        timeout.class.insert(
            "slow".into(),
            OrderClass { pay_window: Some(Duration::from_hours(500)), engine: Some(Engine::Delay) },
        );
        assert!(timeout.validate().is_ok());
        assert_eq!(timeout.max_checks(), 11, "only half messages are checked");
    }

    #[test]
    fn without_half_messages_nothing_is_needed_of_a_broker() {
        let engine = Engine::Poll;
        let timeout =
            Timeout { engine, pay_window: Duration::from_hours(24), ..Timeout::default() };
        assert!(timeout.validate().is_ok());
        assert!(timeout.needed_of_brokers().half_messages.is_none());
    }

    #[test]
    fn a_schedule_grows() {
        for seconds in [&[][..], &[0], &[5, 5], &[9, 4]] {
            let query_schedule = seconds.iter().copied().map(Duration::from_secs).collect();
            let error = Timeout { query_schedule, ..Timeout::default() }.validate();
            let error = error.expect_err("it does not").to_string();
            assert!(error.starts_with("timeout.query_schedule"), "{error}");
        }
    }
}
