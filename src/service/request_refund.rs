//! The storefront's refund of a paid order: all that is left, an amount, or pieces. Its row commits
//! before it is answered; the same number and request is the same refund.

use chrono::{DateTime, Utc};
use serde_json::json;
use thiserror::Error;

use super::open_refund::{NewRefund, Opened, open_refund};
use crate::app::App;
use crate::domain::ids::{OrderId, OutTradeNo};
use crate::domain::money::Fen;
use crate::domain::order::OrderStatus;
use crate::domain::refund::{RefundCause, RefundItem, RefundStatus};
use crate::store::held_order::HeldOrder;
use crate::store::history::Entry;
use crate::store::orders::{Item, OrderRecord};
use crate::store::refunds::RefundRecord;
use crate::store::{StoreError, WriteTx, held_order, history, orders, refund_sums, refunds};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct RefundRequest<'a> {
    /// The order.
    pub order_id: &'a OrderId,
    /// The caller's number of it.
    pub request_no: &'a str,
    /// Hash of the request.
    pub request_hash: String,
    /// How much; without it the pieces' price, or all that is left.
    pub amount: Option<Fen>,
    /// The pieces that come back.
    pub items: &'a [RefundItem],
    /// In the caller's words.
    pub reason: &'a str,
    /// The key's or operator's name.
    pub by: &'a str,
}

