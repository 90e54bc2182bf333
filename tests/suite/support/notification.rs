//! Notifications that the gateway might send, signed with its development key.

use std::sync::LazyLock;

use alipay_simulator::development_keys::GATEWAY_PRIVATE_KEY;
use alipay_simulator::{DEFAULT_APP_ID, DEFAULT_SELLER_ID};
use checkback::alipay::form;
use checkback::alipay::keys::AppPrivateKey;
use checkback::alipay::sign::{sign, sign_string};

use super::TestApp;

static SIGNER: LazyLock<AppPrivateKey> =
    LazyLock::new(|| AppPrivateKey::parse(GATEWAY_PRIVATE_KEY).expect("the gateway's key"));

/// The notification that a payment of one piece of tea succeeded, with some fields replaced or
/// added, and signed.
pub(crate) fn notification(out_trade_no: &str, changes: &[(&str, &str)]) -> String {
    let trade_no = format!("20{}", out_trade_no.len());
    let succeeded = [
        ("app_id", DEFAULT_APP_ID),
        ("charset", "utf-8"),
        ("gmt_payment", "2026-01-01 12:00:00"),
        ("notify_id", "n1"),
        ("notify_type", "trade_status_sync"),
        ("out_trade_no", out_trade_no),
        ("seller_id", DEFAULT_SELLER_ID),
        ("total_amount", "1.00"),
        ("trade_no", &trade_no),
        ("trade_status", "TRADE_SUCCESS"),
    ];
    let is_changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
    let kept = succeeded.iter().filter(|(name, _)| !is_changed(name));
    let mut parameters: Vec<_> = kept.chain(changes).copied().collect();
    let signature = sign(&SIGNER, sign_string(&parameters)).expect("signs");
    parameters.push(("sign", &signature));
    parameters.push(("sign_type", "RSA2"));
    form::encode(&parameters)
}

impl TestApp {
    /// Delivers a notification as the gateway does; returns what it was answered.
    pub(crate) async fn notify(&self, body: String) -> (u16, String) {
        let request = self.client.post(self.url("/v1/alipay/notify"));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let response = request.body(body).send().await.expect("an answer");
        (response.status().as_u16(), response.text().await.expect("a body"))
    }
}
