//! The merchant's notify URL: keeps what arrives, and answers as it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use encoding_rs::GBK;

use crate::merchant::verifies;

#[derive(Debug, Default)]
struct Inbox {
    forms: Vec<BTreeMap<String, Vec<u8>>>,
    raw: Vec<Bytes>,
    answer: String,
}

/// A running webhook.
#[derive(Clone)]
pub(crate) struct Webhook {
    pub(crate) url: String,
    inbox: Arc<Mutex<Inbox>>,
}

/// What was in one notification, as text.
pub(crate) type Form = BTreeMap<String, String>;

impl Webhook {
    /// Listens and answers `success` until told otherwise.
    pub(crate) async fn open() -> Self {
        let inbox =
            Arc::new(Mutex::new(Inbox { answer: "success".to_owned(), ..Inbox::default() }));
        let router = Router::new().route("/n", post(receive)).with_state(Arc::clone(&inbox));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/n", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, inbox }
    }

    pub(crate) fn answer(&self, answer: &str) {
        answer.clone_into(&mut self.inbox.lock().unwrap().answer);
    }

    pub(crate) fn count(&self) -> usize {
        self.inbox.lock().unwrap().forms.len()
    }

    pub(crate) fn raw(&self, index: usize) -> Bytes {
        self.inbox.lock().unwrap().raw[index].clone()
    }

    pub(crate) fn form(&self, index: usize) -> Form {
        let form = self.inbox.lock().unwrap().forms[index].clone();
        let gbk = form.get("charset").is_some_and(|charset| charset == b"gbk");
        let text = |value: Vec<u8>| {
            if gbk { GBK.decode(&value).0.into_owned() } else { String::from_utf8(value).unwrap() }
        };
        form.into_iter().map(|(name, value)| (name, text(value))).collect()
    }

    /// Whether the form is signed after the rule of payment notifications.
    pub(crate) fn is_genuine(&self, index: usize) -> bool {
        let mut form = self.inbox.lock().unwrap().forms[index].clone();
        let signature = form.remove("sign").unwrap();
        assert_eq!(form.remove("sign_type").as_deref(), Some(&b"RSA2"[..]));
        assert!(form.values().all(|value| !value.is_empty()));
        let pairs = form.iter().map(|(name, value)| [name.as_bytes(), b"=", value].concat());
        verifies(&pairs.collect::<Vec<_>>().join(&b'&'), &signature)
    }
}

async fn receive(State(inbox): State<Arc<Mutex<Inbox>>>, body: Bytes) -> String {
    let mut inbox = inbox.lock().unwrap();
    let pairs = body.split(|byte| *byte == b'&').map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=').unwrap();
        (String::from_utf8(decode(&pair[..equals])).unwrap(), decode(&pair[equals + 1..]))
    });
    let form = pairs.collect();
    inbox.forms.push(form);
    inbox.raw.push(body);
    inbox.answer.clone()
}

fn decode(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(text.to_vec()).unwrap().replace('+', " ");
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        decoded.push(u8::from_str_radix(&part[..2], 16).unwrap());
        decoded.extend_from_slice(&part.as_bytes()[2..]);
    }
    decoded
}
