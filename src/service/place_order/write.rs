//! The creating transaction: barrier, idempotency key, order, lines, stock locks, pending row and
//! history, all or nothing.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::draft::Draft;
use crate::app::App;
use crate::domain::ids::SkuId;
use crate::domain::order::{Engine, OrderStatus};
use crate::service::order_view::OrderView;
use crate::store::history::Entry;
use crate::store::idempotency::UsedKey;
use crate::store::{
    StoreError, WriteTx, barriers, history, idempotency, orders, pending, stock_locks,
};

/// How often a broken deadlock or a busy database is tried again.
const TRIES_MAX: u32 = 4;

/// What came of a creating transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Creation {
    /// The order exists; this is its answer.
    Created(String),
    /// Too few pieces of this SKU: nothing was written.
    OutOfStock(SkuId),
    /// Another request with the same key was first: nothing was written.
    KeyTaken,
    /// A check-back gave this id up before: nothing was written.
    Tombstoned,
}

/// Writes the order of a draft.
///
/// # Errors
/// If the database fails. Nothing was written then, but for [`StoreError::CommitUnknown`].
pub async fn create(app: &App, draft: &Draft) -> Result<Creation, StoreError> {
    let mut tries = 1;
    loop {
        match try_create(app, draft).await {
            Err(error) if error.is_busy() && tries < TRIES_MAX => tries += 1,
            result => return result,
        }
    }
}

async fn try_create(app: &App, draft: &Draft) -> Result<Creation, StoreError> {
    let now = app.now();
    let order_id = draft.id();
    let body = json!(OrderView::new(&draft.record, &draft.items, &[])).to_string();
    let mut tx = app.store.begin().await?;
    if !barriers::claim(&mut tx, order_id, now).await? {
        return give_up(tx, Creation::Tombstoned).await;
    }
    let used = UsedKey { request_hash: draft.request_hash.clone(), response: body.clone() };
    if !idempotency::insert(&mut tx, &draft.key_hash, &used, order_id, now).await? {
        return give_up(tx, Creation::KeyTaken).await;
    }
    orders::insert(&mut tx, &draft.record, &draft.items).await?;
    let next_query_at = first_look(app, draft, now);
    pending::insert_order(&mut tx, order_id, next_query_at, now).await?;
    let placed = Entry {
        cause: "placed",
        from: None,
        to: OrderStatus::AwaitingPayment,
        detail: json!({ "degraded": draft.record.degraded, "by": draft.record.storefront }),
    };
    history::append(&mut tx, order_id, 1, "http", &[placed], now).await?;
    // Last: whoever wants pieces of the same SKU waits from here to the commit.
    if let Err(sku_id) = stock_locks::lock(&mut tx, order_id, &draft.quantities, now).await? {
        return give_up(tx, Creation::OutOfStock(sku_id)).await;
    }
    tx.commit().await?;
    tell(app, draft);
    Ok(Creation::Created(body))
}

async fn give_up(tx: WriteTx<'_>, creation: Creation) -> Result<Creation, StoreError> {
    tx.rollback().await?;
    Ok(creation)
}

/// A half message is first checked after an interval; two further ones may be missed. An order
/// without one has no attempt to ask about yet: it waits for its deadline, and for the message that
/// comes then, if there is one.
fn first_look(app: &App, draft: &Draft, now: DateTime<Utc>) -> DateTime<Utc> {
    let (record, interval) = (&draft.record, app.check_interval());
    let due_at = record.order.due_at(app.policy().grace);
    match record.engine {
        Engine::Transaction if record.degraded => (now + interval).min(due_at),
        Engine::Transaction => now + interval * 4,
        Engine::Delay if !record.degraded => due_at + interval * 2,
        Engine::Delay | Engine::Poll => due_at,
    }
}

fn tell(app: &App, draft: &Draft) {
    let record = &draft.record;
    app.metrics.order("placed");
    if record.degraded {
        app.metrics.order("degraded");
    }
    tracing::info!(
        order.id = %record.order.id,
        actor = "http",
        cause = "placed",
        status = record.order.status.as_str(),
        amount_fen = record.order.amount.fen(),
        degraded = record.degraded,
        "order changed"
    );
}
