//! What holds of every decision, however strange the order, the attempts, the answers and the
//! times; and, in [`model`], what holds of an order's whole life whatever happens to it.

use std::collections::BTreeSet;

use checkback::domain::answer_log::{Answers, Asked};
use checkback::domain::decision::{
    AttemptStep, Decision, OnLatePayment, OrderStep, Policy, decide,
};
use checkback::domain::gateway::{Answer, NotPaid, PaidTrade};
use checkback::domain::ids::OutTradeNo;
use checkback::domain::money::Fen;
use checkback::domain::order::{CancelRequest, Order, OrderStatus};
use checkback::domain::payment::{Attempt, PaymentStatus};
use chrono::{DateTime, Duration, Utc};
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;
use proptest::{prop_assert, prop_assert_eq};

use crate::decision_table::world::{
    at, attempt, closed, fen, number, order, returned, unknown, wait_buyer_pay,
};

mod model;

/// Everything that one decision rests on.
#[derive(Clone, Debug)]
struct Situation {
    order: Order,
    attempts: Vec<Attempt>,
    answers: Answers,
    now: DateTime<Utc>,
    policy: Policy,
}

impl Situation {
    fn decide(&self) -> Decision {
        decide(&self.order, &self.attempts, &self.answers, self.now, &self.policy)
    }

    fn answer(&self, attempt: &Attempt) -> Option<&Answer> {
        self.answers.about(&attempt.out_trade_no).map(|asked| &asked.answer)
    }

    fn is_definite(&self, attempt: &Attempt) -> bool {
        match self.answer(attempt) {
            None | Some(Answer::Unknown(_)) => false,
            Some(Answer::NotPaid(NotPaid::NotExist)) => !attempt.seen,
            Some(_) => true,
        }
    }

    fn is_paid_in_full(&self, attempt: &Attempt) -> bool {
        matches!(self.answer(attempt), Some(Answer::Paid(trade)) if trade.amount == attempt.amount)
    }

    fn is_due(&self) -> bool {
        let requested = self.order.cancel_request.as_ref().is_some_and(|r| self.now >= r.at);
        requested || self.now >= self.order.due_at(self.policy.grace)
    }
}

fn times() -> impl Strategy<Value = DateTime<Utc>> {
    prop_oneof![
        6 => (-100_i64..100).prop_map(at),
        1 => Just(DateTime::<Utc>::MIN_UTC),
        1 => Just(DateTime::<Utc>::MAX_UTC),
        1 => Just(DateTime::<Utc>::UNIX_EPOCH),
    ]
}

fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![
        6 => (0_i64..50).prop_map(Duration::seconds),
        1 => Just(Duration::zero()),
        1 => Just(Duration::MAX),
    ]
}

fn amounts() -> impl Strategy<Value = Fen> {
    prop_oneof![(0_i64..4).prop_map(fen), Just(Fen::MAX)]
}

fn given_answers() -> impl Strategy<Value = Option<Answer>> {
    let paid = amounts().prop_map(|amount| {
        Answer::Paid(PaidTrade { amount, trade_no: "2023".into(), paid_at: None })
    });
    let unpaid = select(vec![
        closed(),
        returned(),
        unknown(),
        wait_buyer_pay(),
        Answer::NotPaid(NotPaid::NotExist),
    ]);
    prop_oneof![2 => paid.prop_map(Some), 6 => unpaid.prop_map(Some), 1 => Just(None)]
}

fn attempts() -> impl Strategy<Value = (Attempt, Option<Answer>)> {
    let status = select(PaymentStatus::ALL.to_vec());
    let row = (status, any::<bool>(), any::<bool>(), amounts(), amounts(), times());
    (row, given_answers()).prop_map(
        |((status, seen, was_returned, amount, refunded, dies), answer)| {
            let plain = attempt("A", status);
            let paid = plain.paid || (status == PaymentStatus::Closed && was_returned);
            let seen = seen || paid || status == PaymentStatus::Waiting;
            let refunded = if paid { refunded } else { Fen::ZERO };
            (Attempt { seen, paid, amount, refunded, code_dies_at: dies, ..plain }, answer)
        },
    )
}

