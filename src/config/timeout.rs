//! `[timeout]`: payment windows, and how often the broker checks back.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::domain::broker_clock::{Needed, SPARE_ROUNDS, rounds};
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
            broker_check_max: 15,
            on_clock_mismatch: OnClockMismatch::Refuse,
            overdue_alarm_after: Duration::from_mins(5),
            class: BTreeMap::new(),
        }
    }
}

/// Shortest payment window.
const PAY_WINDOW_MIN: Duration = Duration::from_secs(5);
/// Longest payment window: three days.
const PAY_WINDOW_MAX: Duration = Duration::from_hours(72);
/// Longest grace.
const GRACE_MAX: Duration = Duration::from_hours(1);
/// Shortest check interval.
const CHECK_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Longest name of a class.
const CLASS_CHARS_MAX: usize = 32;

impl Timeout {
    /// The window of an order class; `None` if there is no such class.
    #[must_use]
    pub fn window_of(&self, class: Option<&str>) -> Option<Duration> {
        let Some(class) = class else { return Some(self.pay_window) };
        self.class.get(class).map(|class| class.pay_window.unwrap_or(self.pay_window))
    }

    /// The number of checks that fit the longest window: count and window are two views of one
    /// deadline.
    #[must_use]
    pub fn max_checks(&self) -> u32 {
        let longest = self.windows().max().unwrap_or(self.pay_window);
        self.max_checks.unwrap_or_else(|| rounds(longest + self.grace, self.check_interval))
    }

    /// What every broker must have for these windows.
    #[must_use]
    pub fn needed_of_brokers(&self) -> Needed {
        Needed {
            shortest_window: self.windows().min().unwrap_or(self.pay_window),
            longest_window: self.windows().max().unwrap_or(self.pay_window),
            grace: self.grace,
            check_interval: self.check_interval,
            max_checks: self.max_checks(),
            broker_check_max: self.broker_check_max,
        }
    }

    fn windows(&self) -> impl Iterator<Item = Duration> {
        let classes = self.class.values().filter_map(|class| class.pay_window);
        std::iter::once(self.pay_window).chain(classes)
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        self.validate_engines()?;
        for window in self.windows() {
            if !(PAY_WINDOW_MIN..=PAY_WINDOW_MAX).contains(&window) || window.subsec_nanos() != 0 {
                let why = "must be whole seconds, from 5s to 3 days";
                return Err(ConfigError::invalid("timeout.pay_window", why));
            }
        }
        if self.check_interval < CHECK_INTERVAL_MIN || self.check_interval > self.pay_window {
            let why = "must be at least 100ms and not longer than timeout.pay_window";
            return Err(ConfigError::invalid("timeout.check_interval", why));
        }
        if self.grace > GRACE_MAX || self.overdue_alarm_after > PAY_WINDOW_MAX {
            let why = "grace is at most 1h, overdue_alarm_after at most 3 days";
            return Err(ConfigError::invalid("timeout.grace", why));
        }
        if self.class.keys().any(|name| name.is_empty() || name.len() > CLASS_CHARS_MAX) {
            return Err(ConfigError::invalid("timeout.class", "a name has 1 to 32 characters"));
        }
        let needed = self.max_checks().saturating_add(SPARE_ROUNDS);
        if self.broker_check_max < needed {
            let why = format!(
                "the broker gives a half message up after {} checks every {:?}, but a window needs \
                 {needed}: raise transactionCheckMax and timeout.broker_check_max, lengthen the \
                 check interval, or shorten timeout.pay_window",
                self.broker_check_max, self.check_interval
            );
            return Err(ConfigError::invalid("timeout.broker_check_max", why));
        }
        Ok(())
    }

    fn validate_engines(&self) -> Result<(), ConfigError> {
        let classes = self.class.values().filter_map(|class| class.engine);
        if std::iter::once(self.engine).chain(classes).any(|e| e != Engine::Transaction) {
            let why = "this release has the engine \"transaction\" only";
            return Err(ConfigError::invalid("timeout.engine", why));
        }
        Ok(())
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
    }
}
