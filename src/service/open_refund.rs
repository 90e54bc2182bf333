//! The row of a refund, written in the transaction that decides it: money of the payment is set
//! aside, and from then on the refund is sent until it is certain.

use chrono::{DateTime, Utc};

use crate::app::App;
use crate::domain::alarm::AlarmKind;
use crate::domain::ids::{OrderId, OutRequestNo, OutTradeNo};
use crate::domain::money::Fen;
use crate::domain::payment::PaymentStatus;
use crate::domain::refund::{Refund, RefundCause, RefundItem, RefundStatus};
use crate::store::refunds::RefundRecord;
use crate::store::{StoreError, WriteTx, alarms, refund_sums, refunds};

/// Who asks for refunds that nobody asked for.
const AUTOMATIC: &str = "checkback";

/// Alarms about a payment that end when all of it is back.
const ENDED_WITH_THE_MONEY: [AlarmKind; 4] = [
    AlarmKind::LatePayment,
    AlarmKind::DuplicatePayment,
    AlarmKind::WrongAmount,
    AlarmKind::OrphanPayment,
];

/// A refund to be opened.
#[derive(Clone, Debug)]
pub struct NewRefund<'a> {
    /// The order; an orphan's has none.
    pub order_id: Option<&'a OrderId>,
    /// The payment that goes back.
    pub out_trade_no: &'a OutTradeNo,
    /// The number that it is asked for under, once per payment.
    pub request_no: String,
    /// Hash of the request.
    pub request_hash: String,
    /// Why money goes back.
    pub cause: RefundCause,
    /// How much.
    pub amount: Fen,
    /// In the words of whoever asks.
    pub reason: String,
    /// The pieces that it is about.
    pub items: Vec<RefundItem>,
    /// Who asks.
    pub by: &'a str,
}

/// What became of opening a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It is written, and its money set aside.
    Opened(Box<RefundRecord>),
    /// The payment has one under this number.
    NumberTaken,
    /// Less than that is left of the payment.
    TooMuch,
}

/// Writes a refund and sets its money aside. Unless it is opened, the transaction has to be rolled
/// back.
///
/// # Errors
/// If the database fails.
pub async fn open_refund(
    app: &App,
    tx: &mut WriteTx<'_>,
    new: &NewRefund<'_>,
    now: DateTime<Utc>,
) -> Result<Opened, StoreError> {
    // The payment first: a row that refers to it would share its lock, and whoever sends another
    // refund of it would wait crosswise.
    if !refund_sums::reserve(tx, new.out_trade_no, new.amount).await? {
        return Ok(Opened::TooMuch);
    }
    let record = record(app, new, RefundStatus::Requested, now);
    if !refunds::insert(tx, &record).await? {
        return Ok(Opened::NumberTaken);
    }
    Ok(Opened::Opened(Box::new(record)))
}

/// Writes a refund that somebody else has made: its money is back already. `None`: it is recorded,
/// or less than that is left of the payment, and the transaction has to be rolled back.
///
/// # Errors
/// If the database fails.
pub async fn record_elsewhere(
    app: &App,
    tx: &mut WriteTx<'_>,
    new: &NewRefund<'_>,
    now: DateTime<Utc>,
) -> Result<Option<RefundRecord>, StoreError> {
    let record = record(app, new, RefundStatus::Succeeded, now);
    if !refund_sums::reserve(tx, new.out_trade_no, new.amount).await?
        || !refunds::insert(tx, &record).await?
    {
        return Ok(None);
    }
    refund_sums::conclude(tx, new.out_trade_no, new.amount, true, now).await?;
    resolve_if_all_back(tx, new.out_trade_no, new.by, now).await?;
    Ok(Some(record))
}

/// A refund that was made outside this service, under the number that it is known by here.
#[must_use]
pub fn elsewhere<'a>(
    order_id: Option<&'a OrderId>,
    out_trade_no: &'a OutTradeNo,
    request_no: String,
    amount: Fen,
    by: &'a str,
) -> NewRefund<'a> {
    NewRefund {
        order_id,
        out_trade_no,
        request_no,
        request_hash: String::new(),
        cause: RefundCause::Elsewhere,
        amount,
        reason: "given back outside this service".to_owned(),
        items: Vec::new(),
        by,
    }
}

/// Alarms about a payment's money and its refunds end when all of it is back, whoever gave it back.
///
/// # Errors
/// If the database fails.
pub(super) async fn resolve_if_all_back(
    tx: &mut WriteTx<'_>,
    out_trade_no: &OutTradeNo,
    by: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if refund_sums::is_all_back(tx, out_trade_no).await? {
        for kind in ENDED_WITH_THE_MONEY {
            alarms::resolve(tx, kind, out_trade_no.as_str(), by, now).await?;
        }
        let mut refused = refunds::of_payment(tx, out_trade_no).await?;
        refused.retain(|record| record.refund.status == RefundStatus::Refused);
        for record in refused {
            let number = record.refund.out_request_no.as_str();
            alarms::resolve(tx, AlarmKind::RefundRefused, number, by, now).await?;
        }
    }
    Ok(())
}

/// The refund of all of a payment that its order can't take. It is asked for once, whoever finds
/// the payment.
#[must_use]
pub fn automatic<'a>(
    order_id: &'a OrderId,
    out_trade_no: &'a OutTradeNo,
    status: PaymentStatus,
    amount: Fen,
) -> Option<NewRefund<'a>> {
    let (cause, reason) = match status {
        PaymentStatus::Late => (RefundCause::Late, "paid after the order was cancelled"),
        PaymentStatus::Duplicate => (RefundCause::Duplicate, "the order was paid twice"),
        _ => return None,
    };
    (!amount.is_zero()).then(|| NewRefund {
        order_id: Some(order_id),
        out_trade_no,
        request_no: whole_payment_no(cause),
        request_hash: String::new(),
        cause,
        amount,
        reason: reason.to_owned(),
        items: Vec::new(),
        by: AUTOMATIC,
    })
}

/// The number of the one refund that gives a whole payment back for this cause. Numbers of callers
/// have no colon.
#[must_use]
pub fn whole_payment_no(cause: RefundCause) -> String {
    format!("checkback:{}", cause.as_str())
}

fn record(
    app: &App,
    new: &NewRefund<'_>,
    status: RefundStatus,
    now: DateTime<Utc>,
) -> RefundRecord {
    let prefix = &app.config.alipay.out_trade_no_prefix;
    let is_over = status.is_ended();
    RefundRecord {
        refund: Refund {
            out_request_no: OutRequestNo::from_trusted(format!("{prefix}R{}", app.fresh_id())),
            order_id: new.order_id.cloned(),
            out_trade_no: new.out_trade_no.clone(),
            request_no: new.request_no.clone(),
            cause: new.cause,
            status,
            amount: new.amount,
            reason: new.reason.clone(),
            items: new.items.clone(),
            tries: 0,
            doubt_since: None,
        },
        request_hash: new.request_hash.clone(),
        requested_by: new.by.to_owned(),
        refused_because: None,
        paid_elsewhere: None,
        last_answer: None,
        next_try_at: (!is_over).then_some(now),
        sent_at: None,
        ended_at: is_over.then_some(now),
        created_at: now,
    }
}
