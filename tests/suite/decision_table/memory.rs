//! What is easily forgotten: that a trade was seen, and how much of it was paid.

use checkback::domain::gateway::{Answer, ReturnedTrade};
use checkback::domain::order::OrderStatus;
use checkback::domain::payment::{Attempt, PaymentStatus};

use super::world::{
    DUE, PRICE, attempt, awaiting, created, decided, fen, order, paid_by, returned_trade, says,
    unknown, wait_buyer_pay,
};

#[test]
fn a_trade_that_waits_is_noted_as_seen_even_if_another_answer_is_unknown() {
    let given = [("A", wait_buyer_pay()), ("B", unknown())];
    let said = decided(&awaiting(), &[created("A"), created("B")], &given, DUE);
    assert_eq!(said, says("await answer", &["A seen"], &[]));
}

#[test]
fn a_wrong_amount_that_went_back_in_full_changes_nothing_when_it_is_told_again() {
    // 9.00 of 10.00 were paid, and 9.00 went back: record_return stores refunded = 9.00.
    let nine = fen(PRICE - 100);
    let told = Answer::Returned(ReturnedTrade {
        amount: Some(nine),
        refunded: Some(nine),
        ..returned_trade()
    });
    let recorded = Attempt { paid: true, refunded: nine, ..attempt("A", PaymentStatus::Closed) };
    for order in [order(OrderStatus::Cancelled), paid_by(OrderStatus::Paid, "B")] {
        let said = decided(&order, std::slice::from_ref(&recorded), &[("A", told.clone())], DUE);
        assert_eq!(said, says("settled", &[], &[]));
    }
}
