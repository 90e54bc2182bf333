//! Accounts at the gateway: one that gives way to another keeps its trades, one that is gone is
//! missed, and one that is broken is told of at once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use alipay_simulator::{DEFAULT_APP_ID, Settings, Simulator, development_keys};
use checkback::alipay::keys;
use checkback::config::{Account, Config};
use checkback::domain::bill::BillDay;
use checkback::service::reconcile::{When, reconcile_day};
use reqwest::Client;
use serde_json::{Value, json};

use crate::support::accounts::{move_to, write};
use crate::support::{TestApp, json_of, text, wait_until};

const NEXT_APP_ID: &str = "2021000000000002";
const NEXT_SELLER_ID: &str = "2088000000000002";

/// Another account, at a gateway of its own with keys of its own.
struct NextAccount {
    gateway: Simulator,
    app_private_key: String,
    client: Client,
}

impl NextAccount {
    async fn open() -> Self {
        let app = keys::generate().expect("keys");
        let gateway = alipay_simulator::start(Settings {
            app_id: NEXT_APP_ID.to_owned(),
            seller_id: NEXT_SELLER_ID.to_owned(),
            app_public_key_pem: app.public_pem,
            // The key of the fault `other_key`.
            private_key_pem: include_str!("../../../alipay-simulator/keys/other_private_key.pem")
                .to_owned(),
            ..Settings::default()
        });
        Self {
            gateway: gateway.await.expect("a second simulator"),
            app_private_key: app.private_pem,
            client: Client::builder().no_proxy().build().expect("a client"),
        }
    }

    fn configured(&self, dir: &Path) -> Account {
        let file = |name: &str, text: &str| -> PathBuf { write(dir, name, text) };
        Account {
            gateway_url: self.gateway.gateway_url(),
            app_id: NEXT_APP_ID.to_owned(),
            seller_id: NEXT_SELLER_ID.to_owned(),
            private_key_file: file("next-app.pem", &self.app_private_key),
            alipay_public_key_file: Some(file("next.pem", development_keys::OTHER_PUBLIC_KEY)),
            next_alipay_public_key_file: None,
            app_cert_file: None,
            alipay_cert_file: None,
            next_alipay_cert_file: None,
            alipay_root_cert_file: None,
        }
    }

    async fn buyer_pays(&self, number: &str) {
        let url = format!("http://{}/_ctl/pay", self.gateway.address());
        let pay = json!({ "out_trade_no": number });
        json_of(self.client.post(url).json(&pay).send().await.expect("an answer")).await;
    }

    async fn trades(&self) -> Vec<Value> {
        let url = format!("http://{}/_ctl/trades", self.gateway.address());
        let trades = json_of(self.client.get(url).send().await.expect("an answer")).await;
        trades.as_array().expect("a list").clone()
    }
}

async fn wait_until_told(app: &TestApp) {
    let alarm = ("account_broken".to_owned(), DEFAULT_APP_ID.to_owned());
    wait_until("the alarm is open", async || app.open_alarms().await.contains(&alarm)).await;
}

