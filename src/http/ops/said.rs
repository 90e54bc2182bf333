//! What came of a button: a page is told one word of ours in its address, and says a sentence. No
//! text from an address is ever shown.

use axum::response::{IntoResponse as _, Redirect, Response};

use super::failure::Failure;
use super::session::{Form, page_of_ours};
use crate::http::error::ApiError;

/// The word for a text that was left out, or is too long.
pub(super) const NOT_SAID: &str = "invalid_request";

/// Back to the page that the form came from, with what came of it.
pub(super) fn back(form: &Form, otherwise: &str, word: &str) -> Response {
    let page = page_before(form, otherwise);
    let with = if page.contains('?') { '&' } else { '?' };
    Redirect::to(&format!("{page}{with}said={word}")).into_response()
}

/// Back to the page that the form came from, where what came of it shows.
pub(super) fn back_in_silence(form: &Form, otherwise: &str) -> Response {
    Redirect::to(page_before(form, otherwise)).into_response()
}

fn page_before<'a>(form: &'a Form, otherwise: &'a str) -> &'a str {
    form.field("back").and_then(page_of_ours).unwrap_or(otherwise)
}

/// Back with the reason why nothing was done; what isn't there is a page of its own.
pub(super) fn refused(
    form: &Form,
    otherwise: &str,
    error: impl Into<ApiError>,
) -> Result<Response, Failure> {
    let error = error.into();
    match notice(error.code()) {
        Some(_) => Ok(back(form, otherwise, error.code())),
        None => Err(error.into()),
    }
}

/// The sentence for a word.
pub(super) fn notice(word: &str) -> Option<&'static str> {
    Some(match word {
        "accepted" => "Accepted: the order is paid with this payment.",
        "attached" => "Attached: the payment is an attempt of this order now, and was asked about.",
        "refund_requested" => "The refund is on its way; what comes of it shows here.",
        "refund_refused" => {
            "Nothing was done: the gateway refused this refund before. Decide about it at Refunds."
        }
        "retried" => "The refund is sent again; what comes of it shows here.",
        "paid_elsewhere" => "Noted: the refund counts as succeeded.",
        "not_quarantined" => "Nothing was done: about this payment is nothing to decide any more.",
        "refund_on_its_way" => {
            "Nothing was done: money of this payment is back or on its way already."
        }
        "order_cant_take_it" => {
            "Nothing was done: the order is not one that can take this payment. Refund it instead."
        }
        "out_of_stock" => "Nothing was done: the order's stock is gone. Refund it instead.",
        "payment_not_confirmed" => {
            "Nothing was done: the gateway says that nothing was paid under this number."
        }
        "not_refused" => "Nothing was done: about this refund is nothing to decide any more.",
        "more_than_left" => {
            "Nothing was done: other refunds have taken the payment's money in the meantime."
        }
        "items_not_left" => {
            "Nothing was done: other refunds have taken its pieces in the meantime."
        }
        "no_such_order" => "Nothing was done: there is no such order.",
        NOT_SAID => "Nothing was done: the text that goes with it is missing or too long.",
        "database_unavailable" => "The database did not answer. Look what became of it, try again.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Fen;
    use crate::domain::payment::PaymentStatus;
    use crate::domain::refund::RefundStatus;
    use crate::service::quarantine::QuarantineError;
    use crate::service::retry_refund::RetryError;

    #[test]
    fn whatever_keeps_a_decision_from_being_done_has_a_sentence() {
        let errors: [ApiError; 8] = [
            QuarantineError::NotQuarantined(PaymentStatus::Applied).into(),
            QuarantineError::OnItsWay.into(),
            QuarantineError::OrderCant("be paid").into(),
            QuarantineError::NoStock.into(),
            QuarantineError::NotConfirmed.into(),
            RetryError::NotRefused(RefundStatus::Sending).into(),
            RetryError::MoreThanLeft(Fen::ZERO).into(),
            RetryError::PiecesGone.into(),
        ];
        for error in errors {
            let sentence = notice(error.code());
            assert!(sentence.is_some_and(|said| said.starts_with("Nothing was done")), "{error:?}");
        }
    }

    #[test]
    fn a_word_that_is_not_ours_says_nothing() {
        assert_eq!(notice("<b>"), None);
        assert_eq!(notice(""), None);
        let form = Form::read(b"back=/ops/payments%3Fbefore%3D1-A");
        let address = |response: Response| response.headers()["location"].clone();
        assert_eq!(
            address(back(&form, "/ops", "accepted")),
            "/ops/payments?before=1-A&said=accepted"
        );
        let foreign = Form::read(b"back=//evil");
        assert_eq!(address(back(&foreign, "/ops", "accepted")), "/ops?said=accepted");
    }
}
