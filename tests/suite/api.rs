//! The HTTP API from outside: whatever is sent, the answer is one that the contract names. Tables
//! of cases share one service each.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Response};
use serde_json::Value;

use crate::support::{TestApp, answer_of};

mod access;
mod bodies;
mod input;
mod live;
mod operations;
mod ops;
mod paths;

/// An order id that no order has.
const NOBODYS: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// What needs the scope `orders`, as `/openapi.json` writes it.
const ORDER_ROUTES: [(&str, &str); 11] = [
    ("POST", "/v1/orders"),
    ("GET", "/v1/orders"),
    ("GET", "/v1/orders/{id}"),
    ("GET", "/v1/orders/{id}/events"),
    ("GET", "/v1/orders/{id}/stream"),
    ("POST", "/v1/orders/{id}/payments"),
    ("POST", "/v1/orders/{id}/cancel"),
    ("GET", "/v1/orders/{id}/refunds"),
    ("PUT", "/v1/skus/{sku_id}"),
    ("GET", "/v1/skus/{sku_id}"),
    ("POST", "/v1/skus/{sku_id}/adjustments"),
];

/// What needs the scope `ops`.
const OPERATOR_ROUTES: [(&str, &str); 8] = [
    ("GET", "/v1/admin/alarms"),
    ("POST", "/v1/admin/alarms/{id}/acknowledge"),
    ("POST", "/v1/admin/alarms/{id}/resolve"),
    ("POST", "/v1/admin/payments/{id}/accept"),
    ("POST", "/v1/admin/payments/{id}/refund"),
    ("POST", "/v1/admin/payments/{id}/attach"),
    ("POST", "/v1/admin/refunds/{id}/retry"),
    ("POST", "/v1/admin/refunds/{id}/paid-elsewhere"),
];

/// What needs the scope `refunds`.
const REFUND_ROUTES: [(&str, &str); 1] = [("POST", "/v1/orders/{id}/refunds")];

/// What needs no key.
const OPEN_ROUTES: [(&str, &str); 9] = [
    ("POST", "/v1/alipay/notify"),
    ("GET", "/pay/{id}"),
    ("GET", "/pay/{id}/stream"),
    ("GET", "/pay/{id}/qr.svg"),
    ("GET", "/pay/{id}/qr.png"),
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
];

fn all_routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    ORDER_ROUTES.into_iter().chain(OPERATOR_ROUTES).chain(REFUND_ROUTES).chain(OPEN_ROUTES)
}

/// A route's path with this in the place of its id.
fn with_id(path: &str, id: &str) -> String {
    path.replace("{id}", id).replace("{sku_id}", id)
}

fn method(name: &str) -> Method {
    Method::from_bytes(name.as_bytes()).expect("a method")
}

/// The problem that an answer should be.
#[derive(Clone, Copy, Debug)]
struct Problem {
    status: u16,
    code: &'static str,
    field: Option<&'static str>,
}

impl Problem {
    const fn new(status: u16, code: &'static str, field: Option<&'static str>) -> Self {
        Self { status, code, field }
    }

    /// 400 about this field.
    const fn invalid(field: &'static str) -> Self {
        Self::new(400, "invalid_request", Some(field))
    }

    /// 404, about this field if it can't be an id at all.
    const fn not_found(field: Option<&'static str>) -> Self {
        Self::new(404, "not_found", field)
    }
}

/// Answers that are not what they should be, so that a failing table shows all of them at once.
#[derive(Debug, Default)]
struct Flaws(Vec<String>);

impl Flaws {
    fn note(&mut self, case: &str, flaw: impl std::fmt::Display) {
        let case: String = case.chars().take(120).collect();
        self.0.push(format!("{case}: {flaw}"));
    }

    /// Notes everything in which the answer differs from the problem.
    async fn expect(
        &mut self,
        case: &str,
        answer: reqwest::Result<Response>,
        wanted: Problem,
    ) -> Value {
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                self.note(case, format!("no answer: {error:?}"));
                return Value::Null;
            }
        };
        let media_type = response.headers().get(CONTENT_TYPE).cloned();
        let (status, body) = answer_of(response).await;
        if status != wanted.status {
            self.note(case, format!("{status} instead of {}: {body}", wanted.status));
            return body;
        }
        if media_type.is_none_or(|media_type| media_type != "application/problem+json") {
            self.note(case, format!("{status} without problem details: {body}"));
        } else if body["code"] != wanted.code || body["status"] != wanted.status {
            self.note(case, format!("code {} instead of {}: {body}", body["code"], wanted.code));
        } else if wanted.field.is_some_and(|field| body["field"] != field) {
            let (found, wanted) = (&body["field"], wanted.field.unwrap_or_default());
            self.note(case, format!("field {found} instead of {wanted:?}: {body}"));
        }
        body
    }

    fn assert_none(&self) {
        assert!(self.0.is_empty(), "{} flaws\n{}", self.0.len(), self.0.join("\n"));
    }
}

/// Every order's stock, so that a table can show that nothing happened.
async fn locked(app: &TestApp) -> Value {
    app.sku("tea").await["locked"].clone()
}
