//! A whole service for one test: real database, real broker, the simulator over HTTP. Time moves
//! by [`TestApp::advance`], for the service and the simulator together; the broker's clock is real.
//! [`TestApp::finish`] audits everything, and a test that forgets it fails.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alipay_simulator::Settings;
use checkback::app::App;
use checkback::clock::ManualClock;
use checkback::config::Config;
use checkback::ids::Ids;
use checkback::run::{Environment, HttpSockets, Service};
use checkback::service::audit::audit;
use embedded_rocketmq::EmbeddedRocketMq;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

pub(crate) mod accounts;
pub(crate) mod commit_proxy;
mod config;
pub(crate) mod engines;
mod gateway_side;
pub(crate) mod hook;
mod notification;
mod refunds;
pub(crate) mod subscriber;

use config::config;
pub(crate) use config::{Broker, write_keys};
use engines::MysqlDatabase;
pub(crate) use notification::notification;

/// How often the shared broker checks back.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The window of every order: time is advanced past it.
pub(crate) const PAY_WINDOW: Duration = Duration::from_mins(1);
/// The window of flash orders: they are waited for.
pub(crate) const FLASH_WINDOW: Duration = Duration::from_secs(5);
/// Whatever is waited for comes within this time, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The key with every scope.
pub(crate) const KEY: &str = "test-key";
/// A key that may only read and acknowledge alarms.
pub(crate) const OPS_KEY: &str = "ops-key";
/// A key of a storefront, which is no operator's.
pub(crate) const SHOP_KEY: &str = "shop-key";

static BROKER: OnceCell<(TempDir, EmbeddedRocketMq)> = OnceCell::const_new();

/// The tests' broker: one for all of them, each test has its own topics.
pub(crate) async fn shared_broker() -> Broker {
    match engines::apache_namesrv() {
        Some(namesrv) => Broker::apache(namesrv),
        None => embedded_broker().await,
    }
}

/// This project's own broker, whatever else there is.
pub(crate) async fn embedded_broker() -> Broker {
    let (_, broker) = BROKER
        .get_or_init(|| async {
            let dir = tempfile::tempdir().expect("a directory for the broker");
            let settings = embedded_rocketmq::Settings {
                data_dir: dir.path().to_owned(),
                namesrv: loopback(),
                broker: loopback(),
                check_interval: CHECK_INTERVAL,
                pay_window: PAY_WINDOW,
            };
            (dir, embedded_rocketmq::start(settings).await.expect("the broker starts"))
        })
        .await;
    Broker::embedded(broker.namesrv_address().to_string())
}

/// A free port on this machine.
pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A running service with its surroundings.
pub(crate) struct TestApp {
    pub(crate) simulator: String,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) client: Client,
    base: String,
    running: Option<Service>,
    gateway: Option<alipay_simulator::Simulator>,
    finished: bool,
    only_notified: Mutex<Vec<String>>,
    database: Option<MysqlDatabase>,
    dir: TempDir,
}

impl TestApp {
    /// With the shared broker.
    pub(crate) async fn start() -> Self {
        Self::start_on(shared_broker().await).await
    }

    /// With nothing where the broker should be.
    pub(crate) async fn start_without_broker() -> Self {
        Self::start_on(Broker::embedded("127.0.0.1:1".to_owned())).await
    }

    /// With this broker.
    pub(crate) async fn start_on(broker: Broker) -> Self {
        Self::start_with(broker, MysqlDatabase::create().await).await
    }

    /// With the shared broker, and with something configured another way than usual.
    pub(crate) async fn start_configured(change: impl FnOnce(&mut Config)) -> Self {
        let database = MysqlDatabase::create().await;
        let broker = shared_broker().await;
        Self::start_as(broker, database, Settings::default(), |config, _| change(config)).await
    }

    /// With this broker and database; a SQLite file without one.
    pub(crate) async fn start_with(broker: Broker, database: Option<MysqlDatabase>) -> Self {
        Self::start_as(broker, database, Settings::default(), |_, _| {}).await
    }

