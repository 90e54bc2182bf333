//! Who gets into the console, and what a page may be sent by.

use std::time::Duration;

use checkback::config::{Scope, Secret};
use checkback::domain::alarm::AlarmKind;
use checkback::ids::Ids;
use checkback::run::{Environment, HttpSockets, Service};
use reqwest::Method;

use super::visitor::{Page, Visitor};
use super::{PAGES, first_alarm, raise};
use crate::api::NOBODYS;
use crate::support::{KEY, OPS_KEY, SHOP_KEY, TestApp, loopback};

/// A little less than a session lasts.
const NEARLY_A_SESSION: Duration = Duration::from_mins(10 * 60 - 1);

#[tokio::test(flavor = "multi_thread")]
async fn without_a_login_every_page_is_the_form() {
    let app = TestApp::start().await;
    let nobody = Visitor::new(app.url(""));
    let hidden = ["/ops/stream", "/ops/nothing"];
    let order = format!("/ops/orders/{NOBODYS}");
    for path in PAGES.into_iter().chain(hidden).chain([order.as_str()]) {
        let page = nobody.get(path).await;
        assert!(page.is_login_redirect(), "{path}: {page:?}");
    }
    for path in [&format!("{order}/ask"), "/ops/alarms/x/acknowledge", "/ops/nothing"] {
        assert!(nobody.post(path, &[("csrf", "")]).await.is_login_redirect(), "{path}");
    }
    let bearer = nobody.request(Method::GET, "/ops").bearer_auth(KEY).send().await;
    assert!(Page::of(bearer.expect("an answer")).await.is_login_redirect(), "a cookie is wanted");
    let asked = nobody.get("/ops/search?q=a%20b").await;
    assert_eq!(asked.location, "/ops/login?next=%2Fops%2Fsearch%3Fq%3Da%2520b");
    let form = nobody.get(&asked.location).await;
    assert_eq!(form.status, 200);
    form.assert_shows(&["type=\"password\"", "name=\"next\" value=\"/ops/search?q=a%20b\""]);
    for page in [form, nobody.get("/ops").await] {
        assert_eq!(page.header("x-frame-options"), "DENY");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("referrer-policy"), "same-origin");
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    }
    for asset in ["/ops/console.css", "/ops/console.js"] {
        assert_eq!(nobody.get(asset).await.status, 200);
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_operators_key_opens_the_door() {
    let app = TestApp::start().await;
    let mut visitor = Visitor::new(app.url(""));
    let refused = [("wrong", 401), ("", 401), ("operator", 401), (SHOP_KEY, 403)];
    for (key, status) in refused {
        let page = visitor.post("/ops/login", &[("key", key)]).await;
        assert_eq!((page.status, page.header("set-cookie")), (status, ""), "{key}");
        page.assert_shows(&["role=\"alert\"", "type=\"password\""]);
    }
    assert_eq!(visitor.post("/ops/login", &[]).await.status, 401);

    let page = visitor.log_in(&[("key", OPS_KEY), ("next", "/ops/alarms")]).await;
    assert_eq!((page.status, page.location.as_str()), (303, "/ops/alarms"));
    let cookie = page.header("set-cookie");
    for flag in ["Path=/ops;", "HttpOnly", "SameSite=Strict", "Max-Age=36000"] {
        assert!(cookie.contains(flag), "{flag} in {cookie}");
    }
    assert!(!cookie.contains("Secure") && !cookie.contains(OPS_KEY), "{cookie}");
    for path in PAGES.into_iter().filter(|path| !path.contains("?q=")) {
        let page = visitor.get(path).await;
        assert_eq!((page.status, page.header("cache-control")), (200, "no-store"), "{path}");
        page.assert_shows(&["<bdi>operator</bdi>", "All times are UTC."]);
    }
    assert_eq!(visitor.get("/ops/login").await.location, "/ops", "who is in stays in");
    for foreign in ["https://evil.example", "//evil.example", "/opsx", "/v1"] {
        let page = visitor.post("/ops/login", &[("key", OPS_KEY), ("next", foreign)]).await;
        assert_eq!(page.location, "/ops", "{foreign}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_browser_says_of_its_way_is_heeded() {
    let app = TestApp::start().await;
    let visitor = Visitor::new(app.url(""));
    let log_in = async |name: &str, value: &str| {
        let request = visitor.request(Method::POST, "/ops/login").header(name, value);
        Page::of(request.body(format!("key={OPS_KEY}")).send().await.expect("an answer")).await
    };
    for (name, value) in [("origin", "https://ops.example"), ("x-forwarded-proto", "https")] {
        let page = log_in(name, value).await;
        assert!(page.header("set-cookie").ends_with("; Secure"), "{name}");
    }
    for site in ["cross-site", "same-site"] {
        let page = log_in("sec-fetch-site", site).await;
        assert_eq!((page.status, page.header("set-cookie")), (403, ""), "{site}");
    }
    for site in ["same-origin", "none"] {
        assert_eq!(log_in("sec-fetch-site", site).await.status, 303, "{site}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_cannot_be_guessed_at_speed() {
    let app = TestApp::start().await;
    let mut visitor = Visitor::new(app.url(""));
    for guess in 0..10 {
        assert_eq!(visitor.post("/ops/login", &[("key", &guess.to_string())]).await.status, 401);
    }
    let refused = visitor.log_in(&[("key", OPS_KEY)]).await;
    assert_eq!((refused.status, refused.header("set-cookie")), (429, ""));
    assert!(refused.header("retry-after").parse::<u32>().expect("seconds") <= 60);
    app.advance(Duration::from_mins(1)).await;
    assert_eq!(visitor.log_in(&[("key", OPS_KEY)]).await.status, 303);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_forged_or_over_is_none() {
    let app = TestApp::start().await;
    let mut operator = Visitor::logged_in(&app, OPS_KEY).await;
    let other = Visitor::logged_in(&app, KEY).await.cookie;
    let good = operator.cookie.clone();
    let parts: Vec<_> = good.split('.').map(str::to_owned).collect();
    let [name, expires_at, nonce, signature] = parts.as_slice() else { panic!("{good}") };
    let (other_name, _) = other.split_once('.').expect("a name");
    let (_, other_rest) = other.split_once('.').expect("a rest");
    let later = expires_at.parse::<i64>().expect("a time") + 1;
    let forged = [
        "checkback_ops=".to_owned(),
        "checkback_ops=....".to_owned(),
        format!("{other_name}.{expires_at}.{nonce}.{signature}"),
        format!("{name}.{other_rest}"),
        format!("{name}.{later}.{nonce}.{signature}"),
        format!("{name}.{expires_at}.X{nonce}.{signature}"),
        format!("{name}.{expires_at}.{nonce}.{}", &signature[..signature.len() - 4]),
        format!("{name}.{expires_at}.{nonce}."),
        format!("{name}.{expires_at}.{nonce}"),
        format!("checkback_ops=%00.{expires_at}.{nonce}.{signature}"),
    ];
    for cookie in forged {
        operator.cookie.clone_from(&cookie);
        assert!(operator.get("/ops").await.is_login_redirect(), "{cookie}");
    }
    operator.cookie = format!("a=b; {good}; c=d");
    assert_eq!(operator.get("/ops").await.status, 200, "beside other cookies");
    app.advance(NEARLY_A_SESSION).await;
    assert_eq!(operator.get("/ops").await.status, 200);
    app.advance(Duration::from_mins(2)).await;
    assert!(operator.get("/ops").await.is_login_redirect(), "a session ends");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_key() {
    let app = TestApp::start().await;
    let operator = Visitor::logged_in(&app, OPS_KEY).await;
    let csrf = operator.get("/ops").await.csrf();
    let configured = &app.app().config.http.keys;
    let mut changed = configured.clone();
    for key in &mut changed {
        if key.name == "operator" {
            key.key = Secret::new("another-key");
        }
    }
    let mut without: Vec<_> = configured.clone();
    without.retain(|key| key.name != "operator");
    let mut unscoped = configured.clone();
    for key in &mut unscoped {
        key.scopes.retain(|scope| *scope != Scope::Ops);
    }
    for keys in [changed, without, unscoped] {
        app.service().keys.replace(&keys);
        assert!(operator.get("/ops").await.is_login_redirect());
        assert!(operator.post("/ops/logout", &[("csrf", &csrf)]).await.is_login_redirect());
        app.service().keys.replace(configured);
        assert_eq!(operator.get("/ops").await.status, 200, "it is the same key again");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_instance_knows_the_session_and_no_instance_shows_the_console_to_the_public() {
    let app = TestApp::start().await;
    let operator = Visitor::logged_in(&app, OPS_KEY).await;
    let mut config = app.app().config.clone();
    config.http.public_url = None;
    let sockets = HttpSockets::bind(loopback(), Some(loopback())).expect("free ports");
    let private = format!("http://{}", sockets.private_address());
    let public = sockets.public_url(&config.http);
    assert_ne!(private, public);
    let environment = Environment { clock: app.clock.clone(), ids: Ids::from_entropy() };
    let second = Service::start(config, sockets, environment).await.expect("a second instance");
    let mut there = Visitor::new(private);
    there.cookie.clone_from(&operator.cookie);
    assert_eq!(there.get("/ops").await.status, 200, "the session is of no instance");
    let mut outside = Visitor::new(public);
    outside.cookie.clone_from(&operator.cookie);
    for path in ["/ops", "/ops/", "/ops/login", "/ops/alarms", "/ops/console.css", "/ops/x"] {
        assert_eq!(outside.get(path).await.status, 404, "{path}");
    }
    assert_eq!(outside.post("/ops/login", &[("key", OPS_KEY)]).await.status, 404);
    second.shutdown().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_no_page_of_this_session_changes_nothing() {
    let app = TestApp::start().await;
    let operator = Visitor::logged_in(&app, OPS_KEY).await;
    let another = Visitor::logged_in(&app, OPS_KEY).await;
    raise(&app, AlarmKind::OutboxStuck, "E1").await;
    let (id, _) = first_alarm(&app).await;
    let order = app.place("k").await;
    let number = app.start_payment(&order).await;
    let (mine, theirs) = (operator.get("/ops").await.csrf(), another.get("/ops").await.csrf());
    assert_ne!(mine, theirs, "each session has its own token");
    let before = app.trade(&number).await;
    let paths = [
        format!("/ops/alarms/{id}/acknowledge"),
        format!("/ops/orders/{order}/ask"),
        "/ops/logout".to_owned(),
        "/ops/nothing".to_owned(),
    ];
    for path in &paths {
        for csrf in ["", "x", &theirs, &mine[1..], &format!("{mine}x")] {
            let page = operator.post(path, &[("csrf", csrf)]).await;
            assert_eq!((page.status, page.header("set-cookie")), (403, ""), "{path} {csrf}");
            page.assert_shows(&["nothing was done"]);
        }
        let bare = operator.post(&format!("{path}?csrf={mine}"), &[]).await;
        assert_eq!(bare.status, 403, "a token in the address is none");
    }
    assert!(first_alarm(&app).await.1.is_null(), "nobody has acknowledged it");
    assert_eq!(app.trade(&number).await, before);
    let out = operator.post("/ops/logout", &[("csrf", &mine)]).await;
    assert!(out.is_login_redirect() && out.header("set-cookie").contains("Max-Age=0"), "{out:?}");
    assert_eq!(app.cancel(&order).await.0, 200);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_console_does_not_have_is_not_there() {
    let app = TestApp::start().await;
    let operator = Visitor::logged_in(&app, OPS_KEY).await;
    for path in ["/ops/nothing", "/ops/orders", "/ops/orders/x/y/z", "/ops/%ff", "/ops/orders/x"] {
        let page = operator.get(path).await;
        assert_eq!(page.status, 404, "{path}");
        page.assert_shows(&["<h1>Not found</h1>"]);
        assert_eq!(page.header("x-frame-options"), "DENY", "{path}");
    }
    assert_eq!(operator.get("/ops/").await.location, "/ops");
    assert_eq!(operator.submit("/ops/nothing").await.status, 404);
    let csrf = operator.get("/ops").await.csrf();
    for path in ["/ops", "/ops/alarms", "/ops/console.css"] {
        assert_eq!(operator.post(path, &[("csrf", &csrf)]).await.status, 405, "{path}");
    }
    for path in ["/ops/alarms/x/acknowledge", "/ops/logout"] {
        let page = operator.get(path).await;
        assert_eq!((page.status, page.header("allow")), (405, "POST"), "{path}");
    }
    app.finish().await;
}
