//! Alarms as operators and the webhook see them.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Store, StoreError, WriteTx, time, time_opt};
use crate::domain::alarm::AlarmKind;
use crate::domain::ids::OrderId;

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
    /// When its cause went away, or an operator settled it.
    pub resolved_at: Option<DateTime<Utc>>,
    /// What or who resolved it.
    pub resolved_by: Option<String>,
    /// Why, in an operator's words.
    pub resolved_because: Option<String>,
    /// When it escalated last.
    pub escalated_at: Option<DateTime<Utc>>,
    /// How often it escalated.
    pub escalations: i64,
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
    resolved_by: Option<String>,
    resolved_because: Option<String>,
    escalated_at_ms: Option<i64>,
    escalations: i64,
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
            resolved_by: row.resolved_by,
            resolved_because: row.resolved_because,
            escalated_at: time_opt(row.escalated_at_ms),
            escalations: row.escalations,
        }
    }
}

/// Every column of an alarm, and which alarms: `a` is the table.
macro_rules! select_alarms {
    ($which:literal) => {
        concat!(
            "select a.id, a.kind, a.subject, a.severity, a.detail, a.count, a.opened_at_ms, \
             a.last_at_ms, a.acknowledged_at_ms, a.acknowledged_by, a.resolved_at_ms, \
             a.resolved_by, a.resolved_because, a.escalated_at_ms, a.escalations from alarms a ",
            $which
        )
    };
}

const SELECT_OPEN: &str = select_alarms!(
    "where a.resolved_at_ms is null and a.opened_at_ms <= ? \
     and (a.opened_at_ms < ? or a.id < ?) order by a.opened_at_ms desc, a.id desc limit ?"
);

const SELECT_OPEN_OLDEST: &str = select_alarms!(
    "where a.resolved_at_ms is null and a.opened_at_ms >= ? and a.opened_at_ms <= ? \
     and (a.opened_at_ms > ? or a.id > ?) order by a.opened_at_ms, a.id limit ?"
);

const SELECT_ONE: &str = select_alarms!("where a.id = ?");

const SELECT_OF_KIND: &str =
    select_alarms!("where a.kind = ? order by a.opened_at_ms desc, a.id desc limit ?");

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

/// The alarms that are open since a time or longer, oldest first, those behind another one.
///
/// # Errors
/// If the database fails.
pub async fn open_since(
    store: &Store,
    since: DateTime<Utc>,
    after: Option<&AlarmRecord>,
    rows_max: i64,
) -> Result<Vec<AlarmRecord>, StoreError> {
    let (after_ms, after_id) = match after {
        Some(alarm) => (alarm.opened_at.timestamp_millis(), alarm.id.as_str()),
        None => (i64::MIN, ""),
    };
    let rows: Vec<Row> = sqlx::query_as(SELECT_OPEN_OLDEST)
        .bind(after_ms)
        .bind(since.timestamp_millis())
        .bind(after_ms)
        .bind(after_id)
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

/// Reads one alarm as this transaction leaves it.
pub(super) async fn read(
    tx: &mut WriteTx<'_>,
    id: &str,
) -> Result<Option<AlarmRecord>, StoreError> {
    let row: Option<Row> =
        sqlx::query_as(SELECT_ONE).bind(id).fetch_optional(tx.connection()).await?;
    Ok(row.map(AlarmRecord::from))
}

const SELECT_ABOUT_ORDER: &str = concat!(
    select_alarms!("where a.subject = ?"),
    " union all ",
    select_alarms!("join payments p on p.out_trade_no = a.subject where p.order_id = ?"),
    " union all ",
    select_alarms!("join outbox o on o.event_id = a.subject where o.order_id = ?"),
    " union all ",
    select_alarms!("join refunds r on r.out_request_no = a.subject where r.order_id = ?"),
    " order by opened_at_ms desc, id desc limit ?"
);

/// The alarms about an order, its attempts, refunds and events, resolved ones included, newest
/// first.
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

/// Open alarms by severity, an escalated one by what it has become.
///
/// # Errors
/// If the database fails.
pub async fn open_by_severity(store: &Store) -> Result<Vec<(String, i64)>, StoreError> {
    Ok(sqlx::query_as(
        "select severity, count(*) from alarms where resolved_at_ms is null group by severity",
    )
    .fetch_all(store.pool())
    .await?)
}

/// How many open alarms have escalated.
///
/// # Errors
/// If the database fails.
pub async fn escalated(store: &Store) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(
        "select count(*) from alarms where resolved_at_ms is null and escalations > 0",
    )
    .fetch_one(store.pool())
    .await?)
}
