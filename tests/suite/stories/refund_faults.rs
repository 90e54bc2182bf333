//! The gateway fails in every way it can while money goes back: it goes back once, and the order
//! says so when it is true.

use std::collections::BTreeSet;

use checkback::domain::ids::OutRequestNo;
use checkback::store::{refund_steps, refunds};
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{TestApp, text, wait_within};

const REFUND: &str = "alipay.trade.refund";
const QUERY: &str = "alipay.trade.fastpay.refund.query";
/// Everything has ended within this time, however many calls hung.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(150);

/// Every fault of a call but those below, and how many calls it strikes: those that hang take their
/// time.
const FAULTS: [(&str, u64); 33] = [
    ("timeout_before", 1),
    ("timeout_after", 1),
    ("unknown_before", 3),
    ("unknown_after", 2),
    ("system_error_before", 3),
    ("system_error_after", 2),
    ("aqc_system_error_before", 3),
    ("aqc_system_error_after", 2),
    ("aop_system_error_before", 3),
    ("aop_system_error_after", 2),
    ("http_502", 3),
    ("http_503", 3),
    ("reset", 2),
    ("truncated", 2),
    ("unsigned", 2),
    ("wrong_sign", 2),
    ("other_key", 2),
    ("unknown_cert_sn", 2),
    ("error_response", 2),
    ("signed_error_response", 2),
    ("duplicate_node", 2),
    ("rate_limited", 3),
    ("balance_too_low", 2),
    ("slow", 1),
    ("slow_body", 1),
    ("escaped_slashes", 2),
    ("signed_escaped_slashes", 2),
    ("braces_in_strings", 2),
    ("gbk", 2),
    ("gbk_sub_msg", 2),
    ("extra_fields", 2),
    ("buyer_open_id", 2),
    ("missing_fields", 2),
];

/// Faults that have tests of their own, or say nothing about a trade that is paid.
const ELSEWHERE: [&str; 6] = [
    "no_permission",
    "invalid_auth_token",
    "fund_change_absent",
    "refund_visible_late",
    "paid_before",
    "paid_after",
];

