//! Instances share what the gateway allows: each says that it is alive, and takes its part.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::domain::alarm::{Alarm, AlarmKind};
use crate::store::{StoreError, alarms, instances};

use super::raise_alarm::raise_alarm_or_log;

/// How often an instance says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// The share of one that is gone without a word is the others' after this.
const ALIVE_FOR: chrono::Duration = chrono::Duration::seconds(15);
/// Heartbeats after which a gateway that has had enough is an alarm: a minute.
const SLOWED_FOR_LONG: u32 = 20;
/// A heartbeat takes no longer.
const HEARTBEAT_BUDGET: Duration = Duration::from_secs(5);

/// Shares until told to stop, and leaves then. `id` is this instance's, which has joined already.
pub async fn run(app: Arc<App>, id: String, stop: CancellationToken) {
    let mut slowed = Slowed::default();
    loop {
        match tokio::time::timeout(HEARTBEAT_BUDGET, share_budget(&app, &id)).await {
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
    if let Err(error) = instances::leave(&app.store, &id).await {
        tracing::debug!(%error, "the share of this instance is given back a little later");
    }
}

/// How many heartbeats in a row the gateway has had enough of this instance's calls.
#[derive(Default)]
struct Slowed(u32);

impl Slowed {
    /// A person is told once it lasts.
    async fn look(&mut self, app: &App) {
        let Some(app_id) = app.slowed_gateway() else {
            if std::mem::take(&mut self.0) >= SLOWED_FOR_LONG {
                self.resolve(app).await;
            }
            return;
        };
        self.0 += 1;
        if self.0.is_multiple_of(SLOWED_FOR_LONG) {
            let detail = "the gateway says that it is called too often; it is called less often";
            let alarm = Alarm::new(AlarmKind::GatewayThrottled, app_id, detail);
            raise_alarm_or_log(app, &alarm).await;
        }
    }

    async fn resolve(&self, app: &App) {
        let resolved = async {
            let mut tx = app.store.begin().await?;
            for account in app.accounts() {
                let (kind, subject) = (AlarmKind::GatewayThrottled, &account.app_id);
                alarms::resolve(&mut tx, kind, subject, "it answers again", app.now()).await?;
            }
            tx.commit().await
        };
        if let Err(error) = resolved.await {
            tracing::warn!(%error, "an alarm could not be resolved");
        }
    }
}

/// Says that this instance is alive, and takes its share of every account's budget.
///
/// # Errors
/// If the database fails; the share stays as it was.
pub async fn share_budget(app: &App, id: &str) -> Result<(), StoreError> {
    let now = app.now();
    let alive = instances::keep_alive(&app.store, id, now + ALIVE_FOR, now).await?;
    app.share_gateways(u32::try_from(alive).unwrap_or(u32::MAX));
    Ok(())
}
