//! A socket that stands for the gateway and answers whatever a test wants, signed or not.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use checkback::alipay::keys::{AlipayPublicKey, AppPrivateKey};
use checkback::alipay::sign::sign;
use checkback::alipay::{Account, Alipay};
use checkback::domain::gateway::{Answer, UnknownReason};
use chrono::{DateTime, Utc};

pub(crate) const APP_PRIVATE: &str = include_str!("../vectors/alipay/app.pk8.pem");
pub(crate) const APP_PUBLIC: &str = include_str!("../vectors/alipay/app.pub.pem");
pub(crate) const ALIPAY_PRIVATE: &str = include_str!("../vectors/alipay/ali.pk8.pem");
pub(crate) const ALIPAY_PUBLIC: &str = include_str!("../vectors/alipay/ali.pub.pem");

/// A socket that gives every connection the same bytes.
pub(crate) struct Socket {
    pub(crate) address: String,
    pub(crate) received: Arc<Mutex<Vec<String>>>,
}

pub(crate) type Calls = Arc<Mutex<Vec<(&'static str, &'static str)>>>;

impl Socket {
    pub(crate) fn giving(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (answer.into(), Arc::clone(&received));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let request = read_request(&mut stream);
                log.lock().expect("not poisoned").push(request);
                let _ = stream.write_all(&answer);
            }
        });
        Self { address, received }
    }

    pub(crate) fn client(&self) -> (Alipay, Calls) {
        let calls = Calls::default();
        let log = Arc::clone(&calls);
        let observer = move |method, result, _: Duration| {
            log.lock().expect("not poisoned").push((method, result));
        };
        let client = Alipay::new(account(&self.address), Arc::new(observer)).expect("a client");
        (client, calls)
    }
}

pub(crate) fn read_request(stream: &mut TcpStream) -> String {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).expect("a request");
        request.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let length = text.split_once("content-length: ").and_then(|(_, rest)| {
            rest.split_once("\r\n").map(|(length, _)| length.parse::<usize>().expect("a length"))
        });
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
        if count == 0 || (body.is_some() && body >= length) {
            return text;
        }
    }
}

pub(crate) fn account(address: &str) -> Account {
    Account {
        gateway_url: format!("http://{address}/gateway.do").parse().expect("an address"),
        app_id: "2021000000000001".to_owned(),
        seller_id: "2088000000000001".to_owned(),
        notify_url: "http://127.0.0.1:9/n?a=b&c".to_owned(),
        key: AppPrivateKey::parse(APP_PRIVATE).expect("our key"),
        alipay_keys: vec![AlipayPublicKey::parse(ALIPAY_PUBLIC).expect("Alipay's key")],
        calls_per_second: NonZeroU32::new(1_000).expect("not zero"),
        certificates: None,
    }
}

pub(crate) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_294_244, 999_000_000).expect("a time")
}

pub(crate) fn http(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\ntrace_id: t1\r\nconnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

pub(crate) fn signed(method: &str, node: &str) -> Vec<u8> {
    let key = AppPrivateKey::parse(ALIPAY_PRIVATE).expect("Alipay's private key");
    let sign = sign(&key, node).expect("signs");
    http(format!(r#"{{"{method}_response":{node},"sign":"{sign}"}}"#))
}

/// The signed answer to a query about `T1`, with these fields added.
pub(crate) fn state(fields: &str) -> Vec<u8> {
    let node = format!(r#"{{"code":"10000","msg":"Success","out_trade_no":"T1",{fields}}}"#);
    signed("alipay_trade_query", &node)
}

/// The signed refusal of a call.
pub(crate) fn refused(method: &str, code: &str, sub_code: &str) -> Vec<u8> {
    signed(method, &format!(r#"{{"code":"{code}","msg":"No","sub_code":"{sub_code}"}}"#))
}

pub(crate) async fn query(answer: impl Into<Vec<u8>>) -> Answer {
    Socket::giving(answer).client().0.query("T1", now()).await
}

pub(crate) async fn reason(answer: impl Into<Vec<u8>>) -> UnknownReason {
    match query(answer).await {
        Answer::Unknown(reason) => reason,
        definite => panic!("{definite:?} is definite"),
    }
}
