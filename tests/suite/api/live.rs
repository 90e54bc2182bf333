//! Server-sent events: the state at once, and each change within a second.

use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::Value;

use super::{Flaws, NOBODYS, Problem};
use crate::support::{PATIENCE, TestApp, notification, text};

/// A change is seen within this time of the answer that made it.
const AT_ONCE: Duration = Duration::from_secs(1);

/// An open stream.
struct Events {
    response: Response,
    unread: String,
}

impl Events {
    async fn open(app: &TestApp, path: &str) -> Self {
        let response = app.get(path).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{path}");
        let media_type = response.headers()["content-type"].to_str().expect("a text");
        assert!(media_type.starts_with("text/event-stream"), "{path}: {media_type}");
        Self { response, unread: String::new() }
    }

    /// The data of the next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.unread.find("\n\n") {
                let block: String = self.unread.drain(..end + 2).collect();
                let data: String =
                    block.lines().filter_map(|line| line.strip_prefix("data:")).collect();
                if !data.is_empty() {
                    return Some(serde_json::from_str(&data).expect("JSON"));
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk());
            let chunk = chunk.await.expect("in time").expect("a chunk")?;
            self.unread.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    /// Reads until this status is sent; returns its event.
    async fn until(&mut self, status: &str) -> Value {
        while let Some(event) = self.next().await {
            if text(&event, "status") == status {
                return event;
            }
        }
        panic!("the stream ended without {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_streams_send_the_state_at_once_and_paid_within_a_second() {
    let app = TestApp::start().await;
    // Only the notification below tells of the payment.
    app.fault("notify", "drop").await;
    app.fault("alipay.trade.query", "unknown_before").await;
    let order = app.place("k").await;
    let opened = Instant::now();
    let mut storefront = Events::open(&app, &format!("/v1/orders/{order}/stream")).await;
    let mut buyer = Events::open(&app, &format!("/pay/{order}/stream")).await;
    for stream in [&mut storefront, &mut buyer] {
        let event = stream.next().await.expect("the state");
        assert_eq!(text(&event, "status"), "awaiting_payment");
    }
    assert!(opened.elapsed() < AT_ONCE, "{:?}", opened.elapsed());
    let number = app.start_payment(&order).await;
    app.buyer_pays(&number).await;
    assert_eq!(app.notify(notification(&number, &[])).await, (200, "success".to_owned()));
    let paid = Instant::now();
    let event = storefront.until("paid").await;
    assert_eq!(event["payments"][0]["out_trade_no"], number);
    let event = buyer.until("paid").await;
    assert!(event["paid_at"].is_string(), "{event}");
    assert!(paid.elapsed() < AT_ONCE, "{:?}", paid.elapsed());
    for stream in [&mut storefront, &mut buyer] {
        assert!(stream.next().await.is_none(), "nothing can change any more");
    }
    app.clear_faults().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_tell_of_a_cancel_and_an_ended_order_has_one_event() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let paths = [format!("/v1/orders/{order}/stream"), format!("/pay/{order}/stream")];
    let mut open = Vec::new();
    for path in &paths {
        open.push(Events::open(&app, path).await);
    }
    assert_eq!(app.cancel(&order).await.0, 200);
    let cancelled = Instant::now();
    for stream in &mut open {
        stream.until("cancelled").await;
    }
    assert!(cancelled.elapsed() < AT_ONCE, "{:?}", cancelled.elapsed());
    for path in &paths {
        let mut stream = Events::open(&app, path).await;
        assert_eq!(text(&stream.next().await.expect("the state"), "status"), "cancelled");
        assert!(stream.next().await.is_none());
    }
    let mut flaws = Flaws::default();
    for path in [format!("/v1/orders/{NOBODYS}/stream"), format!("/pay/{NOBODYS}/stream")] {
        let answer = app.get(&path).send().await;
        flaws.expect(&path, answer, Problem::not_found(Some("id"))).await;
    }
    flaws.assert_none();
    app.finish().await;
}
