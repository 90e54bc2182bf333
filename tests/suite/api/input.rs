//! Fields that can't be used: each is refused by its name, and nothing happens.

use reqwest::RequestBuilder;
use serde_json::json;

use super::{Flaws, Problem, locked};
use crate::support::{TestApp, json_of};

pub(super) const KEY_FIELD: &str = "Idempotency-Key";

/// Numbers that are no count of anything.
const NO_NUMBERS: [&str; 12] = [
    "1.5",
    "1e2",
    "1E400",
    "-1.0",
    "9223372036854775808",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "\"1\"",
    "null",
    "true",
    "[1]",
    "{}",
];

/// Texts that are none.
const NO_TEXTS: [&str; 8] =
    [r#""""#, r#"" ""#, r#""\u0000""#, r#""a\nb""#, r#""\ud800""#, "1", "null", r#"["a"]"#];

/// A request with exactly this body, and no idempotency key.
pub(super) fn raw(app: &TestApp, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    let request = match path {
        "/v1/skus/tea" => app.client.put(app.url(path)),
        _ => app.client.post(app.url(path)),
    };
    request.bearer_auth(crate::support::KEY).body(body)
}

pub(super) fn keyed(app: &TestApp, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    raw(app, path, body).header(KEY_FIELD, "table")
}

/// Sends each body and notes where the answer isn't 400 about its field.
async fn refuse(app: &TestApp, path: &str, bodies: &[(String, &'static str)], flaws: &mut Flaws) {
    for (body, field) in bodies {
        let answer = keyed(app, path, body.clone()).send().await;
        flaws.expect(&format!("{path} {body}"), answer, Problem::invalid(field)).await;
    }
}

/// The body with each value in the place of `#`.
fn with_values(
    body: &str,
    values: &[&str],
    field: &'static str,
) -> impl Iterator<Item = (String, &'static str)> {
    values.iter().map(move |value| (body.replace('#', value), field))
}

fn literal(bodies: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    bodies.iter().map(|(body, field)| ((*body).to_owned(), *field)).collect()
}

fn order_bodies() -> Vec<(String, &'static str)> {
    let mut bodies = literal(&[
        ("{}", "member_id"),
        (r#"{"member_id":"m"}"#, "items"),
        (r#"{"items":[{"sku_id":"tea","quantity":1}]}"#, "member_id"),
        (r#"{"member_id":"m","items":[]}"#, "items"),
        (r#"{"member_id":"m","items":null}"#, "items"),
        (r#"{"member_id":"m","items":"tea"}"#, "items"),
        (r#"{"member_id":"m","items":{"sku_id":"tea","quantity":1}}"#, "items"),
        (r#"{"member_id":"m","items":[1]}"#, "items[0]"),
        (r#"{"member_id":"m","items":[null]}"#, "items[0]"),
        (r#"{"member_id":"m","member_id":"n","items":[]}"#, "member_id"),
        (
            r#"{"member_id":"m","items":[{"sku_id":"tea","quantity":1}],"amount_fen":1}"#,
            "amount_fen",
        ),
        (r#"{"member_id":"m","items":[{"sku_id":"tea","quantity":1}],"":1}"#, ""),
        (r#"{"member_id":"m","items":[{"sku_id":"tea","quantity":1}]}x"#, "body"),
        (r#"{"member_id":"m","items":[{"sku_id":"tea","quantity":1}],}"#, "body"),
    ]);
    let line = |line: &str| format!(r#"{{"member_id":"m","items":[{line}]}}"#);
    bodies.extend([
        (line(r#"{"sku_id":"tea","quantity":1,"price_fen":1}"#), "items[0].price_fen"),
        (
            line(r#"{"sku_id":"tea","quantity":1},{"sku_id":"tea","quantity":0}"#),
            "items[1].quantity",
        ),
        (line(&[r#"{"sku_id":"tea","quantity":1}"#; 21].join(",")), "items"),
        (line(&vec![r#"{"sku_id":"tea","quantity":1}"#; 1_500].join(",")), "items"),
        (line(&format!(r#"{{"sku_id":"{}","quantity":1}}"#, "a".repeat(65))), "items[0].sku_id"),
    ]);
    let quantity = line(r#"{"sku_id":"tea","quantity":#}"#);
    let out_of_range = ["0", "-0", "-1", "100001", "9223372036854775807", "-9223372036854775808"];
    bodies.extend(with_values(&quantity, &NO_NUMBERS, "items[0].quantity"));
    bodies.extend(with_values(&quantity, &out_of_range, "items[0].quantity"));
    let sku_id = line(r#"{"sku_id":#,"quantity":1}"#);
    bodies.extend(with_values(&sku_id, &NO_TEXTS, "items[0].sku_id"));
    bodies.extend(with_values(&sku_id, &[r#""a b""#, r#""茶""#, r#""../x""#], "items[0].sku_id"));
    let long = format!("\"{}\"", "m".repeat(65));
    let item = r#""items":[{"sku_id":"tea","quantity":1}]"#;
    bodies.extend(with_values(&format!(r#"{{"member_id":#,{item}}}"#), &NO_TEXTS, "member_id"));
    bodies.extend(with_values(&format!(r#"{{"member_id":#,{item}}}"#), &[&long], "member_id"));
    let class = format!(r#"{{"member_id":"m","class":#,{item}}}"#);
    bodies.extend(with_values(&class, &[r#""""#, r#""\t""#, "1", "[]", &long], "class"));
    let metadata = format!(r#"{{"member_id":"m","metadata":#,{item}}}"#);
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(4_096));
    bodies.extend(with_values(&metadata, &["1", "[]", r#""text""#, &large], "metadata"));
    bodies
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_read_names_its_field_and_locks_nothing() {
    let app = TestApp::start().await;
    let mut flaws = Flaws::default();
    refuse(&app, "/v1/orders", &order_bodies(), &mut flaws).await;
    app.put_sku("dear", 9_999_999_999, 1_000).await;
    let unprocessable = [
        (json!([{ "sku_id": "none", "quantity": 1 }]), None, "unknown_sku", "items"),
        (json!([{ "sku_id": "dear", "quantity": 1_000 }]), None, "amount_too_large", "items"),
        (json!([{ "sku_id": "tea", "quantity": 1 }]), Some("none"), "unknown_class", "class"),
    ];
    for (items, class, code, field) in unprocessable {
        let body = json!({ "member_id": "m", "items": items, "class": class }).to_string();
        let wanted = Problem::new(422, code, Some(field));
        flaws.expect(&body, keyed(&app, "/v1/orders", body.clone()).send().await, wanted).await;
    }
    let body = json!({ "member_id": "m", "items": [{ "sku_id": "tea", "quantity": 1_001 }] });
    let answer = keyed(&app, "/v1/orders", body.to_string()).send().await;
    let wanted = Problem::new(409, "out_of_stock", Some("items"));
    flaws.expect("more than there is", answer, wanted).await;
    assert_eq!(locked(&app).await, 0);
    flaws.assert_none();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_doubled_field_of_a_line_is_named_in_full() {
    let app = TestApp::start().await;
    let mut flaws = Flaws::default();
    let bodies = literal(&[
        (r#"{"member_id":"m","items":[{}]}"#, "items[0].sku_id"),
        (r#"{"member_id":"m","items":[{"sku_id":"tea"}]}"#, "items[0].quantity"),
        (r#"{"member_id":"m","items":[{"quantity":1}]}"#, "items[0].sku_id"),
        (
            r#"{"member_id":"m","items":[{"sku_id":"tea","quantity":1,"quantity":2}]}"#,
            "items[0].quantity",
        ),
    ]);
    refuse(&app, "/v1/orders", &bodies, &mut flaws).await;
    flaws.assert_none();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_cannot_be_read_names_its_field_and_starts_nothing() {
    let app = TestApp::start().await;
    let mut flaws = Flaws::default();
    let order = app.place("k").await;
    let path = format!("/v1/orders/{order}/payments");
    let mut bodies = literal(&[
        ("{}", "channel"),
        (r#"{"new":true}"#, "channel"),
        (r#"{"channel":"wechat"}"#, "channel"),
        (r#"{"channel":"Alipay"}"#, "channel"),
        (r#"{"channel":"alipay","channel":"alipay"}"#, "channel"),
        (r#"{"channel":"alipay","amount_fen":1}"#, "amount_fen"),
        (r#"{"channel":"alipay","New":true}"#, "New"),
    ]);
    bodies.extend(with_values(r#"{"channel":#}"#, &NO_TEXTS, "channel"));
    let no_flags = ["1", "0", "null", r#""true""#, "[]", "{}"];
    bodies.extend(with_values(r#"{"channel":"alipay","new":#}"#, &no_flags, "new"));
    refuse(&app, &path, &bodies, &mut flaws).await;
    assert_eq!(app.order(&order).await["payments"], json!([]));
    flaws.assert_none();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sku_that_cannot_be_read_names_its_field_and_changes_nothing() {
    let app = TestApp::start().await;
    let mut flaws = Flaws::default();
    let long = format!("\"{}\"", "x".repeat(257));
    let put = r#"{"title":"t","price_fen":1,"stock":1}"#;
    let mut bodies = literal(&[
        ("{}", "title"),
        (r#"{"title":"t","stock":1}"#, "price_fen"),
        (r#"{"title":"t","price_fen":1}"#, "stock"),
        (r#"{"title":"t","price_fen":1,"stock":1,"sold":1}"#, "sold"),
        (r#"{"title":"t","price_fen":1,"price_fen":1,"stock":1}"#, "price_fen"),
    ]);
    bodies.extend(with_values(&put.replace(r#""t""#, "#"), &NO_TEXTS, "title"));
    bodies.extend(with_values(&put.replace(r#""t""#, "#"), &[&long], "title"));
    let price = put.replace(r#""price_fen":1"#, r#""price_fen":#"#);
    bodies.extend(with_values(&price, &NO_NUMBERS, "price_fen"));
    bodies.extend(with_values(&price, &["0", "-1", "9223372036854775807"], "price_fen"));
    let stock = put.replace(r#""stock":1"#, r#""stock":#"#);
    bodies.extend(with_values(&stock, &NO_NUMBERS, "stock"));
    bodies.extend(with_values(&stock, &["-1", "1000000001"], "stock"));
    refuse(&app, "/v1/skus/tea", &bodies, &mut flaws).await;

    let adjust = r#"{"delta":1,"reason":"r","request_no":"n"}"#;
    let mut bodies = literal(&[
        ("{}", "delta"),
        (r#"{"delta":1,"reason":"r"}"#, "request_no"),
        (r#"{"delta":1,"request_no":"n"}"#, "reason"),
        (r#"{"delta":1,"reason":"r","request_no":"n","sku_id":"x"}"#, "sku_id"),
        (r#"{"delta":1,"delta":1,"reason":"r","request_no":"n"}"#, "delta"),
    ]);
    let delta = adjust.replace(":1", ":#");
    bodies.extend(with_values(&delta, &NO_NUMBERS, "delta"));
    let out_of_range = ["0", "1000000001", "-1000000001", "-9223372036854775808"];
    bodies.extend(with_values(&delta, &out_of_range, "delta"));
    for (text, field) in [(r#""r""#, "reason"), (r#""n""#, "request_no")] {
        bodies.extend(with_values(&adjust.replace(text, "#"), &NO_TEXTS, field));
        bodies.extend(with_values(&adjust.replace(text, "#"), &[&long], field));
    }
    refuse(&app, "/v1/skus/tea/adjustments", &bodies, &mut flaws).await;
    let wanted = Problem::new(409, "stock_out_of_range", Some("delta"));
    let answer = raw(&app, "/v1/skus/tea/adjustments", delta.replace('#', "-1001")).send().await;
    flaws.expect("below zero", answer, wanted).await;
    let wanted = Problem::new(422, "request_no_reused", Some("request_no"));
    json_of(raw(&app, "/v1/skus/tea/adjustments", adjust).send().await.expect("done")).await;
    let answer = raw(&app, "/v1/skus/tea/adjustments", delta.replace('#', "2")).send().await;
    flaws.expect("another body", answer, wanted).await;
    let sku = app.sku("tea").await;
    assert_eq!((&sku["title"], &sku["available"]), (&json!("a thing"), &json!(1_001)));
    flaws.assert_none();
    app.finish().await;
}
