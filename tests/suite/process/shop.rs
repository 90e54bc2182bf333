//! Everybody outside: the storefront, the buyer with a phone, and whoever breaks things.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

/// The demo's key.
const KEY: &str = "dev";
/// What the design promises for every HTTP answer, and some air for a busy machine.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// An answer that came completely.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A text field of the body.
    pub(super) fn text(&self, field: &str) -> String {
        let body = self.json();
        body[field].as_str().unwrap_or_else(|| panic!("no {field} in {body}")).to_owned()
    }
}

/// Calls a demo. What can fail with the process is a result, for tests that kill it.
#[derive(Clone)]
pub(super) struct Shop {
    client: Client,
    base: String,
    simulator: String,
    key: String,
}

impl Shop {
    pub(super) fn new(http: SocketAddr, simulator: SocketAddr) -> Self {
        let client = Client::builder().no_proxy().timeout(ANSWER_TIMEOUT).build();
        Self {
            client: client.expect("a client"),
            base: format!("http://{http}"),
            simulator: format!("http://{simulator}"),
            key: KEY.to_owned(),
        }
    }

    /// The same with another key.
    pub(super) fn with_key(self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key)
    }

    /// Whether the HTTP port is open and says that it can be used.
    pub(super) async fn is_ready(&self) -> bool {
        let answer = self.client.get(format!("{}/readyz", self.base)).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    }

    pub(super) async fn get(&self, path: &str) -> reqwest::Result<Answer> {
        read(self.request(Method::GET, path).send().await?).await
    }

    pub(super) async fn put_sku(&self, sku_id: &str, stock: i64) {
        let body = json!({ "title": "a thing", "price_fen": 100, "stock": stock });
        let request = self.request(Method::PUT, &format!("/v1/skus/{sku_id}")).json(&body);
        let answer = request.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// Places an order under a key.
    pub(super) async fn try_place(
        &self,
        key: &str,
        sku_id: &str,
        quantity: i64,
    ) -> reqwest::Result<Answer> {
        let line = json!({ "sku_id": sku_id, "quantity": quantity });
        let body = json!({ "member_id": "m1", "items": [line] });
        let request = self.request(Method::POST, "/v1/orders").header("Idempotency-Key", key);
        read(request.json(&body).send().await?).await
    }

    /// Places an order of one piece of tea, as it is answered.
    pub(super) async fn place(&self, key: &str) -> Value {
        let answer = self.try_place(key, "tea-250g", 1).await.expect("an answer");
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }

    pub(super) async fn try_start_payment(&self, order_id: &str) -> reqwest::Result<Answer> {
        let path = format!("/v1/orders/{order_id}/payments");
        let request = self.request(Method::POST, &path).json(&json!({ "channel": "alipay" }));
        read(request.send().await?).await
    }

    /// Starts a payment and returns its number.
    pub(super) async fn start_payment(&self, order_id: &str) -> String {
        let answer = self.try_start_payment(order_id).await.expect("an answer");
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.text("out_trade_no")
    }

    pub(super) async fn cancel(&self, order_id: &str) -> reqwest::Result<Answer> {
        let request = self.request(Method::POST, &format!("/v1/orders/{order_id}/cancel"));
        read(request.json(&json!({})).send().await?).await
    }

    /// Asks for a refund of so much under a number.
    pub(super) async fn try_refund(
        &self,
        order_id: &str,
        request_no: &str,
        amount_fen: i64,
    ) -> reqwest::Result<Answer> {
        let body =
            json!({ "request_no": request_no, "amount_fen": amount_fen, "reason": "broken" });
        let request = self.request(Method::POST, &format!("/v1/orders/{order_id}/refunds"));
        read(request.json(&body).send().await?).await
    }

    /// An order that exists.
    pub(super) async fn order(&self, order_id: &str) -> Value {
        let answer = self.get(&format!("/v1/orders/{order_id}")).await.expect("an answer");
        assert_eq!(answer.status, 200, "{order_id}: {answer:?}");
        answer.json()
    }

    pub(super) async fn status(&self, order_id: &str) -> String {
        self.order(order_id).await["status"].as_str().expect("a status").to_owned()
    }

    pub(super) async fn has_ended(&self, order_id: &str) -> bool {
        self.status(order_id).await != "awaiting_payment"
    }

    /// Those of the orders that have not ended.
    pub(super) async fn waiting(&self, orders: impl IntoIterator<Item = &String>) -> Vec<String> {
        let mut waiting = Vec::new();
        for order_id in orders {
            if !self.has_ended(order_id).await {
                waiting.push(order_id.clone());
            }
        }
        waiting
    }

    /// Who ended an order, from its history: an event's cause is the new status.
    pub(super) async fn ended_by(&self, order_id: &str) -> String {
        let status = self.status(order_id).await;
        let answer = self.get(&format!("/v1/orders/{order_id}/events")).await.expect("an answer");
        let events = answer.json();
        let events = events["events"].as_array().expect("events");
        let end = events.iter().find(|event| event["cause"] == status.as_str());
        let end = end.unwrap_or_else(|| panic!("no {status} in {events:#?}"));
        end["actor"].as_str().expect("an actor").to_owned()
    }

    /// Subjects of the open alarms.
    pub(super) async fn alarmed(&self) -> Vec<String> {
        let answer = self.get("/v1/admin/alarms").await.expect("an answer").json();
        let alarms = answer["alarms"].as_array().expect("alarms");
        alarms.iter().filter_map(|alarm| Some(alarm["subject"].as_str()?.to_owned())).collect()
    }

    /// Opens the order's live stream; the answer's body ends with it.
    pub(super) async fn stream(&self, order_id: &str) -> Response {
        let request = self.request(Method::GET, &format!("/v1/orders/{order_id}/stream"));
        let response = request.timeout(Duration::from_mins(1)).send().await.expect("a stream");
        assert_eq!(response.status(), 200);
        response
    }

    /// Calls the simulator's control API.
    pub(super) async fn try_control(&self, action: &str, body: Value) -> reqwest::Result<Answer> {
        let url = format!("{}/_ctl/{action}", self.simulator);
        read(self.client.post(url).json(&body).send().await?).await
    }

    pub(super) async fn control(&self, action: &str, body: Value) {
        let answer = self.try_control(action, body).await.expect("an answer");
        assert_eq!(answer.status, 200, "{action}: {answer:?}");
    }

    pub(super) async fn scan(&self, out_trade_no: &str) {
        self.control("scan", json!({ "out_trade_no": out_trade_no })).await;
    }

    /// The buyer pays, and no notification of it arrives.
    pub(super) async fn pay_silently(&self, out_trade_no: &str) {
        let drop = json!({ "method": "notify", "kind": "drop", "out_trade_no": out_trade_no });
        self.control("faults", drop).await;
        self.control("pay", json!({ "out_trade_no": out_trade_no })).await;
    }

    /// All trades of the simulator.
    pub(super) async fn trades(&self) -> Vec<Value> {
        let url = format!("{}/_ctl/trades", self.simulator);
        let answer = self.client.get(url).send().await.expect("an answer");
        let trades = read(answer).await.expect("a body").json();
        trades.as_array().expect("a list").clone()
    }

    /// How many calls the simulator's faults have struck.
    pub(super) async fn fault_hits(&self) -> u64 {
        let url = format!("{}/_ctl/faults", self.simulator);
        let answer = self.client.get(url).send().await.expect("an answer");
        let faults = read(answer).await.expect("a body").json();
        let faults = faults.as_array().expect("a list");
        faults.iter().filter_map(|fault| fault["hits"].as_u64()).sum()
    }
}

async fn read(response: Response) -> reqwest::Result<Answer> {
    let status = response.status().as_u16();
    Ok(Answer { status, body: response.text().await? })
}