/// Every kind that the simulator has, as it names them to somebody who doesn't know.
async fn kinds_of_the_simulator(app: &TestApp) -> BTreeSet<String> {
    let unknown = json!({ "method": REFUND, "kind": "?" });
    let (status, answer) = app.try_control("faults", unknown).await;
    assert_eq!(status, 400, "{answer}");
    let answer = answer.to_string();
    let (_, expected) = answer.split_once("expected one of").expect("their names");
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_that_a_refund_can_meet_has_its_case() {
    let app = TestApp::start_without_broker().await;
    let mut possible = BTreeSet::new();
    for kind in kinds_of_the_simulator(&app).await {
        for method in [REFUND, QUERY] {
            // It strikes nobody.
            let fault = json!({ "method": method, "kind": kind, "times": 0 });
            let (status, answer) = app.try_control("faults", fault).await;
            match status.as_u16() {
                200 => drop(possible.insert(kind.clone())),
                400 => {}
                _ => panic!("{kind}: {status} {answer}"),
            }
        }
    }
    let cases = FAULTS.iter().map(|(kind, _)| *kind).chain(ELSEWHERE);
    assert_eq!(possible, cases.map(str::to_owned).collect());
    app.clear_faults().await;
    app.finish().await;
}

/// A paid order of two pieces, the number of its trade, and what will go wrong.
struct Case {
    kind: &'static str,
    order: String,
    trade: String,
}

async fn prepare(app: &TestApp, methods: &[&str], (kind, times): (&'static str, u64)) -> Case {
    let (order, trade) = app.place_paid(kind, 2).await;
    for method in methods {
        app.fault_on(&trade, method, kind, Some(times)).await;
    }
    Case { kind, order, trade }
}

/// Asks for a refund of each order, and waits until all have gone back: at no moment does an order
/// say so before the money moved, and none is refunded twice.
async fn refund_all(app: &TestApp, cases: &[Case], amount: Option<i64>) {
    let ends_as = if amount.is_some() { "paid" } else { "refunded" };
    join_all(cases.iter().map(|case| app.refund(&case.order, "r1", amount))).await;
    wait_within(PATIENCE, "all refunds have ended", async || {
        let ended = cases.iter().map(|case| async move {
            let order = app.order(&case.order).await;
            if order["status"] == "refunding" {
                return None;
            }
            assert_eq!(order["status"], ends_as, "{}", case.kind);
            let moved = app.refunds_at_gateway(&case.trade).await.len();
            assert_eq!(moved, 1, "{} says {ends_as}", case.kind);
            Some(())
        });
        join_all(ended).await.iter().all(Option::is_some)
    })
    .await;
    for Case { kind, order, trade } in cases {
        let refunds = app.refunds(order).await;
        assert_eq!(refunds.len(), 1, "{kind}: {refunds:#?}");
        assert_eq!(refunds[0]["status"], "succeeded", "{kind}");
        let number = refunds[0]["out_request_no"].as_str().expect("a number").to_owned();
        let yuan = if amount.is_some() { "0.70" } else { "2.00" };
        let moved = vec![(number, yuan.to_owned())];
        assert_eq!(app.refunds_at_gateway(trade).await, moved, "{kind}");
        let view = app.order(order).await;
        assert_eq!(view["refunded_fen"], amount.unwrap_or(200), "{kind}");
        assert_eq!(view["payments"][0]["refunded_fen"], amount.unwrap_or(200), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_the_request_the_money_goes_back_once() {
    let app = TestApp::start().await;
    let cases = FAULTS.map(|fault| prepare(&app, &[REFUND], fault));
    let cases = join_all(cases).await;
    refund_all(&app, &cases, None).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_the_question_the_money_goes_back_once() {
    let app = TestApp::start().await;
    let cases = FAULTS.map(|fault| prepare(&app, &[QUERY], fault));
    let cases = join_all(cases).await;
    for case in &cases {
        // Else nobody asks.
        app.fault_on(&case.trade, REFUND, "fund_change_absent", None).await;
    }
    refund_all(&app, &cases, Some(70)).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_request_and_question_the_money_goes_back_once() {
    let app = TestApp::start().await;
    let cases = FAULTS.map(|fault| prepare(&app, &[REFUND, QUERY], fault));
    let cases = join_all(cases).await;
    for case in &cases {
        let late = json!({
            "method": QUERY, "kind": "refund_visible_late", "delay_ms": 3_000,
            "out_trade_no": case.trade,
        });
        app.control("faults", late).await;
    }
    refund_all(&app, &cases, None).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_shows_late_is_not_taken_for_one_that_failed() {
    let app = TestApp::start().await;
    let (order, trade) = app.place_paid("k", 1).await;
    app.fault_on(&trade, REFUND, "unknown_after", Some(2)).await;
    let hidden = json!({ "method": QUERY, "kind": "refund_visible_late", "delay_ms": 6_000 });
    app.control("faults", hidden).await;
    app.refund(&order, "r1", None).await;
    let hits = async || app.fault_hits().await;
    wait_within(PATIENCE, "it was asked for again", async || hits().await >= 4).await;
    app.wait_for_refund(&order, "r1", "succeeded").await;
    assert_eq!(app.refunds_at_gateway(&trade).await.len(), 1);
    app.wait_for_status(&order, "refunded").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_that_is_too_low_is_waited_for() {
    let app = TestApp::start().await;
    let (order, trade) = app.place_paid("k", 1).await;
    app.fault_on(&trade, REFUND, "balance_too_low", None).await;
    app.refund(&order, "r1", None).await;
    let alarm = ("balance_too_low".to_owned(), app.app().config.alipay.seller_id.clone());
    wait_within(PATIENCE, "the alarm is open", async || app.open_alarms().await.contains(&alarm))
        .await;
    assert_eq!(app.status(&order).await, "refunding");
    assert_eq!(app.refunds(&order).await[0]["status"], "sending");
    assert!(app.refunds_at_gateway(&trade).await.is_empty());
    app.clear_faults().await;
    app.advance(std::time::Duration::from_mins(1)).await;
    app.wait_for_status(&order, "refunded").await;
    assert!(!app.open_alarms().await.contains(&alarm), "it is over");
    assert_eq!(app.refunds_at_gateway(&trade).await.len(), 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_asked_for_again_four_times_in_half_a_minute() {
    // The distance is one between two refunds: a refund's own repeats come without.
    let spacing = std::time::Duration::from_secs(30);
    let app = TestApp::start_configured(|config| config.refund.spacing = spacing).await;
    let (order, trade) = app.place_paid("k", 1).await;
    app.fault_on(&trade, REFUND, "http_502", None).await;
    let begun = std::time::Instant::now();
    app.refund(&order, "r1", None).await;
    wait_within(PATIENCE, "five requests", async || app.fault_hits().await >= 5).await;
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
    assert_eq!(app.status(&order).await, "refunding");
    app.clear_faults().await;
    app.advance(std::time::Duration::from_mins(1)).await;
    app.wait_for_status(&order, "refunded").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nobody_lived_to_note_the_answer_of_is_in_doubt() {
    let app = TestApp::start().await;
    let (order, trade) = app.place_paid("k", 1).await;
    app.fault_on(&trade, REFUND, "balance_too_low", None).await;
    app.refund(&order, "r1", None).await;
    wait_within(PATIENCE, "the pauses are long", async || app.fault_hits().await >= 4).await;
    let number = text(&app.refunds(&order).await[0], "out_request_no");
    let (store, number) = (&app.app().store, OutRequestNo::from_trusted(number));
    let doubt = async || {
        let found = refunds::find(store, &number).await.expect("read").expect("there");
        found.refund.doubt_since
    };
    wait_within(PATIENCE, "the answer is noted", async || {
        let found = refunds::find(store, &number).await.expect("read").expect("there");
        found.last_answer.is_some()
    })
    .await;
    assert_eq!(doubt().await, None, "a low balance is certain");
    let now = app.app().now();
    assert!(refund_steps::mark_sending(store, &number, now).await.expect("written"));
    assert_eq!(doubt().await, None);
    assert!(refund_steps::mark_sending(store, &number, now).await.expect("written"));
    assert_eq!(doubt().await, Some(now), "its worker died in between");
    app.clear_faults().await;
    app.advance(std::time::Duration::from_mins(1)).await;
    app.wait_for_status(&order, "refunded").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_whose_exchange_hangs_delays_no_other() {
    let app = TestApp::start().await;
    let (hanging, its_trade) = app.place_paid("hangs", 1).await;
    let (order, _) = app.place_paid("k", 1).await;
    app.fault_on(&its_trade, REFUND, "timeout_before", None).await;
    app.refund(&hanging, "r1", None).await;
    wait_within(PATIENCE, "it hangs", async || app.fault_hits().await == 1).await;
    app.refund(&order, "r1", None).await;
    app.wait_for_status(&order, "refunded").await;
    let number = text(&app.refunds(&hanging).await[0], "out_request_no");
    let found = refunds::find(&app.app().store, &OutRequestNo::from_trusted(number)).await;
    let found = found.expect("read").expect("there");
    assert_eq!(found.refund.tries, 1, "its first exchange goes on");
    app.clear_faults().await;
    app.advance(std::time::Duration::from_mins(1)).await;
    app.wait_for_status(&hanging, "refunded").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_by_an_account_that_is_broken_alarms_at_once_and_waits() {
    for kind in ["no_permission", "invalid_auth_token"] {
        let app = TestApp::start().await;
        let (order, trade) = app.place_paid("k", 1).await;
        app.fault_on(&trade, REFUND, kind, Some(1)).await;
        app.refund(&order, "r1", None).await;
        let alarm = ("account_broken".to_owned(), app.app().config.alipay.app_id.clone());
        let told = async || app.open_alarms().await.contains(&alarm);
        wait_within(PATIENCE, "the alarm is open", told).await;
        app.advance(std::time::Duration::from_mins(1)).await;
        app.wait_for_status(&order, "refunded").await;
        assert_eq!(app.refunds_at_gateway(&trade).await.len(), 1, "{kind}");
        app.finish().await;
    }
}
