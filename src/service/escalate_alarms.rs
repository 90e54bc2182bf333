//! An alarm that nobody settles grows: past the age limit of its kind it becomes critical and is
//! told of again, and then once a day.

use crate::app::App;
use crate::domain::alarm::AlarmKind;
use crate::store::alarms::{self, AlarmRecord};
use crate::store::{Store, StoreError};

/// Open alarms that are read at a time.
const PAGE_ROWS: i64 = 500;
/// Pages that one run reads at most: the newest alarms, whoever is left comes later.
const PAGES_MAX: u32 = 20;

/// Escalates each open alarm whose time has come; how many it were.
///
/// # Errors
/// If the database fails; the next run does the rest.
pub async fn escalate_alarms(app: &App) -> Result<usize, StoreError> {
    let now = app.now();
    let is_due = |alarm: &AlarmRecord| {
        let kind = AlarmKind::parse(&alarm.kind);
        kind.is_some_and(|kind| {
            now >= kind.escalates_at(alarm.opened_at, alarm.acknowledged_at, alarm.escalated_at)
        })
    };
    let mut due = Vec::new();
    let mut last = None;
    for _ in 0..PAGES_MAX {
        let page = alarms::open_before(&app.store, last.as_ref(), PAGE_ROWS).await?;
        due.extend(page.iter().filter(|alarm| is_due(alarm)).cloned());
        last = page.into_iter().last();
        if last.is_none() {
            break;
        }
    }
    let mut escalated = 0;
    for alarm in &due {
        if escalate(&app.store, alarm, app).await? {
            escalated += 1;
            let age = now.signed_duration_since(alarm.opened_at).num_minutes();
            tracing::warn!(kind = alarm.kind, subject = alarm.subject, age, "alarm escalated");
        }
    }
    Ok(escalated)
}

async fn escalate(store: &Store, alarm: &AlarmRecord, app: &App) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let escalated = alarms::escalate(&mut tx, alarm, app.now()).await?;
    tx.commit().await?;
    Ok(escalated)
}
