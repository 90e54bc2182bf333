//! One order with its attempts, the gateway's side of it, and workers that read, ask, decide and
//! write in two steps, so that anything may happen in between.

use std::collections::BTreeSet;

use checkback::domain::answer_log::{Answers, Asked};
use checkback::domain::decision::{AttemptStep, Decision, OrderStep, decide};
use checkback::domain::gateway::{Answer, NotPaid, PaidTrade, ReturnedTrade, UnknownReason};
use checkback::domain::ids::OutTradeNo;
use checkback::domain::money::Fen;
use checkback::domain::order::{CancelRequest, Order, OrderStatus};
use checkback::domain::payment::{Attempt, PaymentStatus};
use chrono::{DateTime, Duration, Utc};

use crate::decision_table::world::{
    at, attempt, awaiting, closed, not_exist, policy, unknown, wait_buyer_pay,
};

/// An answer lags at most this long behind.
const LAG: i64 = 20;

/// Which trigger is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    CheckBack,
    Sweep,
    /// Knows what the gateway says about one attempt, and asks about no other.
    Notify(usize),
}

/// What goes wrong with a call about one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The answer to the query is lost.
    Lost,
    /// The query answers what was true a moment ago.
    Lags,
    /// The close never arrives.
    CloseLost,
    /// The close is done, and its answer is lost.
    CloseDoneButLost,
}

/// What is true at the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truth {
    Nothing,
    Waiting,
    Paid(Fen),
    Closed,
    Returned(Fen),
}

#[derive(Clone, Debug)]
struct Trade {
    truth: Truth,
    before: Truth,
    changed_at: i64,
}

/// A worker between its reading and its writing.
#[derive(Clone, Debug)]
struct Flight {
    version: i64,
    who: Who,
    decision: Decision,
    answers: Answers,
    read_at: i64,
}

/// The order and everything around it.
#[derive(Clone, Debug)]
pub(super) struct Life {
    now: i64,
    order: Order,
    attempts: Vec<Attempt>,
    trades: Vec<Trade>,
    pending: BTreeSet<OutTradeNo>,
    flights: [Option<Flight>; 2],
}

impl Life {
    pub(super) const PRICE: Fen = Fen::new(1_000).expect("an amount");
    pub(super) const OTHER_PRICE: Fen = Fen::new(999).expect("an amount");
    pub(super) const WINDOW: i64 = 60;
    const CODE_LIFE: i64 = 7_200;

    pub(super) fn new() -> Self {
        let order = Order { version: 1, amount: Self::PRICE, ..awaiting() };
        let (attempts, trades) = (vec![], vec![]);
        Self { now: 0, order, attempts, trades, pending: BTreeSet::new(), flights: [None, None] }
    }

    pub(super) fn order(&self) -> &Order {
        &self.order
    }

    pub(super) fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    fn time(&self) -> DateTime<Utc> {
        at(self.now)
    }

    pub(super) fn advance(&mut self, seconds: i64) {
        self.now += seconds;
    }

    pub(super) fn new_attempt(&mut self) {
        let is_open = self.order.status == OrderStatus::AwaitingPayment
            && self.order.cancel_request.is_none()
            && self.time() < self.order.expires_at;
        if !is_open || self.attempts.len() == 3 {
            return;
        }
        let made = attempt(&format!("A{}", self.attempts.len()), PaymentStatus::Created);
        let code_dies_at = self.time() + Duration::seconds(Self::CODE_LIFE);
        self.pending.insert(made.out_trade_no.clone());
        self.attempts.push(Attempt { amount: Self::PRICE, code_dies_at, ..made });
        let (truth, changed_at) = (Truth::Nothing, self.now - LAG);
        self.trades.push(Trade { truth, before: Truth::Nothing, changed_at });
        self.order.version += 1;
    }

    pub(super) fn cancel_request(&mut self) {
        let is_open = self.order.status == OrderStatus::AwaitingPayment;
        if is_open && self.order.cancel_request.is_none() {
            self.order.cancel_request = Some(CancelRequest { at: self.time(), by: "buyer".into() });
            self.order.version += 1;
        }
    }

    fn change(&mut self, index: usize, from: impl Fn(Truth) -> bool, to: Truth) {
        let now = self.now;
        if let Some(trade) = self.trades.get_mut(index).filter(|trade| from(trade.truth)) {
            *trade = Trade { truth: to, before: trade.truth, changed_at: now };
        }
    }

