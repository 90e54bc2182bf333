use super::*;
use crate::domain::bill::BillDay;

fn fen(fen: i64) -> Fen {
    Fen::new(fen).expect("an amount")
}

fn line(kind: BillLineKind, request: &str, amount: i64) -> BillLine {
    BillLine {
        kind,
        trade_no: "9".to_owned(),
        out_trade_no: "CB1".to_owned(),
        out_request_no: request.to_owned(),
        amount: fen(amount),
        at: BillDay::parse("2026-01-31").expect("a day").begins_at(),
    }
}

fn paid(amount: i64) -> KnownPayment {
    KnownPayment {
        order_id: Some(OrderId::from_trusted("O1")),
        same_account: true,
        paid: Some(fen(amount)),
        refunded: Fen::ZERO,
        trade_no: Some("9".to_owned()),
        refunds: Vec::new(),
    }
}

fn with_refund(status: RefundStatus, amount: i64) -> KnownPayment {
    let refund = KnownRefund {
        out_request_no: "R1".to_owned(),
        request_no: "r1".to_owned(),
        status,
        amount: fen(amount),
        paid_elsewhere: false,
    };
    KnownPayment { refunds: vec![refund], ..paid(100) }
}

fn kind(verdict: &Verdict) -> Option<DifferenceKind> {
    match verdict {
        Verdict::Differs(kind, _) => Some(*kind),
        _ => None,
    }
}

#[test]
fn a_payment_on_the_bill_is_recorded_as_it_stands_or_asked_about() {
    let line = line(BillLineKind::Payment, "", 100);
    assert_eq!(judge(&line, None), Verdict::RecordOrphan);
    assert_eq!(judge(&line, Some(&paid(100))), Verdict::Fits);
    let unpaid = KnownPayment { paid: None, trade_no: None, ..paid(100) };
    assert_eq!(judge(&line, Some(&unpaid)), Verdict::Settle(OrderId::from_trusted("O1")));
    let of_nobody = KnownPayment { order_id: None, ..unpaid };
    assert_eq!(kind(&judge(&line, Some(&of_nobody))), Some(DifferenceKind::Unrecorded));
    assert_eq!(kind(&judge(&line, Some(&paid(99)))), Some(DifferenceKind::Amount));
    let other = KnownPayment { trade_no: Some("8".to_owned()), ..paid(100) };
    assert_eq!(kind(&judge(&line, Some(&other))), Some(DifferenceKind::TradeNo));
    let elsewhere = KnownPayment { same_account: false, ..paid(100) };
    assert_eq!(kind(&judge(&line, Some(&elsewhere))), Some(DifferenceKind::Account));
}

#[test]
fn a_refund_on_the_bill_is_ours_or_somebody_elses() {
    let line = line(BillLineKind::Refund, "R1", 30);
    assert_eq!(kind(&judge(&line, None)), Some(DifferenceKind::RefundUnrecorded));
    assert_eq!(judge(&line, Some(&paid(100))), Verdict::NoteReturn);
    let unpaid = KnownPayment { paid: None, ..paid(100) };
    assert!(matches!(judge(&line, Some(&unpaid)), Verdict::Settle(_)));
    let judged = |status, amount| judge(&line, Some(&with_refund(status, amount)));
    assert_eq!(judged(RefundStatus::Succeeded, 30), Verdict::Fits);
    assert_eq!(kind(&judged(RefundStatus::Succeeded, 31)), Some(DifferenceKind::Amount));
    assert_eq!(kind(&judged(RefundStatus::Refused, 30)), Some(DifferenceKind::RefundRefused));
    for status in [RefundStatus::Requested, RefundStatus::StoppingWarehouse, RefundStatus::Sending]
    {
        assert_eq!(judged(status, 30), Verdict::Hasten);
    }
    let mut all_back = with_refund(RefundStatus::Succeeded, 100);
    all_back.refunds[0].out_request_no = "OTHER".to_owned();
    all_back.refunded = fen(100);
    assert_eq!(judge(&line, Some(&all_back)), Verdict::Fits);
    all_back.refunded = fen(99);
    assert_eq!(judge(&line, Some(&all_back)), Verdict::NoteReturn);
    let mut elsewhere = with_refund(RefundStatus::Succeeded, 30);
    elsewhere.refunds[0].out_request_no = "CBR9".to_owned();
    elsewhere.refunds[0].request_no = "elsewhere:R1".to_owned();
    assert_eq!(judge(&line, Some(&elsewhere)), Verdict::Fits);
    let mut twice = with_refund(RefundStatus::Succeeded, 30);
    twice.refunds[0].paid_elsewhere = true;
    assert_eq!(kind(&judge(&line, Some(&twice))), Some(DifferenceKind::RefundRefused));
}

#[test]
fn every_verdict_that_no_repair_changed_is_a_difference() {
    let line = line(BillLineKind::Payment, "", 100);
    let settle = Verdict::Settle(OrderId::from_trusted("O1"));
    assert_eq!(unrepaired(&line, &Verdict::Fits), None);
    for verdict in [settle, Verdict::RecordOrphan, Verdict::Hasten, Verdict::NoteReturn] {
        assert!(unrepaired(&line, &verdict).is_some(), "{verdict:?}");
    }
}

#[test]
fn money_that_was_paid_by_other_means_explains_no_line() {
    let mut known = with_refund(RefundStatus::Succeeded, 100);
    known.refunded = fen(100);
    let console = line(BillLineKind::Refund, "CONSOLE-1", 100);
    assert_eq!(judge(&console, Some(&known)), Verdict::Fits, "found under another number");
    known.refunds[0].paid_elsewhere = true;
    assert_eq!(judge(&console, Some(&known)), Verdict::NoteReturn);
}

#[test]
fn a_long_number_of_somebody_elses_is_known_again() {
    let number = "C".repeat(64);
    let mut known = with_refund(RefundStatus::Succeeded, 30);
    known.refunds[0].request_no = elsewhere_no(&number);
    assert!(known.refunds[0].request_no.len() <= 64);
    assert_eq!(judge(&line(BillLineKind::Refund, &number, 30), Some(&known)), Verdict::Fits);
}
