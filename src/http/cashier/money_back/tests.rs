use super::super::fixtures::{attempt, fen, paid, refund, snapshot};
use super::*;
use crate::domain::order::OrderStatus;
use crate::domain::payment::PaymentStatus::{Applied, Closed, Duplicate, Late, WrongAmount};

const WILL: &str = "The money will be returned to your Alipay account.";
const ON_ITS_WAY: &str = "The money is on its way back to your Alipay account.";
const HAS: &str = "The money has been returned to your Alipay account.";
const REFUSED: &str = "It could not be returned yet. Please contact the shop.";

fn told(payment: PaymentRecord, refunds: Vec<RefundRecord>) -> Vec<String> {
    let mut snapshot = snapshot(OrderStatus::Cancelled, vec![payment]);
    snapshot.refunds = refunds;
    notices(&snapshot).into_iter().map(|words| words.en).collect()
}

fn returned(status: PaymentStatus) -> PaymentRecord {
    let mut payment = paid("CB1", status, 1_230);
    payment.attempt.refunded = fen(1_230);
    payment
}

fn on_its_way(status: PaymentStatus) -> PaymentRecord {
    let mut payment = paid("CB1", status, 1_230);
    payment.attempt.refunding = fen(1_230);
    payment
}

#[test]
fn money_that_is_not_the_orders_own_is_told_of() {
    let late = "A payment of ¥12.30 arrived after the order had been cancelled.";
    let second = "A second payment of ¥12.30 arrived.";
    let one = "A payment of ¥12.30 arrived.";
    let refused = || vec![refund("CB1", RefundStatus::Refused, 1_230)];
    let of_another = || vec![refund("CB2", RefundStatus::Refused, 1_230)];
    for (status, what) in [(Late, late), (Duplicate, second)] {
        let told_of = |payment, refunds, how: &str| {
            assert_eq!(told(payment, refunds), [format!("{what} {how}")]);
        };
        told_of(paid("CB1", status, 1_230), vec![], WILL);
        told_of(paid("CB1", status, 1_230), of_another(), WILL);
        told_of(paid("CB1", status, 1_230), refused(), REFUSED);
        told_of(on_its_way(status), vec![], ON_ITS_WAY);
        told_of(returned(status), vec![], HAS);
    }
    let wrong = "A payment of ¥0.01 arrived, but ¥12.30 was due. The shop was told.";
    assert_eq!(told(paid("CB1", WrongAmount, 1), vec![]), [wrong]);
    assert_eq!(told(on_its_way(WrongAmount), vec![]), [format!("{one} {ON_ITS_WAY}")]);
    assert_eq!(told(returned(WrongAmount), vec![]), [format!("{one} {HAS}")]);
    assert_eq!(told(returned(Closed), vec![]), [format!("{one} {HAS}")]);
    assert!(told(paid("CB1", Applied, 1_230), vec![]).is_empty());
    assert!(told(attempt("CB1", Closed), vec![]).is_empty());
}

#[test]
fn each_part_of_the_orders_own_money_is_told_of() {
    let mut payment = paid("CB1", Applied, 1_230);
    payment.attempt.refunded = fen(330);
    payment.attempt.refunding = fen(400);
    let mut by_shop = refund("CB1", RefundStatus::Succeeded, 100);
    by_shop.paid_elsewhere = Some("bank 1".into());
    let refunds = vec![
        refund("CB1", RefundStatus::Succeeded, 230),
        by_shop,
        refund("CB1", RefundStatus::Sending, 400),
        refund("CB1", RefundStatus::Refused, 500),
    ];
    assert_eq!(
        told(payment, refunds),
        [
            "¥2.30 was refunded to your Alipay account.",
            "The shop paid ¥1.00 back to you by other means.",
            "¥4.00 is on its way back to your Alipay account.",
            "A refund of ¥5.00 did not succeed. Please contact the shop.",
        ]
    );
}

#[test]
fn what_the_shop_paid_back_itself_is_not_said_to_be_at_alipay() {
    let mut by_shop = refund("CB1", RefundStatus::Succeeded, 1_230);
    by_shop.paid_elsewhere = Some("bank 1".into());
    let told = told(returned(Late), vec![by_shop]);
    assert!(told[0].ends_with("The shop paid it back to you by other means."), "{told:?}");
}
