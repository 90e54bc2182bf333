//! The table that `doctor` prints: a mark, what was looked at, and what was found.

use std::fmt::Display;

use crate::cli::say;

/// Counts what it prints. Rows are printed at once: the next one may take its time.
#[derive(Default)]
pub(super) struct Table {
    ok: u32,
    warnings: u32,
    failures: u32,
}

impl Table {
    /// Prints the sum. `true`: nothing failed.
    pub(super) fn end(&self) -> bool {
        let Self { ok, warnings, failures } = self;
        say(format_args!("\n{ok} ok, {warnings} warnings, {failures} failures"));
        *failures == 0
    }

    /// As it should be.
    pub(super) fn ok(&mut self, what: impl Display, found: impl Display) {
        self.ok += 1;
        row("ok  ", what, found);
    }

    /// It works at a price, or could not be looked at.
    pub(super) fn warn(&mut self, what: impl Display, found: impl Display) {
        self.warnings += 1;
        row("warn", what, found);
    }

    /// It does not work, or loses what was promised.
    pub(super) fn fail(&mut self, what: impl Display, found: impl Display) {
        self.failures += 1;
        row("FAIL", what, found);
    }

    /// What is found is well, and an error is not.
    pub(super) fn result(
        &mut self,
        what: impl Display,
        result: Result<impl Display, impl Display>,
    ) {
        match result {
            Ok(found) => self.ok(what, found),
            Err(why) => self.fail(what, why),
        }
    }
}

fn row(mark: &str, what: impl Display, found: impl Display) {
    let (what, found) = (what.to_string(), found.to_string());
    say(format_args!("{mark}  {what:<34} {found}"));
}
