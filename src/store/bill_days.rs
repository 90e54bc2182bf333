//! Days of bills: one row an account and day of China. Any number of instances may look at them:
//! whoever leases a row does it.

use chrono::{DateTime, Utc};

use super::{Store, StoreError, WriteTx, inserted_once, time_opt};
use crate::domain::bill::BillDay;
use crate::domain::reconciliation::DayState;

/// Longest problem that is kept.
const PROBLEM_CHARS_MAX: usize = 256;

/// Which bill.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DayKey {
    /// Our application.
    pub app_id: String,
    /// The seller who got the money.
    pub seller_id: String,
    /// The day of China.
    pub day: BillDay,
}

/// How a bill stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayRecord {
    /// Which bill.
    pub key: DayKey,
    /// How it stands.
    pub state: DayState,
    /// How often it was compared.
    pub looks: i64,
    /// Lines about numbers of ours, at the last look.
    pub lines_ours: i64,
    /// Lines about numbers of others.
    pub lines_others: i64,
    /// Lines that were repaired, at all looks.
    pub repaired: i64,
    /// Open differences.
    pub differences: i64,
    /// Why the last look came to nothing.
    pub problem: Option<String>,
    /// When it was looked at last.
    pub looked_at: Option<DateTime<Utc>>,
    /// When it is looked at next, if ever.
    pub next_look_at: Option<DateTime<Utc>>,
}

/// What a look came to.
#[derive(Clone, Debug)]
pub struct Look {
    /// How the bill stands now.
    pub state: DayState,
    /// Whether bill and records were compared.
    pub compared: bool,
    /// Lines about numbers of ours.
    pub lines_ours: i64,
    /// Lines about numbers of others.
    pub lines_others: i64,
    /// Lines that were repaired.
    pub repaired: i64,
    /// Open differences.
    pub differences: i64,
    /// Why it came to nothing.
    pub problem: Option<String>,
    /// When to look again, if ever.
    pub next_look_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct Row {
    app_id: String,
    seller_id: String,
    bill_day: String,
    state: String,
    looks: i64,
    lines_ours: i64,
    lines_others: i64,
    repaired: i64,
    differences: i64,
    problem: Option<String>,
    looked_at_ms: Option<i64>,
    next_look_at_ms: Option<i64>,
}

impl Row {
    fn into_record(self) -> Result<DayRecord, StoreError> {
        let corrupt = |column| StoreError::corrupt("bill_days", column, &self.bill_day);
        let day = BillDay::parse(&self.bill_day).ok_or_else(|| corrupt("bill_day"))?;
        let state = DayState::parse(&self.state).ok_or_else(|| corrupt("state"))?;
        Ok(DayRecord {
            key: DayKey { app_id: self.app_id, seller_id: self.seller_id, day },
            state,
            looks: self.looks,
            lines_ours: self.lines_ours,
            lines_others: self.lines_others,
            repaired: self.repaired,
            differences: self.differences,
            problem: self.problem,
            looked_at: time_opt(self.looked_at_ms),
            next_look_at: time_opt(self.next_look_at_ms),
        })
    }
}

/// Makes the row of a day that is to be looked at. `false`: there is one.
///
/// # Errors
/// If the database fails.
pub async fn insert(
    store: &Store,
    key: &DayKey,
    next_look_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let inserted = sqlx::query(
        "insert into bill_days (app_id, seller_id, bill_day, state, looks, lines_ours, \
         lines_others, repaired, differences, next_look_at_ms, leased_until_ms, created_at_ms) \
         values (?, ?, ?, 'pending', 0, 0, 0, 0, 0, ?, 0, ?)",
    )
    .bind(&key.app_id)
    .bind(&key.seller_id)
    .bind(key.day.to_string())
    .bind(next_look_at.timestamp_millis())
    .bind(now.timestamp_millis())
    .execute(tx.connection())
    .await;
    let inserted = inserted_once(inserted)?;
    tx.commit().await?;
    Ok(inserted)
}

/// The days of an account that have a row, from this one on.
///
/// # Errors
/// If the database fails or a row breaks an invariant.
pub async fn known_since(store: &Store, first: &DayKey) -> Result<Vec<BillDay>, StoreError> {
    let days: Vec<String> = sqlx::query_scalar(
        "select bill_day from bill_days where app_id = ? and seller_id = ? and bill_day >= ?",
    )
    .bind(&first.app_id)
    .bind(&first.seller_id)
    .bind(first.day.to_string())
    .fetch_all(store.pool())
    .await?;
    let read = |day: String| {
        BillDay::parse(&day).ok_or_else(|| StoreError::corrupt("bill_days", "bill_day", &day))
    };
    days.into_iter().map(read).collect()
}

/// Days whose look is due and that nobody looks at, oldest first.
///
/// # Errors
/// If the database fails or a row breaks an invariant.
pub async fn due(
    store: &Store,
    rows_max: i64,
    now: DateTime<Utc>,
) -> Result<Vec<DayKey>, StoreError> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "select app_id, seller_id, bill_day from bill_days where next_look_at_ms <= ? \
         and leased_until_ms <= ? order by next_look_at_ms, bill_day limit ?",
    )
    .bind(now.timestamp_millis())
    .bind(now.timestamp_millis())
    .bind(rows_max)
    .fetch_all(store.pool())
    .await?;
    let read = |(app_id, seller_id, day): (String, String, String)| {
        let parsed = BillDay::parse(&day);
        let day = parsed.ok_or_else(|| StoreError::corrupt("bill_days", "bill_day", &day))?;
        Ok(DayKey { app_id, seller_id, day })
    };
    rows.into_iter().map(read).collect()
}

