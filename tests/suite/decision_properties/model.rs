//! Random lives of an order: two workers that are at it at the same time, a gateway whose answers
//! and closes get lost or lag, buyers who scan and pay whenever they can, cancel requests, new
//! attempts. Afterwards everything heals, and then nothing may be lost.

use checkback::domain::money::Fen;
use checkback::domain::order::OrderStatus;
use checkback::domain::payment::PaymentStatus;
use proptest::prelude::{Strategy, any, prop_oneof, proptest};
use proptest::sample::select;

use self::life::{Fault, Life, Who};

mod life;

/// What may happen to an order and to those around it.
#[derive(Clone, Debug)]
enum Command {
    NewAttempt,
    CancelRequest,
    Scan(usize),
    Pay(usize),
    PayWrong(usize),
    GiveBack(usize),
    GatewayCloses(usize),
    Advance(i64),
    Begin { worker: usize, who: Who, faults: Vec<Fault> },
    Finish { worker: usize },
}

fn commands() -> impl Strategy<Value = Command> {
    let attempt = 0_usize..3;
    let who = prop_oneof![
        4 => select(vec![Who::CheckBack, Who::Sweep]),
        1 => attempt.clone().prop_map(Who::Notify),
    ];
    let fault = prop_oneof![
        3 => select(vec![Fault::None]),
        2 => select(vec![Fault::Lost, Fault::Lags, Fault::CloseLost, Fault::CloseDoneButLost]),
    ];
    let faults = proptest::collection::vec(fault, 3);
    let begin = (0_usize..2, who, faults).prop_map(|(worker, who, faults)| Command::Begin {
        worker,
        who,
        faults,
    });
    prop_oneof![
        2 => any::<()>().prop_map(|()| Command::NewAttempt),
        1 => any::<()>().prop_map(|()| Command::CancelRequest),
        3 => attempt.clone().prop_map(Command::Scan),
        3 => attempt.clone().prop_map(Command::Pay),
        1 => attempt.clone().prop_map(Command::PayWrong),
        1 => attempt.clone().prop_map(Command::GiveBack),
        1 => attempt.prop_map(Command::GatewayCloses),
        2 => select(vec![1, 5, 30, 60, 3_600]).prop_map(Command::Advance),
        6 => begin,
        6 => (0_usize..2).prop_map(|worker| Command::Finish { worker }),
    ]
}

fn run(commands: &[Command]) -> Life {
    let mut life = Life::new();
    for command in commands {
        match command {
            Command::NewAttempt => life.new_attempt(),
            Command::CancelRequest => life.cancel_request(),
            Command::Scan(attempt) => life.scan(*attempt),
            Command::Pay(attempt) => life.pay(*attempt, Life::PRICE),
            Command::PayWrong(attempt) => life.pay(*attempt, Life::OTHER_PRICE),
            Command::GiveBack(attempt) => life.give_back(*attempt),
            Command::GatewayCloses(attempt) => life.gateway_closes(*attempt),
            Command::Advance(seconds) => life.advance(*seconds),
            Command::Begin { worker, who, faults } => life.begin(*worker, *who, faults),
            Command::Finish { worker } => life.finish(*worker),
        }
    }
    life
}

fn applied(life: &Life) -> Vec<Fen> {
    let attempts = life.attempts().iter();
    attempts.filter(|a| a.status == PaymentStatus::Applied).map(|a| a.amount).collect()
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(3_000))]

    #[test]
    fn every_life_ends_once_and_no_money_is_lost(
        commands in proptest::collection::vec(commands(), 1..60),
    ) {
        let mut life = run(&commands);
        life.heal();
        assert!(life.is_quiet(), "nothing is pending any more: {life:?}");
        assert!(life.every_payment_is_recorded(), "{life:?}");
        match life.order().status {
            OrderStatus::Paid => assert_eq!(applied(&life), [Life::PRICE]),
            OrderStatus::Cancelled => assert_eq!(applied(&life), []),
            other => panic!("ended as {other:?}"),
        }
        assert_eq!(life.order().amount, Life::PRICE, "the amount never changes");
    }
}

#[test]
fn a_buyer_who_pays_after_the_cancel_is_found_without_a_notification() {
    let mut life = Life::new();
    life.new_attempt();
    life.advance(Life::WINDOW + 10);
    life.begin(0, Who::Sweep, &[Fault::None]);
    life.finish(0);
    assert_eq!(life.order().status, OrderStatus::Cancelled);
    life.scan(0);
    life.pay(0, Life::PRICE);
    life.heal();
    assert_eq!(life.attempts()[0].status, PaymentStatus::Late);
}

#[test]
fn a_worker_that_read_before_a_new_attempt_cancels_nothing() {
    let mut life = Life::new();
    life.advance(Life::WINDOW - 1);
    life.cancel_request();
    life.begin(0, Who::Sweep, &[]);
    let mut other = Life::new();
    other.advance(Life::WINDOW - 1);
    other.begin(0, Who::Sweep, &[]);
    other.new_attempt();
    other.advance(10);
    other.finish(0);
    assert_eq!(other.order().status, OrderStatus::AwaitingPayment);
    life.finish(0);
    assert_eq!(life.order().status, OrderStatus::Cancelled);
}