    /// With this gateway, too, and changes in the configuration, whose files are in the directory.
    pub(crate) async fn start_as(
        broker: Broker,
        database: Option<MysqlDatabase>,
        gateway: Settings,
        configure: impl FnOnce(&mut Config, &Path),
    ) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let keys = write_keys(&dir);
        let gateway = alipay_simulator::start(gateway).await.expect("the simulator starts");
        let sockets = HttpSockets::bind(loopback(), None).expect("a free port");
        let base = format!("http://{}", sockets.private_address());
        let sqlite = || format!("sqlite:{}", dir.path().join("test.db").display());
        let database_url = database.as_ref().map_or_else(sqlite, |database| database.url.clone());
        let mut config = config(keys, &gateway.gateway_url(), broker, &database_url, &base);
        configure(&mut config, dir.path());
        config.validate().expect("a valid configuration");
        let clock = Arc::new(ManualClock::default());
        let environment =
            Environment { clock: Arc::clone(&clock) as Arc<_>, ids: Ids::from_entropy() };
        let service =
            Service::start(config, sockets, environment).await.expect("the service starts");
        let app = Self {
            running: Some(service),
            simulator: format!("http://{}", gateway.address()),
            clock,
            client: Client::builder().no_proxy().build().expect("a client"),
            base,
            gateway: Some(gateway),
            finished: false,
            only_notified: Mutex::default(),
            database,
            dir,
        };
        app.put_sku("tea", 100, 1_000).await;
        app
    }

    /// Audits, stops, and reports what is violated.
    pub(crate) async fn finish(mut self) {
        let report = audit(self.app()).await.expect("the audit runs");
        self.finished = true;
        assert!(report.ok, "violated: {:#?}", report.violated());
        let disagreements = self.disagreements().await;
        assert!(disagreements.is_empty(), "the gateway's books differ: {disagreements:#?}");
        if let Some(service) = self.running.take() {
            service.shutdown().await;
        }
        if let Some(gateway) = self.gateway.take() {
            gateway.shutdown().await;
        }
        if let Some(database) = self.database.take() {
            database.remove().await;
        }
    }

    /// The service, for tests that look inside.
    pub(crate) fn service(&self) -> &Service {
        self.running.as_ref().expect("it runs until finish()")
    }

    /// Its context, for tests that call use cases.
    pub(crate) fn app(&self) -> &Arc<App> {
        &self.service().app
    }

    /// Moves the service's and the simulator's clocks.
    pub(crate) async fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).expect("a short time");
        self.control("clock", json!({ "advance_ms": ms })).await;
        self.clock.advance(chrono::Duration::from_std(by).expect("a short time"));
    }

    /// Past the window and its grace.
    pub(crate) async fn advance_past_window(&self) {
        self.advance(PAY_WINDOW + Duration::from_secs(4)).await;
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path)).bearer_auth(KEY)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(self.url(path)).bearer_auth(KEY).json(body)
    }

    /// The word of `/readyz`, which must say that the service is ready.
    pub(crate) async fn readiness(&self) -> String {
        text(&json_of(self.get("/readyz").send().await.expect("an answer")).await, "status")
    }

    pub(crate) async fn put_sku(&self, sku_id: &str, price_fen: i64, stock: i64) {
        let body = json!({ "title": "a thing", "price_fen": price_fen, "stock": stock });
        let request = self.client.put(self.url(&format!("/v1/skus/{sku_id}"))).bearer_auth(KEY);
        let response = request.json(&body).send().await.expect("an answer");
        assert!(response.status().is_success(), "{}", response.status());
    }

    pub(crate) async fn sku(&self, sku_id: &str) -> Value {
        json_of(self.get(&format!("/v1/skus/{sku_id}")).send().await.expect("an answer")).await
    }

    /// Places an order of one piece under a key.
    pub(crate) async fn try_place(
        &self,
        key: &str,
        sku_id: &str,
        quantity: i64,
    ) -> (StatusCode, Value) {
        let body =
            json!({ "member_id": "m1", "items": [{ "sku_id": sku_id, "quantity": quantity }] });
        let request = self.post("/v1/orders", &body).header("Idempotency-Key", key);
        answer_of(request.send().await.expect("an answer")).await
    }

    /// Places an order of one piece of tea and returns its id.
    pub(crate) async fn place(&self, key: &str) -> String {
        let (status, order) = self.try_place(key, "tea", 1).await;
        assert_eq!(status, StatusCode::CREATED, "{order}");
        text(&order, "id")
    }

    /// Places an order whose window is waited for, not jumped over.
    pub(crate) async fn place_flash(&self, key: &str) -> String {
        let line = json!({ "sku_id": "tea", "quantity": 1 });
        let body = json!({ "member_id": "m1", "class": "flash", "items": [line] });
        let request = self.post("/v1/orders", &body).header("Idempotency-Key", key);
        text(&json_of(request.send().await.expect("an answer")).await, "id")
    }

    pub(crate) async fn try_pay(&self, order_id: &str, body: Value) -> (StatusCode, Value) {
        let request = self.post(&format!("/v1/orders/{order_id}/payments"), &body);
        answer_of(request.send().await.expect("an answer")).await
    }

    /// Starts a payment and returns its number.
    pub(crate) async fn start_payment(&self, order_id: &str) -> String {
        let (status, payment) = self.try_pay(order_id, json!({ "channel": "alipay" })).await;
        assert!(status.is_success(), "{status} {payment}");
        text(&payment, "out_trade_no")
    }

    pub(crate) async fn cancel(&self, order_id: &str) -> (StatusCode, Value) {
        let request = self.post(&format!("/v1/orders/{order_id}/cancel"), &json!({}));
        answer_of(request.send().await.expect("an answer")).await
    }

    pub(crate) async fn order(&self, order_id: &str) -> Value {
        let response = self.get(&format!("/v1/orders/{order_id}")).send().await;
        json_of(response.expect("an answer")).await
    }

    pub(crate) async fn status(&self, order_id: &str) -> String {
        text(&self.order(order_id).await, "status")
    }

    pub(crate) async fn events(&self, order_id: &str) -> Vec<Value> {
        let response = self.get(&format!("/v1/orders/{order_id}/events")).send().await;
        let mut answer = json_of(response.expect("an answer")).await;
        match answer["events"].take() {
            Value::Array(events) => events,
            other => panic!("not a list: {other}"),
        }
    }

    /// The event of this cause.
    pub(crate) async fn event(&self, order_id: &str, cause: &str) -> Value {
        let events = self.events(order_id).await;
        let found = events.iter().find(|event| event["cause"] == cause);
        found.unwrap_or_else(|| panic!("no {cause} in {events:#?}")).clone()
    }

    pub(crate) async fn open_alarms(&self) -> Vec<(String, String)> {
        let answer = json_of(self.get("/v1/admin/alarms").send().await.expect("an answer")).await;
        let alarms = answer["alarms"].as_array().expect("a list");
        alarms.iter().map(|alarm| (text(alarm, "kind"), text(alarm, "subject"))).collect()
    }

    pub(crate) async fn assert_alarm(&self, kind: &str, subject: &str) {
        let open = self.open_alarms().await;
        assert!(open.contains(&(kind.to_owned(), subject.to_owned())), "{open:?}");
    }

    pub(crate) async fn wait_for_status(&self, order_id: &str, wanted: &str) {
        wait_until(&format!("{order_id} is {wanted}"), async || {
            self.status(order_id).await == wanted
        })
        .await;
    }

    /// Calls the simulator's control API.
    pub(crate) async fn control(&self, action: &str, body: Value) -> Value {
        let (status, answer) = self.try_control(action, body).await;
        assert!(status.is_success(), "{action}: {status} {answer}");
        answer
    }

    pub(crate) async fn try_control(&self, action: &str, body: Value) -> (StatusCode, Value) {
        let url = format!("{}/_ctl/{action}", self.simulator);
        answer_of(self.client.post(url).json(&body).send().await.expect("an answer")).await
    }

    pub(crate) async fn scan(&self, out_trade_no: &str) {
        self.control("scan", json!({ "out_trade_no": out_trade_no })).await;
    }

    pub(crate) async fn buyer_pays(&self, out_trade_no: &str) {
        self.control("pay", json!({ "out_trade_no": out_trade_no })).await;
    }

    pub(crate) async fn fault(&self, method: &str, kind: &str) {
        self.control("faults", json!({ "method": method, "kind": kind })).await;
    }

    pub(crate) async fn clear_faults(&self) {
        let url = format!("{}/_ctl/faults", self.simulator);
        let response = self.client.delete(url).send().await.expect("an answer");
        assert!(response.status().is_success());
    }

    pub(crate) async fn trade(&self, out_trade_no: &str) -> Value {
        let url = format!("{}/_ctl/trades/{out_trade_no}", self.simulator);
        json_of(self.client.get(url).send().await.expect("an answer")).await
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        assert!(self.finished || std::thread::panicking(), "a test must end with finish()");
    }
}

/// Waits for a condition; a test fails if it doesn't come.
pub(crate) async fn wait_until(what: &str, condition: impl AsyncFnMut() -> bool) {
    wait_within(PATIENCE, what, condition).await;
}

/// The same for what takes a time of its own.
pub(crate) async fn wait_within(
    limit: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> bool,
) {
    let deadline = Instant::now() + limit;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no text {field} in {value}")).to_owned()
}

pub(crate) async fn json_of(response: Response) -> Value {
    let (status, body) = answer_of(response).await;
    assert!(status.is_success(), "{status} {body}");
    body
}

pub(crate) async fn answer_of(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.text().await.expect("a body");
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}
