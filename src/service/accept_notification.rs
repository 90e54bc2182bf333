//! A notification of the gateway. It is verified in memory, and stored raw in the transaction of
//! its effect; only then it is answered `success`. Where it agrees with one of our attempts it
//! counts as an answer; where it disagrees, the gateway is asked and the query decides.

use thiserror::Error;

use crate::alipay::notify::{NotifyError, VerifiedNotify};
use crate::app::App;
use crate::domain::alarm::{Alarm, AlarmKind};
use crate::domain::answer_log::Asked;
use crate::domain::gateway::{Answer, PaidTrade};
use crate::domain::ids::OutTradeNo;
use crate::domain::money::Fen;
use crate::domain::payment::Attempt;
use crate::domain::trigger::Trigger;
use crate::hash::sha256_hex;
use crate::store::notifications::Notification;
use crate::store::payments::PaymentRecord;
use crate::store::{StoreError, alarms, notifications, payments, refund_sums};

use super::note_return::{Noted, note_return};
use super::note_seen::note_seen;
use super::orphan::orphan;
use super::raise_alarm::raise_alarm;
use super::settle::{Notified, Outcome, Request, settle};

/// Longest status that is kept.
const TRADE_STATUS_CHARS_MAX: usize = 32;

/// What became of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Its effect is committed.
    Processed,
    /// Its effect was committed before.
    Repeated,
    /// It is about a payment that none of our attempts explains: recorded, with an alarm.
    Orphan,
    /// It isn't about us: nothing to do with it.
    NotOurs,
}

