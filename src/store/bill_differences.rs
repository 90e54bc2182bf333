//! Where bills and records differ: one open row a difference, resolved by the look that no longer
//! finds it.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::bill_days::DayKey;
use super::{Store, StoreError, WriteTx, inserted_once, time, time_opt};
use crate::domain::reconciliation::DifferenceKind;
use crate::hash::sha256_hex;

/// Longest detail that is kept.
const DETAIL_CHARS_MAX: usize = 256;
/// Open differences of one day that are kept; further ones are counted in the day's row.
pub const KEPT_MAX: usize = 1_000;

/// A difference that a look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// In which way they differ.
    pub kind: DifferenceKind,
    /// The merchant's number of the trade; empty if the line can't be read.
    pub out_trade_no: String,
    /// The number of the refund; empty for a payment.
    pub out_request_no: String,
    /// One sentence.
    pub detail: String,
}

/// A difference as operators see it.
#[derive(Clone, Debug, Serialize)]
pub struct DifferenceRecord {
    /// In which way they differ.
    pub kind: String,
    /// The merchant's number of the trade.
    pub out_trade_no: String,
    /// The number of the refund; empty for a payment.
    pub out_request_no: String,
    /// One sentence.
    pub detail: String,
    /// When it was found first.
    pub found_at: DateTime<Utc>,
    /// When a look no longer found it.
    pub resolved_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct Row {
    kind: String,
    out_trade_no: String,
    out_request_no: String,
    detail: String,
    found_at_ms: i64,
    resolved_at_ms: Option<i64>,
}

impl From<Row> for DifferenceRecord {
    fn from(row: Row) -> Self {
        Self {
            kind: row.kind,
            out_trade_no: row.out_trade_no,
            out_request_no: row.out_request_no,
            detail: row.detail,
            found_at: time(row.found_at_ms),
            resolved_at: time_opt(row.resolved_at_ms),
        }
    }
}

fn open_key(key: &DayKey, difference: &Difference) -> String {
    let day = key.day.to_string();
    let unread = if difference.out_trade_no.is_empty() { difference.detail.as_str() } else { "" };
    sha256_hex(&[
        &key.app_id,
        &key.seller_id,
        &day,
        difference.kind.as_str(),
        &difference.out_trade_no,
        &difference.out_request_no,
        unread,
    ])
}

/// Opens what is new of a day's differences, and resolves what is no longer among them.
///
/// # Errors
/// If the database fails.
pub async fn replace(
    tx: &mut WriteTx<'_>,
    key: &DayKey,
    found: &[Difference],
    fresh_id: impl Fn() -> String,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let open = open_keys(tx, key).await?;
    let kept = found.iter().take(KEPT_MAX).map(|one| (open_key(key, one), one));
    let found: HashMap<String, &Difference> = kept.collect();
    for (open_key, difference) in &found {
        if !open.contains(open_key) {
            insert(tx, key, (open_key, difference), &fresh_id(), now).await?;
        }
    }
    for gone in open.iter().filter(|open_key| !found.contains_key(*open_key)) {
        sqlx::query(
            "update bill_differences set open_key = null, resolved_at_ms = ? where open_key = ?",
        )
        .bind(now.timestamp_millis())
        .bind(gone)
        .execute(tx.connection())
        .await?;
    }
    Ok(())
}

async fn open_keys(tx: &mut WriteTx<'_>, key: &DayKey) -> Result<HashSet<String>, StoreError> {
    let open: Vec<String> = sqlx::query_scalar(
        "select open_key from bill_differences where app_id = ? and seller_id = ? \
         and bill_day = ? and open_key is not null",
    )
    .bind(&key.app_id)
    .bind(&key.seller_id)
    .bind(key.day.to_string())
    .fetch_all(tx.connection())
    .await?;
    Ok(open.into_iter().collect())
}

async fn insert(
    tx: &mut WriteTx<'_>,
    key: &DayKey,
    (open_key, difference): (&str, &Difference),
    id: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let detail: String = difference.detail.chars().take(DETAIL_CHARS_MAX).collect();
    let inserted = sqlx::query(
        "insert into bill_differences (id, app_id, seller_id, bill_day, kind, out_trade_no, \
         out_request_no, detail, open_key, found_at_ms) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(id)
    .bind(&key.app_id)
    .bind(&key.seller_id)
    .bind(key.day.to_string())
    .bind(difference.kind.as_str())
    .bind(&difference.out_trade_no)
    .bind(&difference.out_request_no)
    .bind(detail)
    .bind(open_key)
    .bind(now.timestamp_millis())
    .execute(tx.connection())
    .await;
    inserted_once(inserted).map(drop)
}

/// The differences of a day, open ones first.
///
/// # Errors
/// If the database fails.
pub async fn of_day(
    store: &Store,
    key: &DayKey,
    rows_max: i64,
) -> Result<Vec<DifferenceRecord>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select kind, out_trade_no, out_request_no, detail, found_at_ms, resolved_at_ms \
         from bill_differences where app_id = ? and seller_id = ? and bill_day = ? \
         order by case when resolved_at_ms is null then 0 else 1 end, found_at_ms, id limit ?",
    )
    .bind(&key.app_id)
    .bind(&key.seller_id)
    .bind(key.day.to_string())
    .bind(rows_max)
    .fetch_all(store.pool())
    .await?;
    Ok(rows.into_iter().map(DifferenceRecord::from).collect())
}

/// Open differences, for metrics.
///
/// # Errors
/// If the database fails.
pub async fn open(store: &Store) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("select count(*) from bill_differences where open_key is not null")
        .fetch_one(store.pool())
        .await?)
}
