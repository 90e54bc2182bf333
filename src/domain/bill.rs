//! A bill: what the gateway says came and went on one day of China, in words of no particular
//! gateway.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::CHINA;
use super::gateway::{Refusal, UnknownReason};
use super::money::Fen;

/// A day of China, which is what a bill is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BillDay(NaiveDate);

impl BillDay {
    /// The day that it is in China.
    #[must_use]
    pub fn of(at: DateTime<Utc>) -> Self {
        Self(at.with_timezone(&CHINA).date_naive())
    }

    /// Reads `2026-01-31`, and nothing else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        (day.to_string() == text).then_some(Self(day))
    }

    /// The day so many days later, or earlier.
    #[must_use]
    pub fn plus_days(self, days: i64) -> Self {
        let moved = TimeDelta::try_days(days).and_then(|days| self.0.checked_add_signed(days));
        Self(moved.unwrap_or(self.0))
    }

    /// When it begins.
    #[must_use]
    pub fn begins_at(self) -> DateTime<Utc> {
        let midnight = self.0.and_time(chrono::NaiveTime::MIN);
        midnight.and_local_timezone(CHINA).single().map_or(DateTime::UNIX_EPOCH, |at| at.to_utc())
    }

    /// When it is over.
    #[must_use]
    pub fn ends_at(self) -> DateTime<Utc> {
        self.plus_days(1).begins_at()
    }
}

impl std::fmt::Display for BillDay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BillLineKind {
    /// A buyer paid.
    Payment,
    /// Money went back to a buyer.
    Refund,
}

impl BillLineKind {
    /// The name in the database and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Refund => "refund",
        }
    }
}

/// One line of a bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillLine {
    /// Whether money came or went.
    pub kind: BillLineKind,
    /// The gateway's number of the trade.
    pub trade_no: String,
    /// The merchant's number of the trade.
    pub out_trade_no: String,
    /// The merchant's number of the refund; empty for a payment.
    pub out_request_no: String,
    /// How much came or went; never negative.
    pub amount: Fen,
    /// When.
    pub at: DateTime<Utc>,
}

/// A line that says something, but not clearly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableLine {
    /// Where it stands in its file, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: String,
}

/// Everything that a bill says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    /// The lines about numbers of ours.
    pub lines: Vec<BillLine>,
    /// How many lines are about numbers of others.
    pub others: u64,
    /// Lines that can't be read, the first of them.
    pub unreadable: Vec<UnreadableLine>,
    /// How many lines can't be read.
    pub unreadable_count: u64,
}

/// What came of asking for a bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BillOutcome {
    /// This is what it says.
    Bill(Bill),
    /// There is none: nothing happened on that day, or it isn't made yet.
    NotExist,
    /// A definite refusal.
    Refused(Refusal),
    /// Our account, key or request is wrong: a person has to look.
    AccountBroken(Refusal),
    /// The file came, but it isn't a bill that everyone reads alike.
    Unreadable(String),
    /// No certain answer; it is asked for again.
    Unknown(UnknownReason),
}

impl BillOutcome {
    /// A stable word for logs and metrics; an unknown outcome is named by its reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Bill(_) => "read",
            Self::NotExist => "not_exist",
            Self::Refused(_) => "refused",
            Self::AccountBroken(_) => "account_broken",
            Self::Unreadable(_) => "unreadable",
            Self::Unknown(reason) => reason.code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::BillDay;

    #[test]
    fn a_day_is_chinas() {
        let day = BillDay::parse("2026-03-01").expect("a day");
        assert_eq!(day.begins_at().to_rfc3339(), "2026-02-28T16:00:00+00:00");
        assert_eq!(BillDay::of(day.begins_at()), day);
        assert_eq!(BillDay::of(day.ends_at()), day.plus_days(1));
        assert_eq!(day.plus_days(-1).to_string(), "2026-02-28");
        for text in ["2026-3-1", "2026-02-30", "", "20260301", "2026-03-01 "] {
            assert_eq!(BillDay::parse(text), None, "{text:?}");
        }
    }
}
