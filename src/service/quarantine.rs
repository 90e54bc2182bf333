//! Payments that wait for an operator, and why nothing may be done with one.

use thiserror::Error;

use crate::app::App;
use crate::domain::ids::OutTradeNo;
use crate::domain::payment::PaymentStatus;
use crate::store::payments::PaymentRecord;
use crate::store::{StoreError, payments};

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
    /// The gateway says that nothing was paid under this number: an order would wait for it.
    #[error("the gateway does not confirm this payment: an order can't wait for it")]
    NotConfirmed,
    /// There is no such order.
    #[error("there is no such order")]
    NoSuchOrder,
    /// The database failed.
    #[error("it could not be stored")]
    Store(#[from] StoreError),
}

/// Finds a payment that waits for an operator.
pub(super) async fn find_quarantined(
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
