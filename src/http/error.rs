//! Every error answer is RFC 9457 problem details with a stable `code`. Errors of use cases are
//! mapped here, once; what goes wrong inside stays opaque to the caller and is logged here.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::service::handle_alarm::AlarmError;
use crate::service::place_order::PlaceError;
use crate::service::quarantine::QuarantineError;
use crate::service::request_payment::PaymentError;
use crate::service::request_refund::RefundError;
use crate::service::retry_refund::RetryError;
use crate::store::StoreError;

/// How long a caller should wait after a 503 (seconds).
const RETRY_AFTER_SECONDS: u16 = 1;

/// An error answer.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    problem: Problem,
}

/// Problem details, RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// What kind of problem it is; `about:blank` says that `code` tells.
    r#type: &'static str,
    /// The HTTP status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// A stable word for programs.
    code: &'static str,
    /// A sentence for people.
    detail: String,
    /// Which field of the request is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

impl ApiError {
    /// An error answer with a stable code.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let problem = Problem {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            field: None,
        };
        Self { status, problem }
    }

    /// A field of the request can't be used.
    #[must_use]
    pub fn invalid(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", why).about(field)
    }

    /// There is no such thing.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
    }

    /// It can't be done in the present state.
    #[must_use]
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// It can't be done now; the same request may succeed later.
    #[must_use]
    pub fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
    }

    /// Its HTTP status.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// Its stable word.
    pub(super) fn code(&self) -> &'static str {
        self.problem.code
    }

    /// Its sentence for people.
    pub(super) fn detail(&self) -> &str {
        &self.problem.detail
    }

    /// Names the field that is wrong.
    #[must_use]
    pub fn about(mut self, field: impl Into<String>) -> Self {
        self.problem.field = Some(field.into());
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.problem)).into_response();
        let headers = response.headers_mut();
        let media_type = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, media_type);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let error: &(dyn std::error::Error + 'static) = &error;
        tracing::error!(error, "the database failed a request");
        Self::unavailable("database_unavailable", "the database did not answer, try again")
    }
}

impl From<PlaceError> for ApiError {
    fn from(error: PlaceError) -> Self {
        let detail = error.to_string();
        let unprocessable = |code, field| {
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail.clone()).about(field)
        };
        match error {
            PlaceError::UnknownSku(_) => unprocessable("unknown_sku", "items"),
            PlaceError::UnknownClass(_) => unprocessable("unknown_class", "class"),
            PlaceError::AmountTooLarge => unprocessable("amount_too_large", "items"),
            PlaceError::OutOfStock(_) => Self::conflict("out_of_stock", detail).about("items"),
            PlaceError::KeyReused => unprocessable("idempotency_key_reused", "Idempotency-Key"),
            PlaceError::Store(error) => error.into(),
        }
    }
}

impl From<PaymentError> for ApiError {
    fn from(error: PaymentError) -> Self {
        let detail = error.to_string();
        match error {
            PaymentError::NoSuchOrder => Self::not_found("order"),
            PaymentError::Paid => Self::conflict("order_paid", detail),
            PaymentError::Cancelled => Self::conflict("order_cancelled", detail),
            PaymentError::Expired => Self::conflict("order_expired", detail),
            PaymentError::TooManyAttempts => Self::conflict("too_many_attempts", detail),
            PaymentError::Refused { .. } => Self::unavailable("gateway_refused", detail),
            PaymentError::GatewayUnknown(_) => Self::unavailable("gateway_unknown", detail),
            PaymentError::Store(error) => error.into(),
        }
    }
}

impl From<AlarmError> for ApiError {
    fn from(error: AlarmError) -> Self {
        match error {
            AlarmError::NoSuchAlarm => Self::not_found("alarm").about("id"),
            AlarmError::Unsettled(why) => Self::conflict("alarm_unsettled", why),
            AlarmError::Store(error) => error.into(),
        }
    }
}

impl From<RefundError> for ApiError {
    fn from(error: RefundError) -> Self {
        let detail = error.to_string();
        match error {
            RefundError::NoSuchOrder => Self::not_found("order").about("id"),
            RefundError::NotPaid(_) => Self::conflict("order_not_paid", detail),
            RefundError::MoreThanLeft(_) => {
                Self::conflict("more_than_left", detail).about("amount_fen")
            }
            RefundError::NotThatMany { .. } => {
                Self::conflict("items_not_left", detail).about("items")
            }
            RefundError::NumberReused => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Self::new(status, "request_no_reused", detail).about("request_no")
            }
            RefundError::Store(error) => error.into(),
        }
    }
}

impl From<QuarantineError> for ApiError {
    fn from(error: QuarantineError) -> Self {
        let detail = error.to_string();
        match error {
            QuarantineError::NoSuchPayment => Self::not_found("payment").about("id"),
            QuarantineError::NoSuchOrder => Self::not_found("order").about("order_id"),
            QuarantineError::NotQuarantined(_) => Self::conflict("not_quarantined", detail),
            QuarantineError::OnItsWay => Self::conflict("refund_on_its_way", detail),
            QuarantineError::OrderCant(_) => Self::conflict("order_cant_take_it", detail),
            QuarantineError::NoStock => Self::conflict("out_of_stock", detail),
            QuarantineError::NotConfirmed => Self::conflict("payment_not_confirmed", detail),
            QuarantineError::Store(error) => error.into(),
        }
    }
}

impl From<RetryError> for ApiError {
    fn from(error: RetryError) -> Self {
        let detail = error.to_string();
        match error {
            RetryError::NoSuchRefund => Self::not_found("refund").about("id"),
            RetryError::NotRefused(_) => Self::conflict("not_refused", detail),
            RetryError::MoreThanLeft(_) => Self::conflict("more_than_left", detail),
            RetryError::PiecesGone => Self::conflict("items_not_left", detail),
            RetryError::Store(error) => error.into(),
        }
    }
}
