//! A storefront and the gateway's notifications, over HTTP.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

/// The key with every scope.
pub(crate) const KEY: &str = "bench-key";
/// An answer that takes longer doesn't count.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A storefront at one service.
#[derive(Debug)]
pub(crate) struct Shop {
    client: Client,
    base: String,
    keys: AtomicU64,
}

impl Shop {
    pub(crate) fn new(service: SocketAddr) -> anyhow::Result<Self> {
        let client = Client::builder().no_proxy().timeout(ANSWER_TIMEOUT).build()?;
        Ok(Self { client, base: format!("http://{service}"), keys: AtomicU64::new(0) })
    }

    /// Places an order of one piece under a fresh key; the status that it was answered.
    pub(crate) async fn try_place(&self, sku: &str) -> anyhow::Result<u16> {
        let response = self.order(sku, None).send().await?;
        let status = response.status().as_u16();
        response.bytes().await?;
        Ok(status)
    }

    /// Places an order, which must succeed, and returns it.
    pub(crate) async fn place(&self, sku: &str, class: Option<&str>) -> anyhow::Result<Value> {
        answer(self.order(sku, class)).await
    }

    fn order(&self, sku: &str, class: Option<&str>) -> RequestBuilder {
        let mut body = json!({ "member_id": "m1", "items": [{ "sku_id": sku, "quantity": 1 }] });
        if let Some(class) = class {
            body["class"] = json!(class);
        }
        let key = self.keys.fetch_add(1, Ordering::Relaxed);
        self.post("/v1/orders").header("Idempotency-Key", key.to_string()).body(body.to_string())
    }

    /// Starts the payment of an order and returns its number.
    pub(crate) async fn start_payment(&self, order_id: &str) -> anyhow::Result<String> {
        let request = self.post(&format!("/v1/orders/{order_id}/payments"));
        let payment = answer(request.body(r#"{"channel":"alipay"}"#)).await?;
        text(&payment, "out_trade_no")
    }

    pub(crate) async fn show(&self, order_id: &str) -> anyhow::Result<Value> {
        let url = format!("{}/v1/orders/{order_id}", self.base);
        answer(self.client.get(url).bearer_auth(KEY)).await
    }

    /// Delivers a notification; whether it was answered `success`.
    pub(crate) async fn notify(&self, body: String) -> anyhow::Result<bool> {
        let request = self.client.post(format!("{}/v1/alipay/notify", self.base));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        Ok(request.body(body).send().await?.text().await? == "success")
    }

    fn post(&self, path: &str) -> RequestBuilder {
        let request = self.client.post(format!("{}{path}", self.base)).bearer_auth(KEY);
        request.header("content-type", "application/json")
    }
}

/// The JSON of an answer, which must be a success.
async fn answer(request: RequestBuilder) -> anyhow::Result<Value> {
    let response = request.send().await?;
    let status = response.status();
    let body = response.text().await?;
    anyhow::ensure!(status.is_success(), "{status}: {body}");
    Ok(serde_json::from_str(&body)?)
}

pub(crate) fn text(value: &Value, field: &str) -> anyhow::Result<String> {
    let text = value[field].as_str().with_context(|| format!("no {field} in {value}"))?;
    Ok(text.to_owned())
}
