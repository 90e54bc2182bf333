//! Money that goes back.

use std::time::Duration;

use checkback::domain::money::Fen;
use checkback::domain::refund::{RefundOrder, RefundOutcome};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{TestApp, answer_of, json_of, text, wait_until, wait_within};

/// A refund that meets hanging calls ends within this time, also on a busy machine.
const REFUND_PATIENCE: Duration = Duration::from_mins(2);

impl TestApp {
    /// Has calls about one trade fail; so many of them, or all.
    pub(crate) async fn fault_on(&self, no: &str, method: &str, kind: &str, times: Option<u64>) {
        let fault = json!({ "method": method, "kind": kind, "times": times, "out_trade_no": no });
        self.control("faults", fault).await;
    }

    /// How many calls the faults in force have struck.
    pub(crate) async fn fault_hits(&self) -> u64 {
        let url = format!("{}/_ctl/faults", self.simulator);
        let faults = json_of(self.client.get(url).send().await.expect("an answer")).await;
        let faults = faults.as_array().expect("a list");
        faults.iter().filter_map(|fault| fault["hits"].as_u64()).sum()
    }

    /// Asks for a refund of so much, which must be accepted; without an amount of all.
    pub(crate) async fn refund(&self, order_id: &str, request_no: &str, amount_fen: Option<i64>) {
        let body =
            json!({ "request_no": request_no, "amount_fen": amount_fen, "reason": "broken" });
        let (status, answer) = self.try_refund(order_id, body).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    }

    /// Waits until the refund under this number has this status.
    pub(crate) async fn wait_for_refund(&self, order: &str, request_no: &str, is: &str) -> Value {
        let mut found = Value::Null;
        wait_within(REFUND_PATIENCE, &format!("{request_no} is {is}"), async || {
            let refunds = self.refunds(order).await;
            let refund = refunds.into_iter().find(|refund| refund["request_no"] == request_no);
            found = refund.unwrap_or_default();
            found["status"] == is
        })
        .await;
        found
    }

    /// The refunds that the gateway has of a trade: number and yuan.
    pub(crate) async fn refunds_at_gateway(&self, out_trade_no: &str) -> Vec<(String, String)> {
        let trade = self.trade(out_trade_no).await;
        let refunds = trade["refunds"].as_array().expect("a list");
        refunds.iter().map(|one| (text(one, "out_request_no"), text(one, "amount"))).collect()
    }

    /// Somebody gives money back at the gateway's own console.
    pub(crate) async fn give_back_elsewhere(&self, no: &str, number: &str, fen: i64) {
        let refund = RefundOrder {
            out_trade_no: no,
            out_request_no: number,
            amount: Fen::new(fen).expect("an amount"),
            reason: "",
        };
        let app = self.app();
        let moved = app.gateways[0].refund(&refund, app.now()).await;
        assert_eq!(moved, RefundOutcome::Moved);
    }

    /// An operator decides; the answer's status and body.
    pub(crate) async fn decide(&self, path: &str, body: Value) -> (u16, Value) {
        let request = self.post(&format!("/v1/admin/{path}"), &body);
        let (status, answer) = answer_of(request.send().await.expect("an answer")).await;
        (status.as_u16(), answer)
    }

    /// A line of `/metrics`, as a number.
    pub(crate) async fn metric(&self, line: &str) -> u64 {
        let body = self.get("/metrics").send().await.expect("metrics").text().await;
        let body = body.expect("a text");
        let found = body.lines().find_map(|one| one.strip_prefix(line));
        found.map_or(0, |value| value.trim().parse().expect("a count"))
    }

    /// Asks for a refund.
    pub(crate) async fn try_refund(&self, order_id: &str, body: Value) -> (StatusCode, Value) {
        let request = self.post(&format!("/v1/orders/{order_id}/refunds"), &body);
        answer_of(request.send().await.expect("an answer")).await
    }

    /// The refunds of an order, oldest first.
    pub(crate) async fn refunds(&self, order_id: &str) -> Vec<Value> {
        let response = self.get(&format!("/v1/orders/{order_id}/refunds")).send().await;
        let mut answer = json_of(response.expect("an answer")).await;
        match answer["refunds"].take() {
            Value::Array(refunds) => refunds,
            other => panic!("not a list: {other}"),
        }
    }

    /// Places an order of `quantity` pieces and pays it; its id and its payment's number.
    pub(crate) async fn place_paid(&self, key: &str, quantity: i64) -> (String, String) {
        let (status, order) = self.try_place(key, "tea", quantity).await;
        assert_eq!(status, StatusCode::CREATED, "{order}");
        let order = text(&order, "id");
        let out_trade_no = self.start_payment(&order).await;
        self.buyer_pays(&out_trade_no).await;
        self.wait_for_status(&order, "paid").await;
        (order, out_trade_no)
    }

    /// Waits until a payment that its order could not take is back with its buyer, once, and nobody
    /// has to look at it any more.
    pub(crate) async fn wait_until_given_back(&self, order_id: &str, no: &str, cause: &str) {
        wait_until(&format!("{no} is given back"), async || {
            let refunds = self.refunds(order_id).await;
            refunds.iter().any(|one| one["out_trade_no"] == no && one["status"] == "succeeded")
        })
        .await;
        let refunds = self.refunds(order_id).await;
        let refunds: Vec<_> = refunds.iter().filter(|one| one["out_trade_no"] == no).collect();
        assert_eq!(refunds.len(), 1, "{refunds:#?}");
        assert_eq!(refunds[0]["cause"], cause);
        let trade = self.trade(no).await;
        assert_eq!(trade["refunds"].as_array().map(Vec::len), Some(1), "{trade}");
        let open = self.open_alarms().await;
        assert!(!open.iter().any(|(_, subject)| subject == no), "{open:?}");
    }
}
