//! The gateway and its buyers: what can become of a trade, and what it says when it is asked.

use super::rules::Bounds;
use super::state::{Phase, Said, Trade, Truth};

impl Trade {
    /// A new truth; a query may go on showing what was true before.
    pub(super) fn become_shown_later(&mut self, truth: Truth, bounds: &Bounds) {
        if !bounds.lag || matches!(self.truth, Truth::Unheard | Truth::JustClosed) {
            self.shown = truth;
        }
        self.truth = truth;
    }

    /// Time passes: no query lags so far behind, and no confirmation is still on its way.
    pub(super) fn grow_old(&mut self, now: Phase) {
        if now == Phase::Grace {
            return;
        }
        if now >= Phase::CodesDead && self.truth == Truth::JustClosed {
            self.truth = Truth::Closed;
        }
        self.shown = self.truth;
    }

    /// What a query that is answered may say, the truth first.
    pub(super) fn answers(&self) -> impl Iterator<Item = Said> {
        let before = match (self.shown, self.truth) {
            (shown, truth) if shown == truth => [None, None],
            (Truth::Unscanned, Truth::Waiting) => [Some(Truth::Unscanned), None],
            (Truth::Unscanned, _) => [Some(Truth::Waiting), Some(Truth::Unscanned)],
            (shown, _) => [Some(shown), None],
        };
        let now = Trade { shown: self.truth, ..*self };
        let then = before.into_iter().flatten().map(|truth| Trade { truth, ..*self }.says());
        std::iter::once(now.says()).chain(then)
    }

    fn says(self) -> Said {
        match self.truth {
            Truth::Unheard | Truth::Unscanned => Said::NotExist,
            Truth::Waiting => Said::Waiting,
            Truth::JustClosed | Truth::Closed => Said::Closed,
            // Given back in full, by us or by others, it is closed with a payment date.
            Truth::Paid | Truth::PaidWrong if self.moved > 0 => Said::Returned,
            Truth::Paid => Said::Paid,
            Truth::PaidWrong => Said::PaidWrong,
            Truth::Returned => Said::Returned,
        }
    }

    /// Whether money came and is still with the seller.
    pub(super) fn holds_money(self) -> bool {
        matches!(self.truth, Truth::Paid | Truth::PaidWrong) && self.moved == 0
    }

    /// The answers to the closing of a trade, each with the truth from then on. What does not wait
    /// any more is asked about again (`settle::close_one`).
    pub(super) fn closings(self, now: Phase, bounds: &Bounds) -> Vec<(Self, Said)> {
        if self.truth == Truth::Waiting {
            let mut closed = self;
            let is_soft = bounds.late_confirmation && now < Phase::Quiet;
            let truth = if is_soft { Truth::JustClosed } else { Truth::Closed };
            closed.become_shown_later(truth, bounds);
            return vec![(closed, Said::Closed), (closed, Said::Unknown), (self, Said::Unknown)];
        }
        let told = self.answers().map(|said| match said {
            Said::Waiting | Said::NotExist => Said::Unknown,
            said => said,
        });
        let mut told: Vec<_> = told.map(|said| (self, said)).collect();
        told.push((self, Said::Unknown));
        told.dedup();
        told
    }

    /// The gateway closes it by itself. Its `time_expire` is past when its code is dead, so that no
    /// confirmation is on its way any more then.
    pub(super) fn expire(&mut self, now: Phase, bounds: &Bounds) {
        let is_soft = bounds.late_confirmation && now < Phase::CodesDead;
        let truth = if is_soft { Truth::JustClosed } else { Truth::Closed };
        self.become_shown_later(truth, bounds);
    }
}
