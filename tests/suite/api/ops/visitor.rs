//! A browser without a script, as far as the console needs one: a cookie, and forms.

use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response};

use crate::support::TestApp;

/// What a visitor was answered.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) status: u16,
    pub(super) location: String,
    pub(super) body: String,
    pub(super) response_headers: reqwest::header::HeaderMap,
}

impl Page {
    pub(super) async fn of(response: Response) -> Self {
        let headers = response.headers().clone();
        let location = headers.get("location").map(|value| value.to_str().expect("a text"));
        Self {
            status: response.status().as_u16(),
            location: location.unwrap_or_default().to_owned(),
            response_headers: headers,
            body: response.text().await.expect("a body"),
        }
    }

    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.response_headers.get(name);
        value.map(|value| value.to_str().expect("a text")).unwrap_or_default()
    }

    /// The token of the page's forms.
    pub(super) fn csrf(&self) -> String {
        let (_, after) = self.body.split_once("name=\"csrf\" value=\"").expect("a form");
        after.split('"').next().expect("a token").to_owned()
    }

    pub(super) fn is_login_redirect(&self) -> bool {
        self.status == 303 && self.location.starts_with("/ops/login")
    }

    #[track_caller]
    pub(super) fn assert_shows(&self, words: &[&str]) {
        for word in words {
            assert!(self.body.contains(word), "no {word} in {}", self.body);
        }
    }
}

/// Somebody with a cookie, or without.
pub(super) struct Visitor {
    client: Client,
    base: String,
    pub(super) cookie: String,
}

impl Visitor {
    pub(super) fn new(base: String) -> Self {
        let client = Client::builder().no_proxy().redirect(Policy::none()).build();
        Self { client: client.expect("a client"), base, cookie: String::new() }
    }

    /// Somebody who is logged in with this key.
    pub(super) async fn logged_in(app: &TestApp, key: &str) -> Self {
        let mut visitor = Self::new(app.url(""));
        let page = visitor.log_in(&[("key", key)]).await;
        assert_eq!((page.status, page.location.as_str()), (303, "/ops"), "{}", page.body);
        visitor
    }

    /// Sends the login form and keeps the cookie.
    pub(super) async fn log_in(&mut self, fields: &[(&str, &str)]) -> Page {
        let page = self.post("/ops/login", fields).await;
        if let Some(cookie) = page.header("set-cookie").split(';').next() {
            cookie.clone_into(&mut self.cookie);
        }
        page
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        if self.cookie.is_empty() { request } else { request.header("cookie", &self.cookie) }
    }

    pub(super) async fn get(&self, path: &str) -> Page {
        let response = self.request(Method::GET, path).send().await;
        Page::of(response.expect("an answer")).await
    }

    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let mut form = form_urlencoded::Serializer::new(String::new());
        let body = form.extend_pairs(fields).finish();
        let request = self.request(Method::POST, path);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        Page::of(request.body(body).send().await.expect("an answer")).await
    }

    /// Sends a form of this session's own pages.
    pub(super) async fn submit(&self, path: &str) -> Page {
        let csrf = self.get("/ops").await.csrf();
        self.post(path, &[("csrf", &csrf)]).await
    }
}
