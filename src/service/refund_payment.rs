//! An operator gives a payment back that no order has: one of a wrong amount, an orphan, or what is
//! left of a late or a duplicate one.

use serde_json::json;

use crate::app::App;
use crate::domain::ids::OutTradeNo;
use crate::domain::money::Fen;
use crate::domain::payment::PaymentStatus;
use crate::domain::refund::RefundCause;
use crate::store::history::Entry;
use crate::store::payments::PaymentRecord;
use crate::store::refunds::RefundRecord;
use crate::store::{held_order, history, payments, quarantine, refund_sums, refunds};

use super::open_refund::{NewRefund, Opened, open_refund, whole_payment_no};
use super::quarantine::QuarantineError;

/// Refunds of one payment that operators may ask for.
const REFUNDS_MAX: u32 = 9;

/// Gives back what is left of a payment that its order can't take. Asked again, it is the same
/// refund; one that was refused is retried under its own number, unless less than it is left.
///
/// # Errors
/// If an order has it, money of it is on its way, or the database fails.
pub async fn refund_payment(
    app: &App,
    no: &OutTradeNo,
    reason: &str,
    by: &str,
) -> Result<RefundRecord, QuarantineError> {
    let (payment, cause) = refundable(app, no).await?;
    let request_no = match number(app, &payment, cause).await? {
        Number::Known(known) => return Ok(*known),
        Number::Free(request_no) => request_no,
    };
    let now = app.now();
    let mut tx = app.store.begin().await?;
    let held = held_order::hold_of(&mut tx, payment.order_id.as_ref(), now).await?;
    if !quarantine::hold(&mut tx, no, payment.attempt.status, now).await? {
        tx.rollback().await?;
        let status = payments::find(&app.store, no).await?.map(|found| found.attempt.status);
        return Err(status.map_or(QuarantineError::NoSuchPayment, QuarantineError::NotQuarantined));
    }
    let left = refund_sums::left(&mut tx, no).await?.unwrap_or_default();
    let new = NewRefund {
        order_id: payment.order_id.as_ref(),
        out_trade_no: no,
        request_no,
        request_hash: String::new(),
        cause,
        amount: left,
        reason: reason.to_owned(),
        items: Vec::new(),
        by,
    };
    let opened =
        if left.is_zero() { Opened::TooMuch } else { open_refund(app, &mut tx, &new, now).await? };
    let Opened::Opened(record) = opened else {
        tx.rollback().await?;
        return Err(QuarantineError::OnItsWay);
    };
    if let Some(held) = held {
        let detail = json!({ "out_trade_no": no, "amount_fen": left, "reason": reason });
        let (from, to) = (Some(held.status), held.status);
        let entry = Entry { cause: "refund_requested", from, to, detail };
        history::append(&mut tx, &held.id, held.version, by, &[entry], now).await?;
    }
    tx.commit().await?;
    tell(app, &payment, left, by);
    Ok(*record)
}

/// The payment, if no order has it, and why it goes back.
async fn refundable(
    app: &App,
    no: &OutTradeNo,
) -> Result<(PaymentRecord, RefundCause), QuarantineError> {
    let found = payments::find(&app.store, no).await?;
    let payment = found.ok_or(QuarantineError::NoSuchPayment)?;
    let cause = match payment.attempt.status {
        PaymentStatus::WrongAmount => RefundCause::WrongAmount,
        PaymentStatus::Orphan => RefundCause::Orphan,
        PaymentStatus::Late => RefundCause::Late,
        PaymentStatus::Duplicate => RefundCause::Duplicate,
        status => return Err(QuarantineError::NotQuarantined(status)),
    };
    Ok((payment, cause))
}

/// The number of the refund to be made, or the refund that there is.
enum Number {
    Free(String),
    Known(Box<RefundRecord>),
}

async fn number(
    app: &App,
    payment: &PaymentRecord,
    cause: RefundCause,
) -> Result<Number, QuarantineError> {
    let left = payment.left();
    for further in 0..REFUNDS_MAX {
        let request_no = match further {
            0 => whole_payment_no(cause),
            _ => format!("{}:{further}", whole_payment_no(cause)),
        };
        let known =
            refunds::find_by_request(&app.store, &payment.attempt.out_trade_no, &request_no);
        let Some(known) = known.await? else { return Ok(Number::Free(request_no)) };
        let is_stuck = known.refund.status.is_ended() && known.refund.amount > left;
        if !is_stuck || left.is_zero() {
            return Ok(Number::Known(Box::new(known)));
        }
    }
    Err(QuarantineError::OnItsWay)
}

fn tell(app: &App, payment: &PaymentRecord, amount: Fen, by: &str) {
    tracing::info!(
        trade.out_trade_no = %payment.attempt.out_trade_no,
        amount_fen = amount.fen(),
        actor = by,
        "an operator has a payment given back"
    );
    app.refund_bell.notify_one();
    if let Some(order_id) = &payment.order_id {
        app.changes.announce(order_id);
    }
}
