//! An operator gives a payment back that no order has: one of a wrong amount, or an orphan.

use serde_json::json;
use thiserror::Error;

use crate::app::App;
use crate::domain::ids::OutTradeNo;
use crate::domain::payment::PaymentStatus;
use crate::domain::refund::RefundCause;
use crate::store::history::Entry;
use crate::store::payments::PaymentRecord;
use crate::store::refunds::RefundRecord;
use crate::store::{StoreError, held_order, history, payments, quarantine, refunds};

use super::open_refund::{NewRefund, Opened, open_refund, whole_payment_no};

/// Why nothing was done with a payment.
#[derive(Debug, Error)]
pub enum QuarantineError {
    /// There is no such payment.
    #[error("there is no such payment")]
    NoSuchPayment,
    /// Nothing has to be decided about it.
    #[error("the payment is {}, there is nothing to decide", .0.as_str())]
    NotQuarantined(PaymentStatus),
    /// Money of it is back, or on its way.
    #[error("money of this payment is back or on its way already")]
    OnItsWay,
    /// The order can't take it.
    #[error("the order is {0} and can't take it: refund it instead")]
    OrderCant(&'static str),
    /// The order's pieces are sold.
    #[error("the order's stock is gone: refund it instead")]
    NoStock,
    /// There is no such order.
    #[error("there is no such order")]
    NoSuchOrder,
    /// The database failed.
    #[error("it could not be stored")]
    Store(#[from] StoreError),
}

/// Finds a payment that waits for an operator.
pub(super) async fn quarantined(
    app: &App,
    no: &OutTradeNo,
    statuses: &[PaymentStatus],
) -> Result<PaymentRecord, QuarantineError> {
    let found = payments::find(&app.store, no).await?;
    let payment = found.ok_or(QuarantineError::NoSuchPayment)?;
    if !statuses.contains(&payment.attempt.status) {
        return Err(QuarantineError::NotQuarantined(payment.attempt.status));
    }
    Ok(payment)
}

/// Gives all of a quarantined payment back. Asked again, it is the same refund.
///
/// # Errors
/// If it isn't quarantined, money of it is on its way, or the database fails.
pub async fn refund_payment(
    app: &App,
    no: &OutTradeNo,
    reason: &str,
    by: &str,
) -> Result<RefundRecord, QuarantineError> {
    let statuses = [PaymentStatus::WrongAmount, PaymentStatus::Orphan];
    let payment = quarantined(app, no, &statuses).await?;
    let cause = match payment.attempt.status {
        PaymentStatus::Orphan => RefundCause::Orphan,
        _ => RefundCause::WrongAmount,
    };
    let request_no = whole_payment_no(cause);
    if let Some(known) = refunds::find_by_request(&app.store, no, &request_no).await? {
        return Ok(known);
    }
    let now = app.now();
    let new = NewRefund {
        order_id: payment.order_id.as_ref(),
        out_trade_no: no,
        request_no,
        request_hash: String::new(),
        cause,
        amount: payment.paid.unwrap_or_default(),
        reason: reason.to_owned(),
        items: Vec::new(),
        by,
    };
    let mut tx = app.store.begin().await?;
    let held = held_order::hold_of(&mut tx, payment.order_id.as_ref(), now).await?;
    if !quarantine::hold(&mut tx, no, payment.attempt.status, now).await? {
        tx.rollback().await?;
        let status = payments::find(&app.store, no).await?.map(|found| found.attempt.status);
        return Err(status.map_or(QuarantineError::NoSuchPayment, QuarantineError::NotQuarantined));
    }
    let Opened::Opened(record) = open_refund(app, &mut tx, &new, now).await? else {
        tx.rollback().await?;
        return Err(QuarantineError::OnItsWay);
    };
    if let Some(held) = held {
        let detail = json!({ "out_trade_no": no, "reason": reason });
        let (from, to) = (Some(held.status), held.status);
        let entry = Entry { cause: "refund_requested", from, to, detail };
        history::append(&mut tx, &held.id, held.version, by, &[entry], now).await?;
    }
    tx.commit().await?;
    app.refund_bell.notify_one();
    if let Some(order_id) = &payment.order_id {
        app.changes.announce(order_id);
    }
    Ok(*record)
}
