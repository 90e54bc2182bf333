//! Bodies and keys that can't be used as a whole, and odd ones that can.

use std::net::SocketAddr;

use reqwest::header::HeaderValue;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::input::{KEY_FIELD, keyed, raw};
use super::{Flaws, Problem, locked};
use crate::support::{KEY, TestApp, json_of, text};

/// Longest body of the API (bytes).
const BODY_BYTES_MAX: usize = 65_535;
/// A body that nobody could mean (bytes).
const HUGE_BYTES: usize = 10 * 1024 * 1024;
const TOO_LARGE: Problem = Problem::new(413, "body_too_large", Some("body"));

/// A body that says nothing, for any route that wants a JSON object.
const NO_OBJECTS: [&[u8]; 12] = [
    b"",
    b"   ",
    b"{",
    b"}",
    b"null",
    b"true",
    b"1",
    b"\"text\"",
    b"[]",
    b"\xff\xfe{}",
    b"{\"a\":\"\xc3\x28\"}",
    b"\xef\xbb\xbf{}",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_object_or_too_large_is_refused_as_a_whole() {
    let app = TestApp::start().await;
    let mut flaws = Flaws::default();
    let order = app.place("k").await;
    let payments = format!("/v1/orders/{order}/payments");
    let routes = ["/v1/orders", &payments, "/v1/skus/tea", "/v1/skus/tea/adjustments"];
    for path in routes {
        for body in NO_OBJECTS {
            let case = format!("{path} {}", String::from_utf8_lossy(body));
            let answer = raw(&app, path, body).send().await;
            flaws.expect(&case, answer, Problem::invalid("body")).await;
        }
        let answer = raw(&app, path, " ".repeat(BODY_BYTES_MAX + 1)).send().await;
        flaws.expect(&format!("{path} one byte too many"), answer, TOO_LARGE).await;
        let at_most = raw(&app, path, " ".repeat(BODY_BYTES_MAX)).send().await;
        flaws.expect(&format!("{path} at most"), at_most, Problem::invalid("body")).await;
        for open in ["[", "{\"a\":"] {
            let answer = raw(&app, path, open.repeat(5_000)).send().await.expect("an answer");
            if answer.status() != 400 {
                flaws.note(&format!("{path} nested"), answer.status());
            }
        }
    }
    for body in [&b""[..], b"\xff", b"{}", b"a=b&a=c", b"%zz=1", b"=", b"sign=%00", b"\0"] {
        let case = format!("notify {}", String::from_utf8_lossy(body));
        let wanted = Problem::new(400, "notification_refused", Some("body"));
        flaws.expect(&case, raw(&app, "/v1/alipay/notify", body).send().await, wanted).await;
    }
    assert_eq!(app.order(&order).await["payments"], json!([]));
    assert_eq!(locked(&app).await, 1);
    flaws.assert_none();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_is_no_object() {
    let app = TestApp::start().await;
    let mut flaws = Flaws::default();
    let order = app.place("k").await;
    let payments = format!("/v1/orders/{order}/payments");
    let cases = [
        ("/v1/orders", r#"["m",null,[{"sku_id":"tea","quantity":1}],null]"#, "body"),
        ("/v1/orders", r#"{"member_id":"m","items":[["tea",1]]}"#, "items[0]"),
        (&payments, r#"["alipay"]"#, "body"),
        (&payments, r#"["alipay",true]"#, "body"),
        ("/v1/skus/tea", r#"["t",1,1]"#, "body"),
        ("/v1/skus/tea/adjustments", r#"[1,"r","n"]"#, "body"),
    ];
    for (path, body, field) in cases {
        let case = format!("{path} {body}");
        let answer = keyed(&app, path, body).send().await;
        flaws.expect(&case, answer, Problem::invalid(field)).await;
    }
    flaws.assert_none();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_without_a_usable_idempotency_key_is_refused() {
    let app = TestApp::start().await;
    let mut flaws = Flaws::default();
    let body = json!({ "member_id": "m", "items": [{ "sku_id": "tea", "quantity": 1 }] });
    let wanted = Problem::invalid(KEY_FIELD);
    let answer = app.post("/v1/orders", &body).send().await;
    flaws.expect("no key", answer, wanted).await;
    let long = "k".repeat(256);
    let values: [&[u8]; 6] = [b"", b" ", b"\t", "键".as_bytes(), b"a\xffb", long.as_bytes()];
    for value in values {
        let header = HeaderValue::from_bytes(value).expect("a header");
        let answer = app.post("/v1/orders", &body).header(KEY_FIELD, header).send().await;
        flaws.expect(&String::from_utf8_lossy(value), answer, wanted).await;
    }
    assert_eq!(locked(&app).await, 0);
    let longest = app.post("/v1/orders", &body).header(KEY_FIELD, "k".repeat(255));
    assert_eq!(longest.send().await.expect("an answer").status(), 201);
    flaws.assert_none();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_unusual_is_accepted() {
    let app = TestApp::start().await;
    let placed = async |key: &str, media_type: Option<&str>, body: String| {
        let mut request = raw(&app, "/v1/orders", body).header(KEY_FIELD, key);
        if let Some(media_type) = media_type {
            request = request.header("content-type", media_type);
        }
        request.send().await.expect("an answer").status().as_u16()
    };
    let body = r#"{"member_id":"m","items":[{"sku_id":"tea","quantity":1}]}"#;
    // What curl -d sends, and what nobody should.
    let types = ["application/x-www-form-urlencoded", "text/plain", "application/xml", "no type"];
    for media_type in types.into_iter().map(Some).chain([None]) {
        assert_eq!(placed("same", media_type, body.to_owned()).await, 201, "{media_type:?}");
    }
    let nested = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let unusual = [
        r#"{"member_id":"会员🍵","items":[{"sku_id":"tea","quantity":1}]}"#.to_owned(),
        r#"{"class":null,"metadata":null,"member_id":"m","items":[{"quantity":1,"sku_id":"tea"}]}"#
            .to_owned(),
        format!(r#"{{"metadata":{{"a":{nested}}},{}"#, &body[1..]),
        r#"{"member_id":"m","items":[{"sku_id":"tea","quantity":1}],"metadata":{"n":1e300}}"#
            .to_owned(),
        format!("\n\t {body} \r\n"),
    ];
    for (index, body) in unusual.into_iter().enumerate() {
        assert_eq!(placed(&format!("k{index}"), None, body.clone()).await, 201, "{body}");
    }
    let order = app.place("cancel").await;
    let cancel = raw(&app, &format!("/v1/orders/{order}/cancel"), &b"\xff not read"[..]);
    let cancelled = json_of(cancel.send().await.expect("an answer")).await;
    assert_eq!(text(&cancelled, "status"), "cancelled", "a cancel has no body to be wrong");
    app.finish().await;
}

/// Sends a head, and then this many bytes of body if the server wants them or isn't asked.
async fn send_huge(app: &TestApp, path: &str, asks_first: bool) -> std::io::Result<String> {
    let address: SocketAddr = app.url("")["http://".len()..].parse().expect("an address");
    let mut socket = TcpStream::connect(address).await?;
    let expect = if asks_first { "Expect: 100-continue\r\n" } else { "" };
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {KEY}\r\n\
         {KEY_FIELD}: huge\r\n{expect}Content-Length: {HUGE_BYTES}\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await?;
    let (mut reading, mut writing) = socket.into_split();
    let mut answer = Vec::new();
    let sending = async {
        let chunk = vec![b' '; 64 * 1024];
        for _ in 0..HUGE_BYTES / chunk.len() {
            // Whoever has been answered may be cut off.
            if asks_first || writing.write_all(&chunk).await.is_err() {
                break;
            }
        }
    };
    let (read, ()) = tokio::join!(reading.read_to_end(&mut answer), sending);
    match read {
        Ok(_) => Ok(String::from_utf8_lossy(&answer).into_owned()),
        Err(_) if !answer.is_empty() => Ok(String::from_utf8_lossy(&answer).into_owned()),
        Err(error) => Err(error),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_body_is_answered_before_it_is_sent() {
    let app = TestApp::start().await;
    let order = app.place("k").await;
    let payments = format!("/v1/orders/{order}/payments");
    for path in ["/v1/orders", &payments, "/v1/skus/tea/adjustments", "/v1/alipay/notify"] {
        // As curl does it.
        let answer = send_huge(&app, path, true).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 413 "), "{path}: {answer}");
        assert!(answer.contains(r#""code":"body_too_large""#), "{path}: {answer}");
        assert!(answer.contains(r#""field":"body""#), "{path}: {answer}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_body_that_comes_unasked_is_answered_all_the_same() {
    let app = TestApp::start().await;
    let mut lost = Vec::new();
    for round in 0..20 {
        let answer = send_huge(&app, "/v1/orders", false).await;
        if !answer.as_ref().is_ok_and(|answer| answer.starts_with("HTTP/1.1 413 ")) {
            lost.push((round, answer));
        }
    }
    assert!(lost.is_empty(), "{} of 20: {lost:#?}", lost.len());
    app.finish().await;
}
