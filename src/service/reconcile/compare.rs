//! Bill and records side by side: every line with what is recorded under its number, in batches,
//! and everything recorded on that day with the lines.

use std::collections::{HashMap, HashSet};

use crate::app::App;
use crate::domain::bill::{Bill, BillLine, BillLineKind};
use crate::domain::payment::AccountRef;
use crate::domain::reconciliation::{DifferenceKind, KnownPayment, Verdict, judge, unrepaired};
use crate::store::bill_days::DayKey;
use crate::store::bill_differences::{Difference, KEPT_MAX};
use crate::store::{StoreError, billed};

use super::expected::look_for;
use super::repair::repair;
use super::{OnProgress, Progress};

/// A repair may make room for the next one: a payment, then its refund.
const ROUNDS_MAX: u32 = 3;

/// What a comparison came to.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// Lines that were repaired.
    pub(super) repaired: i64,
    /// What a person has to look at, the first of it.
    pub(super) differences: Vec<Difference>,
    /// How much there is in all.
    pub(super) count: i64,
}

impl Compared {
    pub(super) fn add(&mut self, difference: Difference) {
        self.count += 1;
        if self.differences.len() < KEPT_MAX {
            self.differences.push(difference);
        }
    }

    fn add_line(&mut self, line: &BillLine, kind: DifferenceKind, detail: String) {
        self.add(Difference {
            kind,
            out_trade_no: line.out_trade_no.clone(),
            out_request_no: line.out_request_no.clone(),
            detail,
        });
    }
}

/// The numbers that a bill has lines about: of payments, and of refunds with their trades.
#[derive(Debug, Default)]
pub(super) struct Billed<'a> {
    payments: HashSet<&'a str>,
    refunds: HashSet<(&'a str, &'a str)>,
}

impl<'a> Billed<'a> {
    /// `false`: there was a line about it before.
    fn note(&mut self, line: &'a BillLine) -> bool {
        match line.kind {
            BillLineKind::Payment => self.payments.insert(&line.out_trade_no),
            BillLineKind::Refund => self.refunds.insert((&line.out_trade_no, &line.out_request_no)),
        }
    }

    /// Whether there is a line about it; without a refund's number about the payment.
    pub(super) fn has(&self, out_trade_no: &str, out_request_no: &str) -> bool {
        if out_request_no.is_empty() {
            return self.payments.contains(out_trade_no);
        }
        self.refunds.contains(&(out_trade_no, out_request_no))
    }
}

/// Compares, and repairs what has one safe repair.
pub(super) async fn compare(
    app: &App,
    account: &AccountRef,
    key: &DayKey,
    bill: &Bill,
    progress: OnProgress<'_>,
) -> Result<Compared, StoreError> {
    let (mut compared, mut noted) = (Compared::default(), Billed::default());
    let mut done = 0;
    for batch in bill.lines.chunks(billed::NUMBERS_MAX) {
        let (fresh, again): (Vec<_>, Vec<_>) = batch.iter().partition(|line| noted.note(line));
        for line in again {
            let detail = format!("a second line of {} yuan", line.amount);
            compared.add_line(line, DifferenceKind::BilledTwice, detail);
        }
        compare_batch(app, account, key, fresh, &mut compared).await?;
        done += batch.len();
        progress(Progress::Compared(done, bill.lines.len()));
    }
    for line in &bill.unreadable {
        compared.add(Difference {
            kind: DifferenceKind::Unreadable,
            out_trade_no: String::new(),
            out_request_no: String::new(),
            detail: format!("line {}: {}", line.line, line.problem),
        });
    }
    let kept = u64::try_from(bill.unreadable.len()).unwrap_or(u64::MAX);
    let unkept = bill.unreadable_count.saturating_sub(kept);
    compared.count = compared.count.saturating_add(i64::try_from(unkept).unwrap_or(i64::MAX));
    look_for(app, key, &noted, &mut compared, progress).await?;
    Ok(compared)
}

async fn compare_batch(
    app: &App,
    account: &AccountRef,
    key: &DayKey,
    lines: Vec<&BillLine>,
    compared: &mut Compared,
) -> Result<(), StoreError> {
    let mut left = judged(app, key, &lines).await?;
    let broken = left.len();
    for _ in 0..ROUNDS_MAX {
        let mut tried = false;
        for (line, verdict) in &left {
            tried |= repair(app, account, line, verdict).await.unwrap_or_else(|error| {
                let number = &line.out_trade_no;
                tracing::warn!(trade.out_trade_no = number, %error, "a line can't be repaired");
                false
            });
        }
        if !tried {
            break;
        }
        // A repair may be what another line waited for.
        let lines: Vec<_> = left.iter().map(|(line, _)| *line).collect();
        left = judged(app, key, &lines).await?;
    }
    compared.repaired += i64::try_from(broken - left.len()).unwrap_or_default();
    for (line, verdict) in &left {
        if let Some((kind, detail)) = unrepaired(line, verdict) {
            compared.add_line(line, kind, detail);
        }
    }
    Ok(())
}

/// The lines that don't fit, with what they mean.
async fn judged<'a>(
    app: &App,
    key: &DayKey,
    lines: &[&'a BillLine],
) -> Result<Vec<(&'a BillLine, Verdict)>, StoreError> {
    let numbers: HashSet<_> = lines.iter().map(|line| line.out_trade_no.as_str()).collect();
    let numbers: Vec<_> = numbers.into_iter().collect();
    let account = (key.app_id.as_str(), key.seller_id.as_str());
    let known: HashMap<String, KnownPayment> = billed::known(&app.store, account, &numbers).await?;
    let judged = lines.iter().map(|line| (*line, judge(line, known.get(&line.out_trade_no))));
    Ok(judged.filter(|(_, verdict)| *verdict != Verdict::Fits).collect())
}
