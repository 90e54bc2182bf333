//! API keys: `Authorization: Bearer <key>`. Everything under `/v1` needs one but the webhook; each
//! group of routes needs its scope.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::watch;

use super::HttpState;
use super::error::ApiError;
use crate::config::{ApiKey, Scope};
use crate::hash::sha256_hex;

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The key's name, which stands in the history.
    pub name: String,
    scopes: Vec<Scope>,
    key_hash: String,
}

impl Caller {
    /// Whether its key has this scope.
    pub(super) fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// The hash of its key, which signs the sessions that the key opens.
    pub(super) fn key_hash(&self) -> &str {
        &self.key_hash
    }
}

/// The keys that are valid at one time, known by their hashes only.
#[derive(Clone, Debug)]
pub struct Keys(Vec<Caller>);

/// The keys that are valid now: whoever asks, asks again for each request.
#[derive(Debug)]
pub struct KeyRing(watch::Sender<Arc<Keys>>);

impl KeyRing {
    /// The configured keys.
    #[must_use]
    pub fn new(keys: &[ApiKey]) -> Self {
        Self(watch::Sender::new(Arc::new(Keys::new(keys))))
    }

    /// Those that are valid now.
    #[must_use]
    pub fn load(&self) -> Arc<Keys> {
        Arc::clone(&self.0.borrow())
    }

    /// Puts others in their place: a key that is left out is refused from now on.
    pub fn replace(&self, keys: &[ApiKey]) {
        self.0.send_replace(Arc::new(Keys::new(keys)));
    }

    /// Tells of every replacement from now on.
    pub(super) fn watch(&self) -> watch::Receiver<Arc<Keys>> {
        self.0.subscribe()
    }
}

impl Keys {
    fn new(keys: &[ApiKey]) -> Self {
        let callers = keys.iter().map(|key| Caller {
            name: key.name.clone(),
            scopes: key.scopes.clone(),
            key_hash: sha256_hex(&[key.key.expose()]),
        });
        Self(callers.collect())
    }

    /// The refusal of a request under `/v1` without a valid key, for paths that have no route.
    #[must_use]
    pub fn refuse_unknown(&self, request: &Request) -> Option<ApiError> {
        let known = bearer(request.headers()).and_then(|key| self.find(key)).is_some();
        (request.uri().path().starts_with("/v1/") && !known).then(unauthorized)
    }

    /// Whether the key that somebody came with would still be let in for this.
    pub(super) fn admit(&self, earlier: &Caller, scope: Scope) -> bool {
        let today = self.0.iter().find(|caller| caller.key_hash == earlier.key_hash);
        today.is_some_and(|caller| caller.name == earlier.name && caller.may(scope))
    }

    /// Whose key this name is.
    pub(super) fn named(&self, name: &str) -> Option<&Caller> {
        self.0.iter().find(|caller| caller.name == name)
    }

    /// Hashes are compared, so that the time it takes says nothing about a key.
    pub(super) fn find(&self, key: &str) -> Option<&Caller> {
        let hash = sha256_hex(&[key]);
        self.0.iter().find(|caller| caller.key_hash == hash)
    }
}

/// Lets only callers with a valid key pass, and tells handlers who it is.
///
/// # Errors
/// 401 without a valid key.
pub async fn require_key(
    State(state): State<HttpState>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let keys = state.keys.load();
    let caller = bearer(request.headers()).and_then(|key| keys.find(key));
    let Some(caller) = caller else { return Err(unauthorized()) };
    request.extensions_mut().insert(caller.clone());
    Ok(next.run(request).await)
}

/// Lets only callers with one of these scopes pass.
///
/// # Errors
/// 403 with others.
pub async fn require_scope(
    State(scopes): State<&'static [Scope]>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let caller = request.extensions().get::<Caller>();
    if caller.is_some_and(|caller| scopes.iter().any(|scope| caller.may(*scope))) {
        return Ok(next.run(request).await);
    }
    let names: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
    let detail = format!("this key lacks the scope {}", names.join(" or "));
    Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", detail))
}

fn unauthorized() -> ApiError {
    let detail = "a valid key is needed: Authorization: Bearer <key>";
    ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
