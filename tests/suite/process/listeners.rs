//! A public listener of its own: the webhook and the cashier, and nothing else.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::json;

use super::child::until;
use super::demo::{Ports, STOP_BUDGET};
use super::fleet::Fleet;

const PATIENCE: Duration = Duration::from_secs(30);
/// What storefronts, operators and monitoring use.
const PRIVATE: [(&str, &str); 14] = [
    ("POST", "/v1/orders"),
    ("GET", "/v1/orders/ID"),
    ("GET", "/v1/orders/ID/events"),
    ("GET", "/v1/orders/ID/stream"),
    ("POST", "/v1/orders/ID/payments"),
    ("POST", "/v1/orders/ID/cancel"),
    ("PUT", "/v1/skus/tea-250g"),
    ("GET", "/v1/admin/alarms"),
    ("GET", "/metrics"),
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/ops"),
];
/// What the gateway and buyers use.
const PUBLIC: [(&str, &str); 5] = [
    ("POST", "/v1/alipay/notify"),
    ("GET", "/pay/ID"),
    ("GET", "/pay/ID/stream"),
    ("GET", "/pay/ID/qr.svg"),
    ("GET", "/pay/ID/qr.png"),
];

struct Caller {
    client: Client,
    order_id: String,
}

impl Caller {
    fn request(&self, at: SocketAddr, (method, path): (&str, &str)) -> reqwest::RequestBuilder {
        let url = format!("http://{at}{}", path.replace("ID", &self.order_id));
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        self.client.request(method, url).bearer_auth("dev")
    }

    async fn status(&self, at: SocketAddr, route: (&str, &str)) -> u16 {
        self.request(at, route).send().await.expect("an answer").status().as_u16()
    }
}

#[tokio::test]
async fn the_public_listener_has_the_webhook_and_the_cashier_and_nothing_else() {
    let mut fleet = Fleet::new("60s").await;
    let (private, public) = (Ports::free().http, Ports::free().http);
    fleet.public_listen = Some(public);
    fleet.webhook = public;
    let instance = fleet.start("serve", private).await;
    instance.shop.put_sku("tea-250g", 10).await;
    let [paid, open] = ["paid", "open"].map(|key| instance.shop.place(key));
    let (paid, open) = tokio::join!(paid, open);
    let [paid, open] = [paid, open].map(|order| order["id"].as_str().expect("an id").to_owned());
    let number = instance.shop.start_payment(&paid).await;
    instance.shop.start_payment(&open).await;

    let client = Client::builder().no_proxy().build().expect("a client");
    let caller = Caller { client, order_id: open };
    for route in PRIVATE {
        // Under /v1 a caller with a key learns what exists; one without it learns nothing.
        assert_eq!(caller.status(public, route).await, 404, "{route:?} is public");
    }
    for route in PUBLIC {
        let status = caller.status(public, route).await;
        assert_ne!(status, 404, "{route:?} isn't public");
        // A path of the webhook's kind is refused like any that doesn't exist.
        assert_eq!(caller.status(private, route).await, 404, "{route:?} is private, too");
    }
    // The gateway's notification comes in by the public door.
    instance.shop.control("pay", json!({ "out_trade_no": number })).await;
    until("the order is paid", PATIENCE, async || instance.shop.status(&paid).await == "paid")
        .await;
    assert_eq!(instance.shop.ended_by(&paid).await, "notify");

    // Listeners at both doors are told that the service drains.
    let mut process = instance.process;
    let open_stream = async |at, path| {
        let answer = caller.request(at, ("GET", path)).send().await.expect("a stream");
        assert_eq!(answer.status(), 200, "{path}");
        answer
    };
    let at_private = tokio::spawn(open_stream(private, "/v1/orders/ID/stream").await.text());
    let at_public = tokio::spawn(open_stream(public, "/pay/ID/stream").await.text());
    process.signal("TERM");
    let ended = process.end_within(STOP_BUDGET).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    for stream in [at_private, at_public] {
        let told = stream.await.expect("no panic").expect("the stream ends in order");
        assert!(told.contains("awaiting_payment"), "{told}");
    }
    fleet.finish().await;
}
