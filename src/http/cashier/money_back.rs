//! What the buyer is told of money that isn't the order's own, or goes back: how much, and whether
//! it is on its way, back, or has to be asked for at the shop. No word of ours or of the gateway's.

use super::buyer_view::Words;
use crate::domain::money::Fen;
use crate::domain::payment::PaymentStatus;
use crate::domain::refund::RefundStatus;
use crate::http::live::Snapshot;
use crate::store::payments::PaymentRecord;
use crate::store::refunds::RefundRecord;

/// What else the buyer should know, payment by payment.
pub(super) fn notices(snapshot: &Snapshot) -> Vec<Words> {
    let due = snapshot.record.order.amount;
    let mut notices = Vec::new();
    for payment in &snapshot.payments {
        let of_it =
            |record: &&RefundRecord| record.refund.out_trade_no == payment.attempt.out_trade_no;
        let refunds: Vec<_> = snapshot.refunds.iter().filter(of_it).collect();
        match payment.attempt.status {
            PaymentStatus::Applied => notices.extend(of_order(payment, &refunds)),
            _ => notices.extend(of_other(payment, &refunds, due)),
        }
    }
    notices
}

/// What went back and goes back of the order's own payment.
fn of_order(payment: &PaymentRecord, refunds: &[&RefundRecord]) -> Vec<Words> {
    let mut notices = Vec::new();
    let by_shop = sum(refunds, |record| record.paid_elsewhere.is_some());
    let by_alipay = payment.attempt.refunded.checked_sub(by_shop).unwrap_or_default();
    if !by_alipay.is_zero() {
        let yuan = by_alipay.to_yuan();
        notices.push(Words::new(
            format!("¥{yuan} was refunded to your Alipay account."),
            format!("已退款 ¥{yuan} 至您的支付宝账户。"),
        ));
    }
    if !by_shop.is_zero() {
        let yuan = by_shop.to_yuan();
        notices.push(Words::new(
            format!("The shop paid ¥{yuan} back to you by other means."),
            format!("商家已通过其他方式退还 ¥{yuan}。"),
        ));
    }
    if !payment.attempt.refunding.is_zero() {
        let yuan = payment.attempt.refunding.to_yuan();
        notices.push(Words::new(
            format!("¥{yuan} is on its way back to your Alipay account."),
            format!("¥{yuan} 正在退回您的支付宝账户。"),
        ));
    }
    let refused = sum(refunds, is_refused);
    if !refused.is_zero() {
        let yuan = refused.to_yuan();
        notices.push(Words::new(
            format!("A refund of ¥{yuan} did not succeed. Please contact the shop."),
            format!("退款 ¥{yuan} 未成功，请联系商家。"),
        ));
    }
    notices
}

fn is_refused(record: &RefundRecord) -> bool {
    record.refund.status == RefundStatus::Refused
}

fn sum(refunds: &[&RefundRecord], of: impl Fn(&RefundRecord) -> bool) -> Fen {
    let amounts = refunds.iter().filter(|record| of(record)).map(|record| record.refund.amount);
    amounts.fold(Fen::ZERO, |sum, amount| sum.checked_add(amount).unwrap_or(sum))
}

/// What the buyer should know about a payment that isn't the order's own.
fn of_other(payment: &PaymentRecord, refunds: &[&RefundRecord], due: Fen) -> Option<Words> {
    let yuan = payment.paid?.to_yuan();
    let back = way_back(payment, refunds);
    let (en, zh) = match payment.attempt.status {
        PaymentStatus::Late => (
            format!("A payment of ¥{yuan} arrived after the order had been cancelled."),
            format!("订单取消后收到付款 ¥{yuan}，"),
        ),
        PaymentStatus::Duplicate => {
            (format!("A second payment of ¥{yuan} arrived."), format!("收到重复付款 ¥{yuan}，"))
        }
        PaymentStatus::Closed if back == WayBack::Returned => {
            (format!("A payment of ¥{yuan} arrived."), format!("收到付款 ¥{yuan}，"))
        }
        PaymentStatus::WrongAmount if back != WayBack::NotYet => {
            (format!("A payment of ¥{yuan} arrived."), format!("收到付款 ¥{yuan}，"))
        }
        PaymentStatus::WrongAmount => {
            let due = due.to_yuan();
            return Some(Words::new(
                format!("A payment of ¥{yuan} arrived, but ¥{due} was due. The shop was told."),
                format!("收到付款 ¥{yuan}，与应付金额 ¥{due} 不符，已通知商家。"),
            ));
        }
        PaymentStatus::Created
        | PaymentStatus::Waiting
        | PaymentStatus::Applied
        | PaymentStatus::Closed
        | PaymentStatus::Failed
        | PaymentStatus::Orphan => return None,
    };
    let (en_back, zh_back) = back.words();
    Some(Words::new(format!("{en} {en_back}"), format!("{zh}{zh_back}")))
}

/// How far a payment is that goes back whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WayBack {
    NotYet,
    OnItsWay,
    Refused,
    Returned,
    ReturnedByShop,
}

fn way_back(payment: &PaymentRecord, refunds: &[&RefundRecord]) -> WayBack {
    let attempt = &payment.attempt;
    if payment.paid.is_some_and(|paid| attempt.refunded >= paid) {
        let by_shop = refunds.iter().any(|record| record.paid_elsewhere.is_some());
        return if by_shop { WayBack::ReturnedByShop } else { WayBack::Returned };
    }
    if !attempt.refunding.is_zero() {
        return WayBack::OnItsWay;
    }
    if refunds.iter().any(|record| is_refused(record)) {
        return WayBack::Refused;
    }
    WayBack::NotYet
}

impl WayBack {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::NotYet => {
                ("The money will be returned to your Alipay account.", "款项将原路退回。")
            }
            Self::OnItsWay => {
                ("The money is on its way back to your Alipay account.", "款项正在原路退回。")
            }
            Self::Refused => (
                "It could not be returned yet. Please contact the shop.",
                "款项暂未能退回，请联系商家。",
            ),
            Self::Returned => {
                ("The money has been returned to your Alipay account.", "款项已原路退回。")
            }
            Self::ReturnedByShop => {
                ("The shop paid it back to you by other means.", "商家已通过其他方式退还。")
            }
        }
    }
}

#[cfg(test)]
mod tests;
