//! The table of design section 2, row by row and column by column, and the cases behind its words.
//! [`oracle`] then walks through every combination of one and two attempts.

use checkback::domain::decision::{AttemptStep, OrderStep, decide};
use checkback::domain::gateway::{Answer, UnknownReason};
use checkback::domain::order::{Order, OrderStatus};
use checkback::domain::payment::{Attempt, PaymentStatus};

use self::world::{
    CODE_DIES, DEADLINE, DUE, OVERDUE, PRICE, answers, at, attempt, awaiting, cancel_requested,
    closed, created, decided, not_exist, order, paid, paid_by, paid_wrong, policy, returned,
    returned_before, says, trade, unknown, wait_buyer_pay, waiting,
};

mod memory;
mod money_back;
mod oracle;
pub(crate) mod world;

const ENDED_PAID: [OrderStatus; 3] =
    [OrderStatus::Paid, OrderStatus::Refunding, OrderStatus::Refunded];

fn cancelled() -> Order {
    order(OrderStatus::Cancelled)
}

// Awaiting, deadline + grace not reached.

#[test]
fn an_awaiting_order_is_confirmed_by_a_payment_of_the_right_amount() {
    let said = decided(&awaiting(), &[created("A")], &[("A", paid())], DUE - 1);
    assert_eq!(said, says("confirm A", &["A applied"], &[]));
}

#[test]
fn an_awaiting_order_quarantines_a_wrong_amount_and_keeps_waiting() {
    let said = decided(&awaiting(), &[created("A")], &[("A", paid_wrong())], DUE - 1);
    assert_eq!(said, says("keep waiting", &["A wrong_amount"], &["A wrong_amount"]));
}

#[test]
fn an_awaiting_order_records_payment_and_return_and_keeps_waiting() {
    let said = decided(&awaiting(), &[created("A")], &[("A", returned())], DUE - 1);
    assert_eq!(said, says("keep waiting", &["A returned"], &[]));
}

#[test]
fn an_awaiting_order_that_is_not_due_waits_whatever_is_unpaid() {
    for (answer, steps) in [
        (wait_buyer_pay(), vec!["A seen"]),
        (not_exist(), vec![]),
        (closed(), vec!["A end"]),
        (unknown(), vec![]),
    ] {
        let said = decided(&awaiting(), &[created("A")], &[("A", answer)], DUE - 1);
        assert_eq!(said, says("keep waiting", &steps, &[]));
    }
}

// Awaiting, past it.

#[test]
fn a_due_order_is_confirmed_by_a_payment_of_the_right_amount() {
    let said = decided(&awaiting(), &[created("A")], &[("A", paid())], OVERDUE);
    assert_eq!(said, says("confirm A", &["A applied"], &[]));
}

#[test]
fn a_due_order_quarantines_a_wrong_amount_and_is_cancelled() {
    let said = decided(&awaiting(), &[created("A")], &[("A", paid_wrong())], DUE);
    assert_eq!(said, says("cancel", &["A wrong_amount"], &["A wrong_amount"]));
}

#[test]
fn a_due_order_records_payment_and_return_and_is_cancelled() {
    let said = decided(&awaiting(), &[created("A")], &[("A", returned())], DUE);
    assert_eq!(said, says("cancel", &["A returned"], &[]));
}

#[test]
fn a_due_order_closes_what_waits_before_it_is_cancelled() {
    let said = decided(&awaiting(), &[waiting("A")], &[("A", wait_buyer_pay())], DUE);
    assert_eq!(said, says("close first", &["A close"], &[]));
    let said = decided(&awaiting(), &[waiting("A")], &[("A", closed())], DUE);
    assert_eq!(said, says("cancel", &["A end"], &[]));
}

#[test]
fn a_due_order_whose_code_nobody_scanned_is_cancelled_and_its_attempt_stays_pending() {
    let said = decided(&awaiting(), &[created("A")], &[("A", not_exist())], DUE);
    assert_eq!(said, says("cancel", &[], &[]));
}

#[test]
fn a_due_order_without_attempts_is_cancelled() {
    assert_eq!(decided(&awaiting(), &[], &[], DUE), says("cancel", &[], &[]));
}

