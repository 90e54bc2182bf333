//! Refunds that the gateway refuses for good, and refunds that somebody else makes.

use std::time::Duration;

use serde_json::json;

use crate::support::{TestApp, notification, text, wait_until};

const REFUND: &str = "alipay.trade.refund";
/// Past the time in which a refund may not show yet, and the pauses between tries.
const A_WHILE: Duration = Duration::from_mins(1);
/// Past the window in which the gateway refunds.
const A_YEAR: Duration = Duration::from_hours(366 * 24);

/// The notification of somebody else's refund, as the gateway sends it.
pub(super) fn refund_notification(
    trade: &str,
    id: &str,
    total: &str,
    number: &str,
    refunded: &str,
) -> String {
    let state = if total == refunded { "TRADE_CLOSED" } else { "TRADE_SUCCESS" };
    notification(
        trade,
        &[
            ("notify_id", id),
            ("trade_status", state),
            ("total_amount", total),
            ("refund_fee", refunded),
            ("out_biz_no", number),
            ("gmt_refund", "2026-01-01 12:00:00.123"),
        ],
    )
}

pub(super) async fn is_alarmed(app: &TestApp, kind: &str, subject: &str) -> bool {
    app.open_alarms().await.contains(&(kind.to_owned(), subject.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_shown_retried_and_paid_by_other_means() {
    let app = TestApp::start().await;
    let (order, trade) = app.place_paid("k", 2).await;
    app.advance(A_YEAR).await;
    app.refund(&order, "r1", None).await;
    let refused = app.wait_for_refund(&order, "r1", "refused").await;
    let why = text(&refused, "refused_because");
    assert!(why.contains("TRADE_HAS_FINISHED"), "{why}");
    assert_eq!(app.status(&order).await, "paid");
    let number = text(&refused, "out_request_no");
    app.assert_alarm("refund_refused", &number).await;
    assert_eq!(text(&app.event(&order, "refund_refused").await, "to"), "paid");

    let (status, answer) = app.decide(&format!("refunds/{number}/retry"), json!({})).await;
    assert_eq!(status, 202, "{answer}");
    app.event(&order, "refund_retried").await;
    wait_until("it is refused again", async || {
        let events = app.events(&order).await;
        events.iter().filter(|event| event["cause"] == "refund_refused").count() == 2
    })
    .await;
    assert_eq!(app.status(&order).await, "paid");
    app.assert_alarm("refund_refused", &number).await;

    let path = format!("refunds/{number}/paid-elsewhere");
    let (status, answer) = app.decide(&path, json!({ "reference": "bank 4711" })).await;
    assert_eq!(status, 204, "{answer}");
    assert_eq!(app.status(&order).await, "refunded");
    let refund = &app.refunds(&order).await[0];
    assert_eq!(
        (&refund["status"], &refund["paid_elsewhere"]),
        (&json!("succeeded"), &json!("bank 4711"))
    );
    assert!(!is_alarmed(&app, "refund_refused", &number).await);
    assert_eq!(app.decide(&path, json!({ "reference": "again" })).await.0, 409);
    assert_eq!(app.decide(&format!("refunds/{number}/retry"), json!({})).await.0, 409);
    assert!(app.refunds_at_gateway(&trade).await.is_empty());
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_and_a_payment_by_other_means_at_once_are_one_of_both() {
    let app = TestApp::start().await;
    let (order, _) = app.place_paid("k", 1).await;
    app.advance(A_YEAR).await;
    app.refund(&order, "r1", None).await;
    let refused = app.wait_for_refund(&order, "r1", "refused").await;
    let number = text(&refused, "out_request_no");
    let (retry, by_hand) =
        (format!("refunds/{number}/retry"), format!("refunds/{number}/paid-elsewhere"));
    let (retried, paid) = tokio::join!(
        app.decide(&retry, json!({})),
        app.decide(&by_hand, json!({ "reference": "bank" }))
    );
    // A retry that was quick is refused again before the other is looked at.
    let either = [(202, 409), (409, 204), (202, 204)];
    assert!(either.contains(&(retried.0, paid.0)), "{retried:?} {paid:?}");
    if paid.0 != 204 {
        app.wait_for_refund(&order, "r1", "refused").await;
    }
    let refunded = app.order(&order).await["refunded_fen"].clone();
    assert!(refunded == 0 || refunded == 100, "{refunded}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_refund_made_elsewhere_is_recorded_and_alarmed() {
    let app = TestApp::start().await;
    let (order, trade) = app.place_paid("k", 3).await;
    app.give_back_elsewhere(&trade, "CONSOLE-1", 120).await;
    wait_until("it is recorded", async || app.order(&order).await["refunded_fen"] == 120).await;
    assert_eq!(app.status(&order).await, "paid");
    app.assert_alarm("returned_elsewhere", &trade).await;
    app.event(&order, "refunded").await;
    let refunds = app.refunds(&order).await;
    assert_eq!(
        (&refunds[0]["cause"], &refunds[0]["status"]),
        (&json!("elsewhere"), &json!("succeeded"))
    );
    app.give_back_elsewhere(&trade, "CONSOLE-2", 30).await;
    wait_until("the other, too", async || app.order(&order).await["refunded_fen"] == 150).await;
    app.refund(&order, "r1", None).await;
    app.wait_for_status(&order, "refunded").await;
    let moved: Vec<_> = app.refunds_at_gateway(&trade).await.into_iter().map(|one| one.1).collect();
    assert_eq!(moved, ["1.20", "0.30", "1.50"]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_refund_made_elsewhere_is_found_by_its_notification_and_by_the_query() {
    for loses_number in [false, true] {
        let app = TestApp::start().await;
        let (order, trade) = app.place_paid("k", 2).await;
        if loses_number {
            app.fault("notify", "drop").await;
        }
        app.give_back_elsewhere(&trade, "CONSOLE-1", 200).await;
        if loses_number {
            // Without a number of the refund only the trade's state tells.
            let told = [
                ("notify_id", "n2"),
                ("trade_status", "TRADE_CLOSED"),
                ("total_amount", "2.00"),
                ("refund_fee", "2.00"),
            ];
            assert_eq!(app.notify(notification(&trade, &told)).await.0, 200);
        }
        app.wait_for_status(&order, "refunded").await;
        app.assert_alarm("returned_elsewhere", &trade).await;
        let event = app.event(&order, "refunded").await;
        assert_eq!(text(&event, "from"), "refunding");
        assert_eq!(app.order(&order).await["payments"][0]["refunded_fen"], 200);
        app.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refund_notifications_are_never_taken_for_payments() {
    let app = TestApp::start().await;
    app.fault("notify", "refund_as_success").await;
    app.fault("notify", "duplicate").await;
    let (order, trade) = app.place_paid("k", 3).await;
    app.refund(&order, "r1", Some(100)).await;
    app.wait_for_refund(&order, "r1", "succeeded").await;
    app.refund(&order, "r2", None).await;
    app.wait_for_status(&order, "refunded").await;
    wait_until("all notifications are answered", async || {
        let trade = app.trade(&trade).await;
        let told = trade["notifications"].as_array().expect("a list").clone();
        told.len() >= 3 && told.iter().all(|one| one["answered"] == "success")
    })
    .await;
    assert_eq!(app.status(&order).await, "refunded");
    assert_eq!(app.refunds(&order).await.len(), 2);
    let events = app.events(&order).await;
    assert_eq!(events.iter().filter(|event| event["cause"] == "paid").count(), 1);
    let open = app.open_alarms().await;
    assert!(!open.iter().any(|(_, subject)| *subject == trade), "{open:?}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_is_told_of_before_its_payment_is_recorded_with_it() {
    let app = TestApp::start().await;
    app.fault("notify", "drop").await;
    let order = app.place("k").await;
    let trade = app.start_payment(&order).await;
    app.fault("alipay.trade.query", "http_502").await;
    app.buyer_pays(&trade).await;
    app.give_back_elsewhere(&trade, "CONSOLE-1", 40).await;
    let told = refund_notification(&trade, "n2", "1.00", "CONSOLE-1", "0.40");
    let (status, _) = app.notify(told.clone()).await;
    assert_ne!(status, 200, "nothing certain is known yet");
    app.clear_faults().await;
    app.fault("notify", "drop").await;
    assert_eq!(app.notify(told).await, (200, "success".to_owned()));
    let view = app.order(&order).await;
    assert_eq!((&view["status"], &view["refunded_fen"]), (&json!("paid"), &json!(40)));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_full_refund_ends_ours_that_is_under_way() {
    let app = TestApp::start().await;
    let (order, trade) = app.place_paid("k", 3).await;
    app.fault("notify", "drop").await;
    app.give_back_elsewhere(&trade, "CONSOLE-1", 300).await;
    app.fault_on(&trade, REFUND, "unknown_before", None).await;
    app.refund(&order, "r1", Some(100)).await;
    let told = refund_notification(&trade, "n2", "3.00", "CONSOLE-1", "3.00");
    assert_ne!(app.notify(told.clone()).await.0, 200, "it must come again");
    app.assert_alarm("returned_elsewhere", &trade).await;
    assert_eq!(app.status(&order).await, "refunding");
    app.clear_faults().await;
    app.fault("notify", "drop").await;
    app.advance(A_WHILE).await;
    app.wait_for_refund(&order, "r1", "refused").await;
    // The trade is looked at once more, also if nobody tells of it again.
    app.wait_for_status(&order, "refunded").await;
    assert_eq!(app.notify(told).await, (200, "success".to_owned()));
    assert_eq!(app.order(&order).await["refunded_fen"], 300);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_partial_refund_leaves_too_little_for_ours() {
    let app = TestApp::start().await;
    let (order, trade) = app.place_paid("k", 3).await;
    app.fault("notify", "drop").await;
    app.give_back_elsewhere(&trade, "CONSOLE-1", 250).await;
    app.refund(&order, "r1", Some(100)).await;
    let told = refund_notification(&trade, "n2", "3.00", "CONSOLE-1", "2.50");
    app.advance(A_WHILE).await;
    let refused = app.wait_for_refund(&order, "r1", "refused").await;
    assert!(text(&refused, "refused_because").contains("REFUND_FEE_ERR"), "{refused}");
    assert_eq!(app.notify(told).await, (200, "success".to_owned()));
    let view = app.order(&order).await;
    assert_eq!((&view["status"], &view["refunded_fen"]), (&json!("paid"), &json!(250)));
    let number = text(&refused, "out_request_no");
    let (status, problem) = app.decide(&format!("refunds/{number}/retry"), json!({})).await;
    assert_eq!((status, text(&problem, "code")), (409, "more_than_left".to_owned()));
    app.refund(&order, "r2", None).await;
    app.wait_for_status(&order, "refunded").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_refund_keeps_no_pieces_and_gets_none_that_are_gone() {
    let app = TestApp::start().await;
    let (order, _) = app.place_paid("k", 3).await;
    app.advance(A_YEAR).await;
    let mut numbers = Vec::new();
    for request_no in ["r1", "r2"] {
        let body = json!({
            "request_no": request_no, "amount_fen": 50, "reason": "broken",
            "items": [{ "sku_id": "tea", "quantity": 2 }],
        });
        let (status, answer) = app.try_refund(&order, body).await;
        assert_eq!(status, 202, "{answer}");
        app.wait_for_refund(&order, request_no, "refused").await;
        numbers.push(text(&answer, "out_request_no"));
    }
    let by_hand = |number: &str| format!("refunds/{number}/paid-elsewhere");
    let reference = json!({ "reference": "bank" });
    assert_eq!(app.decide(&by_hand(&numbers[0]), reference.clone()).await.0, 204);
    for path in [by_hand(&numbers[1]), format!("refunds/{}/retry", numbers[1])] {
        let body = if path.ends_with("retry") { json!({}) } else { reference.clone() };
        let (status, problem) = app.decide(&path, body).await;
        assert_eq!((status, text(&problem, "code")), (409, "items_not_left".to_owned()));
    }
    assert_eq!(app.order(&order).await["refunded_fen"], 50);
    app.finish().await;
}