    /// A code that nobody has scanned can be scanned until it dies.
    pub(super) fn scan(&mut self, index: usize) {
        let latest = self.time() + Duration::seconds(LAG);
        if self.attempts.get(index).is_some_and(|attempt| latest < attempt.code_dies_at) {
            self.change(index, |truth| truth == Truth::Nothing, Truth::Waiting);
        }
    }

    pub(super) fn pay(&mut self, index: usize, amount: Fen) {
        self.change(index, |truth| truth == Truth::Waiting, Truth::Paid(amount));
    }

    /// Someone gives the money back at the gateway, not through us.
    pub(super) fn give_back(&mut self, index: usize) {
        if let Some(Trade { truth: Truth::Paid(amount), .. }) = self.trades.get(index) {
            let amount = *amount;
            self.change(index, |_| true, Truth::Returned(amount));
        }
    }

    pub(super) fn gateway_closes(&mut self, index: usize) {
        if self.time() >= self.order.expires_at {
            self.change(index, |truth| truth == Truth::Waiting, Truth::Closed);
        }
    }

    fn query(&self, index: usize, fault: Fault) -> Asked {
        let trade = &self.trades[index];
        let truth = match fault {
            Fault::Lags if self.now - trade.changed_at < LAG => trade.before,
            _ => trade.truth,
        };
        let trade_no = "2023".to_owned();
        let answer = match (fault, truth) {
            (Fault::Lost, _) => unknown(),
            (_, Truth::Nothing) => not_exist(),
            (_, Truth::Waiting) => wait_buyer_pay(),
            (_, Truth::Closed) => closed(),
            (_, Truth::Paid(amount)) => Answer::Paid(PaidTrade { amount, trade_no, paid_at: None }),
            (_, Truth::Returned(amount)) => Answer::Returned(ReturnedTrade {
                trade_no: Some(trade_no),
                amount: Some(amount),
                paid_at: None,
                refunded: Some(amount),
            }),
        };
        let out_trade_no = self.attempts[index].out_trade_no.clone();
        Asked { out_trade_no, asked_at: self.time(), answer }
    }

    fn close(&mut self, index: usize, fault: Fault) -> Asked {
        if fault != Fault::CloseLost {
            self.change(index, |truth| truth == Truth::Waiting, Truth::Closed);
        }
        let asked = self.query(index, Fault::None);
        let is_lost = matches!(fault, Fault::CloseLost | Fault::CloseDoneButLost);
        let unclear = matches!(
            asked.answer,
            Answer::NotPaid(NotPaid::WaitBuyerPay { .. } | NotPaid::NotExist)
        );
        if is_lost || unclear {
            return Asked { answer: Answer::Unknown(UnknownReason::NotClosed), ..asked };
        }
        asked
    }

    fn judge(&self, answers: &Answers) -> Decision {
        decide(&self.order, &self.attempts, answers, self.time(), &policy())
    }

    /// A worker reads, asks, closes and decides; it writes in [`Life::finish`].
    pub(super) fn begin(&mut self, worker: usize, who: Who, faults: &[Fault]) {
        let fault = |index: usize| faults.get(index).copied().unwrap_or(Fault::None);
        let asks = |index: &usize| match who {
            Who::Notify(named) => named == *index,
            Who::CheckBack | Who::Sweep => self.attempts[*index].status.is_live(),
        };
        let asked = (0..self.attempts.len()).filter(asks);
        let mut answers = Answers::new(asked.map(|i| self.query(i, fault(i))).collect());
        let mut decision = self.judge(&answers);
        let may_close = match decision.order {
            OrderStep::CloseFirst => who == Who::Sweep,
            OrderStep::Settled => !matches!(who, Who::Notify(_)),
            _ => false,
        };
        let closes: Vec<_> = decision.closes().cloned().collect();
        for index in 0..self.attempts.len() {
            if may_close && closes.contains(&self.attempts[index].out_trade_no) {
                answers.replace(self.close(index, fault(index)));
            }
        }
        decision = self.judge(&answers);
        if decision.order == OrderStep::Cancel && !faults.contains(&Fault::Lags) {
            self.assert_nothing_can_be_paid_unnoticed();
        }
        let (version, read_at) = (self.order.version, self.now);
        self.flights[worker] = Some(Flight { version, who, decision, answers, read_at });
    }