#[test]
fn a_due_order_is_never_cancelled_on_an_unknown_answer() {
    let reasons = [
        UnknownReason::Timeout,
        UnknownReason::BadSignature,
        UnknownReason::NotClosed,
        UnknownReason::HttpStatus { status: 502 },
    ];
    for reason in reasons {
        let answer = Answer::Unknown(reason);
        let said = decided(&awaiting(), &[created("A")], &[("A", answer)], DUE);
        assert_eq!(said, says("await answer", &[], &[]));
    }
}

#[test]
fn an_account_that_is_refused_or_not_configured_is_an_alarm_at_once() {
    let refused = UnknownReason::AccountBroken { code: "40006".to_owned(), sub_code: None };
    let reasons = [(refused, "app account_broken"), (UnknownReason::NotAsked, "A account_unknown")];
    for (reason, alarm) in reasons {
        let answer = Answer::Unknown(reason);
        let said = decided(&awaiting(), &[created("A")], &[("A", answer)], DUE);
        assert_eq!(said, says("await answer", &[], &[alarm]));
    }
}

#[test]
fn an_order_that_stays_without_an_answer_opens_an_alarm_after_a_time() {
    let given = [("A", unknown())];
    let early = decided(&awaiting(), &[created("A")], &given, OVERDUE - 1);
    assert_eq!(early, says("await answer", &[], &[]));
    let late = decided(&awaiting(), &[created("A")], &given, OVERDUE);
    assert_eq!(late, says("await answer", &[], &["ORDER order_overdue"]));
}

// Due.

#[test]
fn an_order_is_due_at_deadline_plus_grace_and_not_a_second_before() {
    for (seconds, step) in [(DEADLINE, "keep waiting"), (DUE - 1, "keep waiting"), (DUE, "cancel")]
    {
        assert_eq!(decided(&awaiting(), &[], &[], seconds).order, step, "{seconds}");
    }
}

#[test]
fn a_cancel_request_counts_as_a_deadline_that_has_passed_without_grace() {
    let asked = cancel_requested(10);
    for (seconds, step) in [(9, "keep waiting"), (10, "cancel"), (DUE, "cancel")] {
        let said = decided(&asked, &[created("A")], &[("A", not_exist())], seconds);
        assert_eq!(said.order, step, "{seconds}");
    }
    let waits = decided(&asked, &[waiting("A")], &[("A", wait_buyer_pay())], 10);
    assert_eq!(waits, says("close first", &["A close"], &[]));
    let unclear = decided(&asked, &[created("A")], &[("A", unknown())], 10);
    assert_eq!(unclear, says("await answer", &[], &[]));
    let bought = decided(&asked, &[created("A")], &[("A", paid())], 10);
    assert_eq!(bought, says("confirm A", &["A applied"], &[]));
}

#[test]
fn a_cancel_request_in_the_time_of_grace_makes_the_order_due_at_once() {
    let said = decided(&cancel_requested(DEADLINE + 1), &[], &[], DEADLINE + 1);
    assert_eq!(said, says("cancel", &[], &[]));
}

// Missing answers, and answers that can't be true.

#[test]
fn a_missing_answer_about_a_live_attempt_is_unknown() {
    let said = decided(&awaiting(), &[created("A"), waiting("B")], &[("A", closed())], DUE);
    assert_eq!(said, says("await answer", &["A end"], &[]));
}

#[test]
fn an_ended_attempt_that_was_asked_about_in_vain_is_waited_for() {
    // Its buyer may have paid in time, and the notification got lost.
    for ended in [PaymentStatus::Closed, PaymentStatus::Failed] {
        let said = decided(&awaiting(), &[attempt("A", ended)], &[("A", unknown())], DUE);
        assert_eq!(said, says("await answer", &[], &[]), "{ended:?}");
    }
    let seen = attempt("A", PaymentStatus::Closed);
    let said = decided(&awaiting(), &[seen], &[("A", not_exist())], DUE);
    assert_eq!(said, says("await answer", &[], &["A trade_vanished"]));
}

#[test]
fn a_missing_answer_about_an_attempt_that_has_ended_is_not_needed() {
    for ended in [PaymentStatus::Closed, PaymentStatus::Failed, PaymentStatus::WrongAmount] {
        let said = decided(&awaiting(), &[attempt("A", ended)], &[], DUE);
        assert_eq!(said, says("cancel", &[], &[]), "{ended:?}");
    }
}

