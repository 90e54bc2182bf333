//! Pages hear that they are out of date, and no longer than their session lasts.

use std::time::{Duration, Instant};

use checkback::domain::alarm::AlarmKind;
use reqwest::{Method, Response};

use super::raise;
use super::visitor::Visitor;
use crate::api::NOBODYS;
use crate::support::{OPS_KEY, PATIENCE, TestApp};

/// An open stream of one page.
struct Stream(Response);

impl Stream {
    async fn open(visitor: &Visitor, path: &str) -> Self {
        let response = visitor.request(Method::GET, path).send().await.expect("an answer");
        let media_type = response.headers()["content-type"].to_str().expect("a text").to_owned();
        assert_eq!((response.status().as_u16(), media_type.as_str()), (200, "text/event-stream"));
        Self(response)
    }

    /// Waits for the next event. `false`: the stream has ended.
    async fn changed(&mut self) -> bool {
        let mut read = String::new();
        while !read.contains("event: changed") {
            let chunk = tokio::time::timeout(PATIENCE, self.0.chunk()).await.expect("in time");
            let Some(chunk) = chunk.expect("a chunk") else { return false };
            read.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn open_pages_hear_of_orders_and_of_alarms() {
    let app = TestApp::start().await;
    let operator = Visitor::logged_in(&app, OPS_KEY).await;
    let order = app.place("k").await;
    let mut page = Stream::open(&operator, &format!("/ops/orders/{order}/stream")).await;
    let mut overview = Stream::open(&operator, "/ops/stream").await;
    assert_eq!(app.cancel(&order).await.0, 200);
    let cancelled = Instant::now();
    assert!(page.changed().await);
    assert!(cancelled.elapsed() < Duration::from_secs(2), "{:?}", cancelled.elapsed());
    assert!(overview.changed().await);
    raise(&app, AlarmKind::ClockSkew, "clock").await;
    assert!(overview.changed().await, "an alarm is no order's change");
    let unknown = operator.get(&format!("/ops/orders/{NOBODYS}/stream")).await;
    assert_eq!(unknown.status, 404);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_session_and_with_the_service() {
    let app = TestApp::start().await;
    let operator = Visitor::logged_in(&app, OPS_KEY).await;
    let mut stream = Stream::open(&operator, "/ops/stream").await;
    app.advance(Duration::from_hours(11)).await;
    while stream.changed().await {}
    assert!(operator.get("/ops/stream").await.is_login_redirect());
    let again = Visitor::logged_in(&app, OPS_KEY).await;
    let mut stream = Stream::open(&again, "/ops/stream").await;
    app.finish().await;
    while stream.changed().await {}
}
