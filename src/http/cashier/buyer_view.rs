//! What the buyer is shown of an order: pure, from what was read and the time.
//!
//! Nothing of the storefront's own data, of other buyers or of keys is in here: whoever has the
//! link sees it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::money_back::notices;
use super::scene::Scene;
use crate::domain::answer_log::Answers;
use crate::domain::gateway::Answer;
use crate::domain::order::{Order, OrderStatus};
use crate::domain::payment::PaymentStatus;
use crate::http::live::Snapshot;
use crate::service::request_payment::CHANNEL;
use crate::store::payments::PaymentRecord;

/// A text in the page's two languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::http) struct Words {
    pub en: String,
    pub zh: String,
}

/// What the cashier page shows and its stream sends.
#[derive(Clone, Debug, Serialize)]
pub(in crate::http) struct BuyerView {
    pub scene: Scene,
    pub status: OrderStatus,
    pub amount_yuan: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    /// Whether there is a code to show.
    pub qr_available: bool,
    /// The attempt whose code it is: another number means another picture.
    pub out_trade_no: Option<String>,
    /// What the code says, if a browser can open it.
    pub pay_url: Option<String>,
    pub paid_at: Option<DateTime<Utc>>,
    pub cancelled_at: Option<DateTime<Utc>>,
    pub cancel_reason: Option<Words>,
    /// When the gateway was last asked and certain that nothing was paid.
    pub checked_at: Option<DateTime<Utc>>,
    /// What else the buyer should know about money that came or went back.
    pub notices: Vec<Words>,
    /// Whether nothing more happens by itself.
    pub settled: bool,
}

impl Words {
    pub(super) fn new(en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self { en: en.into(), zh: zh.into() }
    }
}

impl BuyerView {
    /// The view of what was read at this time.
    pub(in crate::http) fn new(snapshot: &Snapshot, now: DateTime<Utc>) -> Self {
        let record = &snapshot.record;
        let order = &record.order;
        let open = open_attempt(order, &snapshot.payments, now);
        let is_cancelled = order.status == OrderStatus::Cancelled;
        Self {
            scene: scene(order, open, now),
            status: order.status,
            amount_yuan: order.amount.to_yuan(),
            created_at: record.created_at,
            expires_at: order.expires_at,
            qr_available: open.is_some(),
            out_trade_no: open.map(|open| open.attempt.out_trade_no.to_string()),
            pay_url: open.and_then(|open| open.qr_code.clone()).filter(|text| is_web_url(text)),
            paid_at: record.paid_at,
            cancelled_at: record.cancelled_at.filter(|_| is_cancelled),
            cancel_reason: is_cancelled.then(|| cancel_reason(order, snapshot.evidence.as_ref())),
            checked_at: snapshot.evidence.as_ref().and_then(checked_at),
            notices: notices(snapshot),
            settled: snapshot.is_settled(),
        }
    }
}

/// The attempt whose code the buyer may scan now.
pub(in crate::http) fn open_attempt<'a>(
    order: &Order,
    payments: &'a [PaymentRecord],
    now: DateTime<Utc>,
) -> Option<&'a PaymentRecord> {
    let payable = order.status == OrderStatus::AwaitingPayment
        && order.cancel_request.is_none()
        && now < order.expires_at;
    let is_open = |record: &&PaymentRecord| {
        record.channel == CHANNEL
            && record.attempt.status.is_live()
            && record.expires_at > now
            && record.qr_code.is_some()
    };
    if payable { payments.iter().rev().find(is_open) } else { None }
}

fn scene(order: &Order, open: Option<&PaymentRecord>, now: DateTime<Utc>) -> Scene {
    match order.status {
        OrderStatus::Paid => Scene::Paid,
        OrderStatus::Cancelled => Scene::Cancelled,
        OrderStatus::Refunding => Scene::Refunding,
        OrderStatus::Refunded => Scene::Refunded,
        OrderStatus::AwaitingPayment if order.cancel_request.is_some() => Scene::Cancelling,
        OrderStatus::AwaitingPayment if now >= order.expires_at => Scene::Checking,
        OrderStatus::AwaitingPayment => match open.map(|open| open.attempt.status) {
            None => Scene::Preparing,
            Some(PaymentStatus::Waiting) => Scene::Scanned,
            Some(_) => Scene::Scan,
        },
    }
}

/// A link that a page may safely hold.
fn is_web_url(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

fn cancel_reason(order: &Order, evidence: Option<&Value>) -> Words {
    if order.cancel_request.is_some() {
        return Words::new("It was cancelled on request.", "已按要求取消。");
    }
    let no_attempt =
        evidence.and_then(answers).is_some_and(|answers| answers.as_slice().is_empty());
    if no_attempt {
        return Words::new(
            "The time to pay ran out before a payment was started.",
            "超时未发起支付。",
        );
    }
    Words::new("It was not paid in time.", "超时未支付。")
}

fn answers(evidence: &Value) -> Option<Answers> {
    serde_json::from_value(evidence.get("answers")?.clone()).ok()
}

/// Only if every answer says so: a payment of a wrong amount, say, is a payment.
fn checked_at(evidence: &Value) -> Option<DateTime<Utc>> {
    let answers = answers(evidence)?;
    let asked = answers.as_slice();
    let none_paid = asked.iter().all(|asked| matches!(asked.answer, Answer::NotPaid(_)));
    asked.iter().map(|asked| asked.asked_at).max().filter(|_| none_paid)
}

#[cfg(test)]
mod tests;
