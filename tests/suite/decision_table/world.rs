//! Orders, attempts, answers and times to decide on, each in a word.

use checkback::domain::answer_log::{Answers, Asked};
use checkback::domain::decision::{
    AttemptStep, Decision, OnLatePayment, OrderStep, Policy, decide,
};
use checkback::domain::gateway::{Answer, NotPaid, PaidTrade, ReturnedTrade, UnknownReason};
use checkback::domain::ids::{OrderId, OutTradeNo};
use checkback::domain::money::Fen;
use checkback::domain::order::{CancelRequest, Order, OrderStatus};
use checkback::domain::payment::{AccountRef, Attempt, PaymentStatus};
use chrono::{DateTime, Duration, Utc};

/// The deadline of every order here; grace is five seconds.
pub(crate) const DEADLINE: i64 = 60;
pub(crate) const DUE: i64 = DEADLINE + 5;
pub(crate) const OVERDUE: i64 = DUE + 30;
pub(crate) const CODE_DIES: i64 = 7_200;
pub(crate) const PRICE: i64 = 1_000;

pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).expect("a time")
}

pub(crate) fn fen(amount: i64) -> Fen {
    Fen::new(amount).expect("an amount")
}

pub(crate) fn number(name: &str) -> OutTradeNo {
    OutTradeNo::from_trusted(name)
}

pub(crate) fn policy() -> Policy {
    Policy {
        grace: Duration::seconds(5),
        overdue_alarm_after: Duration::seconds(30),
        late: OnLatePayment::Refund,
    }
}

pub(crate) fn order(status: OrderStatus) -> Order {
    Order {
        id: OrderId::from_trusted("ORDER"),
        version: 7,
        status,
        amount: fen(PRICE),
        expires_at: at(DEADLINE),
        cancel_request: None,
        applied: None,
    }
}

pub(crate) fn awaiting() -> Order {
    order(OrderStatus::AwaitingPayment)
}

pub(crate) fn cancel_requested(seconds: i64) -> Order {
    let request = CancelRequest { at: at(seconds), by: "buyer".into() };
    Order { cancel_request: Some(request), ..awaiting() }
}

/// An order that this attempt's payment settled.
pub(crate) fn paid_by(status: OrderStatus, name: &str) -> Order {
    Order { applied: Some(number(name)), ..order(status) }
}

pub(crate) fn attempt(name: &str, status: PaymentStatus) -> Attempt {
    let unpaid = matches!(
        status,
        PaymentStatus::Created
            | PaymentStatus::Waiting
            | PaymentStatus::Closed
            | PaymentStatus::Failed
    );
    Attempt {
        out_trade_no: number(name),
        status,
        amount: fen(PRICE),
        seen: !matches!(status, PaymentStatus::Created | PaymentStatus::Failed),
        paid: !unpaid,
        refunded: Fen::ZERO,
        refunding: Fen::ZERO,
        code_dies_at: at(CODE_DIES),
        account: AccountRef {
            gateway_url: "https://gateway".into(),
            app_id: "app".into(),
            seller_id: "seller".into(),
        },
    }
}

pub(crate) fn created(name: &str) -> Attempt {
    attempt(name, PaymentStatus::Created)
}

pub(crate) fn waiting(name: &str) -> Attempt {
    attempt(name, PaymentStatus::Waiting)
}

/// An attempt whose payment is recorded as given back in full.
pub(crate) fn returned_before(name: &str) -> Attempt {
    Attempt { paid: true, refunded: fen(PRICE), ..attempt(name, PaymentStatus::Closed) }
}

pub(crate) fn trade(amount: i64) -> PaidTrade {
    PaidTrade { amount: fen(amount), trade_no: "2023".into(), paid_at: Some(at(30)) }
}

pub(crate) fn returned_trade() -> ReturnedTrade {
    ReturnedTrade {
        trade_no: Some("2023".into()),
        amount: Some(fen(PRICE)),
        paid_at: Some(at(30)),
        refunded: Some(fen(PRICE)),
    }
}

pub(crate) fn paid() -> Answer {
    Answer::Paid(trade(PRICE))
}

pub(crate) fn paid_wrong() -> Answer {
    Answer::Paid(trade(PRICE + 1))
}

pub(crate) fn returned() -> Answer {
    Answer::Returned(returned_trade())
}

pub(crate) fn wait_buyer_pay() -> Answer {
    Answer::NotPaid(NotPaid::WaitBuyerPay { trade_no: "2023".into() })
}

pub(crate) fn not_exist() -> Answer {
    Answer::NotPaid(NotPaid::NotExist)
}

pub(crate) fn closed() -> Answer {
    Answer::NotPaid(NotPaid::Closed)
}

pub(crate) fn unknown() -> Answer {
    Answer::Unknown(UnknownReason::Timeout)
}

pub(crate) fn answers(given: &[(&str, Answer)], now: DateTime<Utc>) -> Answers {
    let asked = |(name, answer): &(&str, Answer)| Asked {
        out_trade_no: number(name),
        asked_at: now,
        answer: answer.clone(),
    };
    Answers::new(given.iter().map(asked).collect())
}

/// Decides at this second, with these answers.
pub(crate) fn decided(
    order: &Order,
    attempts: &[Attempt],
    given: &[(&str, Answer)],
    seconds: i64,
) -> Said {
    decided_by(OnLatePayment::Refund, order, attempts, given, seconds)
}

/// The same where a late payment may reopen its order.
pub(crate) fn decided_by(
    late: OnLatePayment,
    order: &Order,
    attempts: &[Attempt],
    given: &[(&str, Answer)],
    seconds: i64,
) -> Said {
    let policy = Policy { late, ..policy() };
    said(&decide(order, attempts, &answers(given, at(seconds)), at(seconds), &policy))
}

/// A decision in words: the order's step, each attempt's, and the kinds of the alarms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) order: String,
    pub(crate) attempts: Vec<String>,
    pub(crate) alarms: Vec<String>,
}

pub(crate) fn says(order: &str, attempts: &[&str], alarms: &[&str]) -> Said {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    Said { order: order.to_owned(), attempts: owned(attempts), alarms: owned(alarms) }
}

/// Attempts and alarms are sorted: their order means nothing.
pub(crate) fn said(decision: &Decision) -> Said {
    let order = match &decision.order {
        OrderStep::KeepWaiting => "keep waiting".into(),
        OrderStep::AwaitAnswer => "await answer".into(),
        OrderStep::CloseFirst => "close first".into(),
        OrderStep::Cancel => "cancel".into(),
        OrderStep::Confirm(winner) => format!("confirm {winner}"),
        OrderStep::Reopen(winner) => format!("reopen {winner}"),
        OrderStep::Settled => "settled".into(),
    };
    let mut attempts: Vec<_> =
        decision.attempts.iter().map(|(name, step)| format!("{name} {}", word(step))).collect();
    let mut alarms: Vec<_> = decision
        .alarms
        .iter()
        .map(|alarm| format!("{} {}", alarm.subject, alarm.kind.as_str()))
        .collect();
    attempts.sort();
    alarms.sort();
    Said { order, attempts, alarms }
}

fn word(step: &AttemptStep) -> &'static str {
    match step {
        AttemptStep::RecordPayment { status, .. } => status.as_str(),
        AttemptStep::RecordReturn(_) => "returned",
        AttemptStep::RecordElsewhere(_) => "elsewhere",
        AttemptStep::Close => "close",
        AttemptStep::End => "end",
        AttemptStep::NoteSeen { .. } => "seen",
    }
}
