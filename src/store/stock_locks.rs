//! The pieces that orders hold: locked with the order, released or consumed once.

use chrono::{DateTime, Utc};

use super::skus::Quantity;
use super::stock_ledger::{self, Movement};
use super::{StoreError, WriteTx};
use crate::domain::ids::{OrderId, SkuId};

/// The round of a new order's locks; a reopened order's have a higher one.
const FIRST_ROUND: i64 = 1;

/// Locks the pieces of a reopened order, in its next round. `Err(sku)` inside: that SKU has too few
/// available.
///
/// # Errors
/// If the database fails.
pub async fn lock_again(
    tx: &mut WriteTx<'_>,
    order_id: &OrderId,
    now: DateTime<Utc>,
) -> Result<Result<(), SkuId>, StoreError> {
    let earlier: Vec<(String, i64, i64)> = sqlx::query_as(
        "select sku_id, quantity, round from stock_locks where order_id = ? \
         and round = (select max(round) from stock_locks latest where latest.order_id = ?) \
         order by sku_id",
    )
    .bind(order_id.as_str())
    .bind(order_id.as_str())
    .fetch_all(tx.connection())
    .await?;
    let round = earlier.first().map_or(FIRST_ROUND, |(_, _, round)| round + 1);
    let quantity = |(sku_id, pieces, _): (String, i64, i64)| {
        let sku_id = SkuId::from_trusted(sku_id);
        Quantity { sku_id, pieces }
    };
    let quantities: Vec<_> = earlier.into_iter().map(quantity).collect();
    lock_round(tx, order_id, round, &quantities, now).await
}

/// Locks the pieces of a new order. `Err(sku)` inside: that SKU has too few available.
///
/// `quantities` are in ascending order of their SKU ids, so that two orders never wait for each
/// other.
///
/// # Errors
/// If the database fails.
pub async fn lock(
    tx: &mut WriteTx<'_>,
    order_id: &OrderId,
    quantities: &[Quantity],
    now: DateTime<Utc>,
) -> Result<Result<(), SkuId>, StoreError> {
    lock_round(tx, order_id, FIRST_ROUND, quantities, now).await
}

async fn lock_round(
    tx: &mut WriteTx<'_>,
    order_id: &OrderId,
    round: i64,
    quantities: &[Quantity],
    now: DateTime<Utc>,
) -> Result<Result<(), SkuId>, StoreError> {
    for Quantity { sku_id, pieces } in quantities {
        let moved = sqlx::query(
            "update skus set available = available - ?, locked = locked + ?, updated_at_ms = ? \
             where sku_id = ? and available >= ?",
        )
        .bind(*pieces)
        .bind(*pieces)
        .bind(now.timestamp_millis())
        .bind(sku_id.as_str())
        .bind(*pieces)
        .execute(tx.connection())
        .await?;
        if moved.rows_affected() != 1 {
            return Ok(Err(sku_id.clone()));
        }
        insert_lock(tx, order_id, sku_id, (round, *pieces), now).await?;
    }
    Ok(Ok(()))
}

async fn insert_lock(
    tx: &mut WriteTx<'_>,
    order_id: &OrderId,
    sku_id: &SkuId,
    (round, pieces): (i64, i64),
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into stock_locks (order_id, sku_id, round, quantity, status, locked_at_ms) \
         values (?, ?, ?, ?, 'open', ?)",
    )
    .bind(order_id.as_str())
    .bind(sku_id.as_str())
    .bind(round)
    .bind(pieces)
    .bind(now.timestamp_millis())
    .execute(tx.connection())
    .await?;
    let movement = movement(order_id, sku_id, round, ("lock", -pieces, pieces));
    stock_ledger::write(tx, &movement, now).await
}

/// Releases every open lock of an order, each once.
///
/// # Errors
/// If the database fails.
pub async fn release(
    tx: &mut WriteTx<'_>,
    order_id: &OrderId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let open: Vec<(String, i64, i64)> = sqlx::query_as(
        "select sku_id, round, quantity from stock_locks \
         where order_id = ? and status = 'open' order by sku_id",
    )
    .bind(order_id.as_str())
    .fetch_all(tx.connection())
    .await?;
    for (sku_id, round, pieces) in open {
        let sku_id = SkuId::from_trusted(sku_id);
        if end_lock(tx, order_id, &sku_id, round, now).await? {
            give_back(tx, order_id, &sku_id, (round, pieces), now).await?;
        }
    }
    Ok(())
}

async fn end_lock(
    tx: &mut WriteTx<'_>,
    order_id: &OrderId,
    sku_id: &SkuId,
    round: i64,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let ended = sqlx::query(
        "update stock_locks set status = 'released', ended_at_ms = ? \
         where order_id = ? and sku_id = ? and round = ? and status = 'open'",
    )
    .bind(now.timestamp_millis())
    .bind(order_id.as_str())
    .bind(sku_id.as_str())
    .bind(round)
    .execute(tx.connection())
    .await?;
    Ok(ended.rows_affected() == 1)
}

async fn give_back(
    tx: &mut WriteTx<'_>,
    order_id: &OrderId,
    sku_id: &SkuId,
    (round, pieces): (i64, i64),
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let moved = sqlx::query(
        "update skus set available = available + ?, locked = locked - ?, updated_at_ms = ? \
         where sku_id = ? and locked >= ?",
    )
    .bind(pieces)
    .bind(pieces)
    .bind(now.timestamp_millis())
    .bind(sku_id.as_str())
    .bind(pieces)
    .execute(tx.connection())
    .await?;
    if moved.rows_affected() != 1 {
        return Err(StoreError::corrupt("skus", "locked", sku_id.as_str()));
    }
    let movement = movement(order_id, sku_id, round, ("release", pieces, -pieces));
    stock_ledger::write(tx, &movement, now).await
}

fn movement<'a>(
    order_id: &'a OrderId,
    sku_id: &'a SkuId,
    round: i64,
    (kind, available, locked): (&'static str, i64, i64),
) -> Movement<'a> {
    Movement {
        cause: format!("{kind}:{order_id}:{round}"),
        sku_id,
        order_id: Some(order_id),
        kind,
        available,
        locked,
        detail: "",
        actor: "order",
    }
}
