//! An operator accepts a payment of a wrong amount: its order is paid with it, and costs what was
//! paid. A cancelled order is reopened if its stock can be locked again.

use chrono::{DateTime, Utc};
use serde_json::json;

use crate::app::App;
use crate::domain::alarm::AlarmKind;
use crate::domain::event::{OrderEvent, OrderEventKind};
use crate::domain::ids::{OrderId, OutTradeNo};
use crate::domain::money::Fen;
use crate::domain::order::OrderStatus;
use crate::domain::payment::PaymentStatus;
use crate::store::held_order::HeldOrder;
use crate::store::history::Entry;
use crate::store::payments::PaymentRecord;
use crate::store::{
    WriteTx, alarms, held_order, history, outbox, pending, quarantine, stock_locks,
};

use super::quarantine::{QuarantineError, find_quarantined};
use super::settle::write::ENDED_WITH_THE_ORDER;

/// Pays an order with a payment of a wrong amount.
///
/// # Errors
/// If it isn't quarantined, the order can't take it, or the database fails.
pub async fn accept_payment(
    app: &App,
    no: &OutTradeNo,
    by: &str,
) -> Result<OrderId, QuarantineError> {
    let payment = find_quarantined(app, no, &[PaymentStatus::WrongAmount]).await?;
    let order_id = payment.order_id.clone().ok_or(QuarantineError::NoSuchOrder)?;
    let paid = payment.paid.unwrap_or_default();
    let now = app.now();
    let mut tx = app.store.begin().await?;
    let held = held_order::hold(&mut tx, &order_id, now).await?;
    let held = held.ok_or(QuarantineError::NoSuchOrder)?;
    match held.status {
        OrderStatus::AwaitingPayment => {}
        OrderStatus::Cancelled => {
            if stock_locks::lock_again(&mut tx, &order_id, now).await?.is_err() {
                tx.rollback().await?;
                return Err(QuarantineError::NoStock);
            }
        }
        status => return Err(QuarantineError::OrderCant(status.as_str())),
    }
    if !quarantine::apply(&mut tx, &order_id, no, now).await? {
        tx.rollback().await?;
        return Err(QuarantineError::OnItsWay);
    }
    let paid_at = payment.paid_at.unwrap_or(now);
    held_order::pay(&mut tx, &order_id, no, paid, paid_at).await?;
    write_consequences(app, &mut tx, &held, &payment, paid, by, now).await?;
    tx.commit().await?;
    app.metrics.order(if held.status == OrderStatus::Cancelled { "reopened" } else { "paid" });
    tracing::info!(
        order.id = %order_id,
        trade.out_trade_no = %no,
        amount_fen = paid.fen(),
        actor = by,
        "an operator accepted a payment"
    );
    app.outbox_bell.notify_one();
    app.end_half_message(&order_id, false);
    app.changes.announce(&order_id);
    Ok(order_id)
}

async fn write_consequences(
    app: &App,
    tx: &mut WriteTx<'_>,
    held: &HeldOrder,
    payment: &PaymentRecord,
    paid: Fen,
    by: &str,
    now: DateTime<Utc>,
) -> Result<(), QuarantineError> {
    let (order_id, no) = (&held.id, &payment.attempt.out_trade_no);
    let detail = json!({
        "out_trade_no": no,
        "asked_fen": payment.attempt.amount,
        "accepted_fen": paid,
        "accepted_by": by,
    });
    let to = OrderStatus::Paid;
    let entry = Entry { cause: "paid", from: Some(held.status), to, detail };
    history::append(tx, order_id, held.version, by, &[entry], now).await?;
    let (kind, sequence) = (OrderEventKind::Paid, held.version);
    let event = OrderEvent::new(kind, &app.deployment, order_id, sequence, paid, now);
    outbox::insert(tx, &event, now).await?;
    pending::remove(tx, order_id.as_str()).await?;
    // What the order's other attempts left open is closed at once.
    pending::start_over(tx, order_id, now).await?;
    alarms::resolve(tx, AlarmKind::WrongAmount, no.as_str(), by, now).await?;
    for kind in ENDED_WITH_THE_ORDER {
        alarms::resolve(tx, kind, order_id.as_str(), by, now).await?;
    }
    Ok(())
}
