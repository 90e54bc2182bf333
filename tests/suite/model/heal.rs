//! Whatever happened: once the gateway answers again, the sweep alone ends everything.

use super::properties::{is_quiet, is_settled};
use super::refunds::{self, Exchange, Found, Sent};
use super::state::{ATTEMPTS, Message, Phase, Refund, Row, Said, Stage, State, Trigger, Truth};
use super::world::{Event, World};

/// Rounds of the sweep that everything takes at most.
const ROUNDS: usize = 4;

impl World {
    /// Whether the sweep ends everything from here on if nothing else happens: no message comes,
    /// no notification, and no answer is lost.
    pub(super) fn heals(&self, state: &State) -> bool {
        debug_assert!(state.phase == Phase::Quiet && state.is_idle());
        if is_quiet(state) {
            return true;
        }
        let mut healing = state.clone();
        healing.message = Message::Gone;
        for trade in &mut healing.trades {
            // The gateway closes what waits too long.
            if matches!(trade.truth, Truth::Waiting | Truth::JustClosed) {
                trade.truth = Truth::Closed;
            }
            trade.shown = trade.truth;
        }
        for _ in 0..ROUNDS {
            self.sweep(&mut healing);
            self.send_refunds(&mut healing);
        }
        is_quiet(&healing) && is_settled(&healing)
    }

    fn sweep(&self, state: &mut State) {
        if !state.is_due() {
            return;
        }
        let worker = self.load(state, Trigger::Settler);
        let Stage::Asking { asks, .. } = worker.stage else { return };
        let said: [Option<Said>; ATTEMPTS] = std::array::from_fn(|index| {
            asks[index].then(|| state.trades[index].answers().next()).flatten()
        });
        self.happen(state, Event::WorkerLoadsAndHears(Trigger::Settler, said));
        while let Some(worker) = state.workers[0] {
            match worker.stage {
                Stage::Asking { .. } => return,
                Stage::Closing { closes, said, .. } => {
                    let open =
                        (0..ATTEMPTS).find(|i| closes[*i] && said[*i] == Some(Said::Waiting));
                    let Some(index) = open else { return };
                    self.happen(state, Event::WorkerCloses(0, index, 0));
                }
                Stage::Writing(_) => self.happen(state, Event::WorkerWrites(0)),
            }
        }
    }

    fn send_refunds(&self, state: &mut State) {
        refunds::show(state);
        for index in 0..ATTEMPTS {
            let is_due = |row: &Row| row.refund == Refund::Due;
            if !state.database.rows[index].as_ref().is_some_and(is_due) {
                continue;
            }
            let trade = state.trades[index];
            let (sent, found) = match (trade.holds_money(), trade.moved > 0) {
                (true, _) => (Sent::Moves, Found::NotAsked),
                (false, true) => (Sent::Accepts, Found::Money),
                (false, false) => (Sent::Refuses, Found::Nothing),
            };
            self.exchange(state, Exchange { index, sent, found, crashes: false });
        }
    }
}
