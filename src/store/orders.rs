//! Order rows. Every change names the version that it read and bumps it; whoever comes second
//! finds another version and decides again.

use chrono::{DateTime, Utc};

use super::{Store, StoreError, WriteTx, time, time_opt};
use crate::domain::ids::{OrderId, OutTradeNo, SkuId};
use crate::domain::money::Fen;
use crate::domain::order::{CancelRequest, Engine, HalfMessageMeaning, Order, OrderStatus};

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What is bought.
    pub sku_id: SkuId,
    /// Its title at the time of the order.
    pub title: String,
    /// Its price at the time of the order.
    pub price: Fen,
    /// How many pieces.
    pub quantity: i64,
}

/// An order with everything that its row holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRecord {
    /// What the decision needs.
    pub order: Order,
    /// Placed without its half message.
    pub degraded: bool,
    /// The name of the key that placed it.
    pub storefront: String,
    /// The storefront's number of it, if it gave one.
    pub order_no: Option<String>,
    /// The buyer.
    pub member_id: String,
    /// Its class, which chooses window and engine.
    pub class: String,
    /// What the buyer reads when paying.
    pub subject: String,
    /// The storefront's own data, a JSON text.
    pub metadata: String,
    /// How its timeout is driven.
    pub engine: Engine,
    /// What its half message says when committed.
    pub half_message: HalfMessageMeaning,
    /// How much of it was given back.
    pub refunded: Fen,
    /// When its payment was made, as the gateway says.
    pub paid_at: Option<DateTime<Utc>>,
    /// When it was cancelled.
    pub cancelled_at: Option<DateTime<Utc>>,
    /// When it was placed.
    pub created_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    version: i64,
    status: String,
    degraded: i64,
    storefront: String,
    order_no: Option<String>,
    member_id: String,
    class: String,
    subject: String,
    metadata: String,
    engine: String,
    half_message: String,
    amount_fen: i64,
    refunded_fen: i64,
    applied_out_trade_no: Option<String>,
    expires_at_ms: i64,
    cancel_requested_at_ms: Option<i64>,
    cancel_requested_by: Option<String>,
    paid_at_ms: Option<i64>,
    cancelled_at_ms: Option<i64>,
    created_at_ms: i64,
}

impl Row {
    fn into_record(self) -> Result<OrderRecord, StoreError> {
        let corrupt = |column| StoreError::corrupt("orders", column, &self.id);
        let status = OrderStatus::parse(&self.status).ok_or_else(|| corrupt("status"))?;
        let amount = Fen::new(self.amount_fen).ok_or_else(|| corrupt("amount_fen"))?;
        let refunded = Fen::new(self.refunded_fen).ok_or_else(|| corrupt("refunded_fen"))?;
        let engine = Engine::parse(&self.engine).ok_or_else(|| corrupt("engine"))?;
        let half_message =
            HalfMessageMeaning::parse(&self.half_message).ok_or_else(|| corrupt("half_message"))?;
        let cancel_request = self.cancel_requested_at_ms.map(|at_ms| CancelRequest {
            at: time(at_ms),
            by: self.cancel_requested_by.clone().unwrap_or_default(),
        });
        Ok(OrderRecord {
            order: Order {
                id: OrderId::from_trusted(self.id),
                version: self.version,
                status,
                amount,
                expires_at: time(self.expires_at_ms),
                cancel_request,
                applied: self.applied_out_trade_no.map(OutTradeNo::from_trusted),
            },
            degraded: self.degraded != 0,
            storefront: self.storefront,
            order_no: self.order_no,
            member_id: self.member_id,
            class: self.class,
            subject: self.subject,
            metadata: self.metadata,
            engine,
            half_message,
            refunded,
            paid_at: time_opt(self.paid_at_ms),
            cancelled_at: time_opt(self.cancelled_at_ms),
            created_at: time(self.created_at_ms),
        })
    }
}

const SELECT_BY_ID: &str = "select id, version, status, degraded, storefront, order_no, \
    member_id, class, subject, metadata, engine, half_message, amount_fen, refunded_fen, \
    applied_out_trade_no, expires_at_ms, cancel_requested_at_ms, cancel_requested_by, paid_at_ms, \
    cancelled_at_ms, created_at_ms from orders where id = ?";

