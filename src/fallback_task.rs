//! The fallback: a sweep over whatever is due, at start and every ten minutes, sufficient alone;
//! and the light poll, the same for ever, as often as the broker checks back. Both take due rows of
//! the small table by an index, in leased batches: any number of instances may run them.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::domain::trigger::Trigger;
use crate::service::send_refunds::{
    CONCURRENT, claim_due_refunds, send_claimed_refund, send_due_refunds,
};
use crate::service::settle_due::{Report, Workers};
use crate::store::StoreError;
use crate::store::pending::Lane;
use crate::store::sweeps::{self, SweepRun};

/// Longest and shortest pause of the light poll.
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(5);
const POLL_INTERVAL_MIN: Duration = Duration::from_millis(200);
/// Pause between two looks for due refunds: the first repeat comes after a second.
const REFUND_INTERVAL: Duration = Duration::from_millis(500);
/// Batches that one sweep takes at most: what is left waits for the next one.
const SWEEP_BATCHES_MAX: u32 = 10_000;

/// Sweeps at start and on the cron, until told to stop.
pub async fn run_sweeps(app: Arc<App>, stop: CancellationToken) {
    loop {
        if let Err(error) = sweep(&app).await {
            tracing::warn!(%error, "the sweep failed, the next one does it again");
        }
        let now = app.now();
        let until_next = app.config.sweep.next_after(now).signed_duration_since(now);
        let pause = until_next.to_std().unwrap_or_default();
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Settles all that is due when it starts, sends due refunds, and stores a report.
///
/// # Errors
/// If the database fails.
pub async fn sweep(app: &Arc<App>) -> Result<Report, StoreError> {
    let started_at = app.now();
    let mut total = Report::default();
    for lane in Lane::ALL {
        let report = sweep_lane(app, lane, started_at).await?;
        total.settled += report.settled;
        total.still_pending += report.still_pending;
        total.failed += report.failed;
    }
    for _ in 0..SWEEP_BATCHES_MAX {
        if send_due_refunds(app, started_at).await? == 0 {
            break;
        }
    }
    let run = SweepRun {
        id: app.fresh_id(),
        started_at,
        finished_at: app.now(),
        settled: total.settled,
        still_pending: total.still_pending,
        failed: total.failed,
    };
    sweeps::insert(&app.store, &run).await?;
    tracing::info!(
        settled = total.settled,
        still_pending = total.still_pending,
        failed = total.failed,
        "sweep done"
    );
    Ok(total)
}

async fn sweep_lane(
    app: &Arc<App>,
    lane: Lane,
    started_at: DateTime<Utc>,
) -> Result<Report, StoreError> {
    let workers = Workers::new(app, Trigger::Sweep, lane);
    let mut workers = workers.for_what_is_due_by(started_at);
    let mut batches = 0;
    while batches < SWEEP_BATCHES_MAX {
        if workers.take_due().await? > 0 {
            batches += 1;
        } else if !workers.wait_for_one().await {
            break;
        }
    }
    Ok(workers.finish().await)
}

/// Polls one lane until told to stop.
pub async fn run_light_poll(app: Arc<App>, lane: Lane, stop: CancellationToken) {
    let interval = app.config.timeout.check_interval / 4;
    let interval = interval.clamp(POLL_INTERVAL_MIN, POLL_INTERVAL_MAX);
    let mut workers = Workers::new(&app, Trigger::Poll, lane);
    let mut few_will_do = true;
    loop {
        let taken = if few_will_do {
            workers.take_for_all_who_are_free().await
        } else {
            workers.take_due().await
        };
        let taken = taken.unwrap_or_else(|error| {
            tracing::warn!(%error, "the light poll failed, the next one does it again");
            0
        });
        few_will_do = false;
        if taken > 0 && !stop.is_cancelled() {
            continue;
        }
        few_will_do = tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(interval) => true,
            _ = workers.wait_for_one(), if !workers.are_idle() => false,
        };
    }
    workers.finish().await;
}

/// Sends refunds that are due: at once when one was written, else as often as the light poll looks.
/// Each is sent by itself: one whose exchange hangs takes up one place, and nobody waits for it.
pub async fn run_refunds(app: Arc<App>, stop: CancellationToken) {
    let mut sending = JoinSet::new();
    loop {
        let room = CONCURRENT - sending.len();
        let claimed = claim_due_refunds(&app, room, app.now()).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "due refunds could not be taken, later again");
            Vec::new()
        });
        for no in claimed {
            let app = Arc::clone(&app);
            sending.spawn(async move { send_claimed_refund(&app, &no).await });
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = app.refund_bell.notified(), if sending.len() < CONCURRENT => {}
            () = tokio::time::sleep(REFUND_INTERVAL), if sending.len() < CONCURRENT => {}
            Some(sent) = sending.join_next() => note_end(sent),
        }
        while let Some(sent) = sending.try_join_next() {
            note_end(sent);
        }
    }
    while let Some(sent) = sending.join_next().await {
        note_end(sent);
    }
}

/// A worker that died left its refund under a lease, which ends.
fn note_end(sent: Result<(), JoinError>) {
    if let Err(error) = sent {
        tracing::error!(%error, "a worker that sent a refund died");
    }
}
