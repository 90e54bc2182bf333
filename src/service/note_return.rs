//! A refund that the gateway tells of by its number, in a notification or on a bill. One of ours is
//! looked at at once; any other was made outside this service: it is recorded with its alarm, and
//! what it makes of the order is written, once.

use crate::app::App;
use crate::domain::alarm::{Alarm, AlarmKind};
use crate::domain::decision::account_alarm;
use crate::domain::ids::{OutRequestNo, OutTradeNo};
use crate::domain::money::Fen;
use crate::domain::priority::Priority;
use crate::domain::refund::{RefundFound, RefundStatus, elsewhere_no};
use crate::store::payments::PaymentRecord;
use crate::store::refunds::RefundRecord;
use crate::store::{StoreError, alarms, held_order, payments, refund_steps, refunds};

use super::open_refund::{elsewhere, record_elsewhere};
use super::raise_alarm::raise_alarm;
use super::send_refunds::write::{End, write_order};

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It is one of ours.
    Ours,
    /// It is somebody else's, and recorded now or before.
    Recorded,
    /// The gateway shows money given back that can't be: an alarm tells.
    Contradiction,
    /// The gateway gave no certain answer: again later.
    Unknown,
    /// No payment is recorded under this number yet.
    NoPayment,
}

/// Notes that the gateway tells of a refund of a payment.
///
/// # Errors
/// If the database fails.
pub async fn note_return(
    app: &App,
    out_trade_no: &OutTradeNo,
    number: &str,
    actor: &str,
) -> Result<Noted, StoreError> {
    let ours = refunds::find(&app.store, &OutRequestNo::from_trusted(number)).await?;
    if let Some(record) = ours.filter(|record| record.refund.out_trade_no == *out_trade_no) {
        if record.refund.status == RefundStatus::Refused || record.paid_elsewhere.is_some() {
            return note_given_up(app, &record).await;
        }
        refund_steps::hasten(&app.store, out_trade_no, app.now()).await?;
        app.refund_bell.notify_one();
        return Ok(Noted::Ours);
    }
    let request_no = elsewhere_no(number);
    if refunds::find_by_request(&app.store, out_trade_no, &request_no).await?.is_some() {
        return Ok(Noted::Recorded);
    }
    let payment = payments::find(&app.store, out_trade_no).await?;
    let Some(payment) = payment.filter(|payment| payment.attempt.paid) else {
        return Ok(Noted::NoPayment);
    };
    let Some(gateway) = app.gateway_of(&payment.attempt.account) else {
        return Ok(Noted::Unknown);
    };
    match gateway.at(Priority::Waited).refund_query(out_trade_no.as_str(), number, app.now()).await
    {
        RefundFound::Succeeded(amount) => record(app, &payment, &request_no, amount, actor).await,
        RefundFound::NotFound => {
            let detail = format!("told of the refund {number}, which the gateway does not show");
            contradict(app, out_trade_no, detail).await?;
            // It may show later.
            Ok(Noted::Unknown)
        }
        RefundFound::Unknown(reason) => {
            if let Some(alarm) = account_alarm(&payment.attempt, &reason) {
                raise_alarm(app, &alarm).await?;
            }
            Ok(Noted::Unknown)
        }
    }
}

/// A refund of ours that is refused here, or paid by other means, and that the gateway tells of.
async fn note_given_up(app: &App, record: &RefundRecord) -> Result<Noted, StoreError> {
    let (out_trade_no, number) = (&record.refund.out_trade_no, &record.refund.out_request_no);
    let payment = payments::find(&app.store, out_trade_no).await?;
    let gateway = payment.as_ref().and_then(|found| app.gateway_of(&found.attempt.account));
    let Some(gateway) = gateway else { return Ok(Noted::Unknown) };
    match gateway
        .at(Priority::Waited)
        .refund_query(out_trade_no.as_str(), number.as_str(), app.now())
        .await
    {
        RefundFound::Succeeded(amount) => {
            let here = record.paid_elsewhere.as_ref().map_or("refused", |_| "paid by other means");
            let detail = format!("{amount} yuan went back under {number}, which is {here} here");
            contradict(app, out_trade_no, detail).await?;
            Ok(Noted::Contradiction)
        }
        RefundFound::NotFound => Ok(Noted::Ours),
        RefundFound::Unknown(_) => Ok(Noted::Unknown),
    }
}

async fn record(
    app: &App,
    payment: &PaymentRecord,
    request_no: &str,
    amount: Fen,
    actor: &str,
) -> Result<Noted, StoreError> {
    let now = app.now();
    let out_trade_no = &payment.attempt.out_trade_no;
    let order_id = payment.order_id.as_ref();
    let new = elsewhere(order_id, out_trade_no, request_no.to_owned(), amount, actor);
    let mut tx = app.store.begin().await?;
    let held = held_order::hold_of(&mut tx, order_id, now).await?;
    let Some(record) = record_elsewhere(app, &mut tx, &new, now).await? else {
        tx.rollback().await?;
        if refunds::find_by_request(&app.store, out_trade_no, request_no).await?.is_some() {
            return Ok(Noted::Recorded);
        }
        return more_than_left(app, payment, amount).await;
    };
    if let Some(held) = &held {
        write_order(app, &mut tx, held, &record.refund, &End::Succeeded, actor, now).await?;
    }
    let detail = format!("{amount} yuan went back, not by a refund of ours");
    let alarm = Alarm::new(AlarmKind::ReturnedElsewhere, out_trade_no.as_str(), detail);
    alarms::raise(&mut tx, &alarm, &app.fresh_id(), now).await?;
    tx.commit().await?;
    tracing::warn!(trade.out_trade_no = %out_trade_no, "a refund of somebody else's is recorded");
    app.outbox_bell.notify_one();
    if let Some(order_id) = &payment.order_id {
        app.changes.announce(order_id);
    }
    Ok(Noted::Recorded)
}

/// A refund of ours that is under way may have to give way to somebody else's: the gateway refuses
/// it then, and this one is recorded when it is told of again.
async fn more_than_left(
    app: &App,
    payment: &PaymentRecord,
    amount: Fen,
) -> Result<Noted, StoreError> {
    let out_trade_no = &payment.attempt.out_trade_no;
    if payment.attempt.refunding.is_zero() {
        let detail = format!("the gateway shows {amount} yuan given back, more than is left of it");
        contradict(app, out_trade_no, detail).await?;
        return Ok(Noted::Contradiction);
    }
    let detail = format!("{amount} yuan went back, not by a refund of ours, which is under way");
    let subject = out_trade_no.as_str();
    raise_alarm(app, &Alarm::new(AlarmKind::ReturnedElsewhere, subject, detail)).await?;
    refund_steps::hasten(&app.store, out_trade_no, app.now()).await?;
    app.refund_bell.notify_one();
    Ok(Noted::Unknown)
}

async fn contradict(
    app: &App,
    out_trade_no: &OutTradeNo,
    detail: String,
) -> Result<(), StoreError> {
    let subject = out_trade_no.as_str();
    raise_alarm(app, &Alarm::new(AlarmKind::GatewayContradiction, subject, detail)).await
}
