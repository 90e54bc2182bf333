//! The gateway's bills beside what is recorded: what a bill repairs, what it only lists, and when
//! it is looked at.

use std::time::Duration;

use checkback::alipay::Precreate;
use checkback::domain::bill::BillDay;
use checkback::domain::gateway::PrecreateOutcome;
use checkback::domain::ids::OrderId;
use checkback::domain::money::Fen;
use checkback::domain::refund::{RefundOrder, RefundOutcome};
use checkback::service::reconcile::schedule::reconcile_due;
use checkback::service::reconcile::{Report, When, key_of, reconcile_day};
use checkback::store::bill_days::{self, DayRecord};
use checkback::store::pending;
use serde_json::json;

use crate::support::{TestApp, wait_until};

const DAY: Duration = Duration::from_hours(24);
const BILL: &str = "alipay.data.dataservice.bill.downloadurl.query";

impl TestApp {
    /// At noon of a day in China, so that no test runs over midnight.
    async fn start_at_noon() -> Self {
        let app = Self::start_without_broker().await;
        let noon = app.today().ends_at() + chrono::Duration::hours(12);
        app.advance(noon.signed_duration_since(app.app().now()).to_std().expect("not yet")).await;
        app
    }

    fn today(&self) -> BillDay {
        BillDay::of(self.app().now())
    }

    /// Looks at the bill of a day now.
    async fn reconcile(&self, day: BillDay) -> Report {
        let account = self.app().account();
        let looked = reconcile_day(self.app(), &account, day, When::Now, &|_| {}).await;
        looked.expect("the database").expect("nobody else looks")
    }

    async fn bill_day(&self, day: BillDay) -> Option<DayRecord> {
        let key = key_of(&self.app().account(), day);
        bill_days::find(&self.app().store, &key).await.expect("the database")
    }

    /// To eleven o'clock in China, after the daily look, on a day that is over then.
    async fn until_after_the_look(&self, day: BillDay) {
        let at = day.ends_at() + chrono::Duration::hours(11);
        let left = at.signed_duration_since(self.app().now()).to_std().expect("not yet");
        self.advance(left).await;
    }

    /// A trade of somebody else's, or of a system that uses our prefix.
    async fn paid_by_others(&self, number: &str) {
        let total = Fen::new(100).expect("an amount");
        let now = self.app().now();
        let time_expire = now + chrono::Duration::minutes(5);
        let trade = Precreate { out_trade_no: number, total, subject: "茶, \"好\"", time_expire };
        let gateway = &self.app().gateways[0];
        let made = gateway.precreate(&trade, now).await;
        assert!(matches!(made, PrecreateOutcome::QrCode(_)), "{made:?}");
        self.buyer_pays(number).await;
    }

    /// Gives money back as the merchant's console does: under a number of its own.
    async fn refund_by_hand(&self, out_trade_no: &str, number: &str, fen: i64) {
        let amount = Fen::new(fen).expect("an amount");
        let refund = RefundOrder { out_trade_no, out_request_no: number, amount, reason: "" };
        let moved = self.app().gateways[0].refund(&refund, self.app().now()).await;
        assert_eq!(moved, RefundOutcome::Moved);
    }

    async fn bill_fault(&self, kind: &str, out_trade_no: &str) {
        let fault = json!({ "method": BILL, "kind": kind, "out_trade_no": out_trade_no });
        self.control("faults", fault).await;
    }

    fn bill_subject(&self, day: BillDay) -> String {
        let account = self.app().account();
        format!("{} {} {day}", account.app_id, account.seller_id)
    }
}

