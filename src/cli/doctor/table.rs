//! The table that `doctor` prints: a mark, what was looked at, and what was found.

use std::fmt::Display;

use crate::cli::say;

/// Rows are printed as they come: some of them take their time.
pub(super) struct Table {
    failed: bool,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { failed: false }
    }

    /// Whether nothing failed.
    pub(super) fn is_healthy(&self) -> bool {
        !self.failed
    }

    /// As it should be.
    pub(super) fn ok(&mut self, what: impl Display, found: impl Display) {
        self.row("ok  ", what, found);
    }

    /// It works at a price, or could not be looked at.
    pub(super) fn warn(&mut self, what: impl Display, found: impl Display) {
        self.row("warn", what, found);
    }

    /// It does not work, or loses what was promised.
    pub(super) fn fail(&mut self, what: impl Display, found: impl Display) {
        self.failed = true;
        self.row("FAIL", what, found);
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

    fn row(&self, mark: &str, what: impl Display, found: impl Display) {
        let (what, found) = (what.to_string(), found.to_string());
        say(format_args!("{mark}  {what:<34} {found}"));
    }
}
