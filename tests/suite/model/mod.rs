//! Proof by model: every way in which an order can go, within bounds, with the real `decide`.
//!
//! [`state`] is one state of the world, [`world`] says what may happen next, [`happen`],
//! [`worker`] and [`gateway`] what it does, [`judge`] asks the real decision, [`properties`] is
//! what must hold.
//! Whatever the service does in one transaction is one step; anything else may come in between.
//! Each rule that carries the promise can be left out ([`rules`]), and then the check must fail.
//!
//! Lost answers, crashes, lost, late and repeated notifications, deliveries and check-backs are not
//! counted: each may happen at any time, any number of times.

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use self::rules::{Bounds, Rule};
use self::world::World;

mod gateway;
mod happen;
mod heal;
mod judge;
mod properties;
mod refunds;
mod rules;
mod state;
mod worker;
mod world;

/// Checks all states within these bounds, and says how many there were.
#[expect(clippy::print_stdout, reason = "what a test measured is worth reading")]
fn check(name: &str, bounds: Bounds) {
    let begun = Instant::now();
    let checker = World::new(bounds, None).checker().threads(2).spawn_bfs().join();
    println!(
        "{name}: {} states, {} steps, {} deep, {} decisions, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        checker.model().judge.questions(),
        begun.elapsed().as_secs_f32(),
    );
    checker.assert_properties();
}

const SMALL: Bounds = Bounds {
    degraded: false,
    amnesia: false,
    strange_money: false,
    ended_attempts: false,
    requested_refunds: false,
    slow_refunds: false,
    ..Bounds::ALL
};

#[test]
fn one_attempt_and_one_worker_with_everything_that_can_happen() {
    check("one attempt, one worker", Bounds { attempts: 1, workers: 1, ..Bounds::ALL });
}

#[test]
fn one_attempt_and_one_worker_where_late_payments_reopen_their_orders() {
    let bounds = Bounds { attempts: 1, workers: 1, reopening: true, ..Bounds::ALL };
    check("one attempt, one worker, reopening", bounds);
}

#[test]
fn one_attempt_and_two_workers_at_once() {
    let bounds = Bounds { attempts: 1, slow_requests: false, late_confirmation: false, ..SMALL };
    check("one attempt, two workers", bounds);
}

#[test]
fn two_attempts_and_answers_one_by_one() {
    let bounds =
        Bounds { workers: 1, lag: false, slow_requests: false, late_confirmation: false, ..SMALL };
    check("two attempts, one worker", bounds);
}

#[test]
fn two_attempts_and_two_workers_at_once() {
    let bounds = Bounds {
        half_message: false,
        degraded: true,
        one_by_one: false,
        stale_workers: false,
        slow_requests: false,
        late_confirmation: false,
        lag: false,
        ..SMALL
    };
    check("two attempts, two workers", bounds);
}

#[test]
#[ignore = "takes a minute"]
fn large_one_attempt_and_two_workers_with_everything_that_can_happen() {
    let bounds = Bounds { attempts: 1, slow_refunds: false, ..Bounds::ALL };
    check("one attempt, two workers, everything", bounds);
}

#[test]
#[ignore = "takes a minute"]
fn large_two_attempts_and_answers_one_by_one() {
    let bounds = Bounds { amnesia: true, degraded: true, workers: 1, ..SMALL };
    check("two attempts, one worker, more", bounds);
}

#[test]
#[ignore = "takes a minute"]
fn large_two_attempts_and_two_workers_with_a_half_message() {
    let bounds =
        Bounds { degraded: true, one_by_one: false, stale_workers: false, lag: false, ..SMALL };
    check("two attempts, two workers, more", bounds);
}

#[test]
fn without_any_one_of_its_rules_the_check_fails() {
    let one = Bounds { attempts: 1, ..Bounds::ALL };
    // The answer about one attempt is old when the other's comes.
    let two = Bounds {
        workers: 1,
        half_message: false,
        degraded: true,
        lag: false,
        slow_requests: false,
        late_confirmation: false,
        ..SMALL
    };
    for rule in Rule::ALL {
        let bounds = if rule == Rule::TimeIsReadBeforeAsking { two } else { one };
        let broken = rule.keeps();
        let checker = World::new(bounds, Some(rule))
            .checker()
            .finish_when(HasDiscoveries::AnyOf([broken].into()))
            .spawn_bfs()
            .join();
        let found = checker.discovery(broken);
        let path = found.unwrap_or_else(|| panic!("without {rule:?} it still holds: {broken}"));
        let events = path.into_actions();
        println!("without {rule:?}, {} steps to the opposite of: {broken}", events.len());
        for event in events {
            println!("    {event:?}");
        }
    }
}