#[test]
fn not_exist_about_a_trade_that_was_seen_is_unknown_with_an_alarm() {
    let seen = Attempt { seen: true, ..created("A") };
    for vanished in [[seen], [waiting("A")]] {
        let said = decided(&awaiting(), &vanished, &[("A", not_exist())], DUE);
        assert_eq!(said, says("await answer", &[], &["A trade_vanished"]));
        let after_the_code = decided(&cancelled(), &vanished, &[("A", not_exist())], CODE_DIES);
        assert_eq!(after_the_code, says("settled", &[], &["A trade_vanished"]));
    }
}

#[test]
fn an_attempt_that_nobody_scanned_ends_when_its_code_has_died() {
    for (order, step) in
        [(awaiting(), "cancel"), (cancelled(), "settled"), (order(OrderStatus::Paid), "settled")]
    {
        let given = [("A", not_exist())];
        let alive = decided(&order, &[created("A")], &given, CODE_DIES - 1);
        assert_eq!(alive, says(step, &[], &[]));
        let dead = decided(&order, &[created("A")], &given, CODE_DIES);
        assert_eq!(dead, says(step, &["A end"], &[]));
        let unclear = decided(&order, &[created("A")], &[("A", unknown())], CODE_DIES);
        assert_eq!(unclear.attempts, Vec::<String>::new(), "an unknown answer ends nothing");
    }
}

#[test]
fn a_code_that_died_before_the_deadline_leaves_the_order_waiting() {
    let dead = Attempt { code_dies_at: at(10), ..created("A") };
    let said = decided(&awaiting(), &[dead], &[("A", not_exist())], 20);
    assert_eq!(said, says("keep waiting", &["A end"], &[]));
}

// Several attempts.

#[test]
fn a_payment_wins_over_an_unknown_answer() {
    let attempts = [created("A"), created("B")];
    for other in [Some(("A", unknown())), None] {
        let given: Vec<_> = other.into_iter().chain([("B", paid())]).collect();
        let said = decided(&awaiting(), &attempts, &given, OVERDUE);
        assert_eq!(said, says("confirm B", &["B applied"], &[]));
    }
}

#[test]
fn of_two_payments_one_is_applied_and_one_is_a_duplicate() {
    let given = [("A", paid()), ("B", paid())];
    let said = decided(&awaiting(), &[created("A"), waiting("B")], &given, 10);
    assert_eq!(said, says("confirm A", &["A applied", "B duplicate"], &["B duplicate_payment"]));
}

#[test]
fn what_else_is_known_when_an_order_is_confirmed_is_recorded_with_it() {
    for (answer, step, alarm) in [
        (paid_wrong(), Some("B wrong_amount"), Some("B wrong_amount")),
        (returned(), Some("B returned"), None),
        (closed(), Some("B end"), None),
        (not_exist(), None, None),
        (wait_buyer_pay(), Some("B seen"), None),
        (unknown(), None, None),
    ] {
        let given = [("A", paid()), ("B", answer)];
        let said = decided(&awaiting(), &[created("A"), created("B")], &given, DUE);
        let steps: Vec<_> = [Some("A applied"), step].into_iter().flatten().collect();
        let alarms: Vec<_> = alarm.into_iter().collect();
        assert_eq!(said, says("confirm A", &steps, &alarms));
    }
}

#[test]
fn a_wrong_amount_beside_a_waiting_trade_is_quarantined_and_the_trade_is_closed_first() {
    let given = [("A", paid_wrong()), ("B", wait_buyer_pay())];
    let said = decided(&awaiting(), &[created("A"), waiting("B")], &given, DUE);
    assert_eq!(said, says("close first", &["A wrong_amount", "B close"], &["A wrong_amount"]));
}

#[test]
fn nothing_is_closed_while_another_answer_is_unknown() {
    let given = [("A", unknown()), ("B", wait_buyer_pay())];
    let said = decided(&awaiting(), &[waiting("A"), waiting("B")], &given, DUE);
    assert_eq!(said, says("await answer", &[], &[]));
}

#[test]
fn a_payment_for_an_attempt_that_was_closed_still_confirms() {
    let ended = attempt("A", PaymentStatus::Closed);
    let said = decided(&awaiting(), &[ended], &[("A", paid())], DUE);
    assert_eq!(said, says("confirm A", &["A applied"], &[]));
}

// Ended orders: the applied attempt.

