//! A receiver of webhooks, and an implementation of their signature of its own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::loopback;

/// What the receiver was sent, and what it answers.
#[derive(Debug, Default)]
struct Heard {
    messages: Vec<Message>,
    /// How many of the next messages it refuses, and with what.
    refusals: Vec<u16>,
}

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: String,
    timestamp: String,
    signature: String,
    text: String,
    pub(crate) status: u16,
}

impl Message {
    pub(crate) fn body(&self) -> Value {
        serde_json::from_str(&self.text).expect("JSON")
    }

    /// What happened to which alarm's subject.
    pub(crate) fn told(&self) -> (String, String) {
        let body = self.body();
        (super::text(&body, "type"), super::text(&body["data"], "subject"))
    }

    pub(crate) fn assert_signed(&self, secret: &[u8]) {
        let signed = format!("{}.{}.{}", self.id, self.timestamp, self.text);
        let wanted = STANDARD.encode(hmac_sha256(secret, signed.as_bytes()));
        assert_eq!(self.signature, format!("v1,{wanted}"));
    }
}

/// HMAC as RFC 2104 writes it down, for keys of at most a block.
fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

/// A receiver that takes what it is sent.
pub(crate) struct Hook {
    address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    serving: AbortHandle,
}

impl Hook {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(loopback()).await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let heard = Arc::<Mutex<Heard>>::default();
        let router = Router::new().route("/hook", post(take)).with_state(Arc::clone(&heard));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, heard, serving: serving.abort_handle() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Refuses the next messages with these statuses.
    pub(crate) fn refuse(&self, statuses: &[u16]) {
        lock(&self.heard).refusals.extend(statuses);
    }

    /// Everything that was sent, refused messages included.
    pub(crate) fn messages(&self) -> Vec<Message> {
        lock(&self.heard).messages.clone()
    }

    /// What it took about this subject, in the order in which it came.
    pub(crate) fn told_of(&self, subject: &str) -> Vec<String> {
        let taken = self.messages().into_iter().filter(|message| message.status == 200);
        let told = taken.map(|message| message.told());
        told.filter(|(_, about)| about == subject).map(|(event, _)| event).collect()
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().expect("no panic")
}

async fn take(
    State(heard): State<Arc<Mutex<Heard>>>,
    headers: HeaderMap,
    text: String,
) -> (StatusCode, [(&'static str, &'static str); 1]) {
    let header = |name: &str| headers[name].to_str().expect("a text").to_owned();
    assert_eq!(header("content-type"), "application/json");
    let mut heard = lock(&heard);
    let status = if heard.refusals.is_empty() { 200 } else { heard.refusals.remove(0) };
    heard.messages.push(Message {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
        text,
        status,
    });
    // A redirect leads to the same place: whoever followed it would come twice.
    (StatusCode::from_u16(status).expect("a status"), [("location", "/hook")])
}
