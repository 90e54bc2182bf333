//! An operator gives a signed payment that belongs to no attempt to an order. From then on it is an
//! attempt of that order, and the gateway decides what it is: its payment, a late or a duplicate
//! one, or one of a wrong amount.

use serde_json::json;

use crate::app::App;
use crate::domain::alarm::AlarmKind;
use crate::domain::gateway::Answer;
use crate::domain::ids::{OrderId, OutTradeNo};
use crate::domain::money::Fen;
use crate::domain::payment::PaymentStatus;
use crate::domain::trigger::Trigger;
use crate::store::history::Entry;
use crate::store::payments::PaymentRecord;
use crate::store::{alarms, held_order, history, orders, pending, quarantine};

use super::quarantine::{QuarantineError, find_quarantined};
use super::settle::{Request, settle};

/// Makes an orphan's payment an attempt of an order, and settles that order.
///
/// # Errors
/// If it isn't an orphan, the gateway denies it, there is no such order, or the database fails.
pub async fn attach_payment(
    app: &App,
    no: &OutTradeNo,
    order_id: &OrderId,
    by: &str,
) -> Result<(), QuarantineError> {
    let payment = find_quarantined(app, no, &[PaymentStatus::Orphan]).await?;
    if orders::find(&app.store, order_id).await?.is_none() {
        return Err(QuarantineError::NoSuchOrder);
    }
    if is_denied(app, &payment).await {
        return Err(QuarantineError::NotConfirmed);
    }
    let now = app.now();
    let mut tx = app.store.begin().await?;
    let held = held_order::hold(&mut tx, order_id, now).await?;
    let held = held.ok_or(QuarantineError::NoSuchOrder)?;
    if !quarantine::attach(&mut tx, no, order_id, held.amount, now).await? {
        tx.rollback().await?;
        return Err(QuarantineError::OnItsWay);
    }
    pending::insert_attempt(&mut tx, order_id, no, now, now).await?;
    let detail = json!({ "out_trade_no": no, "paid_fen": payment.paid, "by": by });
    let (from, to) = (Some(held.status), held.status);
    let entry = Entry { cause: "payment_attached", from, to, detail };
    history::append(&mut tx, order_id, held.version, by, &[entry], now).await?;
    alarms::resolve(&mut tx, AlarmKind::OrphanPayment, no.as_str(), by, now).await?;
    tx.commit().await?;
    tracing::info!(
        order.id = %order_id,
        trade.out_trade_no = %no,
        amount_fen = payment.paid.map(Fen::fen),
        actor = by,
        "an operator attached a payment"
    );
    app.changes.announce(order_id);
    let request =
        Request { order_id, trigger: Trigger::Http, actor: by, named: None, notified: None };
    if let Err(error) = settle(app, &request).await {
        // It has a pending row now.
        tracing::warn!(order.id = %order_id, %error, "not settled yet, later again");
    }
    Ok(())
}

/// Whether the gateway says that nothing was paid: no order may wait for such a payment.
async fn is_denied(app: &App, payment: &PaymentRecord) -> bool {
    let attempt = &payment.attempt;
    let Some(gateway) = app.gateway_of(&attempt.account) else { return false };
    let answer = gateway.query(attempt.out_trade_no.as_str(), app.now()).await;
    matches!(answer, Answer::NotPaid(_))
}
