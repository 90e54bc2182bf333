//! Reads a bill's archive: GBK tables with comments around them. Columns are found by their names;
//! whatever isn't clear is an error, of a line or of the whole, and never another number.

use std::io::{BufRead as _, BufReader, Read, Seek};

use encoding_rs::{GBK, UTF_8};
use zip::ZipArchive;
use zip::result::ZipError;

use super::columns::{Columns, HeaderError, Movement, split};
use crate::alipay::shorten;
use crate::domain::bill::{Bill, BillDay, BillLineKind, UnreadableLine};

/// Files that an archive may hold.
pub const FILES_MAX: usize = 64;
/// What all files of an archive may hold together, unpacked, in bytes.
pub const UNPACKED_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// The longest line, in bytes.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Unreadable lines that are kept; further ones are counted.
pub const UNREADABLE_LINES_MAX: usize = 100;
/// Our lines that one bill may have.
pub const LINES_MAX: usize = 2_000_000;

/// What the name of a table of sums has in it.
const SUMMARY_MARK: &str = "汇总";
/// How the comment behind the table of movements ends.
const END_MARK: &str = "列表结束";
/// What stands before the first day of the bill.
const FIRST_DAY_MARK: &str = "起始日期：[";
/// What stands before the number of payments, and of refunds.
const PAYMENTS_MARK: &str = "交易合计：";
const REFUNDS_MARK: &str = "退款合计：";

