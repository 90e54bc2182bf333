//! Alarms: one open row a kind and subject, counted up while it stays open. Whatever changes one
//! leaves a notice for the webhook in the same transaction.

use chrono::{DateTime, Utc};

use super::alarm_list::read;
pub use super::alarm_list::{
    AlarmRecord, about_order, escalated, find, of_kind, open, open_before, open_by_kind,
    open_by_severity, open_since,
};
use super::alarm_notices::{self, AlarmEvent};
use super::{StoreError, WriteTx, inserted_once};
use crate::domain::alarm::{Alarm, AlarmKind, Severity};

/// Longest detail that is kept.
const DETAIL_CHARS_MAX: usize = 1_000;
/// Longest subject that is kept.
const SUBJECT_CHARS_MAX: usize = 160;
/// Longest name of whoever resolved it that is kept.
const BY_CHARS_MAX: usize = 80;

fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

fn open_key(kind: AlarmKind, subject: &str) -> String {
    format!("{}:{}", kind.as_str(), cut(subject, SUBJECT_CHARS_MAX))
}

/// Opens an alarm, or counts it up if it is open. `id` is used if it is new.
///
/// # Errors
/// If the database fails.
pub async fn raise(
    tx: &mut WriteTx<'_>,
    alarm: &Alarm,
    id: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if count_up(tx, alarm, now).await? {
        return Ok(());
    }
    let inserted = sqlx::query(
        "insert into alarms (id, kind, subject, severity, detail, open_key, count, opened_at_ms, \
         last_at_ms) values (?, ?, ?, ?, ?, ?, 1, ?, ?)",
    )
    .bind(id)
    .bind(alarm.kind.as_str())
    .bind(cut(&alarm.subject, SUBJECT_CHARS_MAX))
    .bind(alarm.kind.severity().as_str())
    .bind(cut(&alarm.detail, DETAIL_CHARS_MAX))
    .bind(open_key(alarm.kind, &alarm.subject))
    .bind(now.timestamp_millis())
    .bind(now.timestamp_millis())
    .execute(tx.connection())
    .await;
    if inserted_once(inserted)? {
        return alarm_notices::write(tx, id, AlarmEvent::Opened, now).await;
    }
    count_up(tx, alarm, now).await?;
    Ok(())
}

async fn count_up(
    tx: &mut WriteTx<'_>,
    alarm: &Alarm,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let counted = sqlx::query(
        "update alarms set count = count + 1, last_at_ms = ?, detail = ? where open_key = ?",
    )
    .bind(now.timestamp_millis())
    .bind(cut(&alarm.detail, DETAIL_CHARS_MAX))
    .bind(open_key(alarm.kind, &alarm.subject))
    .execute(tx.connection())
    .await?;
    Ok(counted.rows_affected() == 1)
}

/// Resolves an alarm whose cause went away, if it is open.
///
/// # Errors
/// If the database fails.
pub async fn resolve(
    tx: &mut WriteTx<'_>,
    kind: AlarmKind,
    subject: &str,
    by: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let key = open_key(kind, subject);
    // Nearly always there is none, and one statement says so.
    let resolved =
        sqlx::query("update alarms set resolved_at_ms = ?, resolved_by = ? where open_key = ?")
            .bind(now.timestamp_millis())
            .bind(cut(by, BY_CHARS_MAX))
            .bind(&key)
            .execute(tx.connection())
            .await?;
    if resolved.rows_affected() == 0 {
        return Ok(());
    }
    let id: String = sqlx::query_scalar("select id from alarms where open_key = ?")
        .bind(&key)
        .fetch_one(tx.connection())
        .await?;
    free_key(tx, &id).await?;
    alarm_notices::write(tx, &id, AlarmEvent::Resolved, now).await
}

async fn free_key(tx: &mut WriteTx<'_>, id: &str) -> Result<(), StoreError> {
    sqlx::query("update alarms set open_key = null where id = ?")
        .bind(id)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Resolves one alarm in an operator's name. `None`: it isn't open.
///
/// # Errors
/// If the database fails.
pub async fn resolve_by_hand(
    tx: &mut WriteTx<'_>,
    id: &str,
    by: &str,
    because: &str,
    now: DateTime<Utc>,
) -> Result<Option<AlarmRecord>, StoreError> {
    let resolved = sqlx::query(
        "update alarms set open_key = null, resolved_at_ms = ?, resolved_by = ?, \
         resolved_because = ? where id = ? and resolved_at_ms is null",
    )
    .bind(now.timestamp_millis())
    .bind(cut(by, BY_CHARS_MAX))
    .bind(because)
    .bind(id)
    .execute(tx.connection())
    .await?;
    if resolved.rows_affected() == 0 {
        return Ok(None);
    }
    alarm_notices::write(tx, id, AlarmEvent::Resolved, now).await?;
    read(tx, id).await
}

/// Whether an alarm is open and was raised, or counted up, after this time.
///
/// # Errors
/// If the database fails.
pub async fn is_raised_since(
    tx: &mut WriteTx<'_>,
    kind: AlarmKind,
    subject: &str,
    since: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let raised: i64 =
        sqlx::query_scalar("select count(*) from alarms where open_key = ? and last_at_ms > ?")
            .bind(open_key(kind, subject))
            .bind(since.timestamp_millis())
            .fetch_one(tx.connection())
            .await?;
    Ok(raised > 0)
}

/// Notes that an operator looks at an open alarm; the first one stands. `None`: it isn't open, or
/// somebody did before.
///
/// # Errors
/// If the database fails.
pub async fn acknowledge(
    tx: &mut WriteTx<'_>,
    id: &str,
    by: &str,
    now: DateTime<Utc>,
) -> Result<Option<AlarmRecord>, StoreError> {
    let noted = sqlx::query(
        "update alarms set acknowledged_at_ms = ?, acknowledged_by = ? \
         where id = ? and acknowledged_at_ms is null and resolved_at_ms is null",
    )
    .bind(now.timestamp_millis())
    .bind(cut(by, BY_CHARS_MAX))
    .bind(id)
    .execute(tx.connection())
    .await?;
    if noted.rows_affected() == 0 {
        return Ok(None);
    }
    alarm_notices::write(tx, id, AlarmEvent::Acknowledged, now).await?;
    read(tx, id).await
}

/// Makes an open alarm critical, and tells of it again. `false`: it has changed since it was read.
///
/// # Errors
/// If the database fails.
pub async fn escalate(
    tx: &mut WriteTx<'_>,
    alarm: &AlarmRecord,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let escalated = sqlx::query(
        "update alarms set severity = ?, escalated_at_ms = ?, escalations = escalations + 1 \
         where id = ? and resolved_at_ms is null and escalations = ?",
    )
    .bind(Severity::Critical.as_str())
    .bind(now.timestamp_millis())
    .bind(&alarm.id)
    .bind(alarm.escalations)
    .execute(tx.connection())
    .await?;
    if escalated.rows_affected() == 0 {
        return Ok(false);
    }
    alarm_notices::write(tx, &alarm.id, AlarmEvent::Escalated, now).await?;
    Ok(true)
}
