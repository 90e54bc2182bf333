//! What can go wrong on a page, as a page.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{ASSETS_VERSION, html};
use crate::http::error::ApiError;
use crate::service::handle_alarm::AlarmError;
use crate::store::StoreError;

/// How long to wait before another try with the database (seconds).
const RETRY_AFTER_SECONDS: u16 = 1;

/// A page that says why there is no other.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    heading: &'static str,
    detail: String,
}

#[derive(Template)]
#[template(path = "ops/failure.html")]
struct Page<'a> {
    heading: &'a str,
    detail: &'a str,
    assets: &'a str,
}

impl Failure {
    /// There is no such thing.
    pub(super) fn not_found(what: &str) -> Self {
        let detail = format!("There is no such {what}.");
        Self { status: StatusCode::NOT_FOUND, heading: "Not found", detail }
    }

    /// The form is not of this session: nothing was done.
    pub(super) fn forged() -> Self {
        let detail = "The form is not of this session, and nothing was done. Go back, reload the \
                      page and try again."
            .to_owned();
        Self { status: StatusCode::FORBIDDEN, heading: "Refused", detail }
    }

    /// The request can't be understood.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        let (status, heading) = (StatusCode::BAD_REQUEST, "Not understood");
        Self { status, heading, detail: detail.into() }
    }

    /// It can't be done in the present state, and nothing was done.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        let (status, heading) = (StatusCode::CONFLICT, "Not yet");
        Self { status, heading, detail: detail.into() }
    }

    /// Too much at once.
    pub(super) fn overloaded(detail: impl Into<String>) -> Self {
        let (status, heading) = (StatusCode::SERVICE_UNAVAILABLE, "Not now");
        Self { status, heading, detail: detail.into() }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let error: &(dyn std::error::Error + 'static) = &error;
        tracing::error!(error, "the database failed the console");
        Self::overloaded("The database did not answer. Try again.")
    }
}

impl From<AlarmError> for Failure {
    fn from(error: AlarmError) -> Self {
        match error {
            AlarmError::NoSuchAlarm => Self::not_found("alarm"),
            AlarmError::Unsettled(why) => Self::conflict(format!("The alarm stays open: {why}.")),
            AlarmError::Store(error) => error.into(),
        }
    }
}

/// What the extractors of the API refuse.
impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let status = error.status();
        if status == StatusCode::NOT_FOUND {
            return Self::not_found("order");
        }
        Self { status, heading: "Not understood", detail: error.detail().to_owned() }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self { status, heading, detail } = self;
        let page = Page { heading, detail: &detail, assets: &ASSETS_VERSION };
        let mut response = html(status, &page);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let after = HeaderValue::from(RETRY_AFTER_SECONDS);
            response.headers_mut().insert(header::RETRY_AFTER, after);
        }
        response
    }
}
