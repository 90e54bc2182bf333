//! Everything unfinished has an age after which a person should know, also where no settlement, no
//! gateway and no broker would ever say so.

use chrono::{DateTime, Duration, Utc};

use crate::app::{App, to_chrono};
use crate::domain::alarm::{Alarm, AlarmKind};
use crate::domain::ids::OrderId;
use crate::domain::order::OrderStatus;
use crate::store::{StoreError, alarms, orders, outbox, payments, refund_steps, refunds};

use super::raise_alarm::raise_alarm;

/// An event that isn't published after this is stuck.
pub const OUTBOX_AGE_MAX: Duration = Duration::minutes(5);
/// Alarms of one kind that one run raises at most.
const ALARMS_MAX: i64 = 50;

/// Opens an alarm for each order, attempt, refund and event that is unfinished for too long.
///
/// # Errors
/// If the database fails.
pub async fn raise_age_alarms(app: &App) -> Result<(), StoreError> {
    let now = app.now();
    let overdue = app.policy().overdue_alarm_after;
    if app.may_cancel() {
        // By a clock that can't be trusted nothing is overdue.
        orders_past(app, now - app.policy().grace - overdue).await?;
        attempts_past(app, now - overdue).await?;
    }
    refunds_past(app, now - to_chrono(app.config.refund.alarm_after)).await?;
    events_past(app, now - OUTBOX_AGE_MAX).await
}

async fn orders_past(app: &App, before: DateTime<Utc>) -> Result<(), StoreError> {
    for id in orders::silent_since(&app.store, before, ALARMS_MAX).await? {
        let detail = "long past its deadline, and nothing has ended it: poll and sweep should have";
        raise_alarm(app, &Alarm::new(AlarmKind::OrderOverdue, id.as_str(), detail)).await?;
        // One that ended in between has looked for its alarm in vain.
        let found = orders::find(&app.store, &id).await?;
        let status = found.map(|record| record.order.status);
        if status != Some(OrderStatus::AwaitingPayment) {
            resolve(app, AlarmKind::OrderOverdue, id.as_str(), "the order has ended").await?;
        }
    }
    Ok(())
}

async fn attempts_past(app: &App, before: DateTime<Utc>) -> Result<(), StoreError> {
    for number in payments::silent_since(&app.store, before, ALARMS_MAX).await? {
        let detail = "long past its code's life, and still open: nobody could end it";
        raise_alarm(app, &Alarm::new(AlarmKind::AttemptOverdue, number.as_str(), detail)).await?;
        let found = payments::find(&app.store, &number).await?;
        let is_live = found.is_some_and(|record| record.attempt.status.is_live());
        if !is_live {
            resolve(app, AlarmKind::AttemptOverdue, number.as_str(), "it has ended").await?;
        }
    }
    Ok(())
}

async fn refunds_past(app: &App, before: DateTime<Utc>) -> Result<(), StoreError> {
    let unfinished = refund_steps::unfinished_since(&app.store, before, ALARMS_MAX).await?;
    for (number, order_id) in unfinished {
        let of = order_id.as_ref().map_or("no order", OrderId::as_str);
        let detail = format!("a refund of {of} is unfinished: it is sent again and again");
        raise_alarm(app, &Alarm::new(AlarmKind::RefundOverdue, number.as_str(), detail)).await?;
        let found = refunds::find(&app.store, &number).await?;
        let is_over = found.is_none_or(|record| record.refund.status.is_ended());
        if is_over {
            resolve(app, AlarmKind::RefundOverdue, number.as_str(), "it has ended").await?;
        }
    }
    Ok(())
}

async fn events_past(app: &App, before: DateTime<Utc>) -> Result<(), StoreError> {
    for (event_id, order_id) in
        outbox::stuck_since(&app.store, before, app.now(), ALARMS_MAX).await?
    {
        let detail = format!("an event of order {order_id} can't be published");
        raise_alarm(app, &Alarm::new(AlarmKind::OutboxStuck, event_id, detail)).await?;
    }
    for event_id in outbox::published_with_alarm(&app.store, ALARMS_MAX).await? {
        resolve(app, AlarmKind::OutboxStuck, &event_id, "it is published").await?;
    }
    Ok(())
}

async fn resolve(app: &App, kind: AlarmKind, subject: &str, why: &str) -> Result<(), StoreError> {
    let mut tx = app.store.begin().await?;
    alarms::resolve(&mut tx, kind, subject, why, app.now()).await?;
    tx.commit().await
}
