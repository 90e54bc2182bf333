//! An order as the API shows it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::domain::ids::OrderId;
use crate::store::orders::{Item, OrderRecord};
use crate::store::payments::PaymentRecord;
use crate::store::refunds::RefundRecord;
use crate::store::{StoreError, orders, payments, refunds};

/// An order.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OrderView {
    /// Its id.
    pub id: String,
    /// The storefront's number of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_no: Option<String>,
    /// `awaiting_payment`, `paid`, `cancelled`, `refunding` or `refunded`.
    pub status: String,
    /// Placed while the broker was away: its timer is the light poll.
    pub degraded: bool,
    /// What the buyer owes, in fen.
    pub amount_fen: i64,
    /// What went back to the buyer, in fen.
    pub refunded_fen: i64,
    /// Its lines.
    pub items: Vec<ItemView>,
    /// The storefront's own data.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub metadata: serde_json::Value,
    /// When it was placed.
    pub created_at: DateTime<Utc>,
    /// The deadline that the buyer is shown.
    pub expires_at: DateTime<Utc>,
    /// When it was paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid_at: Option<DateTime<Utc>>,
    /// When it was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled_at: Option<DateTime<Utc>>,
    /// Its payment attempts, oldest first.
    pub payments: Vec<PaymentView>,
}

/// A refund.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RefundView {
    /// The number that it was asked for under.
    pub request_no: String,
    /// Its number at the gateway.
    pub out_request_no: String,
    /// The payment that goes back.
    pub out_trade_no: String,
    /// How much, in fen.
    pub amount_fen: i64,
    /// `requested`, `stopping_warehouse`, `sending`, `succeeded` or `refused`.
    pub status: String,
    /// `requested` by a caller; `late`, `duplicate`, `wrong_amount`, `orphan` for a payment that
    /// goes back whole; `elsewhere` if somebody else gave it back.
    pub cause: String,
    /// In the words of whoever asked.
    pub reason: String,
    /// The pieces that it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<RefundItemView>,
    /// Why the gateway refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_because: Option<String>,
    /// The reference under which it was paid by other means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid_elsewhere: Option<String>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
}

/// Pieces that a refund is about.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RefundItemView {
    /// What was bought.
    pub sku_id: String,
    /// How many pieces.
    pub quantity: i64,
}

impl From<&RefundRecord> for RefundView {
    fn from(record: &RefundRecord) -> Self {
        let refund = &record.refund;
        let items = refund
            .items
            .iter()
            .map(|item| RefundItemView { sku_id: item.sku_id.clone(), quantity: item.quantity });
        Self {
            request_no: refund.request_no.clone(),
            out_request_no: refund.out_request_no.to_string(),
            out_trade_no: refund.out_trade_no.to_string(),
            amount_fen: refund.amount.fen(),
            status: refund.status.as_str().to_owned(),
            cause: refund.cause.as_str().to_owned(),
            reason: refund.reason.clone(),
            items: items.collect(),
            refused_because: record.refused_because.clone(),
            paid_elsewhere: record.paid_elsewhere.clone(),
            created_at: record.created_at,
            ended_at: record.ended_at,
        }
    }
}

/// One line of an order.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ItemView {
    /// What is bought.
    pub sku_id: String,
    /// Its title at the time of the order.
    pub title: String,
    /// Its price at the time of the order, in fen.
    pub price_fen: i64,
    /// How many pieces.
    pub quantity: i64,
}

/// A payment attempt.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PaymentView {
    /// Its number at the gateway.
    pub out_trade_no: String,
    /// The way of paying.
    pub channel: String,
    /// `created`, `waiting`, `applied`, `closed`, `failed`, `late`, `duplicate`, `wrong_amount`.
    pub status: String,
    /// What the buyer paid, or was asked to pay, in fen.
    pub amount_fen: i64,
    /// What went back to the buyer, in fen.
    pub refunded_fen: i64,
    /// The gateway's number of the trade.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trade_no: Option<String>,
}

impl OrderView {
    /// Puts the view of an order together.
    #[must_use]
    pub fn new(record: &OrderRecord, items: &[Item], payments: &[PaymentRecord]) -> Self {
        Self {
            id: record.order.id.to_string(),
            order_no: record.order_no.clone(),
            status: record.order.status.as_str().to_owned(),
            degraded: record.degraded,
            amount_fen: record.order.amount.fen(),
            refunded_fen: record.refunded.fen(),
            items: items.iter().map(ItemView::from).collect(),
            metadata: serde_json::from_str(&record.metadata).unwrap_or_default(),
            created_at: record.created_at,
            expires_at: record.order.expires_at,
            paid_at: record.paid_at,
            cancelled_at: record.cancelled_at,
            payments: payments.iter().map(PaymentView::from).collect(),
        }
    }
}

impl From<&Item> for ItemView {
    fn from(item: &Item) -> Self {
        Self {
            sku_id: item.sku_id.to_string(),
            title: item.title.clone(),
            price_fen: item.price.fen(),
            quantity: item.quantity,
        }
    }
}

impl From<&PaymentRecord> for PaymentView {
    fn from(record: &PaymentRecord) -> Self {
        let amount = record.paid.unwrap_or(record.attempt.amount);
        Self {
            out_trade_no: record.attempt.out_trade_no.to_string(),
            channel: record.channel.clone(),
            status: record.attempt.status.as_str().to_owned(),
            amount_fen: amount.fen(),
            refunded_fen: record.attempt.refunded.fen(),
            trade_no: record.trade_no.clone(),
        }
    }
}

/// Reads an order with its lines and payments.
///
/// # Errors
/// If the database fails.
pub async fn view_order(app: &App, id: &OrderId) -> Result<Option<OrderView>, StoreError> {
    let Some(record) = orders::find(&app.store, id).await? else { return Ok(None) };
    let items = orders::items(&app.store, id).await?;
    let payments = payments::of_order(&app.store, id).await?;
    Ok(Some(OrderView::new(&record, &items, &payments)))
}

/// Reads an order's refunds, oldest first. `None`: there is no such order.
///
/// # Errors
/// If the database fails.
pub async fn view_refunds(app: &App, id: &OrderId) -> Result<Option<Vec<RefundView>>, StoreError> {
    if orders::find(&app.store, id).await?.is_none() {
        return Ok(None);
    }
    let records = refunds::of_order(&app.store, id).await?;
    Ok(Some(records.iter().map(RefundView::from).collect()))
}
