//! A worker: `service::settle`, step by step. It reads, asks, decides, closes and writes; between
//! any two of these anything else may happen, and a crash is that it does not go on.

use checkback::domain::order::OrderStatus;
use checkback::domain::payment::PaymentStatus;

use super::judge::{AttemptVerdict, OnLate, OrderVerdict, Question, Verdict};
use super::rules::Rule;
use super::state::{
    ATTEMPTS, Database, Message, Pending, Phase, Plan, Refund, Row, Said, Stage, State, Step,
    Trigger, Worker,
};
use super::world::World;

impl World {
    /// `settle::load`, the time, and what `settle::ask` is going to ask about.
    pub(super) fn load(&self, state: &State, trigger: Trigger) -> Worker {
        let (read, now) = (state.database, state.phase);
        let mut said = [None; ATTEMPTS];
        let mut asks = [false; ATTEMPTS];
        if let Trigger::Notify(named) = trigger {
            said[named] = Some(Said::Paid);
        } else {
            // Before a cancel also about every closed attempt that is still watched.
            let cancels = read.order == Some(OrderStatus::AwaitingPayment)
                && now >= self.due_at(&read)
                && trigger == Trigger::Settler;
            let until = if cancels { Phase::Quiet } else { now };
            asks = read.rows.map(|row| {
                row.is_some_and(|row| match row.pending {
                    Pending::LastLook(at) => at <= until || row.status.is_live(),
                    Pending::None | Pending::Live => row.status.is_live(),
                })
            });
        }
        Worker { trigger, now, read, is_stale: false, stage: Stage::Asking { asks, said } }
    }

    /// `Order::due_at`.
    fn due_at(&self, read: &Database) -> Phase {
        match (read.cancel_requested, self.without) {
            (true, _) => Phase::Open,
            (false, Some(Rule::Grace)) => Phase::Grace,
            (false, _) => Phase::Due,
        }
    }

    /// What the gateway may say about this attempt: late, lost, or denied though it was known.
    pub(super) fn answers_to(&self, state: &State, worker: &Worker, index: usize) -> Vec<Said> {
        let mut answers: Vec<_> = state.trades[index].answers().collect();
        answers.push(Said::Unknown);
        let was_seen = worker.read.rows[index].is_some_and(|row| row.seen);
        if self.bounds.amnesia && was_seen && !answers.contains(&Said::NotExist) {
            answers.push(Said::NotExist);
        }
        answers
    }

    /// All answers are there: `settle::try_settle` from `judge` on. `None`: nothing is to be done.
    pub(super) fn decide(&self, state: &State, worker: &Worker) -> Option<Worker> {
        let Stage::Asking { said, .. } = worker.stage else { return Some(*worker) };
        let verdict = self.judged(state, worker, said);
        let closes = verdict.closes();
        if !may_close(worker.trigger, verdict.order) || closes == [false; ATTEMPTS] {
            return self.planned(worker, verdict, said, said);
        }
        if self.without == Some(Rule::WaitingIsClosedFirst) {
            let assumed =
                std::array::from_fn(
                    |index| {
                        if closes[index] { Some(Said::Closed) } else { said[index] }
                    },
                );
            let verdict = self.judged(state, worker, assumed);
            return self.planned(worker, verdict, said, said);
        }
        Some(Worker { stage: Stage::Closing { closes, shown: said, said }, ..*worker })
    }

    /// Whatever had to be closed was tried to: decide again.
    pub(super) fn decide_again(&self, state: &State, worker: &Worker) -> Option<Worker> {
        let Stage::Closing { shown, said, closes } = worker.stage else { return Some(*worker) };
        let hopes = self.without == Some(Rule::LostCloseIsUnknown);
        let told = std::array::from_fn(|index| match said[index] {
            Some(Said::Unknown) if hopes && closes[index] => Some(Said::Closed),
            said => said,
        });
        let verdict = self.judged(state, worker, told);
        self.planned(worker, verdict, shown, said)
    }

    fn judged(&self, state: &State, worker: &Worker, said: [Option<Said>; ATTEMPTS]) -> Verdict {
        let reopens = self.bounds.reopening && state.has_stock;
        let late = if reopens { OnLate::Reopen } else { OnLate::Refund };
        let mut question = Question { read: worker.read, said, now: worker.now, late };
        match self.without {
            Some(Rule::TimeIsReadBeforeAsking) => question.now = state.phase,
            Some(Rule::RequestIsReadBeforeAsking) => {
                question.read.cancel_requested = state.database.cancel_requested;
            }
            _ => {}
        }
        self.judge.decide(question)
    }