fn situations() -> impl Strategy<Value = Situation> {
    let request = option::of(times());
    let late = select(vec![OnLatePayment::Refund, OnLatePayment::Reopen]);
    let policy = (durations(), durations(), late)
        .prop_map(|(grace, overdue_alarm_after, late)| Policy { grace, overdue_alarm_after, late });
    let status = select(OrderStatus::ALL.to_vec());
    let attempts = proptest::collection::vec(attempts(), 0..5);
    (status, times(), request, attempts, any::<bool>(), times(), policy).prop_map(
        |(status, expires_at, request, rows, has_applied, now, policy)| {
            let request = request.map(|at| CancelRequest { at, by: "buyer".into() });
            let plain = Order { expires_at, cancel_request: request, ..order(status) };
            let (attempts, asked) = numbered(rows, now);
            let applied = attempts.iter().find(|attempt| attempt.status == PaymentStatus::Applied);
            let applied = applied.filter(|_| has_applied).map(|a| a.out_trade_no.clone());
            let order = Order { applied, ..plain };
            Situation { order, attempts, answers: Answers::new(asked), now, policy }
        },
    )
}

/// Gives each attempt its own number, and adds an answer about one that nobody knows.
fn numbered(
    rows: Vec<(Attempt, Option<Answer>)>,
    asked_at: DateTime<Utc>,
) -> (Vec<Attempt>, Vec<Asked>) {
    let stranger = number("STRANGER");
    let mut asked = vec![Asked { out_trade_no: stranger, asked_at, answer: closed() }];
    let mut attempts = Vec::new();
    for (index, (attempt, answer)) in rows.into_iter().enumerate() {
        let out_trade_no = number(&format!("A{index}"));
        asked.extend(answer.map(|answer| Asked {
            out_trade_no: out_trade_no.clone(),
            asked_at,
            answer,
        }));
        attempts.push(Attempt { out_trade_no, ..attempt });
    }
    (attempts, asked)
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(3_000))]

    #[test]
    fn an_order_is_cancelled_only_with_a_definite_answer_about_every_live_attempt(
        situation in situations(),
    ) {
        let cancels = situation.decide().order == OrderStep::Cancel;
        let live = situation.attempts.iter().filter(|attempt| attempt.status.is_live());
        for attempt in live.filter(|_| cancels) {
            prop_assert!(situation.is_definite(attempt), "{attempt:?}");
            prop_assert!(situation.answer(attempt) != Some(&wait_buyer_pay()), "closed first");
        }
    }

    #[test]
    fn an_order_is_cancelled_only_when_it_is_due(situation in situations()) {
        let step = situation.decide().order;
        if matches!(step, OrderStep::Cancel | OrderStep::CloseFirst | OrderStep::AwaitAnswer) {
            prop_assert!(situation.is_due());
        }
        if step == OrderStep::KeepWaiting {
            prop_assert!(!situation.is_due());
        }
    }

    #[test]
    fn an_order_is_confirmed_exactly_if_new_money_of_the_right_amount_came(
        situation in situations(),
    ) {
        let awaits = situation.order.status == OrderStatus::AwaitingPayment;
        let mut winners =
            situation.attempts.iter().filter(|a| !a.paid && situation.is_paid_in_full(a));
        match situation.decide().order {
            OrderStep::Confirm(winner) => {
                prop_assert!(awaits);
                prop_assert!(winners.any(|attempt| attempt.out_trade_no == winner));
            }
            _ => prop_assert!(!awaits || winners.next().is_none()),
        }
    }

    #[test]
    fn one_payment_is_applied_with_a_confirmation_and_none_without(situation in situations()) {
        let decision = situation.decide();
        let applied: Vec<_> = decision
            .attempts
            .iter()
            .filter(|(_, step)| {
                matches!(step, AttemptStep::RecordPayment { status: PaymentStatus::Applied, .. })
            })
            .map(|(number, _)| number)
            .collect();
        let winner: Vec<&OutTradeNo> = match &decision.order {
            OrderStep::Confirm(winner) | OrderStep::Reopen(winner) => vec![winner],
            OrderStep::KeepWaiting
            | OrderStep::AwaitAnswer
            | OrderStep::CloseFirst
            | OrderStep::Cancel
            | OrderStep::Settled => vec![],
        };
        prop_assert_eq!(applied, winner);
    }

    #[test]
    fn only_an_awaiting_order_changes_or_a_cancelled_one_by_policy(situation in situations()) {
        let decision = situation.decide();
        let is_settled = decision.order == OrderStep::Settled;
        let reopens = matches!(decision.order, OrderStep::Reopen(_));
        let may_reopen = situation.policy.late == OnLatePayment::Reopen
            && situation.order.status == OrderStatus::Cancelled;
        prop_assert!(!reopens || may_reopen);
        let is_awaiting = situation.order.status == OrderStatus::AwaitingPayment;
        prop_assert_eq!(is_settled || reopens, !is_awaiting);
    }

    #[test]
    fn each_step_is_for_a_known_attempt_and_each_attempt_has_one_at_most(
        situation in situations(),
    ) {
        let decision = situation.decide();
        let known: BTreeSet<_> = situation.attempts.iter().map(|a| &a.out_trade_no).collect();
        let stepped: BTreeSet<_> = decision.attempts.iter().map(|(number, _)| number).collect();
        prop_assert!(stepped.is_subset(&known));
        prop_assert_eq!(stepped.len(), decision.attempts.len());
    }

    #[test]
    fn a_recorded_payment_is_never_recorded_again_and_money_is_never_ignored(
        situation in situations(),
    ) {
        let decision = situation.decide();
        for attempt in &situation.attempts {
            let step = decision.attempts.iter().find(|(no, _)| *no == attempt.out_trade_no);
            let records = matches!(
                step,
                Some((_, AttemptStep::RecordPayment { .. } | AttemptStep::RecordReturn(_)))
            );
            let is_money =
                matches!(situation.answer(attempt), Some(Answer::Paid(_) | Answer::Returned(_)));
            prop_assert_eq!(records, is_money && !attempt.paid);
        }
    }

    #[test]
    fn an_attempt_ends_only_closed_for_certain_or_unknown_after_its_code_died(
        situation in situations(),
    ) {
        for (number, step) in situation.decide().attempts {
            if step != AttemptStep::End {
                continue;
            }
            let ended = situation.attempts.iter().find(|a| a.out_trade_no == number);
            let ended = ended.expect("a known attempt");
            let died = !ended.seen && situation.now >= ended.code_dies_at;
            match situation.answer(ended) {
                Some(Answer::NotPaid(NotPaid::Closed)) => {}
                Some(Answer::NotPaid(NotPaid::NotExist)) => prop_assert!(died),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    #[test]
    fn money_that_is_not_applied_has_an_alarm(situation in situations()) {
        let decision = situation.decide();
        for (number, step) in &decision.attempts {
            let AttemptStep::RecordPayment { status, .. } = step else { continue };
            let has_alarm = decision.alarms.iter().any(|a| a.subject == number.as_str());
            prop_assert_eq!(has_alarm, *status != PaymentStatus::Applied);
        }
    }

    #[test]
    fn a_trade_is_closed_only_if_it_waits_and_the_order_has_ended_or_is_about_to(
        situation in situations(),
    ) {
        let decision = situation.decide();
        for number in decision.closes() {
            let step = &decision.order;
            prop_assert!(matches!(step, OrderStep::CloseFirst | OrderStep::Settled), "{step:?}");
            let asked = situation.answers.about(number).map(|asked| asked.answer.code());
            prop_assert_eq!(asked, Some("wait_buyer_pay"));
        }
        let closes = decision.closes().next().is_some();
        prop_assert!(closes || decision.order != OrderStep::CloseFirst);
    }

    #[test]
    fn the_same_situation_is_decided_the_same_way(situation in situations()) {
        prop_assert_eq!(situation.decide(), situation.clone().decide());
    }
}