/// Why a notification has to come again, or is refused.
#[derive(Debug, Error)]
pub enum NotificationError {
    /// It isn't from the gateway.
    #[error("the notification is refused: {0}")]
    Refused(#[from] NotifyError),
    /// It disagrees with our attempt, and the gateway gave no answer when asked.
    #[error("the gateway could not be asked about it")]
    GatewayUnknown,
    /// The database failed.
    #[error("its effect could not be stored")]
    Store(#[from] StoreError),
}

/// Takes a notification in.
///
/// # Errors
/// If it is refused, or its effect can't be committed: the gateway sends it again.
pub async fn accept_notification(app: &App, raw: &[u8]) -> Result<Accepted, NotificationError> {
    let notify = app.verify_notification(raw)?;
    let row = row(&notify);
    if notifications::is_seen(&app.store, &row.hash).await? {
        return Ok(Accepted::Repeated);
    }
    let number = OutTradeNo::from_trusted(notify.out_trade_no());
    let Some(record) = payments::find(&app.store, &number).await? else {
        return unknown_number(app, &notify, &row).await;
    };
    let Some(order_id) = &record.order_id else {
        return known_orphan(app, &notify, &row, &record).await;
    };
    let was_paid = record.attempt.paid;
    if was_paid {
        note_refund(app, &notify, &record).await?;
    }
    let answer = agreed_answer(app, &notify, &record.attempt);
    if answer.is_none() {
        note_seen(app, order_id, &number, Some(notify.trade_no()), Trigger::Notify).await?;
    }
    let request = Request {
        order_id,
        trigger: Trigger::Notify,
        actor: Trigger::Notify.as_str(),
        named: None,
        notified: Some(Notified { answer, row: &row }),
    };
    // The row is only written with an effect that is certain.
    if settle(app, &request).await? == Outcome::Unknown {
        return Err(NotificationError::GatewayUnknown);
    }
    // A payment's own notification has no such marks, and needs no second look at its row.
    if !was_paid
        && notify.refund_marks().is_some()
        && let Some(record) = payments::find(&app.store, &number).await?
    {
        note_refund(app, &notify, &record).await?;
    }
    Ok(Accepted::Processed)
}

/// What a notification says about a refund is looked up under its number, unless all money of the
/// payment is accounted for. Alipay sends it like a payment, with marks of the refund.
async fn note_refund(
    app: &App,
    notify: &VerifiedNotify,
    record: &PaymentRecord,
) -> Result<(), NotificationError> {
    let attempt = &record.attempt;
    let Some(marks) = notify.refund_marks().filter(|_| attempt.paid) else { return Ok(()) };
    let Some(number) = marks.out_biz_no else {
        return note_unnumbered(app, attempt, marks.refund_fee).await;
    };
    let gone = refund_sums::gone_through_gateway(&app.store, &attempt.out_trade_no).await?;
    if record.paid == Some(gone) {
        return Ok(());
    }
    let actor = Trigger::Notify.as_str();
    match note_return(app, &attempt.out_trade_no, number, actor).await? {
        Noted::Unknown => Err(NotificationError::GatewayUnknown),
        Noted::Ours | Noted::Recorded | Noted::Contradiction | Noted::NoPayment => Ok(()),
    }
}

/// More went back than is known, under a number that nobody says: the day's bill will.
async fn note_unnumbered(
    app: &App,
    attempt: &Attempt,
    refund_fee: Option<Fen>,
) -> Result<(), NotificationError> {
    let known = attempt.refunded.checked_add(attempt.refunding);
    let Some(fee) = refund_fee.filter(|fee| known.is_some_and(|known| *fee > known)) else {
        return Ok(());
    };
    let detail = format!("{fee} yuan went back by a notification, {} are known", attempt.refunded);
    let subject = attempt.out_trade_no.as_str();
    raise_alarm(app, &Alarm::new(AlarmKind::ReturnedElsewhere, subject, detail)).await?;
    Ok(())
}

/// More about a payment that belongs to no attempt: it is kept, and what it says about a refund is
/// looked up.
async fn known_orphan(
    app: &App,
    notify: &VerifiedNotify,
    row: &Notification,
    record: &PaymentRecord,
) -> Result<Accepted, NotificationError> {
    note_refund(app, notify, record).await?;
    let mut tx = app.store.begin().await?;
    if !notifications::insert(&mut tx, row, "none", app.now()).await? {
        tx.rollback().await?;
        return Ok(Accepted::Repeated);
    }
    tx.commit().await?;
    Ok(Accepted::Processed)
}

fn row(notify: &VerifiedNotify) -> Notification {
    let status = notify.value("trade_status").unwrap_or_default();
    Notification {
        hash: sha256_hex(&[notify.app_id(), notify.notify_id()]),
        notify_id: notify.notify_id().to_owned(),
        out_trade_no: notify.out_trade_no().to_owned(),
        trade_status: status.chars().take(TRADE_STATUS_CHARS_MAX).collect(),
        raw: notify.raw().to_vec(),
    }
}

/// What the notification says, if all of it agrees with the attempt: app, seller, their keys,
/// amount, a paid status and no refund marks. `None`: the query decides.
fn agreed_answer(app: &App, notify: &VerifiedNotify, attempt: &Attempt) -> Option<Asked> {
    let account = &attempt.account;
    let ours = notify.app_id() == account.app_id
        && notify.seller_id().is_none_or(|seller_id| seller_id == account.seller_id)
        && app.gateway_of(account).is_some_and(|gateway| gateway.may_have_sent(notify));
    let paid = notify.trade_status().is_paid() && notify.refund_marks().is_none();
    let amount = notify.total_amount().filter(|amount| *amount == attempt.amount)?;
    (ours && paid).then(|| Asked {
        out_trade_no: attempt.out_trade_no.clone(),
        asked_at: app.now(),
        answer: Answer::Paid(PaidTrade {
            amount,
            trade_no: notify.trade_no().to_owned(),
            paid_at: notify.gmt_payment(),
        }),
    })
}

/// A number that no attempt has. With our prefix it is kept and a person is told, whatever it says;
/// without, it isn't about us.
async fn unknown_number(
    app: &App,
    notify: &VerifiedNotify,
    row: &Notification,
) -> Result<Accepted, NotificationError> {
    if !notify.out_trade_no().starts_with(&app.config.alipay.out_trade_no_prefix) {
        return Ok(Accepted::NotOurs);
    }
    let paid = notify.trade_status().is_paid() && notify.refund_marks().is_none();
    let account = app.account_named(notify.app_id(), notify.seller_id());
    let payment = match (notify.total_amount(), account) {
        (Some(amount), Some(account)) if paid => {
            let trade_no = notify.trade_no().to_owned();
            let trade = PaidTrade { amount, trade_no, paid_at: notify.gmt_payment() };
            Some(orphan(app, notify.out_trade_no(), &trade, account))
        }
        _ => None,
    };
    store_only(app, row, payment).await
}

/// Stores a notification that belongs to no order, with the payment that it tells of.
async fn store_only(
    app: &App,
    row: &Notification,
    payment: Option<PaymentRecord>,
) -> Result<Accepted, NotificationError> {
    let now = app.now();
    let detail = match &payment {
        Some(payment) => {
            format!("{} yuan for a number that no attempt has", payment.attempt.amount)
        }
        None => format!("{} for a number that no attempt has", row.trade_status),
    };
    let alarm = Alarm::new(AlarmKind::OrphanPayment, row.out_trade_no.as_str(), detail);
    let mut tx = app.store.begin().await?;
    if let Some(payment) = &payment {
        payments::insert(&mut tx, payment).await?;
    }
    alarms::raise(&mut tx, &alarm, &app.fresh_id(), now).await?;
    if !notifications::insert(&mut tx, row, "orphan", now).await? {
        tx.rollback().await?;
        return Ok(Accepted::Repeated);
    }
    tx.commit().await?;
    if let Some(payment) = &payment {
        app.metrics.payment(payment.attempt.status.as_str(), false);
    }
    tracing::warn!(trade.out_trade_no = row.out_trade_no, "orphan notification recorded");
    Ok(Accepted::Orphan)
}
