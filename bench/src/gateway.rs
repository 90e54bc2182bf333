//! The simulator's control: what buyers do, and its clock.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};

/// The control of one simulator.
#[derive(Debug)]
pub(crate) struct Gateway {
    client: Client,
    base: String,
}

impl Gateway {
    pub(crate) fn new(simulator: SocketAddr) -> anyhow::Result<Self> {
        let client = Client::builder().no_proxy().build()?;
        Ok(Self { client, base: format!("http://{simulator}/_ctl") })
    }

    /// A buyer scans the code, and doesn't pay.
    pub(crate) async fn scan(&self, out_trade_no: &str) -> anyhow::Result<()> {
        self.post("scan", &json!({ "out_trade_no": out_trade_no })).await
    }

    /// Moves its clock forward.
    pub(crate) async fn advance(&self, by: Duration) -> anyhow::Result<()> {
        let ms = u64::try_from(by.as_millis())?;
        self.post("clock", &json!({ "advance_ms": ms })).await
    }

    async fn post(&self, what: &str, body: &Value) -> anyhow::Result<()> {
        let request = self.client.post(format!("{}/{what}", self.base));
        let request = request.header("content-type", "application/json").body(body.to_string());
        let status = request.send().await?.status();
        anyhow::ensure!(status.is_success(), "{what}: {status}");
        Ok(())
    }
}
