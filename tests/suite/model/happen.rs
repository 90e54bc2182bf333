//! What each event does to the world.

use checkback::domain::order::OrderStatus;
use checkback::domain::payment::PaymentStatus;

use super::refunds;
use super::rules::Rule;
use super::state::{
    ATTEMPTS, Doubt, Message, Pending, Phase, Refund, Row, Said, Stage, State, Truth, Worker,
};
use super::world::{Event, World};

impl World {
    pub(super) fn happen(&self, state: &mut State, event: Event) {
        match event {
            Event::TimePasses => pass_time(state),
            // `service::place_order`: the order with its pending row.
            Event::OrderIsWritten => state.database.order = Some(OrderStatus::AwaitingPayment),
            // `check_back::never_written`.
            Event::CheckBackFindsNoOrder => {
                state.message = Message::RolledBack;
                state.database.tombstone = self.without != Some(Rule::CheckBackSettlesTheBarrier);
            }
            // Resolved, acknowledged, given up, or in the dead letter queue.
            Event::MessageIsGone => state.message = Message::Gone,
            Event::CancelIsRequested => {
                state.database.cancel_requested = true;
                if self.without != Some(Rule::RequestIsReadBeforeAsking) {
                    self.bump(state);
                }
            }
            Event::PaymentIsRequested
            | Event::GatewayHearsFirst
            | Event::AttemptIsWritten
            | Event::AttemptIsRefused(_)
            | Event::AttemptIsReplaced => self.happen_to_attempts(state, &event),
            Event::RefundIsRequested => self.request_refund(state),
            Event::RefundIsExchanged(exchange) => self.exchange(state, exchange),
            Event::RefundsShow => refunds::show(state),
            Event::StockIsSold => state.has_stock = false,
            Event::BuyerScans(index) => self.become_true(state, index, Truth::Waiting),
            Event::BuyerPays(index) | Event::ConfirmationComesLate(index) => {
                self.become_true(state, index, Truth::Paid);
                state.trades[index].in_time = state.phase == Phase::Open
                    && state.awaits()
                    && !state.database.cancel_requested;
            }
            Event::BuyerPaysWrong(index) => self.become_true(state, index, Truth::PaidWrong),
            Event::MerchantGivesBack(index) => {
                state.trades[index].truth = Truth::Returned;
                state.trades[index].shown = Truth::Returned;
            }
            Event::GatewayCloses(index) => {
                state.trades[index].expire(state.phase, &self.bounds);
            }
            Event::WorkerLoads(_)
            | Event::WorkerLoadsAndHears(..)
            | Event::WorkerHears(..)
            | Event::WorkerCloses(..)
            | Event::WorkerWrites(_)
            | Event::WorkerWritesHalf(_)
            | Event::WorkerCrashes(_) => self.work_on(state, &event),
        }
    }

    fn become_true(&self, state: &mut State, index: usize, truth: Truth) {
        state.trades[index].become_shown_later(truth, &self.bounds);
    }

    /// `service::request_payment`.
    fn happen_to_attempts(&self, state: &mut State, event: &Event) {
        let made = state.database.rows.iter().flatten().count();
        match event {
            Event::PaymentIsRequested => state.is_adding = true,
            Event::GatewayHearsFirst => self.become_true(state, made, Truth::Unscanned),
            // `add_attempt`; whether the gateway hears of it then shows in nothing but a scan.
            Event::AttemptIsWritten => {
                state.is_adding = false;
                state.database.rows[made] = Some(Row::new());
                if state.trades[made].truth == Truth::Unheard {
                    self.become_true(state, made, Truth::Unscanned);
                }
                if self.without != Some(Rule::AttemptBumpsTheVersion) {
                    self.bump(state);
                }
            }
            // A code of an earlier answer that got lost may be in a buyer's hands all the same.
            Event::AttemptIsRefused(index) => self.end(state, *index, PaymentStatus::Failed),
            // `close_replaced`.
            Event::AttemptIsReplaced => {
                state.trades[0].expire(state.phase, &self.bounds);
                self.end(state, 0, PaymentStatus::Closed);
            }
            _ => {}
        }
    }

