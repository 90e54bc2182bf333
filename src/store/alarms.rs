//! Alarms: one open row a kind and subject, counted up while it stays open.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Store, StoreError, WriteTx, inserted_once, time, time_opt};
use crate::domain::alarm::{Alarm, AlarmKind};
use crate::domain::ids::OrderId;

/// Longest detail that is kept.
const DETAIL_CHARS_MAX: usize = 1_000;
/// Longest subject that is kept.
const SUBJECT_CHARS_MAX: usize = 160;

/// An alarm as operators see it.
#[derive(Clone, Debug, Serialize)]
pub struct AlarmRecord {
    /// Its id.
    pub id: String,
    /// What it is about.
    pub kind: String,
    /// Which order, trade, message or deployment.
    pub subject: String,
    /// How soon a person should look.
    pub severity: String,
    /// One sentence.
    pub detail: String,
    /// How often it was raised while open.
    pub count: i64,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
    /// When it was raised last.
    pub last_at: DateTime<Utc>,
    /// When an operator acknowledged it.
    pub acknowledged_at: Option<DateTime<Utc>>,
    /// Who.
    pub acknowledged_by: Option<String>,
    /// When its cause went away.
    pub resolved_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    kind: String,
    subject: String,
    severity: String,
    detail: String,
    count: i64,
    opened_at_ms: i64,
    last_at_ms: i64,
    acknowledged_at_ms: Option<i64>,
    acknowledged_by: Option<String>,
    resolved_at_ms: Option<i64>,
}

impl From<Row> for AlarmRecord {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            subject: row.subject,
            severity: row.severity,
            detail: row.detail,
            count: row.count,
            opened_at: time(row.opened_at_ms),
            last_at: time(row.last_at_ms),
            acknowledged_at: time_opt(row.acknowledged_at_ms),
            acknowledged_by: row.acknowledged_by,
            resolved_at: time_opt(row.resolved_at_ms),
        }
    }
}

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
    if !inserted_once(inserted)? {
        count_up(tx, alarm, now).await?;
    }
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
    sqlx::query(
        "update alarms set open_key = null, resolved_at_ms = ?, resolved_by = ? \
         where open_key = ?",
    )
    .bind(now.timestamp_millis())
    .bind(by)
    .bind(open_key(kind, subject))
    .execute(tx.connection())
    .await?;
    Ok(())
}

const SELECT_OPEN: &str = "select id, kind, subject, severity, detail, count, opened_at_ms, \
    last_at_ms, acknowledged_at_ms, acknowledged_by, resolved_at_ms from alarms \
    where resolved_at_ms is null and opened_at_ms <= ? and (opened_at_ms < ? or id < ?) \
    order by opened_at_ms desc, id desc limit ?";

const SELECT_ONE: &str = "select id, kind, subject, severity, detail, count, opened_at_ms, \
    last_at_ms, acknowledged_at_ms, acknowledged_by, resolved_at_ms from alarms where id = ?";

const SELECT_OF_KIND: &str = "select id, kind, subject, severity, detail, count, opened_at_ms, \
    last_at_ms, acknowledged_at_ms, acknowledged_by, resolved_at_ms from alarms \
    where kind = ? order by opened_at_ms desc, id desc limit ?";

/// The open alarms, newest first.
///
/// # Errors
/// If the database fails.
pub async fn open(store: &Store, rows_max: i64) -> Result<Vec<AlarmRecord>, StoreError> {
    open_before(store, None, rows_max).await
}

/// The open alarms that were opened before another one, newest first.
///
/// # Errors
/// If the database fails.
pub async fn open_before(
    store: &Store,
    before: Option<&AlarmRecord>,
    rows_max: i64,
) -> Result<Vec<AlarmRecord>, StoreError> {
    let (before_ms, before_id) = match before {
        Some(alarm) => (alarm.opened_at.timestamp_millis(), alarm.id.as_str()),
        None => (i64::MAX, ""),
    };
    let rows: Vec<Row> = sqlx::query_as(SELECT_OPEN)
        .bind(before_ms)
        .bind(before_ms)
        .bind(before_id)
        .bind(rows_max)
        .fetch_all(store.pool())
        .await?;
    Ok(rows.into_iter().map(AlarmRecord::from).collect())
}