    fn assert_nothing_can_be_paid_unnoticed(&self) {
        for (attempt, trade) in self.attempts.iter().zip(&self.trades) {
            let is_open = match trade.truth {
                Truth::Waiting => true,
                Truth::Paid(amount) => !attempt.paid && amount == attempt.amount,
                Truth::Nothing | Truth::Closed | Truth::Returned(_) => false,
            };
            assert!(!is_open, "cancelled beside {trade:?} of {attempt:?}");
        }
    }

    /// The worker writes, unless the order has changed since it read.
    pub(super) fn finish(&mut self, worker: usize) {
        let Some(flight) = self.flights[worker].take() else { return };
        let turn = match (&flight.decision.order, flight.who) {
            (OrderStep::Confirm(_), _) => Some(OrderStatus::Paid),
            (OrderStep::Cancel, Who::Sweep) => Some(OrderStatus::Cancelled),
            _ => None,
        };
        let steps = flight.decision.attempts.iter();
        let steps: Vec<_> =
            steps.filter(|(_, step)| !matches!(step, AttemptStep::Close)).cloned().collect();
        let changes = turn.is_some() || !steps.is_empty();
        if !changes || flight.version != self.order.version {
            return;
        }
        self.order.version += 1;
        if let Some(status) = turn {
            assert!(self.order.status.may_become(status), "terminal states absorb");
            self.order.status = status;
        }
        for (number, step) in steps {
            self.write(&number, &step, &flight);
        }
    }

    fn write(&mut self, number: &OutTradeNo, step: &AttemptStep, flight: &Flight) {
        let attempt = self.attempts.iter_mut().find(|a| a.out_trade_no == *number);
        let attempt = attempt.expect("a known attempt");
        if let AttemptStep::RecordElsewhere(amount) = step {
            assert!(attempt.paid, "only what is recorded goes back");
            attempt.refunded = attempt.refunded.checked_add(*amount).expect("an amount");
            assert!(attempt.refunded <= attempt.amount, "more went back than came");
            return;
        }
        assert!(!attempt.paid, "what is recorded never changes");
        let answer = flight.answers.about(number).map(|asked| &asked.answer);
        match step {
            AttemptStep::RecordPayment { status, trade } => {
                assert_ne!(trade.amount == attempt.amount, *status == PaymentStatus::WrongAmount);
                if *status == PaymentStatus::Applied {
                    assert_eq!(self.order.applied, None, "one payment is applied at most");
                    self.order.applied = Some(number.clone());
                }
                (attempt.status, attempt.paid, attempt.seen) = (*status, true, true);
            }
            AttemptStep::RecordReturn(trade) => {
                (attempt.status, attempt.paid, attempt.seen) = (PaymentStatus::Closed, true, true);
                attempt.refunded = trade.refunded.unwrap_or(attempt.amount);
            }
            AttemptStep::End => {
                let code_died = *answer.expect("asked") == not_exist()
                    && at(flight.read_at) >= attempt.code_dies_at;
                assert!(code_died || answer == Some(&closed()), "{answer:?} about {attempt:?}");
                attempt.status = PaymentStatus::Closed;
            }
            AttemptStep::NoteSeen { .. } => {
                (attempt.status, attempt.seen) = (PaymentStatus::Waiting, true);
                return;
            }
            AttemptStep::RecordElsewhere(_) | AttemptStep::Close => return,
        }
        self.pending.remove(number);
    }

    /// Time passes, the gateway answers truly again, and the sweep runs.
    pub(super) fn heal(&mut self) {
        self.flights = [None, None];
        self.advance(Self::CODE_LIFE + Self::WINDOW + LAG);
        for _ in 0..5 {
            self.begin(0, Who::Sweep, &[]);
            self.finish(0);
        }
    }

    /// No row is left that would ever wake anyone.
    pub(super) fn is_quiet(&self) -> bool {
        let live = self.attempts.iter().any(|attempt| attempt.status.is_live());
        self.order.status != OrderStatus::AwaitingPayment && self.pending.is_empty() && !live
    }

    pub(super) fn every_payment_is_recorded(&self) -> bool {
        self.attempts.iter().zip(&self.trades).all(|(attempt, trade)| {
            let is_paid = matches!(trade.truth, Truth::Paid(_) | Truth::Returned(_));
            is_paid == attempt.paid
        })
    }
}
