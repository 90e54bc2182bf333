//! The producer in use, and its replacement after an outage.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rocketmq_client_rust::{ClientResult, DefaultMQProducer, TransactionMQProducer};
use tokio::sync::{RwLock, watch};
use tokio::time::timeout;

use crate::text::causes;

/// Stopping a producer takes no longer.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(4);

/// What the two kinds of the client's producers have in common.
pub(super) trait Lifecycle: Send + Sync + 'static {
    fn start(&mut self) -> impl Future<Output = ClientResult<()>> + Send;
    fn stop(&mut self) -> impl Future<Output = ()> + Send;
}

impl Lifecycle for TransactionMQProducer {
    async fn start(&mut self) -> ClientResult<()> {
        Box::pin(TransactionMQProducer::start(self)).await
    }

    async fn stop(&mut self) {
        Box::pin(self.shutdown()).await;
    }
}

impl Lifecycle for DefaultMQProducer {
    async fn start(&mut self) -> ClientResult<()> {
        Box::pin(DefaultMQProducer::start(self)).await
    }

    async fn stop(&mut self) {
        Box::pin(self.shutdown()).await;
    }
}

/// The producer in use. A send holds it for reading, so that stopping it waits for the sends under
/// way.
pub(super) struct Current<P>(Mutex<Arc<RwLock<P>>>);

impl<P: Lifecycle> Current<P> {
    pub(super) fn new(producer: P) -> Self {
        Self(Mutex::new(Arc::new(RwLock::new(producer))))
    }

    pub(super) fn get(&self) -> Arc<RwLock<P>> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, producer: P) -> Arc<RwLock<P>> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, Arc::new(RwLock::new(producer)))
    }

    pub(super) async fn stop(&self) {
        stop(&self.get()).await;
    }
}

async fn stop<P: Lifecycle>(producer: &RwLock<P>) {
    let stopped = async { producer.write().await.stop().await };
    if timeout(SHUTDOWN_TIMEOUT, stopped).await.is_err() {
        tracing::warn!("a RocketMQ producer did not stop in {SHUTDOWN_TIMEOUT:?}");
    }
}

/// Replaces the producer after every outage: the old one's circuit breaker would keep it away for
/// 30 s.
pub(super) async fn renew<P: Lifecycle>(
    mut recoveries: watch::Receiver<u64>,
    current: Arc<Current<P>>,
    build: impl Fn() -> P + Send,
) {
    while recoveries.changed().await.is_ok() {
        let mut producer = build();
        match producer.start().await {
            Ok(()) => stop(&current.replace(producer)).await,
            Err(error) => {
                tracing::warn!(error = %causes(&error), "a RocketMQ producer was not renewed");
            }
        }
    }
}
