//! Who may call what: 401 without a key, 403 with one that lacks the scope.

use reqwest::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};

use super::{
    Flaws, NOBODYS, OPEN_ROUTES, OPERATOR_ROUTES, ORDER_ROUTES, Problem, REFUND_ROUTES, method,
    with_id,
};
use crate::support::{KEY, OPS_KEY, SHOP_KEY, TestApp};

const UNAUTHORIZED: Problem = Problem::new(401, "unauthorized", None);
const FORBIDDEN: Problem = Problem::new(403, "forbidden", None);

#[tokio::test(flavor = "multi_thread")]
async fn every_route_wants_the_key_that_the_contract_says() {
    let app = TestApp::start().await;
    let mut flaws = Flaws::default();
    let send = async |(name, path): (&str, &str), key: Option<&str>| {
        let request = app.client.request(method(name), app.url(&with_id(path, NOBODYS)));
        match key {
            Some(key) => request.bearer_auth(key).send().await,
            None => request.send().await,
        }
    };
    for route in ORDER_ROUTES.into_iter().chain(OPERATOR_ROUTES).chain(REFUND_ROUTES) {
        let case = format!("{route:?} without a key");
        let answer = send(route, None).await;
        if answer.as_ref().is_ok_and(|answer| answer.headers().get(WWW_AUTHENTICATE).is_none()) {
            flaws.note(&case, "no WWW-Authenticate");
        }
        flaws.expect(&case, answer, UNAUTHORIZED).await;
    }
    for (routes, key) in [
        (&ORDER_ROUTES[..], OPS_KEY),
        (&OPERATOR_ROUTES[..], SHOP_KEY),
        (&REFUND_ROUTES[..], OPS_KEY),
        (&REFUND_ROUTES[..], SHOP_KEY),
    ] {
        for route in routes {
            let case = format!("{route:?} with {key}");
            flaws.expect(&case, send(*route, Some(key)).await, FORBIDDEN).await;
        }
    }
    for (routes, key) in [(&ORDER_ROUTES[..], SHOP_KEY), (&OPERATOR_ROUTES[..], OPS_KEY)] {
        for route in routes {
            let status = send(*route, Some(key)).await.expect("an answer").status();
            if matches!(status.as_u16(), 401 | 403) {
                flaws.note(&format!("{route:?} with {key}"), status);
            }
        }
    }
    for route in OPEN_ROUTES {
        let status = send(route, None).await.expect("an answer").status();
        if matches!(status.as_u16(), 401 | 403) {
            flaws.note(&format!("{route:?} needs no key"), status);
        }
    }
    flaws.assert_none();
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_exactly_a_key_is_none() {
    let app = TestApp::start().await;
    let mut flaws = Flaws::default();
    let wrong: [&[u8]; 11] = [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer wrong",
        b"Bearer test-ke",
        b"Bearer test-keyy",
        b"Bearer TEST-KEY",
        b"Basic dGVzdC1rZXk6",
        b"test-key",
        b"Bearer test-key, Bearer wrong",
        b"Bearer \xff\xfe",
    ];
    for value in wrong {
        let header = HeaderValue::from_bytes(value).expect("a header");
        let request = app.client.get(app.url("/v1/skus/tea")).header(AUTHORIZATION, header);
        let case = String::from_utf8_lossy(value);
        flaws.expect(&case, request.send().await, UNAUTHORIZED).await;
    }
    let in_query = app.client.get(app.url(&format!("/v1/skus/tea?key={KEY}")));
    flaws.expect("a key in the query", in_query.send().await, UNAUTHORIZED).await;
    let right = app.client.get(app.url("/v1/skus/tea")).header(AUTHORIZATION, "bearer test-key");
    let status = right.send().await.expect("an answer").status();
    assert_eq!(status, 200, "the scheme's case does not matter");
    flaws.assert_none();
    app.finish().await;
}
