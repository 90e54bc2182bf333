//! `[payment]` and `[refund]`: what becomes of money that no order takes, and how it goes back.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::domain::decision::OnLatePayment;

/// Longest distance between two refunds of one trade.
const SPACING_MAX: Duration = Duration::from_hours(1);
/// Shortest age at which an unfinished refund opens an alarm.
const ALARM_AFTER_MIN: Duration = Duration::from_secs(1);

/// Payments that arrive when their order has ended.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Payment {
    /// What becomes of a payment of a cancelled order.
    pub late: OnLatePayment,
}

/// How money goes back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Refund {
    /// Distance between two refunds of one trade; the gateway demands 3 s.
    #[serde(with = "humantime_serde")]
    pub spacing: Duration,
    /// An unfinished refund opens an alarm at this age.
    #[serde(with = "humantime_serde")]
    pub alarm_after: Duration,
}

impl Default for Refund {
    fn default() -> Self {
        Self { spacing: Duration::from_secs(3), alarm_after: Duration::from_mins(10) }
    }
}

impl Refund {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if self.spacing > SPACING_MAX {
            return Err(ConfigError::invalid("refund.spacing", "must be at most an hour"));
        }
        if self.alarm_after < ALARM_AFTER_MIN {
            return Err(ConfigError::invalid("refund.alarm_after", "must be at least a second"));
        }
        Ok(())
    }
}