/// Puts a day off that can't be looked at, and says why.
///
/// # Errors
/// If the database fails.
pub async fn put_off(
    store: &Store,
    key: &DayKey,
    problem: &str,
    next_look_at: Option<DateTime<Utc>>,
) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "update bill_days set problem = ?, next_look_at_ms = ? where app_id = ? \
         and seller_id = ? and bill_day = ?",
    )
    .bind(problem)
    .bind(next_look_at.map(|at| at.timestamp_millis()))
    .bind(&key.app_id)
    .bind(&key.seller_id)
    .bind(key.day.to_string())
    .execute(tx.connection())
    .await?;
    tx.commit().await
}

/// Leases a day that is due by this time, under a token. `false`: it isn't, or somebody looks at
/// it.
///
/// # Errors
/// If the database fails.
pub async fn claim(
    store: &Store,
    key: &DayKey,
    (token, until): (&str, DateTime<Utc>),
    due_by: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let claimed = sqlx::query(
        "update bill_days set leased_by = ?, leased_until_ms = ? where app_id = ? \
         and seller_id = ? and bill_day = ? and leased_until_ms <= ? \
         and (next_look_at_ms is null or next_look_at_ms <= ?)",
    )
    .bind(token)
    .bind(until.timestamp_millis())
    .bind(&key.app_id)
    .bind(&key.seller_id)
    .bind(key.day.to_string())
    .bind(now.timestamp_millis())
    .bind(due_by.timestamp_millis())
    .execute(tx.connection())
    .await?;
    tx.commit().await?;
    Ok(claimed.rows_affected() == 1)
}

/// Frees what a process held that is gone. Only for a database that a single instance uses.
///
/// # Errors
/// If the database fails.
pub async fn release_leases(store: &Store) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "update bill_days set leased_by = null, leased_until_ms = 0 where leased_until_ms > 0",
    )
    .execute(tx.connection())
    .await?;
    tx.commit().await
}

/// Writes what a look came to and gives up the lease. `false`: it ran out, and somebody else looks.
///
/// # Errors
/// If the database fails.
pub async fn finish(
    tx: &mut WriteTx<'_>,
    key: &DayKey,
    token: &str,
    look: &Look,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let problem = look.problem.as_ref();
    let problem: Option<String> =
        problem.map(|problem| problem.chars().take(PROBLEM_CHARS_MAX).collect());
    let written = sqlx::query(
        "update bill_days set state = ?, looks = looks + ?, lines_ours = ?, lines_others = ?, \
         repaired = repaired + ?, differences = ?, problem = ?, looked_at_ms = ?, \
         next_look_at_ms = ?, leased_by = null, leased_until_ms = 0 \
         where app_id = ? and seller_id = ? and bill_day = ? and leased_by = ?",
    )
    .bind(look.state.as_str())
    .bind(i64::from(look.compared))
    .bind(look.lines_ours)
    .bind(look.lines_others)
    .bind(look.repaired)
    .bind(look.differences)
    .bind(problem)
    .bind(now.timestamp_millis())
    .bind(look.next_look_at.map(|at| at.timestamp_millis()))
    .bind(&key.app_id)
    .bind(&key.seller_id)
    .bind(key.day.to_string())
    .bind(token)
    .execute(tx.connection())
    .await?;
    Ok(written.rows_affected() == 1)
}

const SELECT_ONE: &str = "select app_id, seller_id, bill_day, state, looks, lines_ours, \
    lines_others, repaired, differences, problem, looked_at_ms, next_look_at_ms from bill_days \
    where app_id = ? and seller_id = ? and bill_day = ?";

const SELECT_BEFORE: &str = "select app_id, seller_id, bill_day, state, looks, lines_ours, \
    lines_others, repaired, differences, problem, looked_at_ms, next_look_at_ms from bill_days \
    where bill_day < ? order by bill_day desc, app_id, seller_id limit ?";

/// Reads one day.
///
/// # Errors
/// If the database fails or the row breaks an invariant.
pub async fn find(store: &Store, key: &DayKey) -> Result<Option<DayRecord>, StoreError> {
    let row: Option<Row> = sqlx::query_as(SELECT_ONE)
        .bind(&key.app_id)
        .bind(&key.seller_id)
        .bind(key.day.to_string())
        .fetch_optional(store.pool())
        .await?;
    row.map(Row::into_record).transpose()
}

/// The days before one, newest first.
///
/// # Errors
/// If the database fails or a row breaks an invariant.
pub async fn before(
    store: &Store,
    day: BillDay,
    rows_max: i64,
) -> Result<Vec<DayRecord>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(SELECT_BEFORE)
        .bind(day.to_string())
        .bind(rows_max)
        .fetch_all(store.pool())
        .await?;
    rows.into_iter().map(Row::into_record).collect()
}

/// Days by state from one on, for metrics.
///
/// # Errors
/// If the database fails.
pub async fn by_state(store: &Store, first: BillDay) -> Result<Vec<(String, i64)>, StoreError> {
    let rows =
        sqlx::query_as("select state, count(*) from bill_days where bill_day >= ? group by state");
    Ok(rows.bind(first.to_string()).fetch_all(store.pool()).await?)
}
