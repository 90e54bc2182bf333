//! Starts a payment, or returns the open attempt. An attempt's row is committed before the gateway
//! hears its number: an answer that gets lost is then a question to ask, not a mystery.

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use serde_json::json;
use thiserror::Error;

use crate::alipay::Precreate;
use crate::app::{App, to_chrono};
use crate::domain::decision::account_alarm;
use crate::domain::gateway::{CloseOutcome, PrecreateOutcome, Refusal, UnknownReason};
use crate::domain::ids::{OrderId, OutTradeNo};
use crate::domain::money::Fen;
use crate::domain::order::{Engine, OrderStatus};
use crate::domain::payment::{Attempt, PaymentStatus};
use crate::domain::payment_check::next_query;
use crate::domain::priority::Priority;
use crate::domain::trigger::Trigger;
use crate::producer::rocketmq::EventProducer;
use crate::store::history::Entry;
use crate::store::orders::OrderRecord;
use crate::store::payments::PaymentRecord;
use crate::store::{StoreError, WriteTx, history, orders, payments, pending};

use super::arm_timer::arm_query_soon;
use super::note_seen::note_seen;
use super::raise_alarm::raise_alarm_or_log;
use super::settle::{Outcome, Request, last_look_at, settle};

/// The name of the channel: face to face by QR code.
pub const CHANNEL: &str = "alipay";
/// Most attempts of one order.
const ATTEMPTS_MAX: usize = 20;
/// A QR code can be used for two hours, whatever its trade's deadline is.
const QR_LIFE: Duration = Duration::hours(2);
/// How often a lost race is tried again.
const TRIES_MAX: u32 = 8;

/// A payment that the buyer can make.
#[derive(Clone, Debug)]
pub struct OpenPayment {
    /// The attempt, with its QR code.
    pub record: PaymentRecord,
    /// Whether this call made it.
    pub is_new: bool,
}

