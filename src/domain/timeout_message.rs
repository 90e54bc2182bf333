//! The body of the half message that is an order's timer: thin, versioned, and never trusted. What
//! becomes of the order is decided from the database. Where the half message tells of the payment,
//! its body is that event.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::event::BODY_VERSION;
use super::ids::{DeploymentId, OrderId};

/// The topic of timeout messages, without the deployment's name prefix.
pub const ORDER_TIMEOUT_TOPIC: &str = "checkback-order-timeout";
/// The tag of a timeout message that cancels when committed.
pub const CANCEL_TAG: &str = "cancel";

/// The body of a timeout message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeoutMessage {
    /// Version of this body.
    pub version: u32,
    /// The deployment whose order it is.
    pub deployment: DeploymentId,
    /// The order; the subject of an event.
    #[serde(alias = "subject")]
    pub order_id: OrderId,
}

/// Why a timeout message can't be acted on.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MessageError {
    /// It isn't one.
    #[error("the body can't be read: {0}")]
    Malformed(String),
    /// A newer release wrote it.
    #[error("the body has version {0}, this release knows {BODY_VERSION}")]
    UnknownVersion(u32),
    /// It belongs to another deployment.
    #[error("the message belongs to deployment {0}")]
    Foreign(DeploymentId),
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

impl TimeoutMessage {
    /// The message of an order.
    #[must_use]
    pub fn new(deployment: DeploymentId, order_id: OrderId) -> Self {
        Self { version: BODY_VERSION, deployment, order_id }
    }

    /// The body as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::json!(self).to_string().into_bytes()
    }

    /// Reads a body and makes sure that it is ours.
    ///
    /// # Errors
    /// If it is malformed, of another version, or of another deployment; looked at in this order.
    pub fn read(body: &[u8], ours: &DeploymentId) -> Result<Self, MessageError> {
        let malformed = |error: serde_json::Error| MessageError::Malformed(error.to_string());
        let VersionOnly { version } = serde_json::from_slice(body).map_err(malformed)?;
        if version != BODY_VERSION {
            return Err(MessageError::UnknownVersion(version));
        }
        let message: Self = serde_json::from_slice(body).map_err(malformed)?;
        if message.deployment != *ours {
            return Err(MessageError::Foreign(message.deployment));
        }
        match OrderId::parse(message.order_id.as_str()) {
            Some(_) => Ok(message),
            None => Err(MessageError::Malformed("order_id is not an order id".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::OrderEvent;
    use crate::domain::money::Fen;

    fn ours() -> DeploymentId {
        DeploymentId::from_trusted("D1")
    }

    #[test]
    fn reads_what_it_wrote() {
        let id = OrderId::from_trusted("01ARZ3NDEKTSV4RRFFQ69G5FAV");
        let message = TimeoutMessage::new(ours(), id);
        assert_eq!(TimeoutMessage::read(&message.to_bytes(), &ours()), Ok(message));
    }

    #[test]
    fn reads_the_event_that_rides_on_a_half_message() {
        let id = OrderId::from_trusted("01ARZ3NDEKTSV4RRFFQ69G5FAV");
        let event = OrderEvent::paid_on_half_message(&ours(), &id, Fen::ZERO);
        let read = TimeoutMessage::read(event.body.as_bytes(), &ours());
        assert_eq!(read, Ok(TimeoutMessage::new(ours(), id)));
    }

    #[test]
    fn a_newer_body_is_told_from_a_broken_one() {
        let newer = br#"{"version":2,"whatever":true}"#;
        assert_eq!(TimeoutMessage::read(newer, &ours()), Err(MessageError::UnknownVersion(2)));
        for broken in [&b"\xff\xfe"[..], b"{}", br#"{"version":1}"#, b""] {
            let read = TimeoutMessage::read(broken, &ours());
            assert!(matches!(read, Err(MessageError::Malformed(_))), "{read:?}");
        }
    }

    #[test]
    fn another_deployment_is_foreign() {
        let id = OrderId::from_trusted("01ARZ3NDEKTSV4RRFFQ69G5FAV");
        let theirs = DeploymentId::from_trusted("D2");
        let body = TimeoutMessage::new(theirs.clone(), id).to_bytes();
        assert_eq!(TimeoutMessage::read(&body, &ours()), Err(MessageError::Foreign(theirs)));
    }
}
