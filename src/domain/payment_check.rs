//! Messages of the engine `delay`: one that comes at an order's deadline, and one for each time of
//! the query schedule. Thin, versioned and never trusted, like timeout messages.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{DeploymentId, OrderId};
use super::timeout_message::{MessageError, TimeoutMessage};

/// The topic of these messages, without the deployment's name prefix.
pub const PAYMENT_CHECK_TOPIC: &str = "checkback-payment-check";

/// Why a message was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckReason {
    /// The order's deadline is reached.
    Deadline,
    /// The query schedule of an attempt that was made at this time.
    Schedule {
        /// When the attempt was made.
        since: DateTime<Utc>,
    },
}

impl CheckReason {
    /// The message's tag.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Schedule { .. } => "schedule",
        }
    }
}

/// The body of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentCheck {
    /// Version, deployment and order.
    #[serde(flatten)]
    pub about: TimeoutMessage,
    /// Why it was sent.
    pub reason: CheckReason,
}

impl PaymentCheck {
    /// The message about an order.
    #[must_use]
    pub fn new(deployment: DeploymentId, order_id: OrderId, reason: CheckReason) -> Self {
        Self { about: TimeoutMessage::new(deployment, order_id), reason }
    }

    /// The body as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::json!(self).to_string().into_bytes()
    }

    /// Reads a body and makes sure that it is ours.
    ///
    /// # Errors
    /// If it is malformed, of another version, or of another deployment.
    pub fn read(body: &[u8], ours: &DeploymentId) -> Result<Self, MessageError> {
        TimeoutMessage::read(body, ours)?;
        serde_json::from_slice(body).map_err(|error| MessageError::Malformed(error.to_string()))
    }
}

/// The first time of a schedule after `now`: its times are counted from `since`, and its last
/// distance is repeated for ever.
#[must_use]
pub fn next_query(
    schedule: &[std::time::Duration],
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> DateTime<Utc> {
    let offset = |time: &std::time::Duration| Duration::from_std(*time).unwrap_or(Duration::MAX);
    let offsets = || schedule.iter().map(offset);
    if let Some(next) = offsets().map(|offset| since + offset).find(|at| *at > now) {
        return next;
    }
    let last = offsets().next_back().unwrap_or(Duration::minutes(1));
    let before = offsets().rev().nth(1).unwrap_or(Duration::zero());
    let distance_ms = (last - before).num_milliseconds().max(1);
    let past_ms = (now - since - last).num_milliseconds().max(0);
    let steps = past_ms / distance_ms + 1;
    since + last + Duration::milliseconds(steps.saturating_mul(distance_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + seconds, 0).expect("a time")
    }

    #[test]
    fn reads_what_it_wrote() {
        let ours = DeploymentId::from_trusted("D1");
        let id = OrderId::from_trusted("01ARZ3NDEKTSV4RRFFQ69G5FAV");
        for reason in [CheckReason::Deadline, CheckReason::Schedule { since: at(0) }] {
            let check = PaymentCheck::new(ours.clone(), id.clone(), reason);
            assert_eq!(PaymentCheck::read(&check.to_bytes(), &ours), Ok(check));
        }
        let timeout = TimeoutMessage::new(ours.clone(), id).to_bytes();
        let read = PaymentCheck::read(&timeout, &ours);
        assert!(matches!(read, Err(MessageError::Malformed(_))), "{read:?}");
    }

    #[test]
    fn a_schedule_goes_on_with_its_last_distance() {
        let schedule = [15, 30, 60, 120].map(std::time::Duration::from_secs);
        let next = |now: i64| (next_query(&schedule, at(0), at(now)) - at(0)).num_seconds();
        let expected = [(0, 15), (14, 15), (15, 30), (59, 60), (119, 120), (120, 180), (179, 180)];
        for (now, seconds) in expected.into_iter().chain([(180, 240), (1_000, 1_020)]) {
            assert_eq!(next(now), seconds, "after {now} s");
        }
        let single = [std::time::Duration::from_secs(30)];
        assert_eq!(next_query(&single, at(0), at(65)), at(90));
    }
}
