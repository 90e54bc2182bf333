//! Requests that real SDKs have sent, byte for byte.

use serde_json::Value;

use crate::merchant::{Shop, receive};

const CAPTURED: &str = include_str!("../vectors/requests_from_real_sdks.json");

#[tokio::test]
async fn captured_requests_of_real_sdks_are_understood() {
    let shop = Shop::open().await;
    let captured: Vec<Value> = serde_json::from_str(CAPTURED).unwrap();
    assert_eq!(captured.len(), 4);
    for request in &captured {
        let url = shop.url(request["request_target"].as_str().unwrap());
        let mut call = match request["http_method"].as_str().unwrap() {
            "GET" => shop.http.get(url),
            _ => shop.http.post(url),
        };
        if let Some(content_type) = request["content_type"].as_str() {
            call = call.header("content-type", content_type);
        }
        let call = call.body(request["body"].as_str().unwrap().to_owned());
        let answer = receive(call.send().await.unwrap()).await.unwrap();
        let node = answer.node();
        let expected = if url_is_query(request) { "40004" } else { "10000" };
        assert_eq!(node["code"], expected, "{} {node}", request["peer"]);
        assert_eq!((answer.status, answer.trace_id.is_some()), (200, true));
    }
    // Three spellings of the same order are one trade.
    let trade = shop.trade("T1").await;
    assert_eq!(
        (&trade["state"], &trade["subject"]),
        (&"NOT_SCANNED".into(), &"中文 a+b&c=/".into())
    );
}

#[tokio::test]
async fn a_captured_request_with_one_changed_byte_is_refused() {
    let shop = Shop::open().await;
    let captured: Vec<Value> = serde_json::from_str(CAPTURED).unwrap();
    let request = &captured[0];
    let body = request["body"].as_str().unwrap().replace("0.01", "0.02");
    let post = shop.http.post(shop.url(request["request_target"].as_str().unwrap()));
    let post = post.header("content-type", request["content_type"].as_str().unwrap());
    let node = receive(post.body(body).send().await.unwrap()).await.unwrap().node();
    assert_eq!(
        (&node["code"], &node["sub_code"]),
        (&"40002".into(), &"isv.invalid-signature".into())
    );
    let hint = node["sub_msg"].as_str().unwrap();
    assert!(hint.contains("total_amount&quot;:&quot;0.02&quot;"), "{hint}");
}

fn url_is_query(request: &Value) -> bool {
    request["request_target"].as_str().unwrap().contains("alipay.trade.query")
}
