//! An alarm that nobody settles grows: past the age limit of its kind it becomes critical and is
//! told of again, and then once a day.

use chrono::{DateTime, Utc};

use crate::app::App;
use crate::domain::alarm::AlarmKind;
use crate::store::StoreError;
use crate::store::alarms::{self, AlarmRecord};

/// Open alarms that are read at a time.
const PAGE_ROWS: i64 = 500;

/// Escalates each open alarm whose time has come, the oldest first; how many it were.
///
/// # Errors
/// If the database fails; the next run does the rest.
pub async fn escalate_alarms(app: &App) -> Result<usize, StoreError> {
    let now = app.now();
    // Younger ones are not due, whatever they are about.
    let shortest = AlarmKind::ALL.iter().map(|kind| kind.age_limit()).min();
    let since = now - shortest.unwrap_or_default();
    let mut escalated = 0;
    let mut last = None;
    loop {
        let page = alarms::open_since(&app.store, since, last.as_ref(), PAGE_ROWS).await?;
        for alarm in page.iter().filter(|alarm| is_due(alarm, now)) {
            escalated += usize::from(escalate(app, alarm, now).await?);
        }
        last = page.into_iter().last();
        if last.is_none() {
            return Ok(escalated);
        }
    }
}

fn is_due(alarm: &AlarmRecord, now: DateTime<Utc>) -> bool {
    AlarmKind::parse(&alarm.kind).is_some_and(|kind| {
        now >= kind.escalates_at(alarm.opened_at, alarm.acknowledged_at, alarm.escalated_at)
    })
}

async fn escalate(app: &App, alarm: &AlarmRecord, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let mut tx = app.store.begin().await?;
    let escalated = alarms::escalate(&mut tx, alarm, now).await?;
    tx.commit().await?;
    if escalated {
        let age = now.signed_duration_since(alarm.opened_at).num_minutes();
        tracing::warn!(kind = alarm.kind, subject = alarm.subject, age, "alarm escalated");
    }
    Ok(escalated)
}
