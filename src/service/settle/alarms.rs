//! The alarms of a settlement: those of its decision, and those about how often was asked.

use chrono::{DateTime, Utc};

use super::plan::{Plan, Turn};
use crate::app::App;
use crate::domain::alarm::{Alarm, AlarmKind};
use crate::domain::order::OrderStatus;
use crate::store::pending::Lane;
use crate::store::{StoreError, WriteTx, alarms};

/// In a transaction that holds the order.
pub(super) async fn write_alarms(
    app: &App,
    tx: &mut WriteTx<'_>,
    plan: &Plan<'_>,
    turn: Turn,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let exhausted = write_lane_alarm(app, tx, plan, turn, now).await?;
    let check_count = check_count_alarm(app, plan, turn);
    for alarm in plan.decision.alarms.iter().chain(&check_count).chain(&exhausted) {
        alarms::raise(tx, alarm, &app.fresh_id(), now).await?;
    }
    Ok(())
}

/// The alarm of an order that only the sweep looks at from now on; resolves that of one that comes
/// back.
async fn write_lane_alarm(
    app: &App,
    tx: &mut WriteTx<'_>,
    plan: &Plan<'_>,
    turn: Turn,
    now: DateTime<Utc>,
) -> Result<Option<Alarm>, StoreError> {
    if !app.may_cancel() {
        // Its rows stay as they are, in whatever lane.
        return Ok(None);
    }
    let (kind, id) = (AlarmKind::PollExhausted, plan.order().id.as_str());
    match (plan.was_slow(), plan.lane(app, turn) == Lane::Slow) {
        (false, true) => {
            let detail = format!("no answer after {} queries: only the sweep asks", plan.looks());
            Ok(Some(Alarm::new(kind, id, detail)))
        }
        (true, false) => {
            alarms::resolve(tx, kind, id, "it is answered for", now).await?;
            Ok(None)
        }
        (true, true) | (false, false) => Ok(None),
    }
}

fn check_count_alarm(app: &App, plan: &Plan<'_>, turn: Turn) -> Option<Alarm> {
    let maximum = i64::from(app.config.timeout.broker_check_max);
    let reached = plan.check_count() >= maximum
        && plan.order().status == OrderStatus::AwaitingPayment
        && turn == Turn::Unchanged;
    reached.then(|| {
        let detail = format!("{} check-backs, the broker gives up now", plan.check_count());
        Alarm::new(AlarmKind::CheckCountAtMaximum, plan.order().id.as_str(), detail)
    })
}
