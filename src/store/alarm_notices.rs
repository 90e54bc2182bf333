//! What the outgoing webhook tells of alarms: a notice is written in the transaction that changes
//! its alarm, and delivered afterwards until the receiver has it.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::alarm_list::read;
use super::{Store, StoreError, WriteTx};

/// What happened to an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmEvent {
    /// It was opened.
    Opened,
    /// An operator looks at it.
    Acknowledged,
    /// It is open for longer than its kind may be.
    Escalated,
    /// Its cause is gone, or an operator settled it.
    Resolved,
}

impl AlarmEvent {
    /// The name in the database and behind `alarm.` in the webhook's `type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Acknowledged => "acknowledged",
            Self::Escalated => "escalated",
            Self::Resolved => "resolved",
        }
    }
}

/// A notice that is to be delivered.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Notice {
    /// Its id, the same in every delivery.
    pub id: String,
    /// The severity of its alarm when it was written.
    pub severity: String,
    /// What is sent.
    pub body: String,
    /// When it is due.
    pub due_at_ms: i64,
    /// How often it was sent in vain.
    pub failures: i64,
}

/// Writes a notice about an alarm as this transaction leaves it.
///
/// # Errors
/// If the database fails, or there is no such alarm.
pub(super) async fn write(
    tx: &mut WriteTx<'_>,
    alarm_id: &str,
    event: AlarmEvent,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let Some(alarm) = read(tx, alarm_id).await? else {
        return Err(StoreError::corrupt("alarms", "id", alarm_id));
    };
    let sequence: i64 = sqlx::query_scalar(
        "select coalesce(max(sequence), 0) + 1 from alarm_notices where alarm_id = ?",
    )
    .bind(alarm_id)
    .fetch_one(tx.connection())
    .await?;
    let kind = &alarm.kind;
    let body = json!({
        "type": format!("alarm.{}", event.as_str()),
        "timestamp": now,
        "data": alarm,
        "runbook": format!("docs/alarms.md#{kind}"),
    });
    sqlx::query(
        "insert into alarm_notices (id, alarm_id, sequence, event, severity, body, delivered, \
         due_at_ms, failures, created_at_ms) values (?, ?, ?, ?, ?, ?, 0, ?, 0, ?)",
    )
    .bind(format!("{alarm_id}-{sequence}"))
    .bind(alarm_id)
    .bind(sequence)
    .bind(event.as_str())
    .bind(&alarm.severity)
    .bind(body.to_string())
    .bind(now.timestamp_millis())
    .bind(now.timestamp_millis())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Leases due notices until `lease_until`: the first undelivered one of each alarm, so that what
/// happened to an alarm is told in its order. Another instance gets other notices.
///
/// # Errors
/// If the database fails.
pub async fn claim_due(
    store: &Store,
    rows_max: i64,
    lease_until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Vec<Notice>, StoreError> {
    let due: Vec<Notice> = sqlx::query_as(
        "select id, severity, body, due_at_ms, failures from alarm_notices \
         where delivered = 0 and due_at_ms <= ? and not exists (select 1 from alarm_notices \
         earlier where earlier.alarm_id = alarm_notices.alarm_id \
         and earlier.sequence < alarm_notices.sequence and earlier.delivered = 0) \
         order by due_at_ms limit ?",
    )
    .bind(now.timestamp_millis())
    .bind(rows_max)
    .fetch_all(store.pool())
    .await?;
    if due.is_empty() {
        return Ok(due);
    }
    let mut tx = store.begin().await?;
    let mut claimed = Vec::with_capacity(due.len());
    for notice in due {
        let leased = sqlx::query(
            "update alarm_notices set due_at_ms = ? \
             where id = ? and delivered = 0 and due_at_ms = ?",
        )
        .bind(lease_until.timestamp_millis())
        .bind(&notice.id)
        .bind(notice.due_at_ms)
        .execute(tx.connection())
        .await?;
        if leased.rows_affected() == 1 {
            claimed.push(notice);
        }
    }
    tx.commit().await?;
    Ok(claimed)
}

/// What became of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The receiver has it.
    Done,
    /// Nobody wants it: its alarm is below the severity that is told.
    Unwanted,
    /// The receiver may or may not have it: again at this time.
    Again(DateTime<Utc>),
}

/// Writes what became of a batch.
///
/// # Errors
/// If the database fails; the notices are delivered again then.
pub async fn record(
    store: &Store,
    batch: &[(String, Delivery)],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    for (id, delivery) in batch {
        let query = match delivery {
            Delivery::Done => sqlx::query(
                "update alarm_notices set delivered = 1, delivered_at_ms = ? where id = ?",
            )
            .bind(now.timestamp_millis()),
            Delivery::Unwanted => {
                sqlx::query("update alarm_notices set delivered = 1 where id = ?")
            }
            Delivery::Again(at) => sqlx::query(
                "update alarm_notices set failures = failures + 1, due_at_ms = ? where id = ?",
            )
            .bind(at.timestamp_millis()),
        };
        query.bind(id).execute(tx.connection()).await?;
    }
    tx.commit().await
}

/// Sets notices aside that were due before `before`: there is nobody to tell.
///
/// # Errors
/// If the database fails.
pub async fn set_aside(store: &Store, before: DateTime<Utc>) -> Result<u64, StoreError> {
    let mut tx = store.begin().await?;
    let set_aside = sqlx::query(
        "update alarm_notices set delivered = 1 where delivered = 0 and due_at_ms <= ?",
    )
    .bind(before.timestamp_millis())
    .execute(tx.connection())
    .await?;
    tx.commit().await?;
    Ok(set_aside.rows_affected())
}

/// How many notices wait.
///
/// # Errors
/// If the database fails.
pub async fn undelivered(store: &Store) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("select count(*) from alarm_notices where delivered = 0")
        .fetch_one(store.pool())
        .await?)
}
