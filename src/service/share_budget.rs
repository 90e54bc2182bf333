//! Instances share what the gateway allows: each says that it is alive, and takes its part.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::domain::alarm::{Alarm, AlarmKind};
use crate::store::{StoreError, alarms, instances};

use super::raise_alarm::raise_alarm_or_log;
use super::watch_clock::watch_clock;

/// How often an instance says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// The share of one that is gone without a word is the others' after this.
const ALIVE_FOR: chrono::Duration = chrono::Duration::seconds(15);
/// Heartbeats after which a gateway that has had enough is an alarm: a minute.
const SLOWED_FOR_LONG: u32 = 20;
/// A heartbeat takes no longer.
const HEARTBEAT_BUDGET: Duration = Duration::from_secs(5);
/// Nobody waits longer for an instance that leaves.
const LEAVE_BUDGET: Duration = Duration::from_secs(1);

/// Shares until told to stop. The share stays until it is given back with [`leave`], or expires:
/// what is under way then still calls.
pub async fn run(app: Arc<App>, mut membership: Membership, stop: CancellationToken) {
    let mut slowed = Slowed { heartbeats: 0, may_be_told: true };
    loop {
        match tokio::time::timeout(HEARTBEAT_BUDGET, membership.heartbeat(&app)).await {
            Ok(Ok(())) => {}
            // The share stays as it was: the gateway is no better off for fewer calls.
            Ok(Err(error)) => tracing::debug!(%error, "who is alive could not be read"),
            Err(_) => tracing::debug!("who is alive could not be read in time"),
        }
        slowed.look(&app).await;
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(HEARTBEAT) => {}
        }
    }
}

/// Gives an instance's share back, if the database is quick: else the share expires.
pub async fn leave(app: &App, id: &str) {
    match tokio::time::timeout(LEAVE_BUDGET, instances::leave(&app.store, id)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the share is given back a little later"),
        Err(_) => tracing::debug!("the share is given back a little later"),
    }
}

/// An alarm that nobody has counted up for so long is nobody's any more.
const QUIET_FOR: chrono::Duration = chrono::Duration::minutes(2);

/// How many heartbeats in a row the gateway has had enough of this instance's calls.
struct Slowed {
    heartbeats: u32,
    /// An alarm may be open, that of an earlier life as well.
    may_be_told: bool,
}

impl Slowed {
    /// A person is told once it lasts.
    async fn look(&mut self, app: &App) {
        let Some(app_id) = app.slowed_gateway() else {
            self.heartbeats = 0;
            if self.may_be_told {
                self.may_be_told = !resolve(app).await;
            }
            return;
        };
        self.heartbeats += 1;
        if self.heartbeats.is_multiple_of(SLOWED_FOR_LONG) {
            self.may_be_told = true;
            let detail = "the gateway says that it is called too often; it is called less often";
            let alarm = Alarm::new(AlarmKind::GatewayThrottled, app_id, detail);
            raise_alarm_or_log(app, &alarm).await;
        }
    }
}

/// `false`: it has to be tried again. As long as an instance counts it up, it stays open.
async fn resolve(app: &App) -> bool {
    let resolved = async {
        let (now, mut all) = (app.now(), true);
        let mut tx = app.store.begin().await?;
        for account in app.accounts() {
            let (kind, subject) = (AlarmKind::GatewayThrottled, &account.app_id);
            if alarms::is_raised_since(&mut tx, kind, subject, now - QUIET_FOR).await? {
                all = false;
            } else {
                alarms::resolve(&mut tx, kind, subject, "it answers again", now).await?;
            }
        }
        tx.commit().await?;
        Ok(all)
    };
    let resolved: Result<bool, StoreError> = resolved.await;
    resolved.unwrap_or_else(|error| {
        tracing::warn!(%error, "an alarm stays open a while");
        false
    })
}

/// An instance's membership among those that share.
#[derive(Debug)]
pub struct Membership {
    id: String,
    alive_before: u32,
}

impl Membership {
    /// Has not said yet that it is alive.
    #[must_use]
    pub fn new(id: String) -> Self {
        Self { id, alive_before: 1 }
    }

    /// Says that this instance is alive, and takes its share of every account's budget. It grows
    /// only if two heartbeats in a row saw fewer: after an outage of the database all rows have
    /// expired, and those who come first would each take the others' shares. And it doesn't grow
    /// while this machine's clock can't be trusted.
    ///
    /// # Errors
    /// If the database fails; the share stays as it was.
    pub async fn heartbeat(&mut self, app: &App) -> Result<(), StoreError> {
        let now = app.now();
        let alive = instances::keep_alive(&app.store, &self.id, now + ALIVE_FOR, now).await?;
        let alive = u32::try_from(alive).unwrap_or(u32::MAX).max(1);
        app.share_gateways(alive.max(self.alive_before));
        if app.may_cancel() || alive > self.alive_before {
            self.alive_before = alive;
        }
        Ok(())
    }
}

/// Works as one of the instances that share, and cancels nothing by a clock that is off.
///
/// # Errors
/// If the database fails, or the work does.
pub async fn beside_others<T>(
    app: &Arc<App>,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let skew_ms = watch_clock(app).await?;
    if !app.may_cancel() {
        tracing::warn!(skew_ms, "this machine's clock is off the database's: nothing is cancelled");
    }
    let id = app.fresh_id();
    let mut membership = Membership::new(id.clone());
    membership.heartbeat(app).await?;
    let stop = CancellationToken::new();
    let sharing = tokio::spawn(run(Arc::clone(app), membership, stop.clone()));
    let done = Box::pin(work).await;
    stop.cancel();
    sharing.await?;
    leave(app, &id).await;
    done
}
