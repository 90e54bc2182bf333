use serde_json::json;

use super::super::fixtures::{WINDOW_S, at, attempt, paid, refund, snapshot};
use super::*;
use crate::domain::order::CancelRequest;
use crate::domain::refund::RefundStatus;

fn view(snapshot: &Snapshot, second: i64) -> BuyerView {
    BuyerView::new(snapshot, at(second))
}

fn requested(mut snapshot: Snapshot) -> Snapshot {
    snapshot.record.order.cancel_request = Some(CancelRequest { at: at(5), by: "key-name".into() });
    snapshot
}

#[test]
fn every_state_has_its_scene() {
    use OrderStatus::AwaitingPayment;
    let live = || vec![attempt("CB1", PaymentStatus::Created)];
    let waiting = || vec![attempt("CB1", PaymentStatus::Waiting)];
    let table = [
        (snapshot(AwaitingPayment, vec![]), 10, Scene::Preparing),
        (snapshot(AwaitingPayment, live()), 10, Scene::Scan),
        (snapshot(AwaitingPayment, waiting()), 10, Scene::Scanned),
        (snapshot(AwaitingPayment, live()), WINDOW_S - 1, Scene::Scan),
        (snapshot(AwaitingPayment, live()), WINDOW_S, Scene::Checking),
        (snapshot(AwaitingPayment, waiting()), WINDOW_S, Scene::Checking),
        (snapshot(AwaitingPayment, vec![]), WINDOW_S, Scene::Checking),
        (requested(snapshot(AwaitingPayment, live())), 10, Scene::Cancelling),
        (requested(snapshot(AwaitingPayment, live())), WINDOW_S, Scene::Cancelling),
        (snapshot(OrderStatus::Paid, live()), 10, Scene::Paid),
        (snapshot(OrderStatus::Cancelled, live()), 10, Scene::Cancelled),
        (snapshot(OrderStatus::Refunding, vec![]), 10, Scene::Refunding),
        (snapshot(OrderStatus::Refunded, vec![]), 10, Scene::Refunded),
    ];
    for (snapshot, second, expected) in table {
        let view = view(&snapshot, second);
        assert_eq!(view.scene, expected, "{snapshot:?} at {second}");
        let shows_code = matches!(expected, Scene::Scan | Scene::Scanned);
        assert_eq!(view.qr_available, shows_code);
        assert_eq!(view.out_trade_no.is_some(), shows_code);
        assert_eq!(view.pay_url.is_some(), shows_code);
    }
}

#[test]
fn only_the_newest_open_attempt_has_a_code() {
    let mut retired = attempt("CB1", PaymentStatus::Created);
    retired.expires_at = at(5);
    let mut without_code = attempt("CB4", PaymentStatus::Created);
    without_code.qr_code = None;
    let attempts = vec![
        retired.clone(),
        attempt("CB2", PaymentStatus::Created),
        attempt("CB3", PaymentStatus::Failed),
        without_code.clone(),
    ];
    let several = view(&snapshot(OrderStatus::AwaitingPayment, attempts), 10);
    assert_eq!(several.out_trade_no.as_deref(), Some("CB2"));
    assert_eq!(several.pay_url.as_deref(), Some("https://qr.test/CB2"));
    for attempts in [vec![retired], vec![without_code]] {
        let none = view(&snapshot(OrderStatus::AwaitingPayment, attempts), 10);
        assert_eq!((none.scene, none.qr_available), (Scene::Preparing, false));
    }
}

#[test]
fn a_code_that_no_browser_should_open_is_not_a_link() {
    let mut odd = attempt("CB1", PaymentStatus::Created);
    odd.qr_code = Some("javascript:alert(1)".into());
    let view = view(&snapshot(OrderStatus::AwaitingPayment, vec![odd]), 10);
    assert!(view.qr_available);
    assert_eq!(view.pay_url, None);
}

#[test]
fn the_stream_holds_nothing_of_the_storefront() {
    let payments = vec![attempt("CB1", PaymentStatus::Created)];
    let mut snapshot = requested(snapshot(OrderStatus::Cancelled, payments));
    snapshot.evidence = Some(json!({ "answers": [], "reason": "cancel requested by key-name" }));
    snapshot.payments.push(paid("CB2", PaymentStatus::Late, 1_230));
    snapshot.refunds.push(refund("CB2", RefundStatus::Refused, 1_230));
    let sent = json!(view(&snapshot, 10)).to_string();
    assert!(sent.contains("contact the shop"), "{sent}");
    for secret in ["secret", "key-name", "dev"] {
        assert!(!sent.contains(secret), "{secret} in {sent}");
    }
}

#[test]
fn a_cancel_says_why() {
    let reason = |snapshot: &Snapshot| {
        view(snapshot, 70).cancel_reason.map(|words| words.en).unwrap_or_default()
    };
    let mut order = snapshot(OrderStatus::Cancelled, vec![]);
    assert_eq!(reason(&order), "It was not paid in time.");
    order.evidence = Some(json!({ "answers": [] }));
    assert_eq!(reason(&order), "The time to pay ran out before a payment was started.");
    assert_eq!(reason(&requested(order)), "It was cancelled on request.");
    assert_eq!(reason(&snapshot(OrderStatus::Paid, vec![])), "");
}

#[test]
fn the_time_of_the_evidence_is_that_of_the_last_answer_if_all_say_unpaid() {
    let unpaid = |number: &str, second: i64, state: &str| {
        let answer = json!({ "answer": "not_paid", "state": state });
        json!({ "out_trade_no": number, "asked_at": at(second), "answer": answer })
    };
    let paid = json!({ "out_trade_no": "CB3", "asked_at": at(66), "answer": {
        "answer": "paid", "amount": 1, "trade_no": "T", "paid_at": null } });
    let checked = |answers: serde_json::Value| checked_at(&json!({ "answers": answers }));
    let (first, second) = (unpaid("CB1", 63, "not_exist"), unpaid("CB2", 64, "closed"));
    assert_eq!(checked(json!([first, second])), Some(at(64)));
    assert_eq!(checked(json!([first, paid])), None);
    assert_eq!(checked(json!([])), None);
    assert_eq!(checked_at(&json!({})), None);
    assert_eq!(checked_at(&json!(null)), None);
}