    /// `request_payment::write_end`.
    fn end(&self, state: &mut State, index: usize, status: PaymentStatus) {
        let at = state.phase.last_look();
        if let Some(row) = &mut state.database.rows[index] {
            row.status = status;
            let keeps = self.without != Some(Rule::LastLook);
            row.pending = if keeps { Pending::LastLook(at) } else { Pending::None };
        }
        self.bump(state);
    }

    fn request_refund(&self, state: &mut State) {
        let applied = state.database.applied().next();
        if let Some(row) = applied.and_then(|index| state.database.rows[index].as_mut()) {
            row.refund = Refund::Due;
            state.database.order = Some(OrderStatus::Refunding);
            self.bump(state);
        }
    }

    fn work_on(&self, state: &mut State, event: &Event) {
        match *event {
            Event::WorkerLoads(trigger) => {
                let worker = self.load(state, trigger);
                let worker = self.go_on(state, worker);
                take_in(state, worker);
            }
            Event::WorkerLoadsAndHears(trigger, said) => {
                let mut worker = self.load(state, trigger);
                if let Stage::Asking { said: heard, .. } = &mut worker.stage {
                    *heard = said;
                }
                let worker = self.decide(state, &worker);
                take_in(state, worker);
            }
            Event::WorkerHears(slot, index, answer) => {
                let Some(mut worker) = state.workers[slot].take() else { return };
                if let Stage::Asking { said, .. } = &mut worker.stage {
                    said[index] = Some(answer);
                }
                state.workers[slot] = self.go_on(state, worker);
            }
            Event::WorkerCloses(slot, index, outcome) => self.close(state, slot, index, outcome),
            Event::WorkerWrites(slot) | Event::WorkerWritesHalf(slot) => {
                let Some(worker) = state.workers[slot].take() else { return };
                let Stage::Writing(plan) = worker.stage else { return };
                let whole = matches!(event, Event::WorkerWrites(_));
                self.write(state, &plan, whole);
            }
            Event::WorkerCrashes(slot) => state.workers[slot] = None,
            _ => {}
        }
    }

    /// Decides, once all answers are there.
    fn go_on(&self, state: &State, worker: Worker) -> Option<Worker> {
        let Stage::Asking { asks, said } = worker.stage else { return Some(worker) };
        let waits = (0..ATTEMPTS).any(|index| asks[index] && said[index].is_none());
        if waits { Some(worker) } else { self.decide(state, &worker) }
    }

    /// `settle::close_one`.
    fn close(&self, state: &mut State, slot: usize, index: usize, outcome: usize) {
        let Some(mut worker) = state.workers[slot].take() else { return };
        let outcomes = state.trades[index].closings(state.phase, &self.bounds);
        let Some((trade, answer)) = outcomes.get(outcome) else { return };
        state.trades[index] = *trade;
        let mut waits = false;
        if let Stage::Closing { closes, said, .. } = &mut worker.stage {
            said[index] = Some(*answer);
            waits = (0..ATTEMPTS).any(|i| closes[i] && said[i] == Some(Said::Waiting));
        }
        state.workers[slot] = if waits { Some(worker) } else { self.decide_again(state, &worker) };
    }
}

impl Row {
    fn new() -> Self {
        Self {
            status: PaymentStatus::Created,
            seen: false,
            paid: false,
            returned: false,
            pending: Pending::Live,
            refund: Refund::None,
            doubt: Doubt::Never,
            alarm: false,
        }
    }
}

/// A worker is given up long before two of the later phases pass (`settle_due::SETTLE_BUDGET`, and
/// the deadlines of deliveries, check-backs and requests).
fn pass_time(state: &mut State) {
    let before = state.phase;
    let Some(next) = before.next() else { return };
    state.phase = next;
    for trade in &mut state.trades {
        trade.grow_old(next);
    }
    for slot in &mut state.workers {
        let is_old = slot.as_ref().is_some_and(|worker| worker.now < before);
        if is_old && next >= Phase::CodesDead {
            *slot = None;
        }
    }
}

fn take_in(state: &mut State, worker: Option<Worker>) {
    if let Some(free) = state.workers.iter_mut().find(|slot| slot.is_none()) {
        *free = worker;
    }
}
