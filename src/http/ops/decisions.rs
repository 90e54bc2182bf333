//! What an operator decides about a payment that no order could take.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;

use super::cells::{Act, Asked, Cell};
use super::failure::Failure;
use super::said::{NOT_SAID, back, refused};
use super::session::{Form, Session};
use crate::domain::ids::{OrderId, OutTradeNo};
use crate::domain::payment::PaymentStatus;
use crate::domain::refund::RefundStatus;
use crate::http::HttpState;
use crate::http::admin_money::TEXT_CHARS_MAX;
use crate::http::input::{TextPath, check_text};
use crate::service::accept_payment::accept_payment;
use crate::service::attach_payment::attach_payment;
use crate::service::quarantine::QuarantineError;
use crate::service::refund_payment::refund_payment;
use crate::store::payments::PaymentRecord;

const PATH: &str = "/ops/payments";
/// Longest id of an order.
const ID_CHARS_MAX: usize = 26;

const REASON: Asked =
    Asked { name: "reason", hint: "Reason for the buyer", chars_max: TEXT_CHARS_MAX };
const ORDER: Asked = Asked { name: "order", hint: "Id of the order", chars_max: ID_CHARS_MAX };

/// The buttons of a payment that waits for an operator; none if it doesn't.
pub(super) fn buttons(payment: &PaymentRecord, session: &Session, page: &str) -> Vec<Cell> {
    let attempt = &payment.attempt;
    let button = |what: &str, label, asks| {
        Cell::Act(Box::new(Act {
            id: format!("{what}-{}", attempt.out_trade_no),
            action: format!("{PATH}/{}/{what}", attempt.out_trade_no),
            label,
            asks,
            csrf: session.csrf.clone(),
            back: page.to_owned(),
        }))
    };
    if !attempt.refunding.is_zero() || payment.left().is_zero() {
        return Vec::new();
    }
    let is_whole = attempt.refunded.is_zero();
    let refund = || button("refund", "Refund", Some(REASON));
    match attempt.status {
        PaymentStatus::WrongAmount if is_whole => vec![button("accept", "Accept", None), refund()],
        PaymentStatus::Orphan if is_whole => {
            vec![button("attach", "Attach to order", Some(ORDER)), refund()]
        }
        PaymentStatus::WrongAmount
        | PaymentStatus::Orphan
        | PaymentStatus::Late
        | PaymentStatus::Duplicate => vec![refund()],
        PaymentStatus::Created
        | PaymentStatus::Waiting
        | PaymentStatus::Applied
        | PaymentStatus::Closed
        | PaymentStatus::Failed => Vec::new(),
    }
}

pub(super) async fn accept(
    State(state): State<HttpState>,
    Extension(session): Extension<Session>,
    Extension(form): Extension<Form>,
    TextPath(no): TextPath,
) -> Result<Response, Failure> {
    let no = OutTradeNo::from_trusted(no);
    match accept_payment(&state.app, &no, &session.operator).await {
        Ok(_) => Ok(back(&form, PATH, "accepted")),
        Err(error) => not_done(&form, error),
    }
}

pub(super) async fn refund(
    State(state): State<HttpState>,
    Extension(session): Extension<Session>,
    Extension(form): Extension<Form>,
    TextPath(no): TextPath,
) -> Result<Response, Failure> {
    let reason = form.field(REASON.name).unwrap_or_default().trim();
    if check_text(REASON.name, reason, TEXT_CHARS_MAX).is_err() {
        return Ok(back(&form, PATH, NOT_SAID));
    }
    let no = OutTradeNo::from_trusted(no);
    match refund_payment(&state.app, &no, reason, &session.operator).await {
        Ok(known) if known.refund.status == RefundStatus::Refused => {
            Ok(back(&form, PATH, "refund_refused"))
        }
        Ok(_) => Ok(back(&form, PATH, "refund_requested")),
        Err(error) => not_done(&form, error),
    }
}

pub(super) async fn attach(
    State(state): State<HttpState>,
    Extension(session): Extension<Session>,
    Extension(form): Extension<Form>,
    TextPath(no): TextPath,
) -> Result<Response, Failure> {
    // Ids are of one letter case; who reads one out may have typed it in the other.
    let order = form.field(ORDER.name).unwrap_or_default().trim().to_ascii_uppercase();
    let Some(order) = OrderId::parse(&order) else {
        return not_done(&form, QuarantineError::NoSuchOrder);
    };
    let no = OutTradeNo::from_trusted(no);
    match attach_payment(&state.app, &no, &order, &session.operator).await {
        // There it shows what came of it.
        Ok(()) => Ok(back(&Form::default(), &format!("/ops/orders/{order}"), "attached")),
        Err(error) => not_done(&form, error),
    }
}

fn not_done(form: &Form, error: QuarantineError) -> Result<Response, Failure> {
    match error {
        QuarantineError::NoSuchOrder => Ok(back(form, PATH, "no_such_order")),
        QuarantineError::NoSuchPayment => Err(Failure::not_found("payment")),
        error => refused(form, PATH, error),
    }
}
