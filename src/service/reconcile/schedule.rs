//! When bills are looked at: each day once its bill is made, again two days later, and then daily
//! while it isn't clean. Any number of instances may run this: a row's lease picks one.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::domain::bill::BillDay;
use crate::domain::payment::AccountRef;
use crate::domain::reconciliation::DayState;
use crate::store::{StoreError, bill_days, billed};

use super::{When, key_of, reconcile_day};

/// Days that are caught up at most.
pub const DAYS_BACK_MAX: i64 = 31;
/// An unclean day is looked at daily for so long; its alarm stays open.
const DAYS_LOOKED_AT: i64 = 14;
/// How many days after its first look a day is looked at again.
const SECOND_LOOK_DAYS: i64 = 2;
/// Pause after a bill that could not be had.
const RETRY: chrono::Duration = chrono::Duration::hours(1);
/// Pause between two looks whether a bill is due.
const INTERVAL: Duration = Duration::from_secs(30);
/// Days that are taken at a time.
const BATCH_ROWS: i64 = 8;

/// What a look came to, for the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The bill was compared: how often by now, and how it stands.
    Compared(i64, DayState),
    /// It could not be had.
    Failed,
}

/// Looks at bills when they are due, until told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    loop {
        let looking = async {
            tokio::time::sleep(INTERVAL).await;
            reconcile_due(&app).await
        };
        tokio::select! {
            () = stop.cancelled() => return,
            looked = looking => if let Err(error) = looked {
                tracing::warn!(%error, "bills could not be looked at, later again");
            }
        }
    }
}

/// Makes the rows of days that have none, and looks at every day whose look is due; how many it
/// looked at.
///
/// # Errors
/// If the database fails.
pub async fn reconcile_due(app: &App) -> Result<usize, StoreError> {
    let accounts = app.accounts();
    for account in &accounts {
        add_days(app, account).await?;
    }
    let mut looked_at = 0;
    for key in bill_days::due(&app.store, BATCH_ROWS, app.now()).await? {
        let account = accounts.iter().find(|account| key_of(account, key.day) == key);
        let Some(account) = account else {
            let next = next_look(app, key.day, Ended::Failed, app.now());
            bill_days::put_off(&app.store, &key, "its account isn't configured", next).await?;
            continue;
        };
        let looked = reconcile_day(app, account, key.day, When::Due, &|_| {}).await?;
        looked_at += usize::from(looked.is_some());
    }
    Ok(looked_at)
}

/// Makes rows for yesterday and for the days since the first money that is recorded, as far back as
/// bills are caught up: once there is one for yesterday, there is one for each.
///
/// # Errors
/// If the database fails.
pub async fn add_days(app: &App, account: &AccountRef) -> Result<(), StoreError> {
    let today = BillDay::of(app.now());
    let oldest = key_of(account, today.plus_days(-DAYS_BACK_MAX));
    let known = bill_days::known_since(&app.store, &oldest).await?;
    let known: HashSet<BillDay> = known.into_iter().collect();
    let yesterday = today.plus_days(-1);
    if known.contains(&yesterday) {
        return Ok(());
    }
    let since = oldest.day.begins_at();
    let (app_id, seller_id) = (&oldest.app_id, &oldest.seller_id);
    let paid_at = billed::first_paid_at(&app.store, app_id, seller_id, since).await?;
    let first = paid_at.map(BillDay::of).into_iter().chain(known.iter().copied()).min();
    let first = first.unwrap_or(yesterday);
    // Yesterday comes last: its row says that all of them are there.
    let days = (1..=DAYS_BACK_MAX).rev().map(|back| today.plus_days(-back));
    for day in days.filter(|day| *day >= first && !known.contains(day)) {
        let key = key_of(account, day);
        bill_days::insert(&app.store, &key, first_look(app, day), app.now()).await?;
    }
    Ok(())
}

/// When the bill of a day is made.
pub(super) fn first_look(app: &App, day: BillDay) -> DateTime<Utc> {
    app.config.reconcile.next_after(day.ends_at())
}

/// When a day is looked at next, if ever.
pub(super) fn next_look(
    app: &App,
    day: BillDay,
    ended: Ended,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let second = first_look(app, day) + chrono::Duration::days(SECOND_LOOK_DAYS);
    let young = now < day.ends_at() + chrono::Duration::days(DAYS_LOOKED_AT);
    match ended {
        Ended::Failed if now < day.ends_at() + chrono::Duration::days(SECOND_LOOK_DAYS) => {
            Some(now + RETRY)
        }
        Ended::Failed => young.then(|| app.config.reconcile.next_after(now)),
        Ended::Compared(looks, _) if looks <= 1 || now < second => {
            Some(if second > now { second } else { app.config.reconcile.next_after(now) })
        }
        Ended::Compared(_, DayState::Clean) => None,
        Ended::Compared(..) => young.then(|| app.config.reconcile.next_after(now)),
    }
}
