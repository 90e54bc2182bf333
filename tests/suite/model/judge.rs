//! The real decision: what the model holds is made into the domain's words, `decide` is asked, and
//! its decision is made into the model's. Each question is asked once and remembered: `decide` is
//! a pure function.

use std::collections::HashMap;
use std::sync::RwLock;

use checkback::domain::alarm::AlarmKind;
use checkback::domain::answer_log::{Answers, Asked};
use checkback::domain::decision::{
    AttemptStep, Decision, OnLatePayment, OrderStep, Policy, decide,
};
use checkback::domain::gateway::{Answer, NotPaid, PaidTrade, ReturnedTrade, UnknownReason};
use checkback::domain::ids::{OrderId, OutTradeNo};
use checkback::domain::money::Fen;
use checkback::domain::order::{CancelRequest, Order};
use checkback::domain::payment::{AccountRef, Attempt, PaymentStatus};
use chrono::{DateTime, Duration, Utc};

use super::rules::Rule;
use super::state::{ATTEMPTS, Database, Phase, Refund, Row, Said};

const DEADLINE: i64 = 60;
const GRACE: i64 = 5;
const CODES_DIE: i64 = 7_200;
const PRICE: Fen = Fen::new(1_000).expect("an amount");
const OTHER_PRICE: Fen = Fen::new(999).expect("an amount");

/// What one decision rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) read: Database,
    pub(super) said: [Option<Said>; ATTEMPTS],
    pub(super) now: Phase,
    /// Whether a late payment reopens its order; not any more if its stock is gone.
    pub(super) late: OnLate,
}

/// `OnLatePayment`, so that it can be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum OnLate {
    Refund,
    Reopen,
}

/// What becomes of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderVerdict {
    KeepWaiting,
    AwaitAnswer,
    CloseFirst,
    Cancel,
    Confirm,
    Reopen,
    Settled,
}

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttemptVerdict {
    Record(PaymentStatus),
    RecordReturn,
    RecordElsewhere,
    Close,
    End,
    NoteSeen,
}

/// A decision in the model's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) order: OrderVerdict,
    pub(super) attempts: [Option<AttemptVerdict>; ATTEMPTS],
    /// Which attempts have an alarm about money that no refund gives back.
    pub(super) alarms: [bool; ATTEMPTS],
}

impl Verdict {
    pub(super) fn closes(self) -> [bool; ATTEMPTS] {
        self.attempts.map(|step| step == Some(AttemptVerdict::Close))
    }
}

/// Asks the real `decide`, with at most one rule left out.
#[derive(Debug)]
pub(super) struct Judge {
    without: Option<Rule>,
    known: RwLock<HashMap<Question, Verdict>>,
}

impl Judge {
    pub(super) fn new(without: Option<Rule>) -> Self {
        Self { without, known: RwLock::default() }
    }

    pub(super) fn decide(&self, question: Question) -> Verdict {
        let question = self.distorted(question);
        let known = self.known.read().expect("a map").get(&question).copied();
        known.unwrap_or_else(|| {
            let verdict = ask(&question, self.policy(question.late));
            self.known.write().expect("a map").insert(question, verdict);
            verdict
        })
    }

    /// How many different questions were decided.
    pub(super) fn questions(&self) -> usize {
        self.known.read().expect("a map").len()
    }

    fn policy(&self, late: OnLate) -> Policy {
        let grace = if self.without == Some(Rule::Grace) { 0 } else { GRACE };
        Policy {
            grace: Duration::seconds(grace),
            overdue_alarm_after: Duration::seconds(30),
            late: match late {
                OnLate::Refund => OnLatePayment::Refund,
                OnLate::Reopen => OnLatePayment::Reopen,
            },
        }
    }

    /// Leaves a rule of the decision out by what it is told.
    fn distorted(&self, question: Question) -> Question {
        let mut told = question;
        // Nothing else of the rows is asked for.
        for row in told.read.rows.iter_mut().flatten() {
            row.alarm = false;
        }
        match self.without {
            Some(Rule::UnknownIsNotUnpaid) => {
                told.said = told.said.map(|said| match said {
                    Some(Said::Unknown) => Some(Said::NotExist),
                    other => other,
                });
            }
            Some(Rule::NotExistOfASeenTradeIsUnknown) => {
                for row in told.read.rows.iter_mut().flatten() {
                    row.seen = false;
                }
            }
            Some(Rule::EveryAttemptIsAsked) => {
                for (row, said) in told.read.rows.iter_mut().zip(told.said) {
                    if said.is_none_or(|said| said == Said::Unknown) {
                        *row = None;
                    }
                }
            }
            _ => {}
        }
        told
    }
}

