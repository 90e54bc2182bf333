//! The two limits that an order stands behind: a half message of RocketMQ's client as the service
//! uses it, with a local transaction that does nothing, and the creating transaction itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use checkback::app::App;
use checkback::config::Rocketmq;
use checkback::domain::ids::SkuId;
use checkback::hash::sha256_hex;
use checkback::producer::admin::{Admin, TopicType};
use checkback::producer::rocketmq::{
    CheckAnswer, HalfMessage, HalfSend, Job, MessagingRuntime, OutgoingMessage, TransactionHandler,
    TransactionProducer,
};
use checkback::producer::runtime::BoxFuture;
use checkback::run::broker_settings;
use checkback::service::place_order::{Creation, PlaceOrder, Priced, create, price};
use checkback::store::skus::{self, Quantity};

use crate::ground::sku_name;

/// A topic of the benchmark's own.
const TOPIC: &str = "half-messages";
const GROUP: &str = "half-message-producer";
/// The broker is known within this time.
const ROUTE_WAIT: Duration = Duration::from_secs(20);

/// Sends half messages and nothing else.
pub(super) struct HalfMessages {
    producer: TransactionProducer,
    runtime: Arc<MessagingRuntime>,
    numbers: AtomicU64,
}

/// Keeps every half message, as the service does, and drops it at its first check-back.
struct Nothing;

impl TransactionHandler for Nothing {
    fn execute(&self, _: Job) -> BoxFuture<CheckAnswer> {
        Box::pin(async { CheckAnswer::Unknown })
    }

    fn check(&self, _: HalfMessage) -> BoxFuture<CheckAnswer> {
        Box::pin(async { CheckAnswer::Rollback })
    }
}

/// They end with their local transaction, long before a check.
const NO_CHECKS: Duration = Duration::from_hours(1);

impl HalfMessages {
    pub(super) async fn start(config: &Rocketmq) -> anyhow::Result<Self> {
        let runtime = Arc::new(MessagingRuntime::start(broker_settings(config))?);
        let topic = [(TOPIC, TopicType::Transaction)];
        Admin::new(&runtime).prepare(&topic, &[]).await.context("the topic can't be made")?;
        let handler = Arc::new(Nothing);
        let start = TransactionProducer::start(&runtime, GROUP, &[TOPIC], NO_CHECKS, handler);
        let producer = start.await?;
        anyhow::ensure!(producer.wait_ready(ROUTE_WAIT).await, "the broker has no route");
        Ok(Self { producer, runtime, numbers: AtomicU64::new(0) })
    }

    /// Sends one of an order's size; whether the broker took it.
    pub(super) async fn send(&self) -> bool {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let message = OutgoingMessage {
            topic: TOPIC.to_owned(),
            tag: "cancel".to_owned(),
            key: format!("{number:026}"),
            body: format!("{number:090}").into_bytes(),
        };
        let sent = self.producer.send_in_transaction(message, Arc::new(())).await;
        matches!(sent, Ok(HalfSend::Accepted { .. }))
    }

    pub(super) async fn stop(&self) {
        self.producer.shutdown().await;
        self.runtime.shutdown().await;
    }
}

/// Writes orders and nothing else.
pub(super) struct Transactions {
    app: Arc<App>,
    requests: Vec<PlaceOrder>,
    priced: Vec<Priced>,
    numbers: AtomicU64,
}

impl Transactions {
    /// Orders of one piece of each of the SKUs in turn, priced once.
    pub(super) async fn prepare(app: &Arc<App>, skus: u64) -> anyhow::Result<Self> {
        let mut priced = Vec::new();
        let mut requests = Vec::new();
        for number in 0..skus {
            let sku_id = SkuId::parse(&sku_name(number)).context("a SKU's id")?;
            let request = PlaceOrder {
                storefront: "bench".to_owned(),
                idempotency_key: String::new(),
                request_hash: sha256_hex(&["one piece", sku_id.as_str()]),
                member_id: "m1".to_owned(),
                class: None,
                quantities: vec![Quantity { sku_id, pieces: 1 }],
                metadata: "null".to_owned(),
            };
            let found = skus::look_up(&app.store, &request.quantities, "").await?;
            priced.push(price(app, &request, &found.skus)?);
            requests.push(request);
        }
        Ok(Self { app: Arc::clone(app), requests, priced, numbers: AtomicU64::new(0) })
    }

    /// Writes an order; whether it is there.
    pub(super) async fn write(&self) -> bool {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let turn = usize::try_from(number).unwrap_or(0) % self.priced.len();
        let key_hash = sha256_hex(&["transactions", &number.to_string()]);
        let draft = self.priced[turn].draft(&self.app, &self.requests[turn], &key_hash, false);
        let Ok(draft) = draft else { return false };
        matches!(create(&self.app, &draft).await, Ok(Creation::Created(_)))
    }
}
