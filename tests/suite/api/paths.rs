//! Paths, query strings and methods that nobody should send.

use reqwest::header::ALLOW;

use super::{Flaws, NOBODYS, ORDER_ROUTES, Problem, all_routes, method, with_id};
use crate::support::{KEY, TestApp};

/// Ids that are not UTF-8 once decoded.
const NOT_UTF8: [&str; 3] = ["%ff", "%c3%28", "a%fe%ffb"];

/// Ids that no order, SKU or alarm can have.
fn impossible() -> Vec<String> {
    let long = "A".repeat(8_000);
    let short = ["%00", "a%00b", "%20", "a%2Fb", "..%2f..", "%F0%9F%8D%B5", "%0d%0a", "'%20or%201"];
    short.into_iter().map(str::to_owned).chain([long]).collect()
}

/// A body that this route can read.
fn body_for(path: &str) -> &'static str {
    match path.rsplit('/').next().unwrap_or_default() {
        "refunds" => r#"{"request_no":"r","reason":"r"}"#,
        "refund" | "resolve" => r#"{"reason":"r"}"#,
        "attach" => r#"{"order_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV"}"#,
        "paid-elsewhere" => r#"{"reference":"r"}"#,
        _ => r#"{"channel":"alipay"}"#,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impossible_id_is_refused_by_name() {
    let app = TestApp::start().await;
    let mut flaws = Flaws::default();
    for (name, path) in all_routes().filter(|(_, path)| path.contains('{')) {
        let field = if path.contains("{sku_id}") { "sku_id" } else { "id" };
        let wanted = match field {
            "sku_id" => Problem::invalid("sku_id"),
            _ => Problem::not_found(Some("id")),
        };
        let not_utf8 = NOT_UTF8.map(|id| (id.to_owned(), Problem::invalid(field)));
        for (id, wanted) in
            not_utf8.into_iter().chain(impossible().into_iter().map(|id| (id, wanted)))
        {
            let url = app.url(&with_id(path, &id));
            let request =
                app.client.request(method(name), url).bearer_auth(KEY).body(body_for(path));
            let case = format!("{name} {}", with_id(path, &id));
            flaws.expect(&case, request.send().await, wanted).await;
        }
    }
    flaws.assert_none();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_not_found() {
    let app = TestApp::start().await;
    let mut flaws = Flaws::default();
    for (name, path) in ORDER_ROUTES.into_iter().filter(|(_, path)| path.contains("{id}")) {
        let request = app.client.request(method(name), app.url(&with_id(path, NOBODYS)));
        let request = request.bearer_auth(KEY).body(r#"{"channel":"alipay"}"#);
        flaws.expect(path, request.send().await, Problem::not_found(None)).await;
    }
    let absent = Problem::not_found(Some("sku_id"));
    flaws.expect("an absent SKU", app.get("/v1/skus/none").send().await, absent).await;
    let body = serde_json::json!({ "delta": 1, "reason": "r", "request_no": "n" });
    let adjust = app.post("/v1/skus/none/adjustments", &body);
    flaws.expect("adjusting an absent SKU", adjust.send().await, absent).await;
    for path in ["", ".svg", "/stream", "/qr.svg", "/qr.png", "/qr.gif", "/"] {
        let request = app.client.get(app.url(&format!("/pay/{NOBODYS}{path}")));
        flaws.expect(path, request.send().await, Problem::not_found(None)).await;
    }
    let pages = ["/", "/v1", "/v1/", "/v1/orders/", "/v2/orders", "/v1/orders/a/b", "/pay", "/%ff"];
    for path in pages {
        for request in [app.get(path), app.post(path, &body)] {
            flaws.expect(path, request.send().await, Problem::not_found(None)).await;
        }
    }
    flaws.assert_none();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_method_is_told_the_right_ones() {
    let app = TestApp::start().await;
    let mut flaws = Flaws::default();
    let wanted = Problem::new(405, "method_not_allowed", None);
    // The document is served by a library that answers every method.
    for (_, path) in all_routes().filter(|(_, path)| *path != "/openapi.json") {
        let right: Vec<_> = all_routes().filter(|(_, other)| *other == path).collect();
        for name in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            if right.contains(&(name, path)) {
                continue;
            }
            let url = app.url(&with_id(path, NOBODYS));
            let answer = app.client.request(method(name), url).bearer_auth(KEY).send().await;
            let case = format!("{name} {path}");
            let allow = answer.as_ref().ok().and_then(|answer| answer.headers().get(ALLOW));
            let allow = allow.and_then(|allow| allow.to_str().ok()).unwrap_or_default().to_owned();
            if !right.iter().all(|(name, _)| allow.contains(name)) {
                flaws.note(&case, format!("Allow: {allow}"));
            }
            flaws.expect(&case, answer, wanted).await;
        }
    }
    flaws.assert_none();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_string_that_cannot_be_used_is_refused() {
    let app = TestApp::start().await;
    let mut flaws = Flaws::default();
    for (query, wanted) in [
        ("?limit=-1", Problem::invalid("limit")),
        ("?limit=501", Problem::invalid("limit")),
        ("?limit=x", Problem::invalid("query")),
        ("?before=x", Problem::invalid("before")),
    ] {
        let answer = app.get(&format!("/v1/admin/alarms{query}")).send().await;
        flaws.expect(query, answer, wanted).await;
    }
    for (query, wanted) in [
        ("?order_no=nobodys", Problem::not_found(Some("order_no"))),
        ("?order_no=%00", Problem::not_found(Some("order_no"))),
    ] {
        let answer = app.get(&format!("/v1/orders{query}")).send().await;
        flaws.expect(query, answer, wanted).await;
    }
    // Refused or not found, as long as it is said properly.
    let long = format!("?order_no={}", "a".repeat(8_000));
    for query in ["?", "?order_no", "?order_no=%ff", "?order_no=%", "?%ff", "?&&=", &long] {
        let answer = app.get(&format!("/v1/orders{query}")).send().await.expect("an answer");
        if !answer.status().is_client_error() {
            flaws.note(query, answer.status());
        }
    }
    for path in ["/v1/skus/tea?%ff=%00", "/livez?x"] {
        let answer = app.get(path).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path} has no query string, whatever it is");
    }
    flaws.assert_none();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_string_that_cannot_be_used_names_its_field() {
    let app = TestApp::start().await;
    let mut flaws = Flaws::default();
    let cases = [
        ("", Problem::invalid("order_no")),
        ("?", Problem::invalid("order_no")),
        ("?other=1", Problem::invalid("other")),
        ("?order_no=a&other=1", Problem::invalid("other")),
        ("?order_no=a&order_no=b", Problem::invalid("order_no")),
    ];
    for (query, wanted) in cases {
        let answer = app.get(&format!("/v1/orders{query}")).send().await;
        flaws.expect(query, answer, wanted).await;
    }
    flaws.assert_none();
    app.finish().await;
}
