//! Sessions of operators. A session is a signed cookie and nothing else, so that every instance
//! behind one address knows it. The hash of the operator's own key signs it: it needs no secret of
//! its own, and a key that is gone or changed ends its sessions at the next request.

use aws_lc_rs::hmac;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Duration, Utc};

use super::failure::Failure;
use crate::config::Scope;
use crate::http::HttpState;
use crate::http::auth::{Caller, Keys};
use crate::http::input::RawBody;

/// How long a session lasts: a working day.
const LIFE: Duration = Duration::hours(10);
const COOKIE: &str = "checkback_ops";
/// The field of every form that holds its session's token.
const CSRF_FIELD: &str = "csrf";
/// A page to go to after the login, if it isn't longer (bytes).
const NEXT_BYTES_MAX: usize = 512;

/// An operator who is logged in.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// The name of the key, which stands in the history.
    pub operator: String,
    /// Proves that a form is of this session.
    pub csrf: String,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// The fields of a form that was sent by a page of this session.
#[derive(Clone, Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn read(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// The cookie of a new session. `is_https` is how the browser came.
pub(super) fn cookie(operator: &Caller, state: &HttpState, is_https: bool) -> String {
    let (nonce, expires_at) = (state.app.fresh_id(), state.app.now() + LIFE);
    let name = URL_SAFE_NO_PAD.encode(&operator.name);
    let claims = format!("{name}.{}.{nonce}", expires_at.timestamp());
    let signature = sign(operator.key_hash(), "session", &claims);
    attributes(&format!("{claims}.{signature}"), LIFE.num_seconds(), is_https)
}

/// What makes the browser forget the session.
pub(super) fn no_cookie() -> String {
    attributes("", 0, false)
}

fn attributes(value: &str, max_age_s: i64, is_https: bool) -> String {
    let secure = if is_https { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/ops; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}")
}

/// The session of a request, if it has one that is still good.
pub(super) fn of(headers: &HeaderMap, keys: &Keys, now: DateTime<Utc>) -> Option<Session> {
    let token = token(headers)?;
    let (claims, signature) = token.rsplit_once('.')?;
    let mut parts = claims.split('.');
    let (name, expires_at) = (parts.next()?, parts.next()?.parse().ok()?);
    let operator = String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()?;
    let caller = keys.named(&operator)?;
    let key_hash = caller.key_hash();
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    hmac::verify(&key(key_hash), message("session", claims).as_bytes(), &signature).ok()?;
    let expires_at = DateTime::from_timestamp(expires_at, 0)?;
    let is_good = expires_at > now && caller.may(Scope::Ops);
    let csrf = sign(key_hash, "form", claims);
    is_good.then_some(Session { operator, csrf, expires_at })
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs =
        cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| name.trim() == COOKIE).map(|(_, value)| value.trim())
}

fn sign(key_hash: &str, purpose: &str, claims: &str) -> String {
    let tag = hmac::sign(&key(key_hash), message(purpose, claims).as_bytes());
    URL_SAFE_NO_PAD.encode(tag)
}

fn key(key_hash: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key_hash.as_bytes())
}

fn message(purpose: &str, claims: &str) -> String {
    format!("checkback ops {purpose}\n{claims}")
}

/// Lets only operators who are logged in pass, and only forms of their own pages.
pub(super) async fn require(
    State(state): State<HttpState>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let Some(session) = of(request.headers(), &state.keys.load(), state.app.now()) else {
        return Ok(Redirect::to(&login_address(&request)).into_response());
    };
    let mut request = request;
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let (parts, body) = request.into_parts();
        let RawBody(body) =
            RawBody::from_request(Request::from_parts(parts.clone(), body), &state).await?;
        let form = Form::read(&body);
        if !is_same(form.field(CSRF_FIELD).unwrap_or_default(), &session.csrf) {
            tracing::warn!(operator = session.operator, "a form of another session is refused");
            return Err(Failure::forged());
        }
        request = Request::from_parts(parts, axum::body::Body::empty());
        request.extensions_mut().insert(form);
    }
    request.extensions_mut().insert(session);
    Ok(next.run(request).await)
}

/// The time it takes says nothing about where they differ.
fn is_same(given: &str, wanted: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(given.as_bytes(), wanted.as_bytes()).is_ok()
}

fn login_address(request: &Request) -> String {
    let asked = request.uri().path_and_query().map(PathAndQuery::as_str).unwrap_or_default();
    match page_of_ours(asked) {
        Some(page) if request.method() == Method::GET && page != "/ops" => {
            let next: String = form_urlencoded::byte_serialize(page.as_bytes()).collect();
            format!("/ops/login?next={next}")
        }
        _ => "/ops/login".to_owned(),
    }
}

/// The address, if it is one of the console's own pages: nobody is sent anywhere else.
pub(super) fn page_of_ours(address: &str) -> Option<&str> {
    let rest = address.strip_prefix("/ops")?;
    let is_below = rest.is_empty() || rest.starts_with('/') || rest.starts_with('?');
    let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    (is_below && is_plain && address.len() <= NEXT_BYTES_MAX).then_some(address)
}

/// Whether the browser came by https, as it says itself or the proxy in front says.
pub(super) fn is_https(headers: &HeaderMap) -> bool {
    let begins = |name: &str, with: &[u8]| {
        headers.get(name).map(HeaderValue::as_bytes).is_some_and(|value| value.starts_with(with))
    };
    begins("origin", b"https://") || begins("x-forwarded-proto", b"https")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_a_page_that_is_not_ours() {
        for ours in ["/ops", "/ops/orders/1", "/ops?kind=attempt", "/ops/search?q=a%20b"] {
            assert_eq!(page_of_ours(ours), Some(ours));
        }
        let long = format!("/ops/{}", "a".repeat(NEXT_BYTES_MAX));
        let foreign =
            ["", "/", "//evil", "https://evil", "/opsevil", "/ops\\evil", "/ops/\r\nx: y"];
        for foreign in foreign.into_iter().chain([long.as_str()]) {
            assert_eq!(page_of_ours(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_cookie_is_secure_where_the_browser_came_by_https() {
        let headers = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(
                header::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )])
        };
        assert!(is_https(&headers("origin", "https://ops.example")));
        assert!(is_https(&headers("x-forwarded-proto", "https")));
        assert!(!is_https(&headers("origin", "http://127.0.0.1:8620")));
        assert!(!is_https(&HeaderMap::new()));
        assert!(attributes("v", 1, true).ends_with("; HttpOnly; SameSite=Strict; Secure"));
    }
}
