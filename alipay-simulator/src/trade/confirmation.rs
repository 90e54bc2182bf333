//! What buyers do by themselves, and when.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Refused, State, Trade};
use crate::rules::Rules;

/// The buyer's telephone asks for a confirmation, and this is what comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Confirmation {
    pub(crate) at: DateTime<Utc>,
    /// Or else the buyer gives up, which closes the trade.
    pub(crate) pays: bool,
}

impl Trade {
    /// Does what the buyer was going to do by now, and tells whether that changed anything: what
    /// was paid, closed or timed out before stays as it is.
    pub(crate) fn confirm(&mut self, now: DateTime<Utc>, rules: &Rules) -> bool {
        let due = self.confirmation.filter(|confirmation| confirmation.at <= now);
        let Some(Confirmation { at, pays }) = due else { return false };
        self.confirmation = None;
        let waits = self.progress.state == State::WaitBuyerPay && at < self.times_out_at;
        if waits {
            let total = self.total;
            self.change(at, |progress| {
                if pays {
                    progress.pay(at, total, rules);
                } else {
                    progress.close(at);
                }
            });
        }
        waits
    }

    /// The buyer refuses to pay, or can't: the trade is closed.
    pub(crate) fn give_up(&mut self, now: DateTime<Utc>) -> Result<(), Refused> {
        if self.progress.state != State::WaitBuyerPay {
            return Err(Refused(self.progress.state));
        }
        self.change(now, |progress| progress.close(now));
        Ok(())
    }
}
