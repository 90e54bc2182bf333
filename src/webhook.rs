//! An outgoing webhook, signed as Standard Webhooks has it: HMAC-SHA256 over
//! `id.timestamp.body`. Sends one message at a time in bounded time; knows nothing of what it says.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, StatusCode, Url, redirect};
use thiserror::Error;

use crate::text::causes;

/// A connection is made within this time.
const CONNECT_BUDGET: Duration = Duration::from_secs(3);
/// A delivery takes no longer.
const SEND_BUDGET: Duration = Duration::from_secs(10);
/// Stands before a secret that is written in base64.
const SECRET_PREFIX: &str = "whsec_";

/// Where messages go, and how they are signed.
pub struct Webhook {
    http: Client,
    url: Url,
    key: hmac::Key,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").finish_non_exhaustive()
    }
}

/// Why a webhook can't be used.
#[derive(Debug, Error)]
pub enum WebhookError {
    /// The address can't be read.
    #[error("the address can't be read")]
    Address,
    /// The secret begins with `whsec_`, and no base64 follows.
    #[error("what follows whsec_ in the secret is not base64")]
    Secret,
    /// The HTTP client can't be made.
    #[error("the HTTP client can't be made")]
    Http(#[source] reqwest::Error),
}

/// Why a message was not taken.
#[derive(Debug, Error)]
pub enum NotTaken {
    /// The receiver answered, but not that it has it; a redirect isn't followed.
    #[error("the receiver answered {0}")]
    Status(StatusCode),
    /// No answer: it may or may not have it.
    #[error("no answer: {0}")]
    NoAnswer(String),
}

/// Reads a secret: base64 behind `whsec_`, else the text itself. `None`: it can't be read.
#[must_use]
pub fn secret_bytes(secret: &str) -> Option<Vec<u8>> {
    match secret.strip_prefix(SECRET_PREFIX) {
        Some(encoded) => STANDARD.decode(encoded).ok(),
        None => Some(secret.as_bytes().to_vec()),
    }
}

impl Webhook {
    /// A webhook at this address, signed with this secret.
    ///
    /// # Errors
    /// If address or secret can't be read.
    pub fn new(url: &str, secret: &str) -> Result<Self, WebhookError> {
        let url: Url = url.parse().map_err(|_| WebhookError::Address)?;
        let secret = secret_bytes(secret).ok_or(WebhookError::Secret)?;
        let builder = Client::builder()
            .connect_timeout(CONNECT_BUDGET)
            .timeout(SEND_BUDGET)
            .redirect(redirect::Policy::none())
            .no_proxy();
        // Without TLS no root certificates are needed.
        let http = match url.scheme() {
            "https" => builder.build(),
            _ => builder.tls_certs_only([]).build(),
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        Ok(Self { http: http.map_err(WebhookError::Http)?, url, key })
    }

    /// Sends a message. Its answer's body is not read.
    ///
    /// # Errors
    /// If the receiver didn't answer 2xx in time: it may or may not have the message.
    pub async fn send(&self, id: &str, body: &str, now: DateTime<Utc>) -> Result<(), NotTaken> {
        let timestamp = now.timestamp().to_string();
        let sent = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header("webhook-id", id)
            .header("webhook-timestamp", &timestamp)
            .header("webhook-signature", self.sign(id, &timestamp, body))
            .body(body.to_owned())
            .send()
            .await;
        match sent {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(NotTaken::Status(answer.status())),
            // The address may hold a token.
            Err(error) => Err(NotTaken::NoAnswer(causes(&error.without_url()))),
        }
    }

    fn sign(&self, id: &str, timestamp: &str, body: &str) -> String {
        let tag = hmac::sign(&self.key, format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification.
    #[test]
    fn signatures_are_those_of_the_specification() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let webhook = Webhook::new("http://127.0.0.1:1/", secret).expect("a webhook");
        let body = r#"{"test": 2432232314}"#;
        let signed = webhook.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_base64_behind_its_prefix_and_else_itself() {
        assert_eq!(secret_bytes("whsec_YWJj"), Some(b"abc".to_vec()));
        assert_eq!(secret_bytes("abc"), Some(b"abc".to_vec()));
        assert_eq!(secret_bytes("whsec_%"), None);
        assert!(matches!(Webhook::new("x", "whsec_YWJj"), Err(WebhookError::Address)));
    }
}