    /// `plan::Plan` in its effects. `None`: it has none.
    fn planned(
        &self,
        worker: &Worker,
        verdict: Verdict,
        shown: [Option<Said>; ATTEMPTS],
        said: [Option<Said>; ATTEMPTS],
    ) -> Option<Worker> {
        let writes_cancel = worker.trigger == Trigger::Settler;
        // `Plan::turn`.
        let turn = match verdict.order {
            OrderVerdict::Confirm | OrderVerdict::Reopen => Some(OrderStatus::Paid),
            OrderVerdict::Settled => walked_back(&worker.read, verdict),
            OrderVerdict::Cancel if writes_cancel => Some(OrderStatus::Cancelled),
            _ => None,
        };
        let is_ready = matches!(verdict.order, OrderVerdict::Cancel | OrderVerdict::CloseFirst);
        let leaves_to_others = !writes_cancel && is_ready;
        let plan = Plan {
            turn,
            steps: std::array::from_fn(|index| {
                let row = worker.read.rows[index]?;
                step(row, verdict.attempts[index], leaves_to_others, shown[index], said[index])
            }),
            looked: std::array::from_fn(|index| {
                worker.read.rows[index].is_some_and(|row| {
                    let due = matches!(row.pending, Pending::LastLook(at) if at <= worker.now);
                    due && said[index].is_some_and(|said| is_over(row, said))
                })
            }),
            alarms: verdict.alarms,
            // `check_back::check_back`.
            commits: worker.trigger == Trigger::CheckBack && is_ready,
            is_evident: std::array::from_fn(|index| {
                let row = worker.read.rows[index];
                row.is_some_and(|row| said[index].is_some_and(|said| is_evidence(row, said)))
            }),
            asked_when_due: worker.read.cancel_requested || worker.now >= Phase::Due,
        };
        let planned = Worker { stage: Stage::Writing(plan), ..*worker };
        // A lost compare-and-set makes it read again: that is another worker.
        let is_lost =
            self.without != Some(Rule::CompareAndSet) && worker.is_stale && plan.has_entries();
        (!plan.is_empty() && !is_lost).then_some(planned)
    }
}

/// `settle::may_close`.
fn may_close(trigger: Trigger, verdict: OrderVerdict) -> bool {
    match verdict {
        OrderVerdict::CloseFirst => trigger == Trigger::Settler,
        OrderVerdict::Settled => !matches!(trigger, Trigger::Notify(_)),
        OrderVerdict::KeepWaiting
        | OrderVerdict::AwaitAnswer
        | OrderVerdict::Cancel
        | OrderVerdict::Confirm
        | OrderVerdict::Reopen => false,
    }
}

/// `Plan::walked_back`: somebody else gave the applied payment back.
fn walked_back(read: &Database, verdict: Verdict) -> Option<OrderStatus> {
    let applied = read.applied().next()?;
    let is_gone = verdict.attempts[applied] == Some(AttemptVerdict::RecordElsewhere);
    is_gone.then_some(OrderStatus::Refunded)
}

/// `Plan::steps` with `Plan::left_open`.
fn step(
    row: Row,
    decided: Option<AttemptVerdict>,
    leaves_to_others: bool,
    shown: Option<Said>,
    said: Option<Said>,
) -> Option<Step> {
    let left_open = row.status == PaymentStatus::Created && shown == Some(Said::Waiting);
    let left_open = left_open.then_some(Step::NoteSeen);
    match decided {
        Some(AttemptVerdict::Record(status)) => Some(Step::Record(status)),
        Some(AttemptVerdict::RecordReturn) => Some(Step::RecordReturn),
        Some(AttemptVerdict::RecordElsewhere) => Some(Step::RecordElsewhere),
        Some(AttemptVerdict::NoteSeen) => Some(Step::NoteSeen),
        Some(AttemptVerdict::End) if leaves_to_others => None,
        Some(AttemptVerdict::End) => Some(Step::End { was_closed: said == Some(Said::Closed) }),
        Some(AttemptVerdict::Close) | None => left_open,
    }
}

/// `Plan::last_look_is_over`.
fn is_over(row: Row, said: Said) -> bool {
    match said {
        Said::Unknown | Said::Waiting => false,
        Said::NotExist => !row.seen,
        Said::Closed | Said::Paid | Said::PaidWrong | Said::Returned => true,
    }
}

