//! The broker gave up on a half message: it asked in vain as often as it may, or deleted an old
//! one. The light poll ends the order; this tells that it has to.

use crate::app::App;
use crate::domain::alarm::{Alarm, AlarmKind};
use crate::domain::ids::OrderId;
use crate::domain::order::OrderStatus;
use crate::store::{StoreError, alarms, orders};

use super::raise_alarm::raise_alarm;

/// Orders with an alarm of their own at a time; a broker that gave up on thousands opens one more.
const ALARMS_MAX: i64 = 50;
/// The subject of the alarm for all further ones.
const OTHERS: &str = "others";

/// Counts a given-up half message, and opens an alarm if its order still awaits its payment: the
/// end of the order resolves it. A message of an order that has ended, or was never written, is
/// only counted: nothing waits for it.
///
/// # Errors
/// If the database fails; nothing is counted then.
pub async fn report_given_up(app: &App, order_id: &OrderId) -> Result<(), StoreError> {
    let order = orders::find(&app.store, order_id).await?;
    let state = match order.map(|record| record.order.status) {
        None => "none",
        Some(OrderStatus::AwaitingPayment) => "waiting",
        Some(_) => "ended",
    };
    if state == "waiting" {
        let others = open_alarms(app).await? >= ALARMS_MAX;
        let subject = if others { OTHERS } else { order_id.as_str() };
        let detail = format!("the broker gave up on order {order_id}: the light poll ends it");
        raise_alarm(app, &Alarm::new(AlarmKind::HalfMessageGivenUp, subject, detail)).await?;
        resolve_if_ended(app, order_id).await?;
    }
    tracing::info!(order.id = %order_id, state, "the broker gave up on a half message");
    app.metrics.given_up(state);
    Ok(())
}

/// An order that ended in between has looked for its alarm in vain.
async fn resolve_if_ended(app: &App, order_id: &OrderId) -> Result<(), StoreError> {
    let order = orders::find(&app.store, order_id).await?;
    if order.is_some_and(|record| record.order.status != OrderStatus::AwaitingPayment) {
        let (kind, now) = (AlarmKind::HalfMessageGivenUp, app.now());
        let mut tx = app.store.begin().await?;
        alarms::resolve(&mut tx, kind, order_id.as_str(), "the order has ended", now).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Resolves the alarm for all further orders, once none of the others is open any more.
///
/// # Errors
/// If the database fails.
pub async fn resolve_given_up(app: &App) -> Result<(), StoreError> {
    if open_alarms(app).await? != 1 {
        return Ok(());
    }
    let mut tx = app.store.begin().await?;
    let (kind, now) = (AlarmKind::HalfMessageGivenUp, app.now());
    alarms::resolve(&mut tx, kind, OTHERS, "no other is open", now).await?;
    tx.commit().await
}

async fn open_alarms(app: &App) -> Result<i64, StoreError> {
    let name = AlarmKind::HalfMessageGivenUp.as_str();
    let open = alarms::open_by_kind(&app.store).await?;
    Ok(open.iter().find(|(kind, _)| kind == name).map_or(0, |(_, count)| *count))
}