/// Why there is no payment to make.
#[derive(Debug, Error)]
pub enum PaymentError {
    /// There is no such order.
    #[error("there is no such order")]
    NoSuchOrder,
    /// It is paid.
    #[error("the order is paid")]
    Paid,
    /// It is cancelled, or a cancel runs.
    #[error("the order is cancelled")]
    Cancelled,
    /// Its window is over.
    #[error("the order's payment window is over")]
    Expired,
    /// It has too many attempts.
    #[error("the order has too many payment attempts")]
    TooManyAttempts,
    /// The gateway refused.
    #[error("the gateway refused the payment: {}", refusal.in_short())]
    Refused {
        /// In its words.
        refusal: Refusal,
    },
    /// It is unknown whether the gateway made it: the same call again is harmless.
    #[error("the gateway gave no answer: {0}")]
    GatewayUnknown(UnknownReason),
    /// The database failed.
    #[error("the payment could not be started")]
    Store(#[from] StoreError),
}

/// Returns the order's open attempt with its QR code, or makes a new one. With `replace` the open
/// one is closed where that is possible, and another is made.
///
/// # Errors
/// If the order can't be paid any more, the gateway refuses or gives no answer, or the database
/// fails.
pub async fn request_payment(
    app: &Arc<App>,
    events: &Arc<EventProducer>,
    order_id: &OrderId,
    replace: bool,
) -> Result<OpenPayment, PaymentError> {
    let mut replace = replace;
    for _ in 0..TRIES_MAX {
        let order = payable(app, order_id).await?;
        let attempts = payments::of_order(&app.store, order_id).await?;
        let open = attempts.iter().rev().find(|record| is_open(app, record));
        if let Some(open) = open {
            if !replace {
                return with_qr_code(app, open.clone(), false).await;
            }
            close_replaced(app, open).await?;
            replace = false;
            continue;
        }
        let made = attempts.iter().filter(|made| made.attempt.status != PaymentStatus::Failed);
        if made.count() >= ATTEMPTS_MAX {
            return Err(PaymentError::TooManyAttempts);
        }
        let tx = app.store.begin().await?;
        let added = match add_attempt(app, tx, &order).await {
            // Who wrote to the order meanwhile was first.
            Err(error) if error.is_busy() => None,
            added => added?,
        };
        if let Some(record) = added {
            if order.engine == Engine::Delay && !order.degraded {
                arm_query_soon(app, events, order.order, record.created_at);
            }
            return with_qr_code(app, record, true).await;
        }
    }
    Err(StoreError::Busy("the order keeps changing".into()).into())
}

async fn payable(app: &App, order_id: &OrderId) -> Result<OrderRecord, PaymentError> {
    let found = orders::find(&app.store, order_id).await?;
    let record = found.ok_or(PaymentError::NoSuchOrder)?;
    match record.order.status {
        OrderStatus::AwaitingPayment => {}
        OrderStatus::Cancelled => return Err(PaymentError::Cancelled),
        OrderStatus::Paid | OrderStatus::Refunding | OrderStatus::Refunded => {
            return Err(PaymentError::Paid);
        }
    }
    if record.order.cancel_request.is_some() {
        return Err(PaymentError::Cancelled);
    }
    if app.now() >= record.order.expires_at {
        return Err(PaymentError::Expired);
    }
    Ok(record)
}

/// Open: live, and its deadline is not reached; a replaced attempt has an earlier one.
fn is_open(app: &App, record: &PaymentRecord) -> bool {
    record.channel == CHANNEL && record.attempt.status.is_live() && record.expires_at > app.now()
}

/// Writes the row of a new attempt. `None`: the order has changed since it was read.
async fn add_attempt(
    app: &App,
    mut tx: WriteTx<'_>,
    read: &OrderRecord,
) -> Result<Option<PaymentRecord>, StoreError> {
    let now = app.now();
    let record = new_attempt(app, read, now);
    let number = &record.attempt.out_trade_no;
    let order = &read.order;
    if !orders::bump(&mut tx, order, now).await? {
        return Ok(None);
    }
    payments::insert(&mut tx, &record).await?;
    let next_query_at = first_query(app, read, now);
    pending::insert_attempt(&mut tx, &order.id, number, next_query_at, now).await?;
    let entry = Entry {
        cause: "payment_created",
        from: Some(order.status),
        to: order.status,
        detail: json!({ "out_trade_no": number, "channel": CHANNEL }),
    };
    history::append(&mut tx, &order.id, order.version + 1, "http", &[entry], now).await?;
    tx.commit().await?;
    tracing::info!(order.id = %order.id, trade.out_trade_no = %number, "payment attempt created");
    app.changes.announce(&order.id);
    Ok(Some(record))
}

/// Where nobody else asks before: on the query schedule, or when its message is overdue.
fn first_query(app: &App, order: &OrderRecord, now: DateTime<Utc>) -> DateTime<Utc> {
    let interval = app.check_interval();
    let scheduled = next_query(&app.config.timeout.query_schedule, now, now);
    match order.engine {
        Engine::Transaction => now + interval * 4,
        Engine::Delay if !order.degraded => scheduled + interval * 2,
        Engine::Delay | Engine::Poll => scheduled,
    }
}

fn new_attempt(app: &App, read: &OrderRecord, now: DateTime<Utc>) -> PaymentRecord {
    let number = format!("{}{}", app.config.alipay.out_trade_no_prefix, app.fresh_id());
    let expires_at = read.order.expires_at.min(now + QR_LIFE);
    let code_dies_at = (now + to_chrono(app.config.alipay.code_life)).max(expires_at);
    PaymentRecord {
        attempt: Attempt {
            out_trade_no: OutTradeNo::from_trusted(number),
            status: PaymentStatus::Created,
            amount: read.order.amount,
            seen: false,
            paid: false,
            refunded: Fen::ZERO,
            refunding: Fen::ZERO,
            code_dies_at,
            account: app.account(),
        },
        order_id: Some(read.order.id.clone()),
        channel: CHANNEL.to_owned(),
        subject: read.subject.clone(),
        trade_no: None,
        qr_code: None,
        expires_at,
        paid: None,
        paid_at: None,
        created_at: now,
    }
}

/// Asks the gateway for the QR code, with the same content each time, unless it was received.
async fn with_qr_code(
    app: &App,
    record: PaymentRecord,
    is_new: bool,
) -> Result<OpenPayment, PaymentError> {
    if record.qr_code.is_some() {
        return Ok(OpenPayment { record, is_new });
    }
    let Some(gateway) = app.gateway_of(&record.attempt.account) else {
        return Err(gateway_unknown(app, &record.attempt, UnknownReason::NotAsked).await);
    };
    let number = record.attempt.out_trade_no.clone();
    let trade = Precreate {
        out_trade_no: number.as_str(),
        total: record.attempt.amount,
        subject: &record.subject,
        time_expire: record.expires_at,
    };
    match gateway.at(Priority::Waited).precreate(&trade, app.now()).await {
        PrecreateOutcome::QrCode(qr_code) => hand_out(app, record, qr_code, is_new).await,
        PrecreateOutcome::Refused(refusal) => {
            let detail = json!({ "out_trade_no": number, "refusal": refusal });
            write_end(app, &record, PaymentStatus::Failed, detail).await?;
            Err(PaymentError::Refused { refusal })
        }
        // The attempt stays: once the account is repaired, the same call goes on with it.
        PrecreateOutcome::AccountBroken(refusal) => {
            let (code, sub_code) = (refusal.code.clone(), refusal.sub_code.clone());
            let reason = UnknownReason::AccountBroken { code, sub_code };
            tell_of_account(app, &record.attempt, &reason).await;
            Err(PaymentError::Refused { refusal })
        }
        PrecreateOutcome::AlreadyPaid | PrecreateOutcome::AlreadyClosed => {
            settled_meanwhile(app, &record).await
        }
        PrecreateOutcome::Unknown(reason) => {
            Err(gateway_unknown(app, &record.attempt, reason).await)
        }
    }
}

async fn gateway_unknown(app: &App, attempt: &Attempt, reason: UnknownReason) -> PaymentError {
    tell_of_account(app, attempt, &reason).await;
    PaymentError::GatewayUnknown(reason)
}

/// Opens an alarm if it is our account that stands between us and an answer: no repeat will help.
async fn tell_of_account(app: &App, attempt: &Attempt, reason: &UnknownReason) {
    if let Some(alarm) = account_alarm(attempt, reason) {
        raise_alarm_or_log(app, &alarm).await;
    }
}

/// Stores the code and shows it, unless the order or the attempt has ended while it was made.
async fn hand_out(
    app: &App,
    record: PaymentRecord,
    qr_code: String,
    is_new: bool,
) -> Result<OpenPayment, PaymentError> {
    let number = &record.attempt.out_trade_no;
    let stored = payments::set_qr_code(&app.store, number, &qr_code, app.now()).await?;
    if let Some(order_id) = &record.order_id {
        payable(app, order_id).await?;
        app.changes.announce(order_id);
    }
    if !stored {
        return Err(StoreError::Busy("the payment attempt has just ended".into()).into());
    }
    Ok(OpenPayment { record: PaymentRecord { qr_code: Some(qr_code), ..record }, is_new })
}

/// The gateway has ended the trade of this number: find out how.
async fn settled_meanwhile(app: &App, record: &PaymentRecord) -> Result<OpenPayment, PaymentError> {
    let Some(order_id) = &record.order_id else { return Err(PaymentError::NoSuchOrder) };
    note_seen(app, order_id, &record.attempt.out_trade_no, None, Trigger::Http).await?;
    match settle(app, &Request::by(Trigger::Http, order_id)).await? {
        Outcome::Ended(OrderStatus::Cancelled) => Err(PaymentError::Cancelled),
        Outcome::Ended(_) => Err(PaymentError::Paid),
        Outcome::Waiting | Outcome::ReadyToCancel | Outcome::Unknown | Outcome::NoSuchOrder => {
            Err(PaymentError::GatewayUnknown(UnknownReason::NotAsked))
        }
    }
}

/// Closes the attempt that a new one replaces, where the gateway lets us. What can't be closed
/// stays pending until no money can come for it.
async fn close_replaced(app: &App, open: &PaymentRecord) -> Result<(), PaymentError> {
    let number = &open.attempt.out_trade_no;
    let Some(order_id) = &open.order_id else { return Ok(()) };
    let closed = match app.gateway_of(&open.attempt.account) {
        Some(gateway) => gateway.at(Priority::Waited).close(number.as_str(), app.now()).await,
        None => CloseOutcome::Unknown(UnknownReason::NotAsked),
    };
    match closed {
        CloseOutcome::Closed => {
            let detail = json!({ "out_trade_no": number, "reason": "replaced" });
            write_end(app, open, PaymentStatus::Closed, detail).await?;
        }
        CloseOutcome::StateChanged => {
            note_seen(app, order_id, number, None, Trigger::Http).await?;
            let outcome = settle(app, &Request::by(Trigger::Http, order_id)).await?;
            if let Outcome::Ended(OrderStatus::Paid) = outcome {
                return Err(PaymentError::Paid);
            }
        }
        CloseOutcome::Unknown(reason) => tell_of_account(app, &open.attempt, &reason).await,
        CloseOutcome::NotExist => {}
    }
    payments::retire(&app.store, number, app.now()).await?;
    Ok(())
}

/// Ends an attempt. Its code may be in a buyer's hands all the same, so it is looked at once more.
async fn write_end(
    app: &App,
    ended: &PaymentRecord,
    status: PaymentStatus,
    detail: serde_json::Value,
) -> Result<(), StoreError> {
    let Some(order_id) = &ended.order_id else { return Ok(()) };
    let number = &ended.attempt.out_trade_no;
    for _ in 0..TRIES_MAX {
        let Some(read) = orders::find(&app.store, order_id).await? else { return Ok(()) };
        let now = app.now();
        let mut tx = app.store.begin().await?;
        if !orders::bump(&mut tx, &read.order, now).await? {
            tx.rollback().await?;
            continue;
        }
        if !payments::mark_ended(&mut tx, number, (status, false), now).await? {
            tx.rollback().await?;
            return Ok(());
        }
        let last_look = last_look_at(ended.attempt.code_dies_at, now);
        pending::keep_for_last_look(&mut tx, number.as_str(), last_look).await?;
        let from = read.order.status;
        let failed = status == PaymentStatus::Failed;
        let cause = if failed { "payment_failed" } else { "payment_closed" };
        let entry = Entry { cause, from: Some(from), to: from, detail };
        let version = read.order.version + 1;
        history::append(&mut tx, order_id, version, "http", &[entry], now).await?;
        tx.commit().await?;
        app.changes.announce(order_id);
        return Ok(());
    }
    Err(StoreError::Busy("the order keeps changing".into()))
}
