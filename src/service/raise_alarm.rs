//! Opens an alarm on its own, for causes that write nothing else.

use crate::app::App;
use crate::domain::alarm::{Alarm, AlarmKind};
use crate::domain::timeout_message::MessageError;
use crate::store::{StoreError, alarms};

/// Opens an alarm, or counts it up.
///
/// # Errors
/// If the database fails.
pub async fn raise_alarm(app: &App, alarm: &Alarm) -> Result<(), StoreError> {
    let mut tx = app.store.begin().await?;
    alarms::raise(&mut tx, alarm, &app.fresh_id(), app.now()).await?;
    tx.commit().await?;
    tracing::warn!(kind = alarm.kind.as_str(), subject = alarm.subject, "alarm raised");
    Ok(())
}

/// Opens an alarm where nobody waits for the result: a failure is logged, and the cause comes back.
pub async fn raise_alarm_or_log(app: &App, alarm: &Alarm) {
    if let Err(error) = raise_alarm(app, alarm).await {
        let kind = alarm.kind.as_str();
        tracing::error!(kind, subject = alarm.subject, %error, "an alarm could not be stored");
    }
}

/// Opens the alarm of a row that breaks an invariant, if that is what went wrong.
pub async fn raise_if_corrupt(app: &App, error: &StoreError) {
    if let StoreError::Corrupt { table, id, .. } = error {
        let subject = format!("{table} {id}");
        let alarm = Alarm::new(AlarmKind::CorruptRow, subject, error.to_string());
        raise_alarm_or_log(app, &alarm).await;
    }
}

/// The alarm for a message that can't be acted on; its remedy stands in the text.
#[must_use]
pub fn message_alarm(error: &MessageError, key: &str) -> Alarm {
    match error {
        MessageError::Foreign(deployment) => {
            let detail = "another deployment shares our RocketMQ names: give each environment its \
                          own rocketmq.name_prefix";
            Alarm::new(AlarmKind::ForeignMessage, deployment.as_str(), detail)
        }
        MessageError::UnknownVersion(_) => {
            Alarm::new(AlarmKind::UnknownMessageVersion, key, error.to_string())
        }
        MessageError::Malformed(_) => {
            Alarm::new(AlarmKind::MalformedMessage, key, error.to_string())
        }
    }
}