/// The alarms of one kind, resolved ones included, newest first.
///
/// # Errors
/// If the database fails.
pub async fn of_kind(
    store: &Store,
    kind: AlarmKind,
    rows_max: i64,
) -> Result<Vec<AlarmRecord>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(SELECT_OF_KIND)
        .bind(kind.as_str())
        .bind(rows_max)
        .fetch_all(store.pool())
        .await?;
    Ok(rows.into_iter().map(AlarmRecord::from).collect())
}

/// Reads one alarm, open or resolved.
///
/// # Errors
/// If the database fails.
pub async fn find(store: &Store, id: &str) -> Result<Option<AlarmRecord>, StoreError> {
    let row: Option<Row> = sqlx::query_as(SELECT_ONE).bind(id).fetch_optional(store.pool()).await?;
    Ok(row.map(AlarmRecord::from))
}

/// Notes that an operator has seen an alarm; the first one stands. `None`: there is no such alarm.
///
/// # Errors
/// If the database fails.
pub async fn acknowledge(
    store: &Store,
    id: &str,
    by: &str,
    now: DateTime<Utc>,
) -> Result<Option<AlarmRecord>, StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "update alarms set acknowledged_at_ms = ?, acknowledged_by = ? \
         where id = ? and acknowledged_at_ms is null",
    )
    .bind(now.timestamp_millis())
    .bind(by)
    .bind(id)
    .execute(tx.connection())
    .await?;
    tx.commit().await?;
    find(store, id).await
}

const SELECT_ABOUT_ORDER: &str = "select id, kind, subject, severity, detail, count, \
    opened_at_ms, last_at_ms, acknowledged_at_ms, acknowledged_by, resolved_at_ms from (\
    select a.id, a.kind, a.subject, a.severity, a.detail, a.count, a.opened_at_ms, a.last_at_ms, \
    a.acknowledged_at_ms, a.acknowledged_by, a.resolved_at_ms from alarms a where a.subject = ? \
    union all \
    select a.id, a.kind, a.subject, a.severity, a.detail, a.count, a.opened_at_ms, a.last_at_ms, \
    a.acknowledged_at_ms, a.acknowledged_by, a.resolved_at_ms from payments p \
    join alarms a on a.subject = p.out_trade_no where p.order_id = ? \
    union all \
    select a.id, a.kind, a.subject, a.severity, a.detail, a.count, a.opened_at_ms, a.last_at_ms, \
    a.acknowledged_at_ms, a.acknowledged_by, a.resolved_at_ms from outbox o \
    join alarms a on a.subject = o.event_id where o.order_id = ?) about \
    order by opened_at_ms desc, id desc limit ?";

/// The alarms about an order, its attempts and its events, resolved ones included, newest first.
///
/// # Errors
/// If the database fails.
pub async fn about_order(
    store: &Store,
    order_id: &OrderId,
    rows_max: i64,
) -> Result<Vec<AlarmRecord>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(SELECT_ABOUT_ORDER)
        .bind(order_id.as_str())
        .bind(order_id.as_str())
        .bind(order_id.as_str())
        .bind(rows_max)
        .fetch_all(store.pool())
        .await?;
    Ok(rows.into_iter().map(AlarmRecord::from).collect())
}

/// Open alarms by kind, for metrics.
///
/// # Errors
/// If the database fails.
pub async fn open_by_kind(store: &Store) -> Result<Vec<(String, i64)>, StoreError> {
    Ok(sqlx::query_as(
        "select kind, count(*) from alarms where resolved_at_ms is null group by kind",
    )
    .fetch_all(store.pool())
    .await?)
}