fn kinds(report: &Report) -> Vec<&str> {
    report.differences.iter().map(|difference| difference.kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_on_which_everything_is_recorded_is_clean_and_foreign_lines_are_only_counted() {
    let app = TestApp::start_at_noon().await;
    let day = app.today();
    let (order, _) = app.place_paid("clean", 3).await;
    let body = json!({ "request_no": "r1", "amount_fen": 120, "reason": "broken" });
    assert_eq!(app.try_refund(&order, body).await.0, 202);
    wait_until("the refund", async || {
        app.refunds(&order).await.iter().any(|refund| refund["status"] == "succeeded")
    })
    .await;
    app.paid_by_others("XY1").await;
    app.until_after_the_look(day).await;
    let report = app.reconcile(day).await;
    assert_eq!((report.state, report.problem.as_deref()), ("clean", None), "{report:#?}");
    assert_eq!((report.lines, report.lines_of_others, report.repaired), (2, 1, 0));
    let record = app.bill_day(day).await.expect("a row");
    assert_eq!((record.looks, record.lines_ours, record.lines_others), (1, 2, 1));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_nobody_was_told_of_is_recorded_by_its_bill() {
    let app = TestApp::start_at_noon().await;
    let day = app.today();
    let order = app.place("lost").await;
    let number = app.start_payment(&order).await;
    app.scan(&number).await;
    assert_eq!(app.cancel(&order).await.0, 200);
    app.advance(Duration::from_mins(10)).await;
    let id = OrderId::from_trusted(order.as_str());
    wait_until("nobody asks about the attempt any more", async || {
        pending::of_order(&app.app().store, &id).await.expect("the database").is_empty()
    })
    .await;
    app.fault("notify", "drop").await;
    app.control("pay", json!({ "out_trade_no": number, "force": true })).await;
    app.paid_by_others("CB99").await;
    app.until_after_the_look(day).await;
    let report = app.reconcile(day).await;
    assert_eq!((report.state, report.repaired), ("clean", 2), "{report:#?}");
    app.assert_alarm("orphan_payment", "CB99").await;
    app.wait_until_given_back(&order, &number, "late").await;
    assert_eq!(app.reconcile(day).await.repaired, 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_by_the_merchants_console_is_found_on_the_bill() {
    let app = TestApp::start_at_noon().await;
    let day = app.today();
    let (order, number) = app.place_paid("console", 3).await;
    app.fault("notify", "drop").await;
    app.refund_by_hand(&number, "HAND1", 50).await;
    app.until_after_the_look(day).await;
    let report = app.reconcile(day).await;
    assert_eq!((report.state, report.repaired), ("clean", 1), "{report:#?}");
    app.assert_alarm("returned_elsewhere", &number).await;
    assert_eq!(app.order(&order).await["refunded_fen"], 50);
    let again = app.reconcile(day).await;
    assert_eq!((again.state, again.repaired), ("clean", 0), "{again:#?}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_listed_with_an_alarm_until_a_look_finds_it_no_more() {
    let app = TestApp::start_at_noon().await;
    let day = app.today();
    let (order, wrong) = app.place_paid("wrong", 1).await;
    let (_, missing) = app.place_paid("missing", 1).await;
    app.bill_fault("bill_wrong_amount", &wrong).await;
    app.bill_fault("bill_line_missing", &missing).await;
    app.until_after_the_look(day).await;
    let report = app.reconcile(day).await;
    assert_eq!(report.state, "differences");
    assert_eq!(kinds(&report), ["amount", "not_billed"], "{report:#?}");
    assert_eq!(report.differences[0].out_trade_no, wrong);
    assert_eq!(report.differences[1].out_trade_no, missing);
    app.assert_alarm("bill_differences", &app.bill_subject(day)).await;
    assert_eq!(app.status(&order).await, "paid");
    app.clear_faults().await;
    assert_eq!(app.reconcile(day).await.state, "clean");
    assert!(app.open_alarms().await.is_empty());
    let record = app.bill_day(day).await.expect("a row");
    assert_eq!((record.looks, record.differences), (2, 0));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bill_that_cannot_be_had_or_read_leaves_the_day_pending() {
    let app = TestApp::start_at_noon().await;
    let day = app.today();
    app.place_paid("later", 1).await;
    app.until_after_the_look(day).await;
    for kind in ["bill_truncated", "unknown_before", "wrong_sign"] {
        app.control("faults", json!({ "method": BILL, "kind": kind })).await;
        let report = app.reconcile(day).await;
        assert_eq!(report.state, "pending", "{kind}: {report:#?}");
        assert!(report.problem.is_some(), "{kind}");
        app.clear_faults().await;
    }
    assert!(app.open_alarms().await.is_empty(), "an outage of an hour is no alarm");
    app.control("faults", json!({ "method": BILL, "kind": "bill_extra_column" })).await;
    assert_eq!(app.reconcile(day).await.state, "clean");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_without_a_bill_is_clean_if_nothing_happened_and_missing_if_money_came() {
    let app = TestApp::start_at_noon().await;
    let day = app.today();
    app.place_paid("missing", 1).await;
    // The gateway's day is one behind ours: it has no bill of today yet.
    let ours = day.ends_at() + chrono::Duration::minutes(1);
    let left = ours.signed_duration_since(app.app().now());
    app.clock.advance(left);
    let report = app.reconcile(day).await;
    assert_eq!(report.state, "missing", "{report:#?}");
    app.assert_alarm("bill_missing", &app.bill_subject(day)).await;
    let quiet = app.reconcile(day.plus_days(-1)).await;
    assert_eq!((quiet.state, quiet.lines), ("clean", 0), "{quiet:#?}");
    let gateway = u64::try_from(left.num_milliseconds()).expect("not yet");
    app.control("clock", json!({ "advance_ms": gateway })).await;
    assert_eq!(app.reconcile(day).await.state, "clean");
    assert!(app.open_alarms().await.is_empty());
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bill_that_cannot_be_had_for_a_day_and_a_half_is_missing() {
    let app = TestApp::start_at_noon().await;
    let day = app.today();
    app.place_paid("later", 1).await;
    app.fault(BILL, "unknown_before").await;
    let last = day.ends_at() + chrono::Duration::hours(36) - chrono::Duration::minutes(1);
    app.advance(last.signed_duration_since(app.app().now()).to_std().expect("not yet")).await;
    assert_eq!(app.reconcile(day).await.state, "pending");
    assert!(app.open_alarms().await.is_empty(), "a minute is left");
    app.advance(Duration::from_mins(1)).await;
    let report = app.reconcile(day).await;
    assert_eq!(report.state, "pending", "it is asked for again: {report:#?}");
    app.assert_alarm("bill_missing", &app.bill_subject(day)).await;
    let record = app.bill_day(day).await.expect("a row");
    assert!(record.next_look_at.is_some(), "{record:?}");
    app.clear_faults().await;
    assert_eq!(app.reconcile(day).await.state, "clean");
    assert!(app.open_alarms().await.is_empty(), "it came after all");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missed_days_are_caught_up_and_each_is_looked_at_again_two_days_later() {
    let app = TestApp::start_at_noon().await;
    let day = app.today();
    app.place_paid("first", 1).await;
    app.until_after_the_look(day.plus_days(2)).await;
    assert_eq!(reconcile_due(app.app()).await.expect("the database"), 3);
    for back in 0..3 {
        let record = app.bill_day(day.plus_days(back)).await.expect("a row");
        assert_eq!((record.state.as_str(), record.looks), ("clean", 1));
    }
    assert_eq!(app.bill_day(day.plus_days(-1)).await, None);
    assert_eq!(reconcile_due(app.app()).await.expect("the database"), 0);
    app.advance(2 * DAY).await;
    // Two new days, and the second look at the three.
    let mut looked_at = 0;
    wait_until("all are looked at", async || {
        looked_at += reconcile_due(app.app()).await.expect("the database");
        looked_at == 5
    })
    .await;
    let first = app.bill_day(day).await.expect("a row");
    assert_eq!((first.looks, first.next_look_at), (2, None), "a clean day is done");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_instances_one_looks_at_a_day() {
    let app = TestApp::start_at_noon().await;
    let day = app.today();
    app.place_paid("once", 1).await;
    app.until_after_the_look(day).await;
    let looks = (0..4).map(|_| reconcile_due(app.app()));
    let looked = futures_util::future::join_all(looks).await;
    let looked: usize = looked.into_iter().map(|looked| looked.expect("the database")).sum();
    assert_eq!(looked, 1);
    assert_eq!(app.bill_day(day).await.map(|record| record.looks), Some(1));
    app.finish().await;
}
