//! Cron expressions with seconds, in the form that Quartz writes them, in China time.

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds};

use super::ConfigError;
use crate::domain::CHINA;

/// Reads an expression.
///
/// # Errors
/// A sentence that names the key and says what is wrong.
pub(super) fn parse(key: &str, expression: &str) -> Result<Cron, ConfigError> {
    let parser = CronParser::builder().seconds(Seconds::Required).sloppy_ranges(true).build();
    parser.parse(expression).map_err(|error| {
        ConfigError::invalid(key, format!("{expression:?} can't be used: {error}"))
    })
}

/// The first time after this one at which an expression fires. `None`: it can't be read, or never
/// fires again.
pub(super) fn next_after(expression: &str, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let cron = parse("", expression).ok()?;
    let next = cron.find_next_occurrence(&at.with_timezone(&CHINA), false).ok()?;
    Some(next.to_utc())
}
