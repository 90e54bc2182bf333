//! The pure heart of checkback: what an order, a payment and a gateway's answer are, and the one
//! decision that every trigger runs. No IO, no clock, no randomness.

use chrono::FixedOffset;

pub mod alarm;
pub mod answer_log;
pub mod bill;
pub mod broker_clock;
pub mod decision;
pub mod event;
pub mod gateway;
pub mod ids;
pub mod money;
pub mod order;
pub mod payment;
pub mod payment_check;
pub mod priority;
pub mod reconciliation;
pub mod refund;
pub mod stock;
pub mod timeout_message;
pub mod trigger;

/// China's time: one zone, and no summer time. Bills, schedules and the gateway's own times are in
/// it.
pub const CHINA: FixedOffset = match FixedOffset::east_opt(8 * 60 * 60) {
    Some(offset) => offset,
    None => panic!("eight hours are an offset"),
};

/// Cuts a time to whole milliseconds, the precision of every stored time.
#[must_use]
pub fn to_millis(at: chrono::DateTime<chrono::Utc>) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp_millis(at.timestamp_millis()).unwrap_or(at)
}
