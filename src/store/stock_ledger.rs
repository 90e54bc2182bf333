//! The ledger of SKU counters: one row a change, written in the transaction of the change; its key
//! makes each happen once.

use chrono::{DateTime, Utc};

use super::{StoreError, WriteTx, inserted_once};
use crate::domain::ids::{OrderId, SkuId};

/// One change of a SKU's counters, as the ledger keeps it.
#[derive(Clone, Debug)]
pub(super) struct Movement<'a> {
    pub(super) cause: String,
    pub(super) sku_id: &'a SkuId,
    pub(super) order_id: Option<&'a OrderId>,
    pub(super) kind: &'static str,
    pub(super) available: i64,
    pub(super) locked: i64,
    pub(super) detail: &'a str,
    pub(super) actor: &'a str,
}

/// Writes a movement that can't have been written before.
pub(super) async fn write(
    tx: &mut WriteTx<'_>,
    movement: &Movement<'_>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if insert(tx, movement, now).await? {
        return Ok(());
    }
    Err(StoreError::corrupt("stock_ledger", "cause", &movement.cause))
}

/// `false`: this movement was written before.
pub(super) async fn insert(
    tx: &mut WriteTx<'_>,
    movement: &Movement<'_>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query(
        "insert into stock_ledger (cause, sku_id, order_id, kind, available_delta, locked_delta, \
         sold_delta, detail, actor, at_ms) values (?, ?, ?, ?, ?, ?, 0, ?, ?, ?)",
    )
    .bind(&movement.cause)
    .bind(movement.sku_id.as_str())
    .bind(movement.order_id.map(OrderId::as_str))
    .bind(movement.kind)
    .bind(movement.available)
    .bind(movement.locked)
    .bind(movement.detail)
    .bind(movement.actor)
    .bind(now.timestamp_millis())
    .execute(tx.connection())
    .await;
    inserted_once(inserted)
}