/// Reads an order.
///
/// # Errors
/// If the database fails or the row breaks an invariant.
pub async fn find(store: &Store, id: &OrderId) -> Result<Option<OrderRecord>, StoreError> {
    let row: Option<Row> =
        sqlx::query_as(SELECT_BY_ID).bind(id.as_str()).fetch_optional(store.pool()).await?;
    row.map(Row::into_record).transpose()
}

/// Finds an order by its storefront's number.
///
/// # Errors
/// If the database fails.
pub async fn find_by_order_no(
    store: &Store,
    storefront: &str,
    order_no: &str,
) -> Result<Option<OrderId>, StoreError> {
    let id: Option<String> =
        sqlx::query_scalar("select id from orders where storefront = ? and order_no = ?")
            .bind(storefront)
            .bind(order_no)
            .fetch_optional(store.pool())
            .await?;
    Ok(id.map(OrderId::from_trusted))
}

/// Finds the orders that have this number at any storefront, newest first.
///
/// # Errors
/// If the database fails.
pub async fn with_order_no(
    store: &Store,
    order_no: &str,
    rows_max: i64,
) -> Result<Vec<OrderId>, StoreError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "select id from orders where order_no = ? order by created_at_ms desc, id desc limit ?",
    )
    .bind(order_no)
    .bind(rows_max)
    .fetch_all(store.pool())
    .await?;
    Ok(ids.into_iter().map(OrderId::from_trusted).collect())
}

/// Reads an order's lines.
///
/// # Errors
/// If the database fails.
pub async fn items(store: &Store, id: &OrderId) -> Result<Vec<Item>, StoreError> {
    let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(
        "select sku_id, title, price_fen, quantity from order_items \
         where order_id = ? order by sku_id",
    )
    .bind(id.as_str())
    .fetch_all(store.pool())
    .await?;
    rows.into_iter()
        .map(|(sku_id, title, price_fen, quantity)| {
            let price = Fen::new(price_fen)
                .ok_or_else(|| StoreError::corrupt("order_items", "price_fen", id.as_str()))?;
            Ok(Item { sku_id: SkuId::from_trusted(sku_id), title, price, quantity })
        })
        .collect()
}

/// Writes a new order with its lines.
///
/// # Errors
/// If the database fails.
pub async fn insert(
    tx: &mut WriteTx<'_>,
    record: &OrderRecord,
    items: &[Item],
) -> Result<(), StoreError> {
    let created_at_ms = record.created_at.timestamp_millis();
    sqlx::query(
        "insert into orders (id, version, status, degraded, storefront, order_no, member_id, \
         class, subject, metadata, stock_kind, engine, half_message, amount_fen, refunded_fen, \
         expires_at_ms, created_at_ms, updated_at_ms) \
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'sku', ?, ?, ?, 0, ?, ?, ?)",
    )
    .bind(record.order.id.as_str())
    .bind(record.order.version)
    .bind(record.order.status.as_str())
    .bind(i64::from(record.degraded))
    .bind(&record.storefront)
    .bind(record.order_no.as_deref())
    .bind(&record.member_id)
    .bind(&record.class)
    .bind(&record.subject)
    .bind(&record.metadata)
    .bind(record.engine.as_str())
    .bind(record.half_message.as_str())
    .bind(record.order.amount.fen())
    .bind(record.order.expires_at.timestamp_millis())
    .bind(created_at_ms)
    .bind(created_at_ms)
    .execute(tx.connection())
    .await?;
    for item in items {
        insert_item(tx, &record.order.id, item).await?;
    }
    Ok(())
}

async fn insert_item(
    tx: &mut WriteTx<'_>,
    order_id: &OrderId,
    item: &Item,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into order_items (order_id, sku_id, title, price_fen, quantity) \
         values (?, ?, ?, ?, ?)",
    )
    .bind(order_id.as_str())
    .bind(item.sku_id.as_str())
    .bind(&item.title)
    .bind(item.price.fen())
    .bind(item.quantity)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes the next version of an order, for a change that leaves its status alone. `false`: it has