#[test]
fn nothing_follows_from_the_applied_payment_being_confirmed_again() {
    for status in ENDED_PAID {
        for answer in [paid(), unknown()] {
            let applied = attempt("A", PaymentStatus::Applied);
            let said = decided(&paid_by(status, "A"), &[applied], &[("A", answer)], OVERDUE);
            assert_eq!(said, says("settled", &[], &[]), "{status:?}");
        }
    }
}

#[test]
fn an_applied_payment_that_the_gateway_denies_opens_an_alarm() {
    for status in ENDED_PAID {
        for (answer, alarm) in [
            (wait_buyer_pay(), "A gateway_contradiction"),
            (closed(), "A gateway_contradiction"),
            (not_exist(), "A trade_vanished"),
        ] {
            let applied = attempt("A", PaymentStatus::Applied);
            let said = decided(&paid_by(status, "A"), &[applied], &[("A", answer)], DUE);
            assert_eq!(said, says("settled", &[], &[alarm]), "{status:?}");
        }
    }
}

// Ended orders: another attempt, or a cancelled order.

#[test]
fn more_money_for_an_ended_order_is_a_duplicate_or_late() {
    for status in ENDED_PAID {
        let said = decided(&paid_by(status, "A"), &[created("B")], &[("B", paid())], 10);
        assert_eq!(said, says("settled", &["B duplicate"], &["B duplicate_payment"]));
    }
    let said = decided(&cancelled(), &[created("B")], &[("B", paid())], OVERDUE);
    assert_eq!(said, says("settled", &["B late"], &["B late_payment"]));
}

#[test]
fn whatever_else_happens_to_an_attempt_of_an_ended_order_is_the_same_for_each() {
    for status in ENDED_PAID.into_iter().chain([OrderStatus::Cancelled]) {
        for (answer, steps, alarms) in [
            (paid_wrong(), vec!["B wrong_amount"], vec!["B wrong_amount"]),
            (returned(), vec!["B returned"], vec![]),
            (wait_buyer_pay(), vec!["B close"], vec![]),
            (closed(), vec!["B end"], vec![]),
            (not_exist(), vec![], vec![]),
            (unknown(), vec![], vec![]),
        ] {
            let said = decided(&order(status), &[created("B")], &[("B", answer)], OVERDUE);
            assert_eq!(said, says("settled", &steps, &alarms), "{status:?}");
        }
    }
}

// What is recorded already.

#[test]
fn a_payment_that_is_recorded_changes_nothing_when_it_is_confirmed_again() {
    let recorded = [PaymentStatus::Late, PaymentStatus::Duplicate, PaymentStatus::WrongAmount];
    for status in recorded {
        for order in [awaiting(), cancelled(), order(OrderStatus::Paid)] {
            for answer in [paid(), paid_wrong()] {
                let again = decided(&order, &[attempt("A", status)], &[("A", answer)], DUE - 1);
                assert_eq!((again.attempts, again.alarms), (vec![], vec![]), "{status:?}");
            }
        }
    }
}

#[test]
fn a_return_that_is_recorded_changes_nothing_when_it_is_told_again() {
    for order in [cancelled(), order(OrderStatus::Paid)] {
        let said = decided(&order, &[returned_before("A")], &[("A", returned())], DUE);
        assert_eq!(said, says("settled", &[], &[]));
    }
    let said = decided(&awaiting(), &[returned_before("A")], &[("A", returned())], DUE);
    assert_eq!(said, says("cancel", &[], &[]));
}

#[test]
fn a_quarantined_payment_neither_confirms_nor_keeps_an_order_from_being_cancelled() {
    let quarantined = attempt("A", PaymentStatus::WrongAmount);
    let said = decided(&awaiting(), &[quarantined], &[("A", paid())], DUE);
    assert_eq!(said, says("cancel", &[], &[]));
}

#[test]
fn the_step_carries_what_the_gateway_confirmed() {
    let given = answers(&[("A", paid())], at(10));
    let decision = decide(&awaiting(), &[created("A")], &given, at(10), &policy());
    let status = PaymentStatus::Applied;
    let step = AttemptStep::RecordPayment { status, trade: trade(PRICE) };
    assert_eq!(decision.attempts, vec![(world::number("A"), step)]);
    assert_eq!(decision.order, OrderStep::Confirm(world::number("A")));
    assert_eq!(decision.closes().count(), 0);
}
