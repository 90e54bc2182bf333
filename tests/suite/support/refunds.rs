//! Money that goes back.

use reqwest::StatusCode;
use serde_json::Value;

use super::{TestApp, answer_of, json_of, text, wait_until};

impl TestApp {
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
