//! Settles whatever is due in the pending table, in leased batches. The light poll and the sweep
//! are this one use case: one often and a batch at a time, one until nothing is due any more.

use chrono::Duration;
use futures_util::stream::{self, StreamExt};

use crate::app::App;
use crate::domain::ids::OrderId;
use crate::domain::trigger::Trigger;
use crate::store::StoreError;
use crate::store::pending::{self, Lease};

use super::raise_alarm::raise_if_corrupt;
use super::settle::{Outcome, Request, settle};

/// Rows that are leased at a time: no more than are settled at once, so that a lease is short.
const BATCH_ROWS: i64 = 16;
/// Orders that are settled at the same time.
const CONCURRENT: usize = 16;
/// A batch whose worker died is free again after this: a little longer than a settlement takes.
const LEASE: Duration = Duration::seconds(60);
/// A settlement that takes longer is given up and comes again: a few gateway calls of 5 s.
const SETTLE_BUDGET: std::time::Duration = std::time::Duration::from_secs(45);
/// Claiming a batch takes no longer.
const CLAIM_BUDGET: std::time::Duration = std::time::Duration::from_secs(10);

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Orders that have ended by now.
    pub settled: i64,
    /// Orders that still wait for an answer or their time.
    pub still_pending: i64,
    /// Orders whose settlement failed.
    pub failed: i64,
}

impl Report {
    /// Orders that were looked at.
    #[must_use]
    pub fn looked_at(&self) -> i64 {
        self.settled + self.still_pending + self.failed
    }

    fn add(&mut self, result: &Result<Outcome, StoreError>) {
        match result {
            Ok(Outcome::Ended(_) | Outcome::NoSuchOrder) => self.settled += 1,
            Ok(Outcome::Waiting | Outcome::ReadyToCancel | Outcome::Unknown) => {
                self.still_pending += 1;
            }
            Err(_) => self.failed += 1,
        }
    }
}

/// Settles one batch of due orders; nothing while this machine's clock can't be trusted.
///
/// # Errors
/// If no batch can be claimed; a failure of a single order is counted in the report.
pub async fn settle_due_batch(app: &App, trigger: Trigger) -> Result<Report, StoreError> {
    if !app.may_cancel() {
        return Ok(Report::default());
    }
    let now = app.now();
    let lease = Lease { token: app.fresh_id(), until: now + LEASE, rows_max: BATCH_ROWS };
    let claiming = pending::claim_due(&app.store, &lease, now);
    let claimed = tokio::time::timeout(CLAIM_BUDGET, claiming)
        .await
        .map_err(|_| StoreError::Busy("no batch could be claimed in time".into()))??;
    let results = stream::iter(claimed)
        .map(|order_id| settle_one(app, trigger, order_id))
        .buffer_unordered(CONCURRENT);
    let report = results.fold(Report::default(), |mut report, result| async move {
        report.add(&result);
        report
    });
    Ok(report.await)
}

async fn settle_one(app: &App, trigger: Trigger, order_id: OrderId) -> Result<Outcome, StoreError> {
    let request = Request::by(trigger, &order_id);
    let result = tokio::time::timeout(SETTLE_BUDGET, settle(app, &request))
        .await
        .unwrap_or_else(|_| Err(StoreError::Busy("it took too long".into())));
    if let Err(error) = &result {
        tracing::warn!(order.id = %order_id, %error, %trigger, "could not settle, later again");
        raise_if_corrupt(app, error).await;
    }
    result
}