fn ask(question: &Question, policy: Policy) -> Verdict {
    let numbers: [OutTradeNo; ATTEMPTS] =
        ["A", "B"].map(|name| OutTradeNo::from_trusted(name.to_owned()));
    let rows = question.read.rows.iter().zip(&numbers);
    let attempts: Vec<_> =
        rows.filter_map(|(row, number)| row.map(|row| attempt(number, row))).collect();
    let now = time(question.now);
    let asked = question.said.iter().zip(&numbers).filter_map(|(said, number)| {
        let answer = answer((*said)?);
        Some(Asked { out_trade_no: number.clone(), asked_at: now, answer })
    });
    let order = order(&question.read, &numbers);
    let decision = decide(&order, &attempts, &Answers::new(asked.collect()), now, &policy);
    in_our_words(&decision, &numbers)
}

fn time(phase: Phase) -> DateTime<Utc> {
    let seconds = match phase {
        Phase::Open => 0,
        Phase::Grace => DEADLINE,
        Phase::Due => DEADLINE + GRACE,
        Phase::CodesDead => CODES_DIE,
        Phase::Quiet => CODES_DIE + 100,
    };
    at(seconds)
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).expect("a time")
}

fn order(read: &Database, numbers: &[OutTradeNo; ATTEMPTS]) -> Order {
    let request = CancelRequest { at: at(0), by: "buyer".into() };
    Order {
        id: OrderId::from_trusted("ORDER"),
        version: 1,
        status: read.order.expect("a written order"),
        amount: PRICE,
        expires_at: at(DEADLINE),
        cancel_request: read.cancel_requested.then_some(request),
        applied: read.applied().next().map(|index| numbers[index].clone()),
    }
}

fn attempt(number: &OutTradeNo, row: Row) -> Attempt {
    Attempt {
        out_trade_no: number.clone(),
        status: row.status,
        amount: PRICE,
        seen: row.seen,
        paid: row.paid,
        refunded: if row.returned { PRICE } else { Fen::ZERO },
        refunding: if row.refund == Refund::Due { PRICE } else { Fen::ZERO },
        code_dies_at: at(CODES_DIE),
        account: AccountRef {
            gateway_url: "https://gateway".into(),
            app_id: "app".into(),
            seller_id: "seller".into(),
        },
    }
}

fn answer(said: Said) -> Answer {
    let trade_no = "2023".to_owned();
    match said {
        Said::Paid => Answer::Paid(PaidTrade { amount: PRICE, trade_no, paid_at: None }),
        Said::PaidWrong => Answer::Paid(PaidTrade { amount: OTHER_PRICE, trade_no, paid_at: None }),
        Said::Returned => Answer::Returned(ReturnedTrade {
            trade_no: Some(trade_no),
            amount: Some(PRICE),
            paid_at: None,
            refunded: Some(PRICE),
        }),
        Said::Waiting => Answer::NotPaid(NotPaid::WaitBuyerPay { trade_no }),
        Said::NotExist => Answer::NotPaid(NotPaid::NotExist),
        Said::Closed => Answer::NotPaid(NotPaid::Closed),
        Said::Unknown => Answer::Unknown(UnknownReason::Timeout),
    }
}

fn in_our_words(decision: &Decision, numbers: &[OutTradeNo; ATTEMPTS]) -> Verdict {
    let order = match &decision.order {
        OrderStep::KeepWaiting => OrderVerdict::KeepWaiting,
        OrderStep::AwaitAnswer => OrderVerdict::AwaitAnswer,
        OrderStep::CloseFirst => OrderVerdict::CloseFirst,
        OrderStep::Cancel => OrderVerdict::Cancel,
        OrderStep::Confirm(_) => OrderVerdict::Confirm,
        OrderStep::Reopen(_) => OrderVerdict::Reopen,
        OrderStep::Settled => OrderVerdict::Settled,
    };
    let step = |number: &OutTradeNo| {
        let found = decision.attempts.iter().find(|(of, _)| of == number);
        found.map(|(_, step)| match step {
            AttemptStep::RecordPayment { status, .. } => AttemptVerdict::Record(*status),
            AttemptStep::RecordReturn(_) => AttemptVerdict::RecordReturn,
            AttemptStep::RecordElsewhere(_) => AttemptVerdict::RecordElsewhere,
            AttemptStep::Close => AttemptVerdict::Close,
            AttemptStep::End => AttemptVerdict::End,
            AttemptStep::NoteSeen { .. } => AttemptVerdict::NoteSeen,
        })
    };
    let alarm = |number: &OutTradeNo| {
        let mut about = decision.alarms.iter().filter(|alarm| alarm.subject == number.as_str());
        about.any(|alarm| {
            matches!(
                alarm.kind,
                AlarmKind::WrongAmount | AlarmKind::ReturnedElsewhere | AlarmKind::TradeVanished
            )
        })
    };
    Verdict {
        order,
        attempts: std::array::from_fn(|index| step(&numbers[index])),
        alarms: std::array::from_fn(|index| alarm(&numbers[index])),
    }
}
