//! SKUs and their counters. A counter moves only by compare-and-set, in one transaction
//! with the ledger row that says why; the database refuses a negative counter or a wrong sum.

use chrono::{DateTime, Utc};

use super::idempotency::{self, UsedKey};
use super::stock_ledger::{self, Movement};
use super::{Store, StoreError, inserted_once};
use crate::domain::ids::SkuId;
use crate::domain::money::Fen;
use crate::domain::stock::Sku;

/// A quantity of one SKU that an order holds or wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity {
    /// Which SKU.
    pub sku_id: SkuId,
    /// How many pieces.
    pub pieces: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    sku_id: String,
    title: String,
    price_fen: i64,
    available: i64,
    locked: i64,
    sold: i64,
}

impl Row {
    fn into_sku(self) -> Result<Sku, StoreError> {
        let price_fen = Fen::new(self.price_fen)
            .ok_or_else(|| StoreError::corrupt("skus", "price_fen", &self.sku_id))?;
        Ok(Sku {
            sku_id: SkuId::from_trusted(self.sku_id),
            title: self.title,
            price_fen,
            available: self.available,
            locked: self.locked,
            sold: self.sold,
        })
    }
}

/// Reads one SKU.
///
/// # Errors
/// If the database fails.
pub async fn find(store: &Store, sku_id: &SkuId) -> Result<Option<Sku>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "select sku_id, title, price_fen, available, locked, sold from skus where sku_id = ?",
    )
    .bind(sku_id.as_str())
    .fetch_optional(store.pool())
    .await?;
    row.map(Row::into_sku).transpose()
}

/// SKUs that one read looks up; as many as an order has lines at most.
pub const LOOKUP_MAX: usize = 20;

/// What is known before an order is placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookUp {
    /// The SKUs that are wanted; unknown ones are missing.
    pub skus: Vec<Sku>,
    /// The idempotency key, if it was used before.
    pub used: Option<UsedKey>,
}

#[derive(sqlx::FromRow)]
struct LookUpRow {
    #[sqlx(flatten)]
    sku: Row,
    request_hash: Option<String>,
    response: Option<String>,
}

macro_rules! select_looked_up {
    ($rest:literal) => {
        concat!(
            "select sku_id, title, price_fen, available, locked, sold, request_hash, response \
             from skus left join idempotency_keys on key_hash = ? ",
            $rest
        )
    };
}

const SELECT_ONE: &str = select_looked_up!("where sku_id = ?");

const SELECT_MANY: &str = select_looked_up!(
    "where sku_id in (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
);

/// Reads the SKUs of an order, and whether its idempotency key was used, in one go: whoever is
/// refused waits for nothing else.
///
/// # Errors
/// If the database fails.
pub async fn look_up(
    store: &Store,
    wanted: &[Quantity],
    key_hash: &str,
) -> Result<LookUp, StoreError> {
    let (statement, places) =
        if wanted.len() == 1 { (SELECT_ONE, 1) } else { (SELECT_MANY, LOOKUP_MAX) };
    let mut query = sqlx::query_as(statement).bind(key_hash);
    for place in 0..places {
        query = query.bind(wanted.get(place).map(|quantity| quantity.sku_id.as_str()));
    }
    let rows: Vec<LookUpRow> = query.fetch_all(store.pool()).await?;
    let mut found = LookUp { skus: Vec::with_capacity(rows.len()), used: None };
    for LookUpRow { sku, request_hash, response } in rows {
        found.skus.push(sku.into_sku()?);
        found.used = request_hash.zip(response).map(UsedKey::from);
    }
    if found.skus.is_empty() {
        found.used = idempotency::find(store, key_hash).await?;
    }
    Ok(found)
}

