//! What the service tells others: `CloudEvents` 1.0 in JSON, thin, with a sequence number an order.
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::ids::{DeploymentId, OrderId};
use super::money::Fen;

/// The topic of order events, without the deployment's name prefix.
pub const ORDER_EVENTS_TOPIC: &str = "checkback-order-events";
/// The topic of half messages that tell of a payment once they are committed, without the
/// deployment's name prefix.
pub const ORDER_PAID_TOPIC: &str = "checkback-order-paid";
/// The sequence of an event that rides on a half message: lower than that of any other change.
const HALF_MESSAGE_SEQUENCE: i64 = 1;
/// Version of every message body.
pub const BODY_VERSION: u32 = 1;

/// What happened to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderEventKind {
    /// A payment is applied.
    Paid,
    /// It ended unpaid and its stock is back.
    Cancelled,
    /// Money of its payment went back: all of it, or a part.
    Refunded,
}

impl OrderEventKind {
    /// The message's tag.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
        }
    }

    fn event_type(self) -> &'static str {
        match self {
            Self::Paid => "checkback.order.paid",
            Self::Cancelled => "checkback.order.cancelled",
            Self::Refunded => "checkback.order.refunded",
        }
    }
}

/// An event, ready for the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderEvent {
    /// The same in every delivery: order id and sequence.
    pub id: String,
    /// The order it tells of.
    pub order_id: OrderId,
    /// Grows with every event of the order: its version after the change.
    pub sequence: i64,
    /// Where it goes, without the deployment's name prefix.
    pub topic: &'static str,
    /// The message's tag.
    pub tag: &'static str,
    /// The message's body.
    pub body: String,
}

#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    r#type: &'static str,
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<DateTime<Utc>>,
    datacontenttype: &'static str,
    version: u32,
    deployment: &'a str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    order_id: &'a str,
    sequence: i64,
    amount_fen: Fen,
}

impl OrderEvent {
    /// Tells what happened to an order.
    #[must_use]
    pub fn new(
        kind: OrderEventKind,
        deployment: &DeploymentId,
        order_id: &OrderId,
        sequence: i64,
        amount: Fen,
        at: DateTime<Utc>,
    ) -> Self {
        Self::compose(kind, deployment, order_id, sequence, amount, Some(at))
    }

    /// Tells that an order was paid, in words that are known when it is placed: they ride on its
    /// half message, and stand in the outbox once they are true. So it has no time.
    #[must_use]
    pub fn paid_on_half_message(
        deployment: &DeploymentId,
        order_id: &OrderId,
        amount: Fen,
    ) -> Self {
        let (kind, sequence) = (OrderEventKind::Paid, HALF_MESSAGE_SEQUENCE);
        Self::compose(kind, deployment, order_id, sequence, amount, None)
    }

    fn compose(
        kind: OrderEventKind,
        deployment: &DeploymentId,
        order_id: &OrderId,
        sequence: i64,
        amount: Fen,
        time: Option<DateTime<Utc>>,
    ) -> Self {
        let id = format!("{order_id}-{sequence}");
        let envelope = Envelope {
            specversion: "1.0",
            id: &id,
            source: format!("/checkback/{deployment}"),
            r#type: kind.event_type(),
            subject: order_id.as_str(),
            time,
            datacontenttype: "application/json",
            version: BODY_VERSION,
            deployment: deployment.as_str(),
            data: Data { order_id: order_id.as_str(), sequence, amount_fen: amount },
        };
        let body = serde_json::json!(envelope).to_string();
        Self {
            order_id: order_id.clone(),
            sequence,
            topic: ORDER_EVENTS_TOPIC,
            tag: kind.tag(),
            body,
            id,
        }
    }
}
