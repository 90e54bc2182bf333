//! A merchant of the test's own: signs requests, verifies answers, plays with the control API.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use alipay_simulator::{DEFAULT_APP_ID, Settings, Simulator, development_keys, start};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const DEADLINE: Duration = Duration::from_secs(20);
/// How long the wrapper of a 2048-bit key is around its PKCS#1 form.
const SPKI_HEADER_BYTES: usize = 24;

/// An answer as it came, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) trace_id: Option<String>,
}

impl Answer {
    /// The bytes of the node and the signature behind it.
    pub(crate) fn span(&self) -> Option<(&[u8], &[u8])> {
        let start = find(&self.body, b"_response\":")? + b"_response\":".len();
        let sign = find(&self.body, b",\"sign\":\"")?;
        let signature = &self.body[sign + b",\"sign\":\"".len()..];
        let end = find(signature, b"\"")?;
        Some((&self.body[start..sign], &signature[..end]))
    }

    pub(crate) fn is_genuine(&self) -> bool {
        self.span().is_some_and(|(node, signature)| verifies(node, signature))
    }

    /// The node of a genuine answer.
    pub(crate) fn node(&self) -> Value {
        assert!(self.is_genuine(), "{}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(self.span().unwrap().0).unwrap()
    }
}

pub(crate) fn verifies(message: &[u8], signature: &[u8]) -> bool {
    verifies_with(development_keys::GATEWAY_PUBLIC_KEY, message, signature)
}

/// Whether the key of this PEM made the signature.
pub(crate) fn verifies_with(pem: &str, message: &[u8], signature: &[u8]) -> bool {
    let spki = der(pem);
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &spki[SPKI_HEADER_BYTES..]);
    STANDARD.decode(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
}

/// A simulator and its merchant.
pub(crate) struct Shop {
    pub(crate) simulator: Simulator,
    pub(crate) http: reqwest::Client,
    pub(crate) notify_url: Option<String>,
    /// Another simulator to call instead.
    pub(crate) elsewhere: Option<String>,
    key: RsaKeyPair,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::on(None).await
    }

    pub(crate) async fn on(data_dir: Option<PathBuf>) -> Self {
        Self::with(settings(data_dir)).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let simulator = start(settings).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(DEADLINE).build().unwrap();
        let key = RsaKeyPair::from_pkcs8(&der(development_keys::APP_PRIVATE_KEY)).unwrap();
        Self { simulator, http, notify_url: None, elsewhere: None, key }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        let here = || format!("http://{}", self.simulator.address());
        format!("{}{path}", self.elsewhere.clone().unwrap_or_else(here))
    }

    /// The parameters of a call, without a signature.
    pub(crate) fn params(&self, method: &str, biz: &Value) -> BTreeMap<String, String> {
        let mut params = BTreeMap::from([
            ("app_id".to_owned(), DEFAULT_APP_ID.to_owned()),
            ("method".to_owned(), format!("alipay.trade.{method}")),
            ("charset".to_owned(), "utf-8".to_owned()),
            ("sign_type".to_owned(), "RSA2".to_owned()),
            ("timestamp".to_owned(), "2026-01-02 03:04:05".to_owned()),
            ("version".to_owned(), "1.0".to_owned()),
            ("biz_content".to_owned(), biz.to_string()),
        ]);
        if let Some(url) = &self.notify_url {
            params.insert("notify_url".to_owned(), url.clone());
        }
        params
    }

    pub(crate) fn sign(&self, params: &mut BTreeMap<String, String>) {
        let pairs: Vec<_> = params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        params.insert("sign".to_owned(), self.signature(&pairs.join("&")));
    }

    pub(crate) fn signature(&self, text: &str) -> String {
        let mut signature = vec![0; self.key.public().modulus_len()];
        let random = SystemRandom::new();
        self.key.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).unwrap();
        STANDARD.encode(signature)
    }

    /// Sends parameters as they are, all in the query.
    pub(crate) async fn send(&self, params: &BTreeMap<String, String>) -> reqwest::Result<Answer> {
        let target = format!("/gateway.do?{}", form(params));
        receive(self.http.get(self.url(&target)).send().await?).await
    }

    /// Sends bytes and returns what comes back until the connection ends.
    pub(crate) async fn raw(&self, request: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.simulator.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A reset connection ends it too.
        let _ = stream.read_to_end(&mut answer).await;
        answer
    }

    pub(crate) async fn try_call(&self, method: &str, biz: Value) -> reqwest::Result<Answer> {
        let mut params = self.params(method, &biz);
        self.sign(&mut params);
        self.send(&params).await
    }

    /// Calls and returns the node of the genuine answer.
    pub(crate) async fn call(&self, method: &str, biz: Value) -> Value {
        self.try_call(method, biz).await.unwrap().node()
    }

    pub(crate) async fn query(&self, number: &str) -> Value {
        self.call("query", json!({"out_trade_no": number})).await
    }

    /// Asks for a QR code over 88.88 and returns it.
    pub(crate) async fn precreate(&self, number: &str) -> String {
        let node = self.call("precreate", order(number)).await;
        assert_eq!(node["code"], "10000", "{node}");
        node["qr_code"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn paid(&self, number: &str) {
        self.precreate(number).await;
        assert_eq!(self.control("pay", json!({"out_trade_no": number})).await.0, 200);
    }

    /// Posts to the control API.
    pub(crate) async fn control(&self, path: &str, body: Value) -> (u16, Value) {
        let post = self.http.post(self.url(&format!("/_ctl/{path}"))).body(body.to_string());
        json_of(post.send().await.unwrap()).await
    }

    pub(crate) async fn fault(&self, body: Value) {
        let (status, answer) = self.control("faults", body).await;
        assert_eq!(status, 200, "{answer}");
    }

    pub(crate) async fn faults(&self) -> Value {
        json_of(self.http.get(self.url("/_ctl/faults")).send().await.unwrap()).await.1
    }

    pub(crate) async fn clear_faults(&self) {
        self.http.delete(self.url("/_ctl/faults")).send().await.unwrap();
    }

    pub(crate) async fn trade(&self, number: &str) -> Value {
        let get = self.http.get(self.url(&format!("/_ctl/trades/{number}")));
        json_of(get.send().await.unwrap()).await.1
    }

    pub(crate) async fn advance(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap();
        assert_eq!(self.control("clock", json!({"advance_ms": ms})).await.0, 200);
    }
}

pub(crate) fn settings(data_dir: Option<PathBuf>) -> Settings {
    Settings { data_dir, ..Settings::default() }
}

pub(crate) fn order(number: &str) -> Value {
    json!({"out_trade_no": number, "total_amount": "88.88", "subject": "茶 <b>&tea</b>"})
}

pub(crate) async fn receive(answer: reqwest::Response) -> reqwest::Result<Answer> {
    let trace_id = answer.headers().get("trace_id");
    let trace_id = trace_id.map(|value| value.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    Ok(Answer { status, body: answer.bytes().await?.to_vec(), trace_id })
}

/// Waits for a condition, which has some seconds to come true.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < deadline, "still not so: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

pub(crate) fn form(params: &BTreeMap<String, String>) -> String {
    let pairs: Vec<_> =
        params.iter().map(|(name, value)| format!("{name}={}", percent_encode(value))).collect();
    pairs.join("&")
}

fn percent_encode(value: &str) -> String {
    value.bytes().fold(String::new(), |encoded, byte| format!("{encoded}%{byte:02X}"))
}

async fn json_of(answer: reqwest::Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let body = answer.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn der(pem: &str) -> Vec<u8> {
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(base64).unwrap()
}