/// Makes a SKU with its first stock. `false`: it exists already.
///
/// # Errors
/// If the database fails.
pub async fn insert(
    store: &Store,
    sku: &Sku,
    actor: &str,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let now_ms = now.timestamp_millis();
    let inserted = sqlx::query(
        "insert into skus (sku_id, title, price_fen, total, available, locked, sold, \
         created_at_ms, updated_at_ms) values (?, ?, ?, ?, ?, 0, 0, ?, ?)",
    )
    .bind(sku.sku_id.as_str())
    .bind(&sku.title)
    .bind(sku.price_fen.fen())
    .bind(sku.available)
    .bind(sku.available)
    .bind(now_ms)
    .bind(now_ms)
    .execute(tx.connection())
    .await;
    if !inserted_once(inserted)? {
        return Ok(false);
    }
    let movement = Movement {
        cause: "initial".into(),
        sku_id: &sku.sku_id,
        order_id: None,
        kind: "initial",
        available: sku.available,
        locked: 0,
        detail: "",
        actor,
    };
    stock_ledger::write(&mut tx, &movement, now).await?;
    tx.commit().await?;
    Ok(true)
}

/// Changes title and price. `false`: there is no such SKU.
///
/// # Errors
/// If the database fails.
pub async fn update(
    store: &Store,
    sku_id: &SkuId,
    title: &str,
    price: Fen,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let updated =
        sqlx::query("update skus set title = ?, price_fen = ?, updated_at_ms = ? where sku_id = ?")
            .bind(title)
            .bind(price.fen())
            .bind(now.timestamp_millis())
            .bind(sku_id.as_str())
            .execute(tx.connection())
            .await?;
    tx.commit().await?;
    Ok(updated.rows_affected() == 1)
}

/// A correction of a SKU's total.
#[derive(Clone, Debug)]
pub struct Adjustment<'a> {
    /// Which SKU.
    pub sku_id: &'a SkuId,
    /// Pieces that came (positive) or went (negative).
    pub delta: i64,
    /// Why.
    pub reason: &'a str,
    /// The caller's number: the same number adjusts once.
    pub request_no: &'a str,
    /// The key that asked for it.
    pub actor: &'a str,
}

/// What came of an adjustment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adjusted {
    /// The counters moved.
    Done,
    /// The same request was done before; nothing moved now.
    Repeated,
    /// The number was used for another delta or reason.
    OtherRequest,
    /// The total would fall below what is locked and sold, or exceed the limit.
    OutOfRange,
}

/// Moves the total and the available pieces of a SKU together.
///
/// # Errors
/// If the database fails.
pub async fn adjust(
    store: &Store,
    adjustment: &Adjustment<'_>,
    total_max: i64,
    now: DateTime<Utc>,
) -> Result<Adjusted, StoreError> {
    let cause = format!("adjust:{}", crate::hash::sha256_hex(&[adjustment.request_no]));
    let mut tx = store.begin().await?;
    let movement = Movement {
        cause,
        sku_id: adjustment.sku_id,
        order_id: None,
        kind: "adjust",
        available: adjustment.delta,
        locked: 0,
        detail: adjustment.reason,
        actor: adjustment.actor,
    };
    if !stock_ledger::insert(&mut tx, &movement, now).await? {
        tx.rollback().await?;
        let same = same_adjustment(store, &movement).await?;
        return Ok(if same { Adjusted::Repeated } else { Adjusted::OtherRequest });
    }
    let moved = sqlx::query(
        "update skus set total = total + ?, available = available + ?, updated_at_ms = ? \
         where sku_id = ? and available + ? >= 0 and total + ? <= ?",
    )
    .bind(adjustment.delta)
    .bind(adjustment.delta)
    .bind(now.timestamp_millis())
    .bind(adjustment.sku_id.as_str())
    .bind(adjustment.delta)
    .bind(adjustment.delta)
    .bind(total_max)
    .execute(tx.connection())
    .await?;
    if moved.rows_affected() != 1 {
        tx.rollback().await?;
        return Ok(Adjusted::OutOfRange);
    }
    tx.commit().await?;
    Ok(Adjusted::Done)
}

async fn same_adjustment(store: &Store, movement: &Movement<'_>) -> Result<bool, StoreError> {
    let stored: Option<(i64, String)> = sqlx::query_as(
        "select available_delta, detail from stock_ledger where sku_id = ? and cause = ?",
    )
    .bind(movement.sku_id.as_str())
    .bind(&movement.cause)
    .fetch_optional(store.pool())
    .await?;
    Ok(stored
        .is_some_and(|(delta, reason)| delta == movement.available && reason == movement.detail))
}
