//! Publishes the outbox: at once when the bell rings, and by itself after a broker outage. An event
//! is sent until the broker says that it has it, so that a consumer may see it twice but never not
//! at all; events of one order keep their order.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::rocketmq::{EventProducer, OutgoingMessage};
use crate::app::App;
use crate::store::StoreError;
use crate::store::outbox::{self, Publication, Unpublished};

/// Events that are sent at the same time.
const BATCH_ROWS: i64 = 64;
/// An event whose sender died is sent by another after this.
const LEASE: chrono::Duration = chrono::Duration::seconds(30);
/// A batch takes no longer; it is sent again after its lease.
const BATCH_BUDGET: Duration = Duration::from_secs(30);
/// The outbox is looked at this often even if no bell rings.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);
/// Longest pause between two tries of one event.
const BACKOFF_MAX: chrono::Duration = chrono::Duration::seconds(60);
/// Doublings of that pause.
const DOUBLINGS_MAX: i64 = 6;

/// Publishes until told to stop.
pub async fn run(app: Arc<App>, producer: Arc<EventProducer>, stop: CancellationToken) {
    loop {
        let published = tokio::time::timeout(BATCH_BUDGET, publish_batch(&app, &producer)).await;
        match published.unwrap_or_else(|_| Err(StoreError::Busy("it took too long".into()))) {
            Ok(batch) if batch > 0 && !stop.is_cancelled() => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the outbox could not be published"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = app.outbox_bell.notified() => {}
            () = tokio::time::sleep(IDLE_INTERVAL) => {}
        }
    }
}

/// Publishes what is due, and returns how many events the broker took.
///
/// # Errors
/// If the database fails; what was sent may then be sent again.
pub async fn publish_batch(app: &App, producer: &EventProducer) -> Result<usize, StoreError> {
    let now = app.now();
    let batch = outbox::claim_due(&app.store, BATCH_ROWS, now + LEASE, now).await?;
    if batch.is_empty() {
        return Ok(0);
    }
    let published = join_all(batch.iter().map(|event| publish(app, producer, event))).await;
    outbox::record(&app.store, &published, app.now()).await?;
    let done = published.iter().filter(|(_, outcome)| matches!(outcome, Publication::Done));
    Ok(done.count())
}

async fn publish(
    app: &App,
    producer: &EventProducer,
    event: &Unpublished,
) -> (String, Publication) {
    let message = OutgoingMessage {
        topic: event.topic.clone(),
        tag: event.tag.clone(),
        key: event.order_id.clone(),
        body: event.body.clone().into_bytes(),
    };
    let publication = match producer.send(message).await {
        Ok(()) => {
            app.metrics.events_published.inc();
            Publication::Done
        }
        Err(error) => {
            tracing::debug!(order.id = event.order_id, %error, "an event waits for the broker");
            Publication::Again(app.now() + backoff(event.failures))
        }
    };
    (event.event_id.clone(), publication)
}

fn backoff(failures: i64) -> chrono::Duration {
    let doublings = u32::try_from(failures.clamp(0, DOUBLINGS_MAX)).unwrap_or(0);
    (chrono::Duration::seconds(1) * 2_i32.pow(doublings)).min(BACKOFF_MAX)
}
