//! Settles what is due in the pending table. The light poll and the sweep are this one use case:
//! one for ever, one for what is due when it starts. Orders are taken in leased batches, and each
//! is settled by a worker of its own: one whose exchange hangs takes up one place, and nobody waits
//! for it.

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use tokio::task::{JoinError, JoinSet};

use crate::app::App;
use crate::domain::ids::OrderId;
use crate::domain::trigger::Trigger;
use crate::store::StoreError;
use crate::store::pending::{self, CLAIM_MAX, Lane, Lease};

use super::raise_alarm::raise_if_corrupt;
use super::settle::{Outcome, Request, settle};

/// An order whose worker died is free again after this: a little longer than a settlement takes.
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

    fn add(&mut self, result: Result<Settled, JoinError>) {
        match result {
            Ok(Ok(Outcome::Ended(_) | Outcome::NoSuchOrder)) => self.settled += 1,
            Ok(Ok(Outcome::Waiting | Outcome::ReadyToCancel | Outcome::Unknown)) => {
                self.still_pending += 1;
            }
            Ok(Err(_)) => self.failed += 1,
            // Its order is under a lease, which ends.
            Err(error) => {
                self.failed += 1;
                tracing::error!(%error, "a worker that settled an order died");
            }
        }
    }
}

type Settled = Result<Outcome, StoreError>;

/// Workers that settle the due orders of one lane.
pub struct Workers {
    app: Arc<App>,
    trigger: Trigger,
    lane: Lane,
    due_by: Option<DateTime<Utc>>,
    settling: JoinSet<Settled>,
    report: Report,
}

impl Workers {
    /// Nobody works yet.
    #[must_use]
    pub fn new(app: &Arc<App>, trigger: Trigger, lane: Lane) -> Self {
        let (settling, report) = (JoinSet::new(), Report::default());
        Self { app: Arc::clone(app), trigger, lane, due_by: None, settling, report }
    }

    /// Leaves alone what becomes due later, so that there is an end to it.
    #[must_use]
    pub fn for_what_is_due_by(mut self, due_by: DateTime<Utc>) -> Self {
        self.due_by = Some(due_by);
        self
    }

    /// Claims due orders for the workers that are free, and returns how many there were; none while
    /// this machine's clock can't be trusted, or as long as only a few workers are free: small
    /// batches cost as much as large ones.
    ///
    /// # Errors
    /// If no batch can be claimed; a failure of a single order is counted in the report.
    pub async fn take_due(&mut self) -> Result<usize, StoreError> {
        let few = self.app.config.poll.workers.div_ceil(4).min(CLAIM_MAX);
        if self.room() < few { Ok(0) } else { self.take_for_all_who_are_free().await }
    }

    /// The same for as few workers as are free: the others may hang for long.
    ///
    /// # Errors
    /// As those of [`Self::take_due`].
    pub async fn take_for_all_who_are_free(&mut self) -> Result<usize, StoreError> {
        let room = self.room();
        if room == 0 || !self.app.may_cancel() {
            return Ok(0);
        }
        let claimed = self.claim(room).await?;
        let count = claimed.len();
        for order_id in claimed {
            let (app, trigger) = (Arc::clone(&self.app), self.trigger);
            self.settling.spawn(async move { settle_one(&app, trigger, order_id).await });
        }
        Ok(count)
    }

    async fn claim(&self, room: usize) -> Result<Vec<OrderId>, StoreError> {
        let now = self.app.now();
        let lease = Lease {
            token: self.app.fresh_id(),
            until: now + LEASE,
            due_by: self.due_by.unwrap_or(now),
            rows_max: i64::try_from(room).unwrap_or(i64::MAX),
        };
        let claiming = pending::claim_due(&self.app.store, self.lane, &lease, now);
        tokio::time::timeout(CLAIM_BUDGET, claiming)
            .await
            .map_err(|_| StoreError::Busy("no batch could be claimed in time".into()))?
    }

    fn room(&self) -> usize {
        self.app.config.poll.workers.saturating_sub(self.settling.len())
    }

    /// Waits until a worker is done; at once if nobody works. `false`: nobody did.
    pub async fn wait_for_one(&mut self) -> bool {
        let Some(result) = self.settling.join_next().await else { return false };
        self.report.add(result);
        while let Some(result) = self.settling.try_join_next() {
            self.report.add(result);
        }
        true
    }

    /// Whether nobody works.
    #[must_use]
    pub fn are_idle(&self) -> bool {
        self.settling.is_empty()
    }

    /// Waits for those who work, and tells what was done.
    pub async fn finish(mut self) -> Report {
        while self.wait_for_one().await {}
        self.report
    }
}

async fn settle_one(app: &App, trigger: Trigger, order_id: OrderId) -> Settled {
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
