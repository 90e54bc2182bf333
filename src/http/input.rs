//! What comes from outside: each extractor refuses with problem details that name the field.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt as _;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};

use super::HttpState;
use super::error::ApiError;
use crate::domain::ids::{OrderId, SkuId};

/// Longest request body, notifications included (bytes): what the column of a notification holds.
pub const BODY_BYTES_MAX: usize = 65_535;
/// A body that is too large is read to its end up to this length (bytes).
const DRAINED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A body arrives within this time.
const BODY_BUDGET: Duration = Duration::from_secs(5);
/// Longest idempotency key.
const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;

/// A JSON body.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<HttpState> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &HttpState) -> Result<Self, ApiError> {
        let bytes = read_body(request).await?;
        read_json(&bytes).map(Self)
    }
}

/// A body as it came.
#[derive(Debug)]
pub struct RawBody(pub Bytes);

impl FromRequest<HttpState> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &HttpState) -> Result<Self, ApiError> {
        read_body(request).await.map(Self)
    }
}

/// Reads a body. One that is too large is read to its end all the same, as far as that goes: a
/// client that writes everything before it reads would else find a broken connection.
async fn read_body(request: Request) -> Result<Bytes, ApiError> {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let is_too_large = announced.is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64);
    if is_too_large && request.headers().contains_key(header::EXPECT) {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_BUDGET, collect(request)).await {
        Ok(body) => body,
        Err(_) if is_too_large => Err(too_large()),
        Err(_) => {
            let detail = "the body did not arrive in time";
            let status = StatusCode::REQUEST_TIMEOUT;
            Err(ApiError::new(status, "body_timed_out", detail).about("body"))
        }
    }
}

async fn collect(request: Request) -> Result<Bytes, ApiError> {
    let mut arriving = request.into_body().into_data_stream();
    let mut body = Vec::new();
    let mut length = 0_usize;
    while let Some(chunk) = arriving.next().await {
        let incomplete = |_| ApiError::invalid("body", "the body did not arrive completely");
        let chunk = chunk.map_err(incomplete)?;
        length = length.saturating_add(chunk.len());
        if length <= BODY_BYTES_MAX {
            body.extend_from_slice(&chunk);
        } else if length > DRAINED_BYTES_MAX {
            break;
        }
    }
    if length > BODY_BYTES_MAX { Err(too_large()) } else { Ok(body.into()) }
}

fn too_large() -> ApiError {
    let detail = format!("the body is larger than {BODY_BYTES_MAX} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail).about("body")
}

/// A JSON object. Without this a list of a struct's values would be taken for the struct.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| ApiError::invalid("body", "the body is not UTF-8"))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let Object(value) = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let detail = error.inner().to_string();
        let path = error.path().to_string();
        let path = path.trim_end_matches(['.', '?']);
        ApiError::invalid(field_at(path, &detail), detail)
    })?;
    json.end().map_err(|error| ApiError::invalid("body", error.to_string()))?;
    Ok(value)
}

/// A path leads to a wrong value; a missing, unknown or doubled field is named in the words of the
/// error, between backquotes.
fn field_at(path: &str, detail: &str) -> String {
    let told = ["missing field", "unknown field", "duplicate field"];
    let named = told.iter().any(|words| detail.contains(words));
    let name = detail.split('`').nth(1).filter(|_| named);
    match (path, name) {
        ("", name) => name.unwrap_or("body").to_owned(),
        (path, Some(name)) if path != name && !path.ends_with(&format!(".{name}")) => {
            format!("{path}.{name}")
        }
        (path, _) => path.to_owned(),
    }
}

/// The order id in the path: an id that can't be one doesn't exist.
#[derive(Debug)]
pub struct OrderPath(pub OrderId);

impl FromRequestParts<HttpState> for OrderPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, ApiError> {
        let id = path_text(parts, state, "id").await?;
        OrderId::parse(&id).map(Self).ok_or_else(|| ApiError::not_found("order").about("id"))
    }
}

/// The SKU id in the path.
#[derive(Debug)]
pub struct SkuPath(pub SkuId);

impl FromRequestParts<HttpState> for SkuPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, ApiError> {
        let id = path_text(parts, state, "sku_id").await?;
        SkuId::parse(&id).map(Self).ok_or_else(|| {
            ApiError::invalid("sku_id", "1 to 64 of the characters A-Z a-z 0-9 . _ -")
        })
    }
}

/// An id in the path that any text may be.
#[derive(Debug)]
pub struct TextPath(pub String);

impl FromRequestParts<HttpState> for TextPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, ApiError> {
        path_text(parts, state, "id").await.map(Self)
    }
}

async fn path_text(
    parts: &mut Parts,
    state: &HttpState,
    field: &'static str,
) -> Result<String, ApiError> {
    let Path(text) = Path::<String>::from_request_parts(parts, state)
        .await
        .map_err(|_| ApiError::invalid(field, "it is not UTF-8"))?;
    Ok(text)
}

/// The query string.
#[derive(Debug)]
pub struct QueryFields<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<HttpState> for QueryFields<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, ApiError> {
        let Query(fields) =
            Query::<T>::from_request_parts(parts, state).await.map_err(|rejection| {
                let detail = rejection.body_text();
                let field = field_at("", &detail);
                let field = if field == "body" { "query".to_owned() } else { field };
                ApiError::invalid(field, detail)
            })?;
        Ok(Self(fields))
    }
}

/// Reads the `Idempotency-Key` header.
///
/// # Errors
/// If it is missing or can't be used.
pub fn idempotency_key(headers: &HeaderMap) -> Result<String, ApiError> {
    const FIELD: &str = "Idempotency-Key";
    let value = headers.get(FIELD);
    let value = value.ok_or_else(|| ApiError::invalid(FIELD, "this header is required"))?;
    let text = value
        .to_str()
        .ok()
        .filter(|text| !text.trim().is_empty() && text.len() <= IDEMPOTENCY_KEY_CHARS_MAX);
    text.map(str::to_owned)
        .ok_or_else(|| ApiError::invalid(FIELD, "1 to 255 printable ASCII characters"))
}

/// Checks a text field's length (characters) and that it has no control characters.
///
/// # Errors
/// If it is too short, too long, or not printable.
pub fn check_text(field: &str, text: &str, chars_max: usize) -> Result<(), ApiError> {
    let length = text.chars().count();
    if text.trim().is_empty() || length > chars_max {
        return Err(ApiError::invalid(field, format!("1 to {chars_max} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(ApiError::invalid(field, "control characters are not allowed"));
    }
    Ok(())
}

/// Checks that a number lies in a range.
///
/// # Errors
/// If it doesn't.
pub fn check_range(field: &str, number: i64, min: i64, max: i64) -> Result<(), ApiError> {
    if (min..=max).contains(&number) {
        return Ok(());
    }
    Err(ApiError::invalid(field, format!("must be between {min} and {max}")))
}
