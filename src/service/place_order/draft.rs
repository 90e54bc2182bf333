//! What an order is going to be: priced by the server's SKU table, with its deadline.

use chrono::{DateTime, Duration, DurationRound, Utc};

use super::{PlaceError, PlaceOrder};
use crate::app::{App, to_chrono};
use crate::config::Terms;
use crate::domain::ids::OrderId;
use crate::domain::money::Fen;
use crate::domain::order::{Engine, Order, OrderStatus};
use crate::domain::stock::Sku;
use crate::store::orders::{Item, OrderRecord};
use crate::store::skus::Quantity;

/// The order class of orders that name none.
const DEFAULT_CLASS: &str = "default";

/// What a request costs, from which drafts are made.
#[derive(Debug)]
pub struct Priced {
    items: Vec<Item>,
    amount: Fen,
    terms: Terms,
}

/// An order that is ready to be written.
#[derive(Clone, Debug)]
pub struct Draft {
    pub(super) record: OrderRecord,
    pub(super) items: Vec<Item>,
    pub(super) quantities: Vec<Quantity>,
    pub(super) key_hash: String,
    pub(super) request_hash: String,
}

impl Draft {
    /// The order's id.
    #[must_use]
    pub fn id(&self) -> &OrderId {
        &self.record.order.id
    }
}

/// Prices a request by what was read of its SKUs. What is sold out is refused here, before any half
/// message goes out.
///
/// # Errors
/// If the request can't be met.
pub fn price(app: &App, request: &PlaceOrder, known: &[Sku]) -> Result<Priced, PlaceError> {
    let class = request.class.as_deref();
    let terms = app.config.timeout.terms_of(class);
    let terms = terms.ok_or_else(|| PlaceError::UnknownClass(class.unwrap_or("").into()))?;
    let mut items = Vec::with_capacity(request.quantities.len());
    let mut amount = Fen::ZERO;
    for Quantity { sku_id, pieces } in &request.quantities {
        let sku = known.iter().find(|sku| sku.sku_id == *sku_id);
        let sku = sku.ok_or_else(|| PlaceError::UnknownSku(sku_id.clone()))?;
        if sku.available < *pieces {
            app.metrics.order("refused");
            return Err(PlaceError::OutOfStock(sku_id.clone()));
        }
        amount = add_line(amount, sku, *pieces).ok_or(PlaceError::AmountTooLarge)?;
        items.push(item(sku, *pieces));
    }
    Ok(Priced { items, amount, terms })
}

fn add_line(amount: Fen, sku: &Sku, pieces: i64) -> Option<Fen> {
    amount.checked_add(sku.price_fen.checked_mul(pieces)?)
}

fn item(sku: &Sku, quantity: i64) -> Item {
    Item { sku_id: sku.sku_id.clone(), title: sku.title.clone(), price: sku.price_fen, quantity }
}

impl Priced {
    /// How the order's timeout is going to be driven.
    pub(super) fn engine(&self) -> Engine {
        self.terms.engine
    }

    /// A draft of the request under a fresh id: every try has its own.
    ///
    /// # Errors
    /// If its deadline can't be written down.
    pub fn draft(
        &self,
        app: &App,
        request: &PlaceOrder,
        key_hash: &str,
        degraded: bool,
    ) -> Result<Draft, PlaceError> {
        let now = app.now();
        let id = OrderId::from_trusted(app.fresh_id());
        let expires_at =
            deadline(now, to_chrono(self.terms.pay_window)).ok_or(PlaceError::AmountTooLarge)?;
        let record = OrderRecord {
            order: Order {
                id: id.clone(),
                version: 1,
                status: OrderStatus::AwaitingPayment,
                amount: self.amount,
                expires_at,
                cancel_request: None,
                applied: None,
            },
            degraded,
            storefront: request.storefront.clone(),
            order_no: None,
            member_id: request.member_id.clone(),
            class: request.class.clone().unwrap_or_else(|| DEFAULT_CLASS.to_owned()),
            subject: format!("Order {id}"),
            metadata: request.metadata.clone(),
            engine: self.terms.engine,
            half_message: app.config.timeout.half_message,
            refunded: Fen::ZERO,
            paid_at: None,
            cancelled_at: None,
            created_at: now,
        };
        Ok(Draft {
            record,
            items: self.items.clone(),
            quantities: request.quantities.clone(),
            key_hash: key_hash.to_owned(),
            request_hash: request.request_hash.clone(),
        })
    }
}

/// The end of the window, on a whole second, as the gateway's deadlines are.
fn deadline(now: DateTime<Utc>, window: Duration) -> Option<DateTime<Utc>> {
    let end = now.checked_add_signed(window)?;
    end.duration_trunc(Duration::seconds(1))
        .ok()
        .map(|whole| if whole < end { whole + Duration::seconds(1) } else { whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_whole_seconds_and_never_early() {
        let now = DateTime::from_timestamp_millis(1_000_250).expect("a time");
        let end = deadline(now, Duration::seconds(60)).expect("a deadline");
        assert_eq!(end.timestamp_millis(), 1_061_000);
        let whole = DateTime::from_timestamp_millis(1_000_000).expect("a time");
        let end = deadline(whole, Duration::seconds(60)).expect("a deadline");
        assert_eq!(end.timestamp_millis(), 1_060_000);
    }
}
