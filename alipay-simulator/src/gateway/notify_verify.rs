//! `service=notify_verify`: the old way to ask whether a notification is genuine.

use axum::response::{IntoResponse as _, Response};

use crate::params::Params;
use crate::server::Shared;

/// `true` as long as the notification is on its way to this partner: it can't be confirmed any more
/// once it was acknowledged. `None`: the query asks for something else.
pub(super) fn answer(shared: &Shared, query: &str) -> Option<Response> {
    let params = Params::read(query.as_bytes(), b"", Some("text/plain; charset=utf-8"));
    if params.text("service")? != "notify_verify" {
        return None;
    }
    let is_partner = params.text("partner").as_ref() == Some(&shared.seller_id);
    let id = params.text("notify_id").unwrap_or_default();
    let is_open = shared
        .store
        .peek(|books| books.notification(&id).is_some_and(|one| !one.is_acknowledged()));
    let word = if is_partner && is_open { "true" } else { "false" };
    Some(word.into_response())
}