/// changed since it was read.
///
/// # Errors
/// If the database fails.
pub async fn bump(
    tx: &mut WriteTx<'_>,
    read: &Order,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let bumped = sqlx::query(
        "update orders set version = version + 1, updated_at_ms = ? \
         where id = ? and version = ? and status = ?",
    )
    .bind(now.timestamp_millis())
    .bind(read.id.as_str())
    .bind(read.version)
    .bind(read.status.as_str())
    .execute(tx.connection())
    .await?;
    Ok(bumped.rows_affected() == 1)
}

/// Applies a payment. `false`: the order has changed since it was read.
///
/// # Errors
/// If the database fails.
pub async fn mark_paid(
    tx: &mut WriteTx<'_>,
    read: &Order,
    applied: &OutTradeNo,
    paid_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    pay(tx, OrderStatus::AwaitingPayment, read, applied, (paid_at, now)).await
}

/// Pays a cancelled order after all. `false`: the order has changed since it was read.
///
/// # Errors
/// If the database fails.
pub async fn mark_reopened(
    tx: &mut WriteTx<'_>,
    read: &Order,
    applied: &OutTradeNo,
    paid_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    pay(tx, OrderStatus::Cancelled, read, applied, (paid_at, now)).await
}

async fn pay(
    tx: &mut WriteTx<'_>,
    from: OrderStatus,
    read: &Order,
    applied: &OutTradeNo,
    (paid_at, now): (DateTime<Utc>, DateTime<Utc>),
) -> Result<bool, StoreError> {
    let marked = sqlx::query(
        "update orders set version = version + 1, status = 'paid', applied_out_trade_no = ?, \
         paid_at_ms = ?, updated_at_ms = ? where id = ? and version = ? and status = ?",
    )
    .bind(applied.as_str())
    .bind(paid_at.timestamp_millis())
    .bind(now.timestamp_millis())
    .bind(read.id.as_str())
    .bind(read.version)
    .bind(from.as_str())
    .execute(tx.connection())
    .await?;
    Ok(marked.rows_affected() == 1)
}

/// Cancels an order. `false`: it has changed since it was read.
///
/// # Errors
/// If the database fails.
pub async fn mark_cancelled(
    tx: &mut WriteTx<'_>,
    read: &Order,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let marked = sqlx::query(
        "update orders set version = version + 1, status = 'cancelled', cancelled_at_ms = ?, \
         updated_at_ms = ? where id = ? and version = ? and status = 'awaiting_payment'",
    )
    .bind(now.timestamp_millis())
    .bind(now.timestamp_millis())
    .bind(read.id.as_str())
    .bind(read.version)
    .execute(tx.connection())
    .await?;
    Ok(marked.rows_affected() == 1)
}

/// Stores a cancel request. `false`: the order has changed since it was read, or has one already.
///
/// # Errors
/// If the database fails.
pub async fn request_cancel(
    tx: &mut WriteTx<'_>,
    read: &Order,
    by: &str,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let stored = sqlx::query(
        "update orders set version = version + 1, cancel_requested_at_ms = ?, \
         cancel_requested_by = ?, updated_at_ms = ? where id = ? and version = ? \
         and status = 'awaiting_payment' and cancel_requested_at_ms is null",
    )
    .bind(now.timestamp_millis())
    .bind(by)
    .bind(now.timestamp_millis())
    .bind(read.id.as_str())
    .bind(read.version)
    .execute(tx.connection())
    .await?;
    Ok(stored.rows_affected() == 1)
}

/// Orders whose deadline passed before `before` and that await payment without an open alarm about
/// that.
///
/// # Errors
/// If the database fails.
pub async fn silent_since(
    store: &Store,
    before: DateTime<Utc>,
    rows_max: i64,
) -> Result<Vec<OrderId>, StoreError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "select p.order_id from pending_payments p join orders o on o.id = p.order_id \
         where p.next_query_at_ms >= 0 and p.kind = 'order' and o.expires_at_ms <= ? \
         and not exists (select 1 from alarms where alarms.subject = p.order_id \
         and alarms.kind = 'order_overdue' and alarms.resolved_at_ms is null) limit ?",
    )
    .bind(before.timestamp_millis())
    .bind(rows_max)
    .fetch_all(store.pool())
    .await?;
    Ok(ids.into_iter().map(OrderId::from_trusted).collect())
}
