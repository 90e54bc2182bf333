//! What an operator does with an alarm: sees it, or settles it. Both stand in the history of the
//! order that the alarm is about, in the operator's name.

use serde_json::json;
use thiserror::Error;

use crate::app::App;
use crate::domain::alarm::AlarmKind;
use crate::domain::ids::{OrderId, OutRequestNo, OutTradeNo};
use crate::store::alarms::AlarmRecord;
use crate::store::history::Entry;
use crate::store::{
    StoreError, WriteTx, alarm_causes, alarms, held_order, history, orders, payments, refunds,
};

/// Why an alarm stays as it is.
#[derive(Debug, Error)]
pub enum AlarmError {
    /// There is no such alarm.
    #[error("there is no such alarm")]
    NoSuchAlarm,
    /// Its cause is still there.
    #[error("{0}")]
    Unsettled(&'static str),
    /// The database failed.
    #[error("it could not be stored")]
    Store(#[from] StoreError),
}

/// Notes that an operator looks at an alarm; the first one stands.
///
/// # Errors
/// If there is no such alarm, or the database fails.
pub async fn acknowledge_alarm(app: &App, id: &str, by: &str) -> Result<AlarmRecord, AlarmError> {
    let alarm = find(app, id).await?;
    if alarm.acknowledged_at.is_some() || alarm.resolved_at.is_some() {
        return Ok(alarm);
    }
    let order_id = order_of(app, &alarm).await?;
    let now = app.now();
    let mut tx = app.store.begin().await?;
    let line = Line { cause: "alarm_acknowledged", by, because: None };
    let noted = write_line(app, &mut tx, order_id.as_ref(), &alarm, &line).await?;
    let seen = alarms::acknowledge(&mut tx, id, by, now).await?;
    let Some(seen) = seen else {
        tx.rollback().await?;
        return find(app, id).await;
    };
    tx.commit().await?;
    tell(app, noted.then_some(order_id).flatten().as_ref(), &alarm, &line);
    Ok(seen)
}

/// Resolves an alarm in an operator's name, with the reason. What the promise about money and
/// orders still needs is refused: it ends when its cause is settled.
///
/// # Errors
/// If there is no such alarm, its cause is unsettled, or the database fails.
pub async fn resolve_alarm(
    app: &App,
    id: &str,
    by: &str,
    because: &str,
) -> Result<AlarmRecord, AlarmError> {
    let alarm = find(app, id).await?;
    if alarm.resolved_at.is_some() {
        return Ok(alarm);
    }
    let order_id = order_of(app, &alarm).await?;
    let mut tx = app.store.begin().await?;
    // The order before its alarm, as everywhere, so that nobody waits crosswise.
    let line = Line { cause: "alarm_resolved", by, because: Some(because) };
    let noted = write_line(app, &mut tx, order_id.as_ref(), &alarm, &line).await?;
    let Some(resolved) = alarms::resolve_by_hand(&mut tx, id, by, because, app.now()).await? else {
        tx.rollback().await?;
        return find(app, id).await;
    };
    let kind = AlarmKind::parse(&alarm.kind);
    let unsettled = match kind {
        Some(kind) => alarm_causes::unsettled(&mut tx, kind, &alarm.subject).await?,
        // A newer release's: only that knows when it is settled.
        None => Some("this release does not know this kind of alarm"),
    };
    if let Some(why) = unsettled {
        tx.rollback().await?;
        return Err(AlarmError::Unsettled(why));
    }
    tx.commit().await?;
    tell(app, noted.then_some(order_id).flatten().as_ref(), &alarm, &line);
    Ok(resolved)
}

async fn find(app: &App, id: &str) -> Result<AlarmRecord, AlarmError> {
    alarms::find(&app.store, id).await?.ok_or(AlarmError::NoSuchAlarm)
}

/// The order that an alarm's order, event, payment or refund belongs to.
async fn order_of(app: &App, alarm: &AlarmRecord) -> Result<Option<OrderId>, StoreError> {
    let subject = alarm.subject.as_str();
    // An event's id is its order's with a number behind it.
    let first = subject.split('-').next().unwrap_or_default();
    if let Some(id) = OrderId::parse(first) {
        let order = orders::find(&app.store, &id).await?;
        return Ok(order.map(|record| record.order.id));
    }
    let payment = payments::find(&app.store, &OutTradeNo::from_trusted(subject)).await?;
    if let Some(payment) = payment {
        return Ok(payment.order_id);
    }
    let refund = refunds::find(&app.store, &OutRequestNo::from_trusted(subject)).await?;
    Ok(refund.and_then(|record| record.refund.order_id))
}

/// What the history says an operator did.
struct Line<'a> {
    cause: &'static str,
    by: &'a str,
    because: Option<&'a str>,
}

/// `false`: it is about no order.
async fn write_line(
    app: &App,
    tx: &mut WriteTx<'_>,
    order_id: Option<&OrderId>,
    alarm: &AlarmRecord,
    line: &Line<'_>,
) -> Result<bool, StoreError> {
    let Some(order_id) = order_id else { return Ok(false) };
    let now = app.now();
    let Some(held) = held_order::hold(tx, order_id, now).await? else { return Ok(false) };
    let detail = json!({
        "alarm": alarm.kind,
        "subject": alarm.subject,
        "opened_at": alarm.opened_at,
        "reason": line.because,
    });
    let entry = Entry { cause: line.cause, from: Some(held.status), to: held.status, detail };
    history::append(tx, order_id, held.version, line.by, &[entry], now).await?;
    Ok(true)
}

fn tell(app: &App, order_id: Option<&OrderId>, alarm: &AlarmRecord, line: &Line<'_>) {
    let (kind, subject) = (&alarm.kind, &alarm.subject);
    tracing::info!(kind, subject, actor = line.by, cause = line.cause, "an operator's alarm");
    if let Some(order_id) = order_id {
        app.changes.announce(order_id);
    }
}
