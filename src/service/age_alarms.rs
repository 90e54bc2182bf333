//! Everything unfinished has an age after which a person should know: here those that no
//! settlement looks at by itself.

use chrono::Duration;

use crate::app::App;
use crate::domain::alarm::{Alarm, AlarmKind};
use crate::store::{StoreError, outbox};

use super::raise_alarm::raise_alarm;

/// An event that isn't published after this is stuck.
const OUTBOX_AGE_MAX: Duration = Duration::minutes(5);
/// Alarms that one run raises at most.
const ALARMS_MAX: i64 = 50;

/// Opens an alarm for each event that is unpublished for too long.
///
/// # Errors
/// If the database fails.
pub async fn raise_age_alarms(app: &App) -> Result<(), StoreError> {
    let before = app.now() - OUTBOX_AGE_MAX;
    for (event_id, order_id) in outbox::stuck_since(&app.store, before, ALARMS_MAX).await? {
        let detail = format!("an event of order {order_id} can't be published");
        raise_alarm(app, &Alarm::new(AlarmKind::OutboxStuck, event_id, detail)).await?;
    }
    Ok(())
}
