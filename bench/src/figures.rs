//! What was measured: a table for people, JSON for machines.

use std::path::Path;

use anyhow::Context as _;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};
use serde::Serialize;

use crate::load::Load;

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// So many a second.
    PerSecond,
    /// Microseconds.
    Microseconds,
    /// A thousandth of one.
    PerMille,
    /// Bytes.
    Bytes,
    /// So many.
    Count,
}

/// One thing that was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    scenario: &'static str,
    name: String,
    value: u64,
    unit: Unit,
}

/// Everything that was measured, on which machine, and whether the audits were clean.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    cores: usize,
    broker: String,
    database: String,
    #[serde(rename = "figures")]
    measured: Vec<Figure>,
    violations: Vec<String>,
}

impl Figures {
    pub(crate) fn new(broker: &str, database: &str) -> Self {
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let (broker, database) = (broker.to_owned(), database.to_owned());
        Self { cores, broker, database, measured: Vec::new(), violations: Vec::new() }
    }

    pub(crate) fn add(
        &mut self,
        scenario: &'static str,
        name: impl Into<String>,
        value: u64,
        unit: Unit,
    ) {
        self.measured.push(Figure { scenario, name: name.into(), value, unit });
    }

    /// Rate and latencies of a load.
    pub(crate) fn add_load(&mut self, scenario: &'static str, name: &str, load: &Load) {
        self.add(scenario, name, load.per_second(), Unit::PerSecond);
        for (word, quantile) in [("p50", 0.5), ("p99", 0.99)] {
            let us = load.quantile_us(quantile);
            self.add(scenario, format!("{name}, {word}"), us, Unit::Microseconds);
        }
        if load.failed > 0 {
            self.add(scenario, format!("{name}, failed"), load.failed, Unit::Count);
        }
    }

    pub(crate) fn violated(&mut self, what: String) {
        self.violations.push(what);
    }

    /// Whether nothing was violated.
    pub(crate) fn are_clean(&self) -> bool {
        self.violations.is_empty()
    }

    pub(crate) fn print(&self) {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header(["scenario", "figure", "value", "unit"]);
        for figure in &self.measured {
            let (value, unit) = readable(figure.value, figure.unit);
            table.add_row(vec![
                Cell::new(figure.scenario),
                Cell::new(&figure.name),
                Cell::new(value).set_alignment(CellAlignment::Right),
                Cell::new(unit),
            ]);
        }
        say(table);
        let (broker, database, cores) = (&self.broker, &self.database, self.cores);
        say(format_args!("{broker}, {database}, {cores} cores"));
        match self.violations.as_slice() {
            [] => say("audit: clean"),
            violations => say(format_args!("violated:\n{}", violations.join("\n"))),
        }
    }

    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).context("the figures as JSON")?;
        std::fs::write(file, text).with_context(|| format!("can't write {}", file.display()))
    }
}

fn readable(value: u64, unit: Unit) -> (String, &'static str) {
    match unit {
        Unit::PerSecond => (value.to_string(), "/s"),
        Unit::Microseconds => (thousandths(value), "ms"),
        Unit::PerMille => (thousandths(value), "×"),
        Unit::Bytes => ((value / 1_048_576).to_string(), "MiB"),
        Unit::Count => (value.to_string(), ""),
    }
}

fn thousandths(value: u64) -> String {
    format!("{}.{:03}", value / 1_000, value % 1_000)
}

/// What the benchmark has to say to the person who called it.
#[expect(clippy::print_stdout, reason = "the command line's own voice")]
pub(crate) fn say(text: impl std::fmt::Display) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_in_their_units() {
        assert_eq!(readable(12_045, Unit::Microseconds), ("12.045".to_owned(), "ms"));
        assert_eq!(readable(830, Unit::PerMille), ("0.830".to_owned(), "×"));
        assert_eq!(readable(3 * 1_048_576, Unit::Bytes), ("3".to_owned(), "MiB"));
    }
}
