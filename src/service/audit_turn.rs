//! The audit in the background: one instance runs it for all, leaves its counts for everybody's
//! metrics, and opens an alarm for each violated invariant, which the next clean run resolves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::audit::{Report, audit};
use crate::app::{App, to_chrono};
use crate::domain::alarm::{Alarm, AlarmKind};
use crate::store::{StoreError, alarms, turns};

/// The name of its turn.
const TURN: &str = "audit";
/// A run whose instance died is done again after this: a little longer than one takes.
const LEASE: chrono::Duration = chrono::Duration::minutes(30);
/// Longest and shortest pause between two looks whether it is due.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(10);
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(200);
/// Violating ids that an alarm names; `checkback audit` lists the others.
const NAMED_MAX: usize = 5;

/// What an audit left for metrics: how many ids it lists, by the design's number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Violations of each invariant.
    pub violations: BTreeMap<String, i64>,
    /// What was late, of each promise.
    pub late: BTreeMap<String, i64>,
}

/// Audits when it is due, until told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let pause = app.config.audit.interval.clamp(LOOK_INTERVAL_MIN, LOOK_INTERVAL_MAX);
    loop {
        let auditing = async {
            tokio::time::sleep(pause).await;
            audit_in_turn(&app).await
        };
        tokio::select! {
            () = stop.cancelled() => return,
            audited = auditing => if let Err(error) = audited {
                tracing::warn!(%error, "the audit failed, it is tried again");
            }
        }
    }
}

/// Audits if it is due and nobody else does; the report if so.
///
/// # Errors
/// If the database fails: it is done again when the lease is over.
pub async fn audit_in_turn(app: &App) -> Result<Option<Report>, StoreError> {
    let started_at = app.now();
    if !turns::take(&app.store, TURN, started_at + LEASE, started_at).await? {
        return Ok(None);
    }
    let report = audit(app).await?;
    write_alarms(app, &report).await?;
    let now = app.now();
    let result = serde_json::json!(counts(&report)).to_string();
    let next_at = now + to_chrono(app.config.audit.interval);
    turns::finish(&app.store, TURN, &result, next_at, now).await?;
    let took_ms = now.signed_duration_since(started_at).num_milliseconds();
    tracing::info!(ok = report.ok, took_ms, "audit done");
    Ok(Some(report))
}

/// What the last audit found and when (ms since 1970); `None` if there was none.
///
/// # Errors
/// If the database fails.
pub async fn last_counts(app: &App) -> Result<Option<(i64, Counts)>, StoreError> {
    let Some(done) = turns::last(&app.store, TURN).await? else { return Ok(None) };
    let counts = serde_json::from_str(&done.result)
        .map_err(|_| StoreError::corrupt("turns", "result", TURN))?;
    Ok(Some((done.at.timestamp_millis(), counts)))
}

fn counts(report: &Report) -> Counts {
    let length = |list: &[String]| i64::try_from(list.len()).unwrap_or(i64::MAX);
    let mut counts = Counts::default();
    for check in &report.checks {
        *counts.violations.entry(check.id.to_owned()).or_default() += length(&check.violations);
    }
    for lateness in &report.lateness {
        *counts.late.entry(lateness.id.to_owned()).or_default() += length(&lateness.late);
    }
    counts
}

async fn write_alarms(app: &App, report: &Report) -> Result<(), StoreError> {
    let (kind, now) = (AlarmKind::InvariantViolated, app.now());
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for check in &report.checks {
        let of_id = found.entry(check.id).or_default();
        if !check.violations.is_empty() {
            let named: Vec<_> = check.violations.iter().take(NAMED_MAX).cloned().collect();
            of_id.push(format!("{}: {}", check.name, named.join(", ")));
        }
    }
    for (id, sentences) in found {
        let mut tx = app.store.begin().await?;
        if sentences.is_empty() {
            alarms::resolve(&mut tx, kind, id, "the audit", now).await?;
        } else {
            tracing::error!(invariant = id, "violated: {}", sentences.join("; "));
            let alarm = Alarm::new(kind, id, sentences.join("; "));
            alarms::raise(&mut tx, &alarm, &app.fresh_id(), now).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}
