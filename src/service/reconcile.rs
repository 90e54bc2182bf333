//! Reconciliation: the gateway's bill of a day beside what is recorded. What has one safe repair is
//! repaired by the use case that is there for it, which asks the gateway again; everything else is
//! a difference, with an alarm. Repeating it changes nothing.

use chrono::{DateTime, Duration, Utc};
use serde::Serialize;

use crate::app::App;
use crate::domain::alarm::{Alarm, AlarmKind};
use crate::domain::bill::{Bill, BillDay, BillOutcome};
use crate::domain::payment::AccountRef;
use crate::domain::reconciliation::DayState;
use crate::store::bill_days::{DayKey, DayRecord, Look};
use crate::store::bill_differences::Difference;
use crate::store::{StoreError, alarms, bill_days, bill_differences};

use super::raise_alarm::raise_alarm;

mod compare;
mod expected;
mod repair;
pub mod schedule;

use compare::{Compared, compare};
use expected::anything_expected;
use schedule::{Ended, next_look};

/// A look whose instance died is free again after this.
const LEASE: Duration = Duration::minutes(30);
/// A bill that can't be had for this long after its day is a missing one.
const MISSING_AFTER: Duration = Duration::hours(36);

/// How far a look is, for whoever waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The bill is fetched and read.
    Fetching,
    /// It is read: lines about numbers of ours, and of others.
    Read(usize, u64),
    /// So many of our lines are compared, of so many.
    Compared(usize, usize),
    /// So many recorded payments and refunds were looked for on it.
    LookedFor(usize),
}

/// Told of the progress.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Sync);

/// What a look found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Our application.
    pub app_id: String,
    /// The seller who got the money.
    pub seller_id: String,
    /// The day of China.
    pub day: String,
    /// How its bill stands: `pending`, `clean`, `differences`, `missing`.
    pub state: &'static str,
    /// Lines about numbers of ours.
    pub lines: i64,
    /// Lines about numbers of others.
    pub lines_of_others: i64,
    /// Lines that were repaired.
    pub repaired: i64,
    /// What a person has to look at.
    pub differences: Vec<Found>,
    /// Why it came to nothing.
    pub problem: Option<String>,
}

/// A difference, in a report.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// In which way bill and records differ.
    pub kind: &'static str,
    /// The merchant's number of the trade.
    pub out_trade_no: String,
    /// The number of the refund; empty for a payment.
    pub out_request_no: String,
    /// One sentence.
    pub detail: String,
}

/// When a day may be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// If its look is due.
    Due,
    /// Now, since somebody asks for it.
    Now,
}

/// What came of fetching a bill and comparing it.
struct Looked {
    state: DayState,
    /// Bill and records were compared.
    compared: Option<Compared>,
    lines_ours: usize,
    lines_others: u64,
    problem: Option<String>,
}

/// Looks at a day of one account. `None`: it isn't due, or somebody else looks at it.
///
/// # Errors
/// If the database fails; the next look does it again.
pub async fn reconcile_day(
    app: &App,
    account: &AccountRef,
    day: BillDay,
    when: When,
    progress: OnProgress<'_>,
) -> Result<Option<Report>, StoreError> {
    let key = key_of(account, day);
    let now = app.now();
    schedule::add_days(app, account).await?;
    bill_days::insert(&app.store, &key, schedule::first_look(app, day), now).await?;
    let due_by = match when {
        When::Due => now,
        When::Now => DateTime::<Utc>::MAX_UTC,
    };
    let token = app.fresh_id();
    if !bill_days::claim(&app.store, &key, (&token, now + LEASE), due_by, now).await? {
        return Ok(None);
    }
    let looked = match look(app, account, &key, progress).await {
        Ok(looked) => looked,
        Err(error) => failed(error.to_string()),
    };
    let report = write(app, &key, &token, &looked).await?;
    if looked.compared.is_none() {
        let problem = report.problem.as_deref();
        tracing::warn!(
            alipay.app_id = key.app_id,
            bill.day = report.day,
            state = report.state,
            problem,
            "bill not compared, later again"
        );
        return Ok(Some(report));
    }
    tracing::info!(
        alipay.app_id = key.app_id,
        bill.day = report.day,
        state = report.state,
        lines = report.lines,
        repaired = report.repaired,
        differences = report.differences.len(),
        "bill compared"
    );
    Ok(Some(report))
}

/// Which bill.
#[must_use]
pub fn key_of(account: &AccountRef, day: BillDay) -> DayKey {
    DayKey { app_id: account.app_id.clone(), seller_id: account.seller_id.clone(), day }
}

async fn look(
    app: &App,
    account: &AccountRef,
    key: &DayKey,
    progress: OnProgress<'_>,
) -> Result<Looked, StoreError> {
    progress(Progress::Fetching);
    let prefix = &app.config.alipay.out_trade_no_prefix;
    let Some(gateway) = app.gateway_of(account) else {
        return Ok(failed("the account isn't configured".to_owned()));
    };
    match gateway.bill(key.day, prefix, app.now()).await {
        BillOutcome::Bill(bill) => compared(app, account, key, &bill, progress).await,
        BillOutcome::NotExist if anything_expected(app, key).await? => Ok(Looked {
            state: DayState::Missing,
            ..failed("the gateway has no bill, but money is recorded".to_owned())
        }),
        BillOutcome::NotExist
            if !bill_differences::of_day(&app.store, key, 1).await?.is_empty() =>
        {
            Ok(failed("the gateway has no bill any more, which differed before".to_owned()))
        }
        BillOutcome::NotExist => compared(app, account, key, &Bill::default(), progress).await,
        BillOutcome::Refused(refusal) => Ok(failed(format!("refused: {}", refusal.in_short()))),
        BillOutcome::AccountBroken(refusal) => {
            let detail = format!("the bill of {} is refused: {}", key.day, refusal.in_short());
            let alarm = Alarm::new(AlarmKind::AccountBroken, key.app_id.as_str(), detail.as_str());
            raise_alarm(app, &alarm).await?;
            Ok(failed(detail))
        }
        BillOutcome::Unreadable(problem) => Ok(failed(problem)),
        BillOutcome::Unknown(reason) => Ok(failed(format!("no answer: {}", reason.code()))),
    }
}