async fn start(app: &TestApp, key: &str) -> (String, String) {
    let order = app.place(key).await;
    let number = app.start_payment(&order).await;
    (order, number)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_asked_closed_and_notified_with_the_account_that_made_it() {
    let mut app = TestApp::start().await;
    let next = NextAccount::open().await;
    let (notified, notified_number) = start(&app, "notified").await;
    let (queried, queried_number) = start(&app, "queried").await;
    let (closed, closed_number) = start(&app, "closed").await;
    app.restart(|config, dir| move_to(config, &next.configured(dir))).await;

    app.buyer_pays(&notified_number).await;
    app.wait_for_status(&notified, "paid").await;
    wait_until("its notification was taken", async || {
        app.trade(&notified_number).await["notifications"][0]["answered"] == "success"
    })
    .await;
    app.fault("notify", "drop").await;
    app.buyer_pays(&queried_number).await;
    app.wait_for_status(&queried, "paid").await;
    app.scan(&closed_number).await;
    assert_eq!(app.cancel(&closed).await.0, 200);
    assert_eq!(app.trade(&closed_number).await["state"], "TRADE_CLOSED");

    // What is new belongs to the next account, and nothing of it reaches the one before.
    assert!(next.trades().await.is_empty());
    let (new, number) = start(&app, "new").await;
    next.buyer_pays(&number).await;
    app.wait_for_status(&new, "paid").await;
    let made: Vec<_> = next.trades().await.iter().map(|one| text(one, "out_trade_no")).collect();
    assert_eq!(made, [number.as_str()]);
    assert!(app.open_alarms().await.is_empty());
    // It stands in the books of the other gateway.
    app.only_notified(&number);
    app.finish().await;
    next.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_counts_only_with_the_keys_of_the_account_it_names() {
    let mut app = TestApp::start().await;
    let next = NextAccount::open().await;
    let (order, number) = start(&app, "k").await;
    app.restart(|config, dir| move_to(config, &next.configured(dir))).await;
    app.fault("alipay.trade.query", "http_502").await;
    // Right for the account before, signed with its key: it is taken. Under the name of the next
    // account the same key has no say.
    let named_next = [("app_id", NEXT_APP_ID), ("seller_id", NEXT_SELLER_ID)];
    let (status, body) = app.notify(crate::support::notification(&number, &named_next)).await;
    assert_eq!(status, 400, "{body}");
    assert_eq!(app.status(&order).await, "awaiting_payment");
    let paid = crate::support::notification(&number, &[("notify_id", "n2")]);
    let (status, body) = app.notify(paid).await;
    assert_eq!((status, body.as_str()), (200, "success"));
    assert_eq!(app.status(&order).await, "paid");
    app.clear_faults().await;
    app.buyer_pays(&number).await;
    app.finish().await;
    next.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_whose_account_is_gone_cancels_nothing_and_opens_an_alarm() {
    let mut app = TestApp::start().await;
    let next = NextAccount::open().await;
    let (order, number) = start(&app, "k").await;
    app.fault("notify", "drop").await;
    let mut gone = None;
    app.restart(|config: &mut Config, dir| {
        move_to(config, &next.configured(dir));
        gone = config.alipay.previous.pop();
    })
    .await;
    app.buyer_pays(&number).await;
    app.advance_past_window().await;
    assert_eq!(app.cancel(&order).await.0, 202);
    app.assert_alarm("account_unknown", &number).await;
    assert_eq!(app.status(&order).await, "awaiting_payment");
    app.restart(|config, _| config.alipay.previous.extend(gone)).await;
    app.advance_past_window().await;
    app.wait_for_status(&order, "paid").await;
    app.finish().await;
    next.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_may_not_call_is_alarmed_at_the_first_call_of_any_kind() {
    for (method, kind) in [
        ("alipay.trade.precreate", "precreate"),
        ("alipay.trade.query", "query"),
        ("alipay.trade.close", "close"),
    ] {
        let app = TestApp::start().await;
        let order = app.place("k").await;
        if kind == "precreate" {
            app.fault(method, "no_permission").await;
            let (status, problem) = app.try_pay(&order, json!({ "channel": "alipay" })).await;
            assert!(status.is_server_error() || status.is_client_error(), "{problem}");
        } else {
            let number = app.start_payment(&order).await;
            app.scan(&number).await;
            app.fault(method, "no_permission").await;
            assert_eq!(app.cancel(&order).await.0, 202, "{kind}");
        }
        app.assert_alarm("account_broken", DEFAULT_APP_ID).await;
        assert_eq!(app.status(&order).await, "awaiting_payment", "{kind}");
        app.clear_faults().await;
        app.advance_past_window().await;
        app.wait_for_status(&order, "cancelled").await;
        app.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_may_not_refund_is_alarmed_at_the_first_call() {
    let app = TestApp::start().await;
    let (order, number) = app.place_paid("k", 1).await;
    app.fault_on(&number, "alipay.trade.refund", "no_permission", Some(1)).await;
    app.refund(&order, "r1", None).await;
    wait_until_told(&app).await;
    assert_eq!(app.status(&order).await, "refunding");
    assert!(app.refunds_at_gateway(&number).await.is_empty());
    app.advance(Duration::from_mins(1)).await;
    app.wait_for_status(&order, "refunded").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_may_not_ask_for_a_refund_is_alarmed_at_the_first_call() {
    let app = TestApp::start().await;
    let (order, number) = app.place_paid("k", 1).await;
    // Else nobody asks.
    app.fault_on(&number, "alipay.trade.refund", "unknown_after", Some(1)).await;
    let question = "alipay.trade.fastpay.refund.query";
    app.fault_on(&number, question, "no_permission", Some(1)).await;
    app.refund(&order, "r1", None).await;
    wait_until_told(&app).await;
    app.advance(Duration::from_mins(1)).await;
    app.wait_for_status(&order, "refunded").await;
    assert_eq!(app.refunds_at_gateway(&number).await.len(), 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_may_not_fetch_its_bill_is_alarmed_at_the_first_call() {
    let app = TestApp::start_without_broker().await;
    app.fault("alipay.data.dataservice.bill.downloadurl.query", "no_permission").await;
    let day = BillDay::of(app.app().now()).plus_days(-1);
    let account = app.app().account();
    let looked = reconcile_day(app.app(), &account, day, When::Now, &|_| {}).await;
    let report = looked.expect("the database").expect("nobody else looks");
    assert_eq!(report.state, "pending", "{report:#?}");
    app.assert_alarm("account_broken", DEFAULT_APP_ID).await;
    app.clear_faults().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replacing_an_attempt_tells_of_a_broken_account_too() {
    let app = TestApp::start().await;
    let (order, number) = start(&app, "k").await;
    app.scan(&number).await;
    app.fault("alipay.trade.close", "no_permission").await;
    let (status, payment) = app.try_pay(&order, json!({ "channel": "alipay", "new": true })).await;
    assert_eq!(status, 201, "{payment}");
    app.assert_alarm("account_broken", DEFAULT_APP_ID).await;
    app.clear_faults().await;
    app.buyer_pays(&text(&payment, "out_trade_no")).await;
    app.wait_for_status(&order, "paid").await;
    app.finish().await;
}

/// A trade that a gateway knew and denies now: nothing is cancelled on that.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_forgot_everything_cancels_nothing() {
    let mut app = TestApp::start().await;
    let (order, number) = start(&app, "k").await;
    app.scan(&number).await;
    wait_until("the trade was seen", async || {
        app.order(&order).await["payments"][0]["status"] == "waiting"
    })
    .await;
    // The same account at another address, which never heard of the trade.
    let empty = alipay_simulator::start(Settings::default()).await.expect("a second simulator");
    let right = app.app().config.alipay.gateway_url.clone();
    app.restart(|config, _| config.alipay.gateway_url = empty.gateway_url()).await;
    app.advance_past_window().await;
    wait_until("the contradiction is noticed", async || {
        app.open_alarms().await.contains(&("trade_vanished".to_owned(), number.clone()))
    })
    .await;
    assert_eq!(app.cancel(&order).await.0, 202);
    assert_eq!(app.status(&order).await, "awaiting_payment");
    app.restart(|config, _| config.alipay.gateway_url = right).await;
    app.buyer_pays_late(&number).await;
    app.wait_for_status(&order, "paid").await;
    app.finish().await;
    empty.shutdown().await;
}

impl TestApp {
    /// The buyer confirms what was on its way when the trade expired.
    async fn buyer_pays_late(&self, number: &str) {
        self.control("pay", json!({ "out_trade_no": number, "force": true })).await;
    }
}
