//! What the overview shows, read once for everybody who looks: however many pages are open, an
//! instance asks its database once in a while, and tells them all whether something is different.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::domain::alarm::Severity;
use crate::http::HttpState;
use crate::http::health::Readiness;
use crate::store::pending_list::{self, PendingOrder};
use crate::store::refunds::{self, Unsettled};
use crate::store::sweeps::{self, SweepRun};
use crate::store::{StoreError, alarms, outbox};

/// How long what was read is good for everybody.
const KEPT: Duration = Duration::from_secs(1);
/// Rows of one page.
pub(super) const PAGE_ROWS: i64 = 50;

/// Cuts rows that were read with one more than a page has; whether there is more.
pub(super) fn cut_page<T>(rows: &mut Vec<T>) -> bool {
    let page = usize::try_from(PAGE_ROWS).unwrap_or(usize::MAX);
    let more = rows.len() > page;
    rows.truncate(page);
    more
}
const SWEEPS_SHOWN: i64 = 5;

/// What was read at one time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Snapshot {
    pub numbers: Numbers,
    pub readiness: Readiness,
    /// The first page of orders that await payment, and one row more if there are more.
    pub pending: Vec<PendingOrder>,
    pub sweeps: Vec<SweepRun>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    pub awaiting: i64,
    pub attempts: i64,
    pub last_looks: i64,
    /// Rows of the pending table whose time has come.
    pub due: i64,
    pub critical: i64,
    pub warning: i64,
    pub unpublished: i64,
    pub refunds: Unsettled,
}

/// The snapshot that everybody shares.
#[derive(Debug, Default)]
pub(super) struct Pulse(Mutex<Option<(Instant, Arc<Snapshot>)>>);

impl Pulse {
    /// What was read lately; whoever comes first after a while reads for all.
    pub(super) async fn read(&self, state: &HttpState) -> Result<Arc<Snapshot>, StoreError> {
        let mut last = self.0.lock().await;
        if let Some((at, snapshot)) = last.as_ref().filter(|(at, _)| at.elapsed() < KEPT) {
            tracing::trace!(age = ?at.elapsed(), "the overview is known");
            return Ok(Arc::clone(snapshot));
        }
        let snapshot = Arc::new(Snapshot::read(state).await?);
        *last = Some((Instant::now(), Arc::clone(&snapshot)));
        Ok(snapshot)
    }
}

impl Snapshot {
    async fn read(state: &HttpState) -> Result<Self, StoreError> {
        let store = &state.app.store;
        Ok(Self {
            numbers: Numbers::read(state).await?,
            readiness: Readiness::read(state).await,
            pending: pending_list::of_kind(store, "order", (0, ""), PAGE_ROWS + 1).await?,
            sweeps: sweeps::last(store, SWEEPS_SHOWN).await?,
        })
    }
}

impl Numbers {
    async fn read(state: &HttpState) -> Result<Self, StoreError> {
        let (store, now) = (&state.app.store, state.app.now());
        let mut numbers = Self {
            unpublished: outbox::unpublished(store).await?,
            refunds: refunds::count_unsettled(store).await?,
            ..Self::default()
        };
        for (kind, rows, due) in pending_list::counts(store, now).await? {
            numbers.due += due;
            match kind.as_str() {
                "order" => numbers.awaiting = rows,
                "closed" => numbers.last_looks = rows,
                _ => numbers.attempts += rows,
            }
        }
        for (severity, count) in alarms::open_by_severity(store).await? {
            if severity == Severity::Critical.as_str() {
                numbers.critical += count;
            } else {
                numbers.warning += count;
            }
        }
        Ok(numbers)
    }
}