async fn compared(
    app: &App,
    account: &AccountRef,
    key: &DayKey,
    bill: &Bill,
    progress: OnProgress<'_>,
) -> Result<Looked, StoreError> {
    progress(Progress::Read(bill.lines.len(), bill.others));
    let compared = compare(app, account, key, bill, progress).await?;
    let clean = compared.count == 0;
    Ok(Looked {
        state: if clean { DayState::Clean } else { DayState::Differences },
        compared: Some(compared),
        lines_ours: bill.lines.len(),
        lines_others: bill.others,
        problem: None,
    })
}

/// A look that came to nothing: bill and records were not compared.
fn failed(problem: String) -> Looked {
    let state = DayState::Pending;
    Looked { state, compared: None, lines_ours: 0, lines_others: 0, problem: Some(problem) }
}

/// Writes what a look came to, with its alarms.
async fn write(
    app: &App,
    key: &DayKey,
    token: &str,
    looked: &Looked,
) -> Result<Report, StoreError> {
    let now = app.now();
    let before = bill_days::find(&app.store, key).await?;
    let record = before.ok_or_else(|| StoreError::corrupt("bill_days", "bill_day", &key.app_id))?;
    // What was compared once isn't pending again because one more look failed.
    let state = match looked.state {
        DayState::Pending => record.state,
        state => state,
    };
    let look = summary(app, &record, looked, state, now);
    let mut tx = app.store.begin().await?;
    if let Some(compared) = &looked.compared {
        let fresh_id = || app.fresh_id();
        bill_differences::replace(&mut tx, key, &compared.differences, fresh_id, now).await?;
    }
    for (kind, detail) in alarms_of(key, state, looked, now) {
        let subject = format!("{} {} {}", key.app_id, key.seller_id, key.day);
        match detail {
            Some(detail) => {
                let alarm = Alarm::new(kind, subject, detail);
                alarms::raise(&mut tx, &alarm, &app.fresh_id(), now).await?;
            }
            None => alarms::resolve(&mut tx, kind, &subject, "the bill", now).await?,
        }
    }
    if !bill_days::finish(&mut tx, key, token, &look, now).await? {
        tx.rollback().await?;
        return Err(StoreError::Busy("the look took too long, and somebody else looks".into()));
    }
    tx.commit().await?;
    Ok(report(key, &look, looked))
}

fn summary(
    app: &App,
    record: &DayRecord,
    looked: &Looked,
    state: DayState,
    now: DateTime<Utc>,
) -> Look {
    let repaired = looked.compared.as_ref().map_or(0, |compared| compared.repaired);
    let counted = looked.compared.as_ref().map(|compared| compared.count);
    let ended = match looked.compared {
        Some(_) => Ended::Compared(record.looks + 1, state),
        None => Ended::Failed,
    };
    Look {
        state,
        compared: looked.compared.is_some(),
        lines_ours: i64::try_from(looked.lines_ours).unwrap_or(i64::MAX),
        lines_others: i64::try_from(looked.lines_others).unwrap_or(i64::MAX),
        repaired,
        differences: counted.unwrap_or(record.differences),
        problem: looked.problem.clone(),
        next_look_at: next_look(app, record.key.day, ended, now),
    }
}

/// What each alarm about a day says; `None` resolves it.
fn alarms_of(
    key: &DayKey,
    state: DayState,
    looked: &Looked,
    now: DateTime<Utc>,
) -> Vec<(AlarmKind, Option<String>)> {
    let count = looked.compared.as_ref().map_or(0, |compared| compared.count);
    let differ = format!("{count} differences between the bill and what is recorded");
    let problem = looked.problem.clone().unwrap_or_default();
    let (differences, missing) = (AlarmKind::BillDifferences, AlarmKind::BillMissing);
    match (&looked.compared, state) {
        (Some(_), DayState::Differences) => vec![(differences, Some(differ)), (missing, None)],
        (Some(_), _) => vec![(differences, None), (missing, None)],
        (None, DayState::Missing) => vec![(missing, Some(problem))],
        (None, _) if now >= key.day.ends_at() + MISSING_AFTER => vec![(missing, Some(problem))],
        (None, _) => Vec::new(),
    }
}

fn report(key: &DayKey, look: &Look, looked: &Looked) -> Report {
    let found = |difference: &Difference| Found {
        kind: difference.kind.as_str(),
        out_trade_no: difference.out_trade_no.clone(),
        out_request_no: difference.out_request_no.clone(),
        detail: difference.detail.clone(),
    };
    let differences = looked.compared.iter().flat_map(|compared| &compared.differences);
    Report {
        app_id: key.app_id.clone(),
        seller_id: key.seller_id.clone(),
        day: key.day.to_string(),
        state: look.state.as_str(),
        lines: look.lines_ours,
        lines_of_others: look.lines_others,
        repaired: look.repaired,
        differences: differences.map(found).collect(),
        problem: look.problem.clone(),
    }
}
