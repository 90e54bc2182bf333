//! `[sweep]`: when the fallback runs.

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// The fallback task.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sweep {
    /// When it runs, a cron expression with seconds, in China time.
    pub cron: String,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { cron: "0 0/10 * ? * ?".into() }
    }
}

impl Sweep {
    /// Reads the expression, in the form that Quartz writes them.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(&self) -> Result<Cron, ConfigError> {
        let parser = CronParser::builder().seconds(Seconds::Required).sloppy_ranges(true).build();
        parser.parse(&self.cron).map_err(|error| {
            ConfigError::invalid("sweep.cron", format!("{:?} can't be used: {error}", self.cron))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_expression_is_named() {
        let sweep = Sweep { cron: "every now and then".into() };
        let error = sweep.parse().expect_err("not an expression").to_string();
        assert!(error.contains("every now and then"), "{error}");
    }
}
