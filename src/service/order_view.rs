//! An order as the API shows it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::domain::ids::OrderId;
use crate::store::orders::{Item, OrderRecord};
use crate::store::payments::PaymentRecord;
use crate::store::{StoreError, orders, payments};

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
