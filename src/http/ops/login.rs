//! Logging in with an operator's key, and out again.

use std::sync::{Mutex, PoisonError};

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use chrono::{DateTime, Duration, Utc};
use serde::Deserialize;

use super::failure::Failure;
use super::session::{self, Form, page_of_ours};
use super::{ASSETS_VERSION, html};
use crate::config::Scope;
use crate::http::HttpState;
use crate::http::input::{QueryFields, RawBody};

/// Wrong keys that one instance takes within a window, from whomever they come.
const FAILURES_MAX: u32 = 10;
const WINDOW: Duration = Duration::minutes(1);

/// How often a login failed lately.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    ends_at: DateTime<Utc>,
    failures: u32,
}

impl Attempts {
    /// Tries to log in. `Err`: there were too many failures; when the next try is possible.
    fn attempt<T>(
        &self,
        now: DateTime<Utc>,
        log_in: impl FnOnce() -> Option<T>,
    ) -> Result<Option<T>, DateTime<Utc>> {
        // Whoever tries at the same time waits: no burst gets more tries than a row.
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.ends_at <= now {
            *window = Window { ends_at: now + WINDOW, failures: 0 };
        }
        if window.failures >= FAILURES_MAX {
            return Err(window.ends_at);
        }
        let result = log_in();
        window.failures += u32::from(result.is_none());
        Ok(result)
    }
}

#[derive(Template)]
#[template(path = "ops/login.html")]
struct Page<'a> {
    /// Where to go afterwards.
    next: &'a str,
    complaint: &'a str,
    assets: &'a str,
}

#[derive(Debug, Deserialize)]
pub(super) struct FormFields {
    #[serde(default)]
    next: String,
}

pub(super) async fn form(
    State(state): State<HttpState>,
    headers: HeaderMap,
    QueryFields(fields): QueryFields<FormFields>,
) -> Response {
    let next = page_of_ours(&fields.next).unwrap_or("/ops");
    if session::of(&headers, &state.keys.load(), state.app.now()).is_some() {
        return Redirect::to(next).into_response();
    }
    page(StatusCode::OK, next, "")
}

fn page(status: StatusCode, next: &str, complaint: &str) -> Response {
    html(status, &Page { next, complaint, assets: &ASSETS_VERSION })
}

pub(super) async fn log_in(
    State(state): State<HttpState>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Response, Failure> {
    if is_foreign(&headers) {
        return Err(Failure::forged());
    }
    let form = Form::read(&body);
    let next = page_of_ours(form.field("next").unwrap_or_default()).unwrap_or("/ops");
    let key = form.field("key").unwrap_or_default().trim();
    let now = state.app.now();
    let known = state.console.attempts.attempt(now, || state.keys.load().find(key).cloned());
    match known {
        Ok(Some(operator)) if operator.may(Scope::Ops) => {
            tracing::info!(operator = operator.name, "an operator logged in");
            let cookie = session::cookie(&operator, &state, session::is_https(&headers));
            Ok(with_cookie(Redirect::to(next).into_response(), &cookie))
        }
        Ok(Some(_)) => Ok(page(StatusCode::FORBIDDEN, next, "This key has no scope “ops”.")),
        Ok(None) => {
            tracing::warn!("a login with a wrong key");
            Ok(page(StatusCode::UNAUTHORIZED, next, "This key is not known."))
        }
        Err(ends_at) => Ok(too_many(next, (ends_at - now).num_seconds().max(1))),
    }
}

fn too_many(next: &str, seconds: i64) -> Response {
    tracing::warn!("too many logins failed, further ones are refused for a while");
    let complaint = format!("Too many logins failed. Try again in {seconds} s.");
    let mut response = page(StatusCode::TOO_MANY_REQUESTS, next, &complaint);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// Whether the browser says that another site sent the form: that site would choose who logs in.
fn is_foreign(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    site.is_some_and(|site| site != "same-origin" && site != "none")
}

pub(super) async fn log_out() -> Response {
    with_cookie(Redirect::to("/ops/login").into_response(), &session::no_cookie())
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    match HeaderValue::from_str(cookie) {
        Ok(value) => {
            response.headers_mut().insert(header::SET_COOKIE, value);
            response
        }
        Err(error) => {
            tracing::error!(%error, "a session's cookie can't be sent");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("a time")
    }

    #[test]
    fn after_ten_wrong_keys_even_the_right_one_waits() {
        let attempts = Attempts::default();
        assert_eq!(attempts.attempt(at(0), || Some("right")), Ok(Some("right")));
        for second in 0..10 {
            assert_eq!(attempts.attempt(at(second), || None::<&str>), Ok(None));
        }
        assert_eq!(attempts.attempt(at(59), || Some("right")), Err(at(60)));
        assert_eq!(attempts.attempt(at(60), || Some("right")), Ok(Some("right")));
    }
}
