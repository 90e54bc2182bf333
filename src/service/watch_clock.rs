//! Compares this machine's clock with the database's: deadlines are this machine's, and an
//! instance whose clock is off cancels nothing.

use std::sync::atomic::Ordering;

use crate::app::App;
use crate::clock::{Clock, SystemClock};
use crate::domain::alarm::{Alarm, AlarmKind};
use crate::store::{StoreError, alarms, clock_probe};

use super::raise_alarm::raise_alarm;

/// Most that the two clocks may differ (ms); the time of the question counts in our favour.
const SKEW_MAX_MS: i64 = 1_000;

/// Measures the difference, and stops or allows cancelling on this instance.
///
/// # Errors
/// If the database fails; nothing changes then.
pub async fn watch_clock(app: &App) -> Result<i64, StoreError> {
    let skew_ms = clock_skew_ms(app).await?;
    let trusted = skew_ms <= SKEW_MAX_MS;
    app.clock_trusted.store(trusted, Ordering::Relaxed);
    if trusted {
        let mut tx = app.store.begin().await?;
        alarms::resolve(&mut tx, AlarmKind::ClockSkew, "clock", "clocks agree", app.now()).await?;
        tx.commit().await?;
    } else {
        let detail = format!("{skew_ms} ms off the database's clock: nothing is cancelled here");
        raise_alarm(app, &Alarm::new(AlarmKind::ClockSkew, "clock", detail)).await?;
    }
    Ok(skew_ms)
}

/// Milliseconds between this machine's clock and the database's.
///
/// # Errors
/// If the database fails.
pub async fn clock_skew_ms(app: &App) -> Result<i64, StoreError> {
    let before_ms = SystemClock.now().timestamp_millis();
    let database_ms = clock_probe::now_ms(&app.store).await?;
    let after_ms = SystemClock.now().timestamp_millis();
    Ok((before_ms - database_ms).max(database_ms - after_ms).max(0))
}