/// Why there is no refund.
#[derive(Debug, Error)]
pub enum RefundError {
    /// There is no such order.
    #[error("there is no such order")]
    NoSuchOrder,
    /// No payment is applied to it.
    #[error("the order is {}, there is nothing to refund", .0.as_str())]
    NotPaid(OrderStatus),
    /// The number was used with another request.
    #[error("this number was used with another request")]
    NumberReused,
    /// Less than that is left.
    #[error("{} fen are left of the payment, refunds under way counted", .0.fen())]
    MoreThanLeft(Fen),
    /// The order has no such pieces, or fewer of them are left.
    #[error("the order has {left} pieces of SKU {sku_id} left")]
    NotThatMany {
        /// Which SKU.
        sku_id: String,
        /// How many were not refunded yet.
        left: i64,
    },
    /// The database failed, or it is unknown whether the refund exists: the same number tells.
    #[error("the refund could not be stored")]
    Store(#[from] StoreError),
}

/// Opens a refund, or returns the one that this number has.
///
/// # Errors
/// If the request can't be met, or the database fails.
pub async fn request_refund(
    app: &App,
    request: &RefundRequest<'_>,
) -> Result<RefundRecord, RefundError> {
    let Some(order) = orders::find(&app.store, request.order_id).await? else {
        return Err(RefundError::NoSuchOrder);
    };
    let applied = applied(&order)?;
    if let Some(known) = repeated(app, request, applied).await? {
        return Ok(known);
    }
    match open(app, request, applied).await {
        // The same request may have been first, and taken what was left.
        Err(refused @ (RefundError::MoreThanLeft(_) | RefundError::NotThatMany { .. })) => {
            repeated(app, request, applied).await?.ok_or(refused)
        }
        opened => opened,
    }
}

async fn open(
    app: &App,
    request: &RefundRequest<'_>,
    applied: &OutTradeNo,
) -> Result<RefundRecord, RefundError> {
    let lines = match request.items {
        [] => Vec::new(),
        _ => orders::items(&app.store, request.order_id).await?,
    };
    let now = app.now();
    let mut tx = app.store.begin().await?;
    let held = hold(&mut tx, request.order_id, now).await?;
    let amount = amount(&mut tx, request, applied, &lines).await?;
    let new = new_refund(request, applied, amount);
    match open_refund(app, &mut tx, &new, now).await? {
        Opened::Opened(record) => {
            write_order(&mut tx, request, &held, &record, now).await?;
            tx.commit().await?;
            tell(app, request, &record);
            Ok(*record)
        }
        Opened::TooMuch => {
            let left = refund_sums::left(&mut tx, applied).await?;
            tx.rollback().await?;
            Err(RefundError::MoreThanLeft(left.unwrap_or_default()))
        }
        Opened::NumberTaken => {
            tx.rollback().await?;
            let busy = || StoreError::Busy("another request has this number".into());
            repeated(app, request, applied).await?.ok_or_else(|| busy().into())
        }
    }
}

fn applied(order: &OrderRecord) -> Result<&OutTradeNo, RefundError> {
    order.order.applied.as_ref().ok_or(RefundError::NotPaid(order.order.status))
}

async fn repeated(
    app: &App,
    request: &RefundRequest<'_>,
    applied: &OutTradeNo,
) -> Result<Option<RefundRecord>, RefundError> {
    match refunds::find_by_request(&app.store, applied, request.request_no).await? {
        Some(known) if known.request_hash == request.request_hash => Ok(Some(known)),
        Some(_) => Err(RefundError::NumberReused),
        None => Ok(None),
    }
}

/// Until this transaction ends nobody else refunds the order or changes it.
async fn hold(
    tx: &mut WriteTx<'_>,
    order_id: &OrderId,
    now: DateTime<Utc>,
) -> Result<HeldOrder, RefundError> {
    let held = held_order::hold(tx, order_id, now).await?;
    let held = held.ok_or(RefundError::NoSuchOrder)?;
    match held.status {
        OrderStatus::Paid | OrderStatus::Refunding => Ok(held),
        OrderStatus::Refunded => Err(RefundError::MoreThanLeft(Fen::ZERO)),
        status @ (OrderStatus::AwaitingPayment | OrderStatus::Cancelled) => {
            Err(RefundError::NotPaid(status))
        }
    }
}

/// The asked amount, the price of the pieces, or all that is left.
async fn amount(
    tx: &mut WriteTx<'_>,
    request: &RefundRequest<'_>,
    applied: &OutTradeNo,
    lines: &[Item],
) -> Result<Fen, RefundError> {
    let left = refund_sums::left(tx, applied).await?.unwrap_or_default();
    let price = if request.items.is_empty() {
        left
    } else {
        let earlier = refunds::of_payment(tx, applied).await?;
        price_of_pieces(request.items, lines, &earlier)?
    };
    let amount = request.amount.unwrap_or(price);
    if amount.is_zero() || amount > left {
        return Err(RefundError::MoreThanLeft(left));
    }
    Ok(amount)
}

/// The price of pieces that the order has and that no earlier refund is about.
pub(super) fn price_of_pieces(
    items: &[RefundItem],
    lines: &[Item],
    earlier: &[RefundRecord],
) -> Result<Fen, RefundError> {
    let counts = |record: &&RefundRecord| record.refund.status != RefundStatus::Refused;
    let gone = |sku_id: &str| -> i64 {
        let items = earlier.iter().filter(counts).flat_map(|record| &record.refund.items);
        items.filter(|item| item.sku_id == sku_id).map(|item| item.quantity).sum()
    };
    let mut price = Fen::ZERO;
    for item in items {
        let line = lines.iter().find(|line| line.sku_id.as_str() == item.sku_id);
        let left = line.map_or(0, |line| line.quantity - gone(&item.sku_id));
        let pieces = line.filter(|_| item.quantity <= left);
        let sum = pieces
            .and_then(|line| line.price.checked_mul(item.quantity))
            .and_then(|part| price.checked_add(part));
        let Some(sum) = sum else {
            return Err(RefundError::NotThatMany { sku_id: item.sku_id.clone(), left });
        };
        price = sum;
    }
    Ok(price)
}

fn new_refund<'a>(
    request: &RefundRequest<'a>,
    applied: &'a OutTradeNo,
    amount: Fen,
) -> NewRefund<'a> {
    NewRefund {
        order_id: Some(request.order_id),
        out_trade_no: applied,
        request_no: request.request_no.to_owned(),
        request_hash: request.request_hash.clone(),
        cause: RefundCause::Requested,
        amount,
        reason: request.reason.to_owned(),
        items: request.items.to_vec(),
        by: request.by,
    }
}

async fn write_order(
    tx: &mut WriteTx<'_>,
    request: &RefundRequest<'_>,
    held: &HeldOrder,
    record: &RefundRecord,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    held_order::move_to(tx, &held.id, OrderStatus::Refunding, Fen::ZERO).await?;
    let refund = &record.refund;
    let entry = Entry {
        cause: "refund_requested",
        from: Some(held.status),
        to: OrderStatus::Refunding,
        detail: json!({
            "request_no": refund.request_no,
            "out_request_no": refund.out_request_no,
            "amount_fen": refund.amount,
            "items": refund.items,
            "reason": refund.reason,
        }),
    };
    history::append(tx, &held.id, held.version, request.by, &[entry], now).await
}

fn tell(app: &App, request: &RefundRequest<'_>, record: &RefundRecord) {
    tracing::info!(
        order.id = %request.order_id,
        refund.out_request_no = %record.refund.out_request_no,
        amount_fen = record.refund.amount.fen(),
        actor = request.by,
        "refund requested"
    );
    app.refund_bell.notify_one();
    app.changes.announce(request.order_id);
}
