//! What tables and lists of facts are made of: every page shows the same kind of thing alike.

use askama::Template;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::show;
use crate::domain::alarm::{AlarmKind, Severity};
use crate::domain::ids::OrderId;
use crate::domain::money::Fen;
use crate::store::alarms::AlarmRecord;

/// How a word is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Plain,
    Warning,
    Bad,
}

impl Tone {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Plain => "plain",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }

    /// The colour of a status, whatever it is the status of.
    pub(super) fn of(status: &str) -> Self {
        match status {
            "paid" | "applied" | "ok" | "published" | "resolved" | "clean" | "succeeded" => {
                Self::Good
            }
            "late" | "duplicate" | "wrong_amount" | "orphan" | "critical" | "no_database"
            | "escalated" | "differences" | "refused" => Self::Bad,
            "degraded" | "draining" | "warning" | "refunding" | "unknown" | "missing"
            | "requested" | "stopping_warehouse" | "sending" => Self::Warning,
            _ => Self::Plain,
        }
    }
}

/// One thing that is shown.
#[derive(Clone, Debug, Template)]
#[template(path = "ops/cell.html")]
pub(super) enum Cell {
    /// Nothing is known.
    Nothing,
    Text(String),
    /// A few characters that stay together.
    Short(String),
    /// A number of somebody's, to be read letter by letter.
    Code(String),
    Link {
        href: String,
        text: String,
    },
    Badge {
        tone: &'static str,
        text: String,
    },
    Time {
        iso: String,
        ms: i64,
        text: String,
    },
    /// Something long that is opened on demand.
    More {
        id: String,
        summary: String,
        text: String,
    },
    /// Several on lines of their own.
    Lines(Vec<Cell>),
    /// A form that does one thing and comes back to this page.
    Act(Box<Act>),
}

/// A form with a button, and a text if one is needed.
#[derive(Clone, Debug)]
pub(super) struct Act {
    /// Of its own on the page: what the reader opened stays open.
    pub id: String,
    /// Where the form is sent.
    pub action: String,
    /// What the button says.
    pub label: &'static str,
    /// The text that goes with it.
    pub asks: Option<Asked>,
    pub csrf: String,
    /// The page to come back to.
    pub back: String,
}

/// A text that a form asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub name: &'static str,
    pub hint: &'static str,
    pub chars_max: usize,
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Those of the cells that say something, on lines of their own.
    pub(super) fn lines(mut cells: Vec<Self>) -> Self {
        cells.retain(|cell| !matches!(cell, Self::Nothing));
        if cells.is_empty() { Self::Nothing } else { Self::Lines(cells) }
    }

    pub(super) fn number(number: i64) -> Self {
        Self::Short(number.to_string())
    }

    pub(super) fn code(text: impl Into<String>) -> Self {
        Self::Code(text.into())
    }

    pub(super) fn maybe(text: Option<&str>) -> Self {
        text.map_or(Self::Nothing, Self::code)
    }

    pub(super) fn yuan(amount: Fen) -> Self {
        Self::Short(show::yuan(amount))
    }

    pub(super) fn status(status: &str) -> Self {
        Self::Badge { tone: Tone::of(status).as_str(), text: status.replace('_', " ") }
    }

    /// A number, coloured.
    pub(super) fn badge(tone: Tone, number: i64) -> Self {
        Self::Badge { tone: tone.as_str(), text: number.to_string() }
    }

    pub(super) fn at(at: DateTime<Utc>) -> Self {
        Self::Time { iso: at.to_rfc3339(), ms: at.timestamp_millis(), text: show::utc(at) }
    }

    pub(super) fn at_opt(at: Option<DateTime<Utc>>) -> Self {
        at.map_or(Self::Nothing, Self::at)
    }

    pub(super) fn order(id: &OrderId) -> Self {
        Self::Link { href: format!("/ops/orders/{id}"), text: id.to_string() }
    }

    pub(super) fn json(id: impl Into<String>, summary: &str, value: &Value) -> Self {
        if value.is_null() {
            return Self::Nothing;
        }
        Self::More { id: id.into(), summary: summary.to_owned(), text: show::json(value) }
    }

    /// An alarm's severity and kind.
    pub(super) fn alarm_kind(alarm: &AlarmRecord) -> Self {
        let tone = if alarm.resolved_at.is_some() {
            Tone::Plain
        } else if alarm.severity == Severity::Critical.as_str() {
            Tone::Bad
        } else {
            Tone::Warning
        };
        Self::Badge { tone: tone.as_str(), text: alarm.kind.replace('_', " ") }
    }

    /// What an alarm is about, as a way to its order if it has one.
    pub(super) fn alarm_subject(alarm: &AlarmRecord) -> Self {
        let subject = alarm.subject.as_str();
        // An event's id is its order's with a number behind it.
        let first = subject.split('-').next().unwrap_or_default();
        if let Some(id) = OrderId::parse(first) {
            return Self::Link { href: format!("/ops/orders/{id}"), text: subject.to_owned() };
        }
        let about_machines = [
            AlarmKind::AccountBroken,
            AlarmKind::BalanceTooLow,
            AlarmKind::BillDifferences,
            AlarmKind::BillMissing,
            AlarmKind::ClockMismatch,
            AlarmKind::ClockSkew,
            AlarmKind::ForeignMessage,
            AlarmKind::HalfMessageGivenUp,
            AlarmKind::InvariantViolated,
            AlarmKind::TopicWrongType,
        ];
        if about_machines.iter().any(|kind| kind.as_str() == alarm.kind) {
            return Self::code(subject);
        }
        let query: String = form_urlencoded::byte_serialize(subject.as_bytes()).collect();
        Self::Link { href: format!("/ops/search?q={query}"), text: subject.to_owned() }
    }
}

/// A table; on a narrow screen each row is a card with the headings inside.
#[derive(Debug, Template)]
#[template(path = "ops/table.html")]
pub(super) struct Table {
    pub heads: &'static [&'static str],
    pub rows: Vec<Vec<Cell>>,
    /// What is said where there are no rows.
    pub empty: &'static str,
}

impl Table {
    /// A row's cells with their headings.
    fn cells<'a>(&self, row: &'a [Cell]) -> impl Iterator<Item = (&'static str, &'a Cell)> {
        self.heads.iter().copied().zip(row)
    }
}

/// Named facts about one thing.
#[derive(Debug, Template)]
#[template(path = "ops/facts.html")]
pub(super) struct Facts(pub Vec<(&'static str, Cell)>);
