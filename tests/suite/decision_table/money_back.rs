//! Money that goes back, and orders that a late payment brings back.

use checkback::domain::decision::OnLatePayment;
use checkback::domain::order::OrderStatus;
use checkback::domain::payment::{Attempt, PaymentStatus};

use super::ENDED_PAID;
use super::world::{
    DUE, PRICE, attempt, decided, decided_by, fen, order, paid, paid_by, paid_wrong, returned,
    says, waiting,
};

#[test]
fn what_others_gave_back_of_an_applied_payment_is_recorded_with_an_alarm() {
    for status in ENDED_PAID {
        for (refunded, refunding, is_covered) in [
            (0, 0, false),
            (PRICE - 1, 0, false),
            (PRICE, 0, true),
            (0, PRICE, true),
            (1, 1, false),
        ] {
            let (refunded, refunding) = (fen(refunded), fen(refunding));
            let applied = Attempt { refunded, refunding, ..attempt("A", PaymentStatus::Applied) };
            let said = decided(&paid_by(status, "A"), &[applied], &[("A", returned())], DUE);
            let elsewhere = says("settled", &["A elsewhere"], &["A returned_elsewhere"]);
            let wanted = if is_covered { says("settled", &[], &[]) } else { elsewhere };
            assert_eq!(said, wanted, "{refunded} {refunding}");
        }
    }
}

#[test]
fn a_late_payment_reopens_its_order_if_the_policy_says_so() {
    let cancelled = order(OrderStatus::Cancelled);
    let closed_before = attempt("A", PaymentStatus::Closed);
    let reopen = OnLatePayment::Reopen;
    let attempts = [closed_before.clone()];
    let said = decided_by(reopen, &cancelled, &attempts, &[("A", paid())], DUE);
    assert_eq!(said, says("reopen A", &["A applied"], &[]));
    let said = decided_by(reopen, &cancelled, &attempts, &[("A", paid_wrong())], DUE);
    assert_eq!(said, says("settled", &["A wrong_amount"], &["A wrong_amount"]));
    let both = [closed_before, waiting("B")];
    let said = decided_by(reopen, &cancelled, &both, &[("A", paid()), ("B", paid())], DUE);
    let wanted = says("reopen A", &["A applied", "B duplicate"], &["B duplicate_payment"]);
    assert_eq!(said, wanted);
}
