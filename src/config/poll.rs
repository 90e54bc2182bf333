//! `[poll]`: the workers over the table of what is unsettled.

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// The light poll.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Poll {
    /// Orders that an instance settles at the same time.
    pub workers: usize,
    /// How often the gateway is asked about an order past due before only the sweep does.
    pub max_queries: u32,
}

/// Most workers: each may hold a connection to the database.
const WORKERS_MAX: usize = 256;

impl Default for Poll {
    fn default() -> Self {
        Self { workers: 16, max_queries: 100 }
    }
}

impl Poll {
    pub(super) fn validate(self) -> Result<(), ConfigError> {
        if !(1..=WORKERS_MAX).contains(&self.workers) {
            return Err(ConfigError::invalid("poll.workers", "must be from 1 to 256"));
        }
        if self.max_queries == 0 {
            return Err(ConfigError::invalid("poll.max_queries", "must be at least 1"));
        }
        Ok(())
    }
}
