//! The model: which step may come next, and what it does. `next_state` mirrors the use cases; each
//! of its parts names the one that it stands for.

use checkback::domain::order::OrderStatus;
use checkback::domain::payment::PaymentStatus;
use stateright::{Model, Property};

use super::judge::Judge;
use super::properties;
use super::refunds::Exchange;
use super::rules::{Bounds, Rule};
use super::state::{
    ATTEMPTS, Message, Pending, Phase, Refund, Row, Said, Stage, State, Trigger, Truth, Worker,
};

/// The model, with at most one rule left out.
#[derive(Debug)]
pub(super) struct World {
    pub(super) bounds: Bounds,
    pub(super) without: Option<Rule>,
    pub(super) judge: Judge,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    TimePasses,
    OrderIsWritten,
    CheckBackFindsNoOrder,
    MessageIsGone,
    PaymentIsRequested,
    GatewayHearsFirst,
    AttemptIsWritten,
    AttemptIsRefused(usize),
    AttemptIsReplaced,
    CancelIsRequested,
    RefundIsRequested,
    RefundIsExchanged(Exchange),
    /// A look under a refund's number finds it from now on.
    RefundsShow,
    StockIsSold,
    BuyerScans(usize),
    BuyerPays(usize),
    BuyerPaysWrong(usize),
    MerchantGivesBack(usize),
    GatewayCloses(usize),
    ConfirmationComesLate(usize),
    WorkerLoads(Trigger),
    /// Reads and hears all answers in one instant.
    WorkerLoadsAndHears(Trigger, [Option<Said>; ATTEMPTS]),
    WorkerHears(usize, usize, Said),
    /// Which of the possible outcomes its closing has.
    WorkerCloses(usize, usize, usize),
    WorkerWrites(usize),
    /// Only where a rule is left out: the second of two transactions is never written.
    WorkerWritesHalf(usize),
    WorkerCrashes(usize),
}

impl World {
    pub(super) fn new(bounds: Bounds, without: Option<Rule>) -> Self {
        Self { bounds, without, judge: Judge::new(without) }
    }

    pub(super) fn bump(&self, state: &mut State) {
        state.bump(self.without != Some(Rule::CompareAndSet));
        if !self.bounds.stale_workers && self.without.is_none() {
            // What such a worker can still do is to close a trade, which the gateway may do at any
            // time by itself, and to end a last look.
            for slot in &mut state.workers {
                let looks = |row: &Row| matches!(row.pending, Pending::LastLook(_));
                let is_idle = |worker: &Worker| !worker.read.rows.iter().flatten().any(looks);
                if slot.as_ref().is_some_and(is_idle) {
                    *slot = None;
                }
            }
        }
    }

    fn environment(&self, state: &State, events: &mut Vec<Event>) {
        if state.phase.next().is_some() && state.database.order.is_some() {
            events.push(Event::TimePasses);
        }
        if self.bounds.reopening && state.has_stock && state.database.order.is_some() {
            events.push(Event::StockIsSold);
        }
        if matches!(state.message, Message::Half | Message::Committed) {
            events.push(Event::MessageIsGone);
        }
        for index in 0..ATTEMPTS {
            let trade = &state.trades[index];
            match trade.truth {
                Truth::Unscanned if state.phase < Phase::CodesDead => {
                    events.push(Event::BuyerScans(index));
                }
                Truth::Waiting => {
                    events.push(Event::BuyerPays(index));
                    events.push(Event::GatewayCloses(index));
                    if self.bounds.strange_money {
                        events.push(Event::BuyerPaysWrong(index));
                    }
                }
                Truth::JustClosed => events.push(Event::ConfirmationComesLate(index)),
                Truth::Paid if self.bounds.strange_money && trade.moved == 0 => {
                    events.push(Event::MerchantGivesBack(index));
                }
                _ => {}
            }
        }
    }

    /// What buyers and operators ask us for.
    fn requests(&self, state: &State, events: &mut Vec<Event>) {
        let database = &state.database;
        if database.order.is_none() {
            // `place_order::write`, which the barrier keeps out after a check-back.
            if !database.tombstone {
                events.push(Event::OrderIsWritten);
            }
            if state.message == Message::Half {
                events.push(Event::CheckBackFindsNoOrder);
            }
            return;
        }
        self.attempt_requests(state, events);
        if state.awaits() && !database.cancel_requested {
            events.push(Event::CancelIsRequested);
        }
        if database.order == Some(OrderStatus::Paid) && self.bounds.requested_refunds {
            let applied = database.applied().next().and_then(|index| database.rows[index]);
            if applied.is_some_and(|row| row.refund == Refund::None) {
                events.push(Event::RefundIsRequested);
            }
        }
        self.exchanges(state, events);
    }

