//! Tells the outgoing webhook of alarms: in leased batches, each notice until the receiver has it.
//! What happened to one alarm is told in its order; one alarm's failures don't hold up another.

use std::sync::Arc;

use chrono::Duration;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::domain::alarm::Severity;
use crate::store::StoreError;
use crate::store::alarm_notices::{self, Delivery, Notice};
use crate::webhook::Webhook;

/// Notices that are sent at the same time.
const BATCH_ROWS: i64 = 16;
/// A notice whose sender died is sent by another after this: longer than a delivery takes.
const LEASE: Duration = Duration::seconds(30);
/// A batch takes no longer; it is sent again after its lease.
const BATCH_BUDGET: std::time::Duration = std::time::Duration::from_secs(25);
/// Pause between two looks for due notices.
const IDLE_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);
/// Longest pause between two tries of one notice.
const BACKOFF_MAX: Duration = Duration::minutes(10);
/// Doublings of that pause, which begins with a second.
const DOUBLINGS_MAX: i64 = 10;
/// Without a webhook a notice waits this long for an instance that has one: while a configuration
/// is rolled out.
const UNWANTED_AFTER: Duration = Duration::hours(1);

/// Delivers until told to stop; without a webhook it only sets aside what nobody wants.
pub async fn run(app: Arc<App>, webhook: Option<Webhook>, stop: CancellationToken) {
    let idle = if webhook.is_some() { IDLE_INTERVAL } else { IDLE_INTERVAL * 60 };
    loop {
        let batch = async {
            match &webhook {
                Some(webhook) => deliver_due(&app, webhook).await,
                None => set_aside(&app).await,
            }
        };
        let delivered = tokio::time::timeout(BATCH_BUDGET, batch).await;
        match delivered.unwrap_or_else(|_| Err(StoreError::Busy("it took too long".into()))) {
            Ok(taken) if taken > 0 && !stop.is_cancelled() => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "alarms could not be told of, later again"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(idle) => {}
        }
    }
}

async fn set_aside(app: &App) -> Result<usize, StoreError> {
    alarm_notices::set_aside(&app.store, app.now() - UNWANTED_AFTER).await?;
    Ok(0)
}

/// Delivers what is due; how many notices the receiver took.
///
/// # Errors
/// If the database fails; what was sent may then be sent again.
pub async fn deliver_due(app: &App, webhook: &Webhook) -> Result<usize, StoreError> {
    let now = app.now();
    let batch = alarm_notices::claim_due(&app.store, BATCH_ROWS, now + LEASE, now).await?;
    if batch.is_empty() {
        return Ok(0);
    }
    let delivered = join_all(batch.iter().map(|notice| deliver(app, webhook, notice))).await;
    alarm_notices::record(&app.store, &delivered, app.now()).await?;
    let taken = delivered.iter().filter(|(_, became)| !matches!(became, Delivery::Again(_)));
    Ok(taken.count())
}

async fn deliver(app: &App, webhook: &Webhook, notice: &Notice) -> (String, Delivery) {
    let least = app.config.alarms.webhook_min_severity;
    if least == Severity::Critical && notice.severity != Severity::Critical.as_str() {
        return (notice.id.clone(), Delivery::Unwanted);
    }
    let became = match webhook.send(&notice.id, &notice.body, app.now()).await {
        Ok(()) => Delivery::Done,
        Err(error) => {
            tracing::warn!(notice = notice.id, %error, "the webhook did not take it, later again");
            Delivery::Again(app.now() + backoff(notice.failures))
        }
    };
    (notice.id.clone(), became)
}

fn backoff(failures: i64) -> Duration {
    let doublings = u32::try_from(failures.clamp(0, DOUBLINGS_MAX)).unwrap_or(0);
    (Duration::seconds(1) * 2_i32.pow(doublings)).min(BACKOFF_MAX)
}
