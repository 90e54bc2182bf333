//! The outbox: an event row commits with the change it tells of, and is published afterwards.

use chrono::{DateTime, Utc};

use super::{Store, StoreError, WriteTx, time, time_opt};
use crate::domain::event::OrderEvent;
use crate::domain::ids::OrderId;

/// An event that waits to be published.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Unpublished {
    /// Its id, the same in every delivery.
    pub event_id: String,
    /// The order it tells of; also the message key.
    pub order_id: String,
    /// Where it goes, without the deployment's name prefix.
    pub topic: String,
    /// Its tag.
    pub tag: String,
    /// The message body.
    pub body: String,
    /// When it is due.
    pub due_at_ms: i64,
    /// How often publishing failed.
    pub failures: i64,
}

/// Writes an event in the transaction of its cause, to be published at once.
///
/// # Errors
/// If the database fails.
pub async fn insert(
    tx: &mut WriteTx<'_>,
    event: &OrderEvent,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    insert_due(tx, event, now, now).await
}

/// The same, to be published at this time.
///
/// # Errors
/// If the database fails.
pub async fn insert_due(
    tx: &mut WriteTx<'_>,
    event: &OrderEvent,
    due_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into outbox (event_id, order_id, sequence, topic, tag, body, published, \
         due_at_ms, failures, created_at_ms) values (?, ?, ?, ?, ?, ?, 0, ?, 0, ?)",
    )
    .bind(&event.id)
    .bind(event.order_id.as_str())
    .bind(event.sequence)
    .bind(event.topic)
    .bind(event.tag)
    .bind(&event.body)
    .bind(due_at.timestamp_millis())
    .bind(now.timestamp_millis())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Whether this event was written.
///
/// # Errors
/// If the database fails.
pub async fn contains(store: &Store, event_id: &str) -> Result<bool, StoreError> {
    let found: i64 = sqlx::query_scalar("select count(*) from outbox where event_id = ?")
        .bind(event_id)
        .fetch_one(store.pool())
        .await?;
    Ok(found > 0)
}

/// Leases due events until `lease_until`: the first unpublished one of each order, so that an
/// order's events keep their order. Another instance gets other events.
///
/// # Errors
/// If the database fails.
pub async fn claim_due(
    store: &Store,
    rows_max: i64,
    lease_until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Vec<Unpublished>, StoreError> {
    let due: Vec<Unpublished> = sqlx::query_as(
        "select event_id, order_id, topic, tag, body, due_at_ms, failures from outbox \
         where published = 0 and due_at_ms <= ? and not exists (select 1 from outbox earlier \
         where earlier.order_id = outbox.order_id and earlier.sequence < outbox.sequence \
         and earlier.published = 0) order by due_at_ms limit ?",
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
    for event in due {
        let leased = sqlx::query(
            "update outbox set due_at_ms = ? \
             where event_id = ? and published = 0 and due_at_ms = ?",
        )
        .bind(lease_until.timestamp_millis())
        .bind(&event.event_id)
        .bind(event.due_at_ms)
        .execute(tx.connection())
        .await?;
        if leased.rows_affected() == 1 {
            claimed.push(event);
        }
    }
    tx.commit().await?;
    Ok(claimed)
}

/// What became of publishing one event.
#[derive(Clone, Debug)]
pub enum Publication {
    /// The broker has it.
    Done,
    /// The broker may or may not have it: again at this time.
    Again(DateTime<Utc>),
}

/// Writes what became of a batch.
///
/// # Errors
/// If the database fails; the events are published again then.
pub async fn record(
    store: &Store,
    batch: &[(String, Publication)],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    for (event_id, publication) in batch {
        let query = match publication {
            Publication::Done => sqlx::query(
                "update outbox set published = 1, published_at_ms = ? where event_id = ?",
            )
            .bind(now.timestamp_millis()),
            Publication::Again(at) => sqlx::query(
                "update outbox set failures = failures + 1, due_at_ms = ? where event_id = ?",
            )
            .bind(at.timestamp_millis()),
        };
        query.bind(event_id).execute(tx.connection()).await?;
    }
    tx.commit().await
}

/// Unpublished events that were written before `before`, oldest first, but for those whose time
/// has not come.
///
/// # Errors
/// If the database fails.
pub async fn stuck_since(
    store: &Store,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
    rows_max: i64,
) -> Result<Vec<(String, OrderId)>, StoreError> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select event_id, order_id from outbox where published = 0 and created_at_ms <= ? \
         and (failures > 0 or due_at_ms <= ?) order by created_at_ms limit ?",
    )
    .bind(before.timestamp_millis())
    .bind(now.timestamp_millis())
    .bind(rows_max)
    .fetch_all(store.pool())
    .await?;
    Ok(rows.into_iter().map(|(id, order)| (id, OrderId::from_trusted(order))).collect())
}

/// How many events wait.
///
/// # Errors
/// If the database fails.
pub async fn unpublished(store: &Store) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("select count(*) from outbox where published = 0")
        .fetch_one(store.pool())
        .await?)
}

/// An event of the outbox as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// Its id, the same in every delivery.
    pub event_id: String,
    /// Where it goes, without the deployment's name prefix.
    pub topic: String,
    /// Its tag.
    pub tag: String,
    /// How often publishing failed.
    pub failures: i64,
    /// When it is published next, while it isn't.
    pub due_at: DateTime<Utc>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When the broker had it.
    pub published_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct PostedRow {
    event_id: String,
    topic: String,
    tag: String,
    failures: i64,
    due_at_ms: i64,
    created_at_ms: i64,
    published_at_ms: Option<i64>,
}

/// The events of an order in their order.
///
/// # Errors
/// If the database fails.
pub async fn of_order(
    store: &Store,
    order_id: &OrderId,
    rows_max: i64,
) -> Result<Vec<Posted>, StoreError> {
    let rows: Vec<PostedRow> = sqlx::query_as(
        "select event_id, topic, tag, failures, due_at_ms, created_at_ms, published_at_ms \
         from outbox where order_id = ? order by sequence limit ?",
    )
    .bind(order_id.as_str())
    .bind(rows_max)
    .fetch_all(store.pool())
    .await?;
    let posted = rows.into_iter().map(|row| Posted {
        event_id: row.event_id,
        topic: row.topic,
        tag: row.tag,
        failures: row.failures,
        due_at: time(row.due_at_ms),
        created_at: time(row.created_at_ms),
        published_at: time_opt(row.published_at_ms),
    });
    Ok(posted.collect())
}

/// Published events that still have an open alarm about being stuck.
///
/// # Errors
/// If the database fails.
pub async fn published_with_alarm(store: &Store, rows_max: i64) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar(
        "select alarms.subject from alarms join outbox on outbox.event_id = alarms.subject \
         where alarms.resolved_at_ms is null and alarms.kind = 'outbox_stuck' \
         and outbox.published = 1 limit ?",
    )
    .bind(rows_max)
    .fetch_all(store.pool())
    .await?)
}