/// What the audit demands of a cancel (I7, I8), in other words than the decision's.
fn is_evidence(row: Row, said: Said) -> bool {
    match said {
        Said::NotExist => !row.seen,
        Said::Closed | Said::Returned | Said::PaidWrong => true,
        Said::Paid => row.paid,
        // One that was refused, and whose code somebody has, is none of ours to close.
        Said::Waiting => !row.status.is_live(),
        Said::Unknown => false,
    }
}

impl World {
    /// `write::write`: one transaction, guarded by the version.
    pub(super) fn write(&self, state: &mut State, plan: &Plan, with_second_half: bool) {
        if plan.has_entries() {
            self.bump(state);
        }
        if let Some(turn) = plan.turn {
            turn_order(state, plan, turn);
        }
        for index in 0..ATTEMPTS {
            let Some(mut row) = state.database.rows[index] else { continue };
            if let Some(step) = plan.steps[index] {
                self.write_attempt(&mut row, step, state.phase, with_second_half);
            }
            if plan.looked[index] && matches!(row.pending, Pending::LastLook(_)) {
                row.pending = Pending::None;
            }
            let in_transaction = self.without != Some(Rule::AlarmInTheTransaction);
            row.alarm |= plan.alarms[index] && (in_transaction || with_second_half);
            let has_ended = !state.awaits();
            if has_ended && self.without == Some(Rule::PendingOutlivesTheOrder) {
                row.pending = Pending::None;
            }
            // Nobody has scanned it: what would come for an order that has ended?
            let is_open = row.status == PaymentStatus::Created;
            if has_ended && is_open && self.without == Some(Rule::PendingUntilTheCodeIsDead) {
                row.pending = Pending::None;
            }
            state.database.rows[index] = Some(row);
        }
        if plan.commits && state.message == Message::Half {
            state.message = Message::Committed;
        }
    }

    /// `write::write_attempts` with the guards of `store::payments`.
    fn write_attempt(&self, row: &mut Row, step: Step, now: Phase, with_second_half: bool) {
        match step {
            Step::Record(status) if !row.paid => {
                (row.status, row.seen, row.paid) = (status, true, true);
                row.pending = Pending::None;
                let is_refunded = matches!(status, PaymentStatus::Late | PaymentStatus::Duplicate);
                let in_transaction = self.without != Some(Rule::RefundRowInTheTransaction);
                if is_refunded && (in_transaction || with_second_half) {
                    row.refund = Refund::Due;
                }
            }
            Step::RecordReturn if !row.paid => {
                (row.status, row.seen, row.paid) = (PaymentStatus::Closed, true, true);
                row.returned = true;
                row.pending = Pending::None;
            }
            Step::End { was_closed } if row.status.is_live() => {
                row.status = PaymentStatus::Closed;
                row.seen |= was_closed;
                let keeps = was_closed && self.without != Some(Rule::LastLook);
                row.pending =
                    if keeps { Pending::LastLook(now.last_look()) } else { Pending::None };
            }
            Step::RecordElsewhere if !row.returned && row.refund != Refund::Due => {
                row.returned = true;
            }
            Step::NoteSeen if row.status == PaymentStatus::Created => {
                (row.status, row.seen) = (PaymentStatus::Waiting, true);
            }
            Step::Record(_)
            | Step::RecordReturn
            | Step::RecordElsewhere
            | Step::End { .. }
            | Step::NoteSeen => {}
        }
    }

    /// Whether writing this plan takes a second transaction that a crash can prevent.
    pub(super) fn has_second_half(&self, plan: &Plan) -> bool {
        match self.without {
            Some(Rule::AlarmInTheTransaction) => plan.alarms != [false; ATTEMPTS],
            Some(Rule::RefundRowInTheTransaction) => plan.steps.iter().any(|step| {
                matches!(step, Some(Step::Record(PaymentStatus::Late | PaymentStatus::Duplicate)))
            }),
            _ => false,
        }
    }
}

fn turn_order(state: &mut State, plan: &Plan, turn: OrderStatus) {
    let before = state.database.order.expect("a written order");
    // Nobody goes from paid to refunded but by refunding: two lines, one transaction.
    let refunds = turn == OrderStatus::Refunded && before == OrderStatus::Paid;
    state.bad_transition |= !refunds && !before.may_become(turn);
    if turn == OrderStatus::Cancelled {
        let watched = |row: &Option<Row>| row.is_some_and(|row| row.pending != Pending::None);
        let rows = state.database.rows.iter().zip(plan.is_evident);
        let mut watched = rows.filter(|(row, _)| watched(row));
        let all_evident = watched.all(|(_, is_evident)| is_evident);
        state.bad_cancel |= !all_evident || !plan.asked_when_due;
    }
    state.database.order = Some(turn);
}