    fn attempt_requests(&self, state: &State, events: &mut Vec<Event>) {
        let rows = &state.database.rows;
        let made = rows.iter().flatten().count();
        // `request_payment::payable`.
        let payable =
            state.awaits() && !state.database.cancel_requested && state.phase == Phase::Open;
        let next = made < self.bounds.attempts;
        if self.without == Some(Rule::RowBeforeTheGateway) {
            if next && payable && state.trades[made].truth == Truth::Unheard {
                events.push(Event::GatewayHearsFirst);
            }
            if next && payable && state.trades[made].truth != Truth::Unheard {
                events.push(Event::AttemptIsWritten);
            }
        } else if next
            && state.awaits()
            && (state.is_adding || payable && !self.bounds.slow_requests)
        {
            events.push(Event::AttemptIsWritten);
        } else if next && payable {
            events.push(Event::PaymentIsRequested);
        }
        if !self.bounds.ended_attempts || state.phase > Phase::Grace {
            return;
        }
        let status = |index: usize| rows[index].map(|row: Row| row.status);
        for index in 0..made {
            let unscanned = state.trades[index].truth == Truth::Unscanned;
            if status(index) == Some(PaymentStatus::Created) && unscanned {
                events.push(Event::AttemptIsRefused(index));
            }
        }
        let waits = state.trades[0].truth == Truth::Waiting;
        if payable && waits && status(0).is_some_and(PaymentStatus::is_live) {
            events.push(Event::AttemptIsReplaced);
        }
    }

    fn begins(&self, state: &State, events: &mut Vec<Event>) {
        let database = &state.database;
        let at_work = state.workers.iter().flatten().count();
        if database.order.is_none() || at_work >= self.bounds.workers {
            return;
        }
        let mut triggers = Vec::new();
        // `listener::check` of an order that has ended drops the message: `MessageIsGone`.
        if state.message == Message::Half && state.awaits() {
            triggers.push(Trigger::CheckBack);
        }
        // `settle_due` by the pending rows, `cancel_order`, and the consumer's deliveries.
        if state.is_due() || state.message == Message::Committed {
            triggers.push(Trigger::Settler);
        }
        for (index, row) in database.rows.iter().enumerate() {
            let is_news = row.is_some_and(|row| !row.paid);
            if is_news && state.trades[index].truth == Truth::Paid {
                triggers.push(Trigger::Notify(index));
            }
        }
        for trigger in triggers {
            if self.bounds.one_by_one {
                events.push(Event::WorkerLoads(trigger));
            } else {
                self.begin_at_once(state, trigger, events);
            }
        }
    }

    fn begin_at_once(&self, state: &State, trigger: Trigger, events: &mut Vec<Event>) {
        let worker = self.load(state, trigger);
        let Stage::Asking { asks, said } = worker.stage else { return };
        let options = |index: usize| -> Vec<Option<Said>> {
            if !asks[index] {
                return vec![said[index]];
            }
            self.answers_to(state, &worker, index).into_iter().map(Some).collect()
        };
        for first in options(0) {
            for second in options(1) {
                let said = [first, second];
                let heard = Worker { stage: Stage::Asking { asks, said }, ..worker };
                if self.decide(state, &heard).is_some() {
                    events.push(Event::WorkerLoadsAndHears(trigger, said));
                }
            }
        }
    }

    fn work(&self, state: &State, events: &mut Vec<Event>) {
        for (slot, worker) in state.workers.iter().enumerate() {
            let Some(worker) = worker else { continue };
            events.push(Event::WorkerCrashes(slot));
            match worker.stage {
                Stage::Asking { asks, said } => {
                    for index in (0..ATTEMPTS).filter(|i| asks[*i] && said[*i].is_none()) {
                        for said in self.answers_to(state, worker, index) {
                            events.push(Event::WorkerHears(slot, index, said));
                        }
                    }
                }
                Stage::Closing { closes, said, .. } => {
                    for index in
                        (0..ATTEMPTS).filter(|i| closes[*i] && said[*i] == Some(Said::Waiting))
                    {
                        let outcomes =
                            state.trades[index].closings(state.phase, &self.bounds).len();
                        for outcome in 0..outcomes {
                            events.push(Event::WorkerCloses(slot, index, outcome));
                        }
                    }
                }
                Stage::Writing(plan) => {
                    events.push(Event::WorkerWrites(slot));
                    if self.has_second_half(&plan) {
                        events.push(Event::WorkerWritesHalf(slot));
                    }
                }
            }
        }
    }
}

impl Model for World {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        State::initial(&self.bounds)
    }

    fn actions(&self, state: &State, events: &mut Vec<Event>) {
        self.environment(state, events);
        self.requests(state, events);
        self.begins(state, events);
        self.work(state, events);
    }

    fn next_state(&self, state: &State, event: Event) -> Option<State> {
        let mut next = state.clone();
        self.happen(&mut next, event);
        next.workers.sort_by_key(|slot| (slot.is_none(), slot.as_ref().map(Worker::rank)));
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(&self.bounds)
    }
}