/// Why an archive is no bill that everyone reads alike.
#[derive(Debug, thiserror::Error)]
pub enum BillError {
    /// It can't be unpacked.
    #[error("the bill's archive can't be unpacked: {0}")]
    Archive(#[from] ZipError),
    /// A file in it can't be unpacked to its end.
    #[error("a file of the bill can't be read to its end: {0}")]
    Unpack(#[from] std::io::Error),
    /// It is larger than any bill.
    #[error("the bill has more than {0}")]
    TooLarge(&'static str),
    /// It has no table of movements.
    #[error("the bill has no table of payments and refunds")]
    NoTable,
    /// The head of its table isn't understood.
    #[error("the head of the bill's table: {0}")]
    Header(#[from] HeaderError),
    /// Its last comment is missing.
    #[error("the bill breaks off: its end isn't marked")]
    NoEnd,
    /// It is about another day.
    #[error("the bill is of another day: {0}")]
    OtherDay(String),
}

/// Reads an archive; `is_ours` tells our trades by the merchant's number.
///
/// # Errors
/// If it isn't a complete bill of that day.
pub fn read_bill(
    archive: impl Read + Seek,
    day: BillDay,
    is_ours: impl Fn(&str) -> bool,
) -> Result<Bill, BillError> {
    let mut archive = ZipArchive::new(archive)?;
    if archive.len() > FILES_MAX {
        return Err(BillError::TooLarge("64 files"));
    }
    let (mut bill, mut tables, mut left) = (Bill::default(), 0, UNPACKED_BYTES_MAX);
    for index in 0..archive.len() {
        let mut file = archive.by_index(index)?;
        if !is_table(file.name_raw()) {
            continue;
        }
        tables += 1;
        let limited = (&mut file).take(left);
        let mut table = Table::new(day, &is_ours, &mut bill);
        let taken = table.read(limited)?;
        left = left.saturating_sub(taken);
        if left == 0 {
            return Err(BillError::TooLarge("a gigabyte"));
        }
        table.end()?;
    }
    if tables == 0 { Err(BillError::NoTable) } else { Ok(bill) }
}

/// Whether a file is a table of movements; names are GBK, whatever the archive says.
fn is_table(name: &[u8]) -> bool {
    let name = decode(name);
    name.to_ascii_lowercase().ends_with(".csv") && !name.contains(SUMMARY_MARK)
}

/// GBK, but for what is UTF-8 throughout.
fn decode(bytes: &[u8]) -> String {
    let utf8 = UTF_8.decode_without_bom_handling_and_without_replacement(bytes);
    utf8.map_or_else(|| GBK.decode_without_bom_handling(bytes).0.into_owned(), String::from)
}

/// A table of movements while it is read.
struct Table<'a, F> {
    day: BillDay,
    is_ours: &'a F,
    bill: &'a mut Bill,
    columns: Option<Columns>,
    at_line: u64,
    unreadable: u64,
    payments: u64,
    refunds: u64,
    told_payments: Option<u64>,
    told_refunds: Option<u64>,
    ended: bool,
}

impl<'a, F: Fn(&str) -> bool> Table<'a, F> {
    fn new(day: BillDay, is_ours: &'a F, bill: &'a mut Bill) -> Self {
        Self {
            day,
            is_ours,
            bill,
            columns: None,
            at_line: 0,
            unreadable: 0,
            payments: 0,
            refunds: 0,
            told_payments: None,
            told_refunds: None,
            ended: false,
        }
    }

    /// Reads all lines; how many bytes they had.
    fn read(&mut self, file: impl Read) -> Result<u64, BillError> {
        let mut file = BufReader::new(file);
        let (mut bytes, mut taken) = (Vec::new(), 0_u64);
        loop {
            bytes.clear();
            let mut limited = (&mut file).take(LINE_BYTES_MAX as u64 + 1);
            let count = limited.read_until(b'\n', &mut bytes)?;
            if count == 0 {
                return Ok(taken);
            }
            if count > LINE_BYTES_MAX {
                return Err(BillError::TooLarge("64 KiB in a line"));
            }
            taken += count as u64;
            self.at_line += 1;
            let text = decode(&bytes);
            self.line(text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']))?;
        }
    }

    fn line(&mut self, text: &str) -> Result<(), BillError> {
        if let Some(comment) = text.trim_start().strip_prefix('#') {
            return self.comment(comment);
        }
        if text.trim().is_empty() {
            return Ok(());
        }
        if self.ended {
            self.unreadable("it stands behind the end of the table");
            return Ok(());
        }
        let fields = split(text);
        let Some(columns) = &self.columns else {
            self.columns = Some(Columns::find(&fields)?);
            return Ok(());
        };
        match columns.read(fields, self.is_ours) {
            Ok(movement) => self.take(movement),
            Err(problem) => {
                self.unreadable(problem);
                Ok(())
            }
        }
    }

    fn take(&mut self, movement: Movement) -> Result<(), BillError> {
        match movement.kind {
            Some(BillLineKind::Payment) => self.payments += 1,
            Some(BillLineKind::Refund) => self.refunds += 1,
            None => {}
        }
        let Some(line) = movement.ours else {
            self.bill.others += 1;
            return Ok(());
        };
        if self.bill.lines.len() >= LINES_MAX {
            return Err(BillError::TooLarge("two million lines of ours"));
        }
        self.bill.lines.push(line);
        Ok(())
    }

    fn unreadable(&mut self, problem: impl Into<String>) {
        self.unreadable += 1;
        self.bill.unreadable_count += 1;
        if self.bill.unreadable.len() < UNREADABLE_LINES_MAX {
            let line = UnreadableLine { line: self.at_line, problem: problem.into() };
            self.bill.unreadable.push(line);
        }
    }

    fn comment(&mut self, comment: &str) -> Result<(), BillError> {
        self.ended |= comment.contains(END_MARK);
        if let Some(day) = comment.split(FIRST_DAY_MARK).nth(1) {
            let wanted = chinese_day(self.day);
            if !day.starts_with(&wanted) {
                let day: String = day.chars().take_while(|letter| *letter != ' ').collect();
                return Err(BillError::OtherDay(shorten(&day)));
            }
        }
        self.told_payments = count_behind(comment, PAYMENTS_MARK).or(self.told_payments);
        self.told_refunds = count_behind(comment, REFUNDS_MARK).or(self.told_refunds);
        Ok(())
    }

    /// Whether all of it was there.
    fn end(self) -> Result<(), BillError> {
        if self.columns.is_none() {
            return Err(BillError::NoTable);
        }
        if !self.ended {
            return Err(BillError::NoEnd);
        }
        for (what, told, found) in [
            ("payments", self.told_payments, self.payments),
            ("refunds", self.told_refunds, self.refunds),
        ] {
            // Which kind an unreadable line is of can't be known.
            let told = told.filter(|told| *told != found && self.unreadable == 0);
            if let Some(told) = told {
                self.bill.unreadable_count += 1;
                let problem = format!("the bill counts {told} {what}, but has {found}");
                self.bill.unreadable.push(UnreadableLine { line: self.at_line, problem });
            }
        }
        Ok(())
    }
}

/// How a comment writes a day.
fn chinese_day(day: BillDay) -> String {
    let text = day.to_string();
    let mut parts = text.split('-');
    let mut part = || parts.next().unwrap_or_default();
    format!("{}年{}月{}日", part(), part(), part())
}

/// The number that stands behind some words.
fn count_behind(comment: &str, words: &str) -> Option<u64> {
    let digits = comment.split(words).nth(1)?;
    digits.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}
