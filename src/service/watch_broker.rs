//! One clock: compares what every broker is set to with what the payment windows need. A half
//! message that a broker would give up too early is not sent, and the light poll ends its order.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::app::App;
use crate::domain::alarm::{Alarm, AlarmKind};
use crate::domain::broker_clock::{Known, Weight};
use crate::domain::timeout_message::ORDER_TIMEOUT_TOPIC;
use crate::producer::admin::Admin;
use crate::store::{StoreError, alarms};

use super::raise_alarm::raise_alarm;

/// The subject of the alarm: it is about all brokers together.
const SUBJECT: &str = "brokers";

/// Looks at the brokers' settings, and remembers what it saw.
pub struct BrokerWatch {
    app: Arc<App>,
    admin: Arc<Admin>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    known: Known,
    /// What was logged last: the same is not said again.
    said: Vec<String>,
}

/// What a look has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Whether a broker is registered at all.
    pub anybody: bool,
    /// Whether every broker told its settings; else the configured values are taken as asserted.
    pub verified: bool,
    /// Settings that don't fit, each a sentence with keys, values and remedy.
    pub mismatches: Vec<String>,
    /// Settings that work at a price.
    pub warnings: Vec<String>,
}

impl BrokerWatch {
    /// Has looked at nobody yet.
    #[must_use]
    pub fn new(app: &Arc<App>, admin: &Arc<Admin>) -> Self {
        Self { app: Arc::clone(app), admin: Arc::clone(admin), memory: Mutex::default() }
    }

    /// Asks every broker, and allows or stops half messages on this instance. A broker that does
    /// not answer changes nothing.
    pub async fn look(&self) -> Look {
        let readings = self.admin.read_clocks(ORDER_TIMEOUT_TOPIC).await;
        let mut memory = self.memory();
        let anybody = match readings {
            Ok(readings) => {
                memory.known.note(&readings, &self.app.config.timeout.needed_of_brokers());
                !readings.is_empty()
            }
            Err(error) => {
                tracing::debug!(%error, "brokers can't be asked for their settings");
                memory.known.nobody_answers();
                false
            }
        };
        let look = Look {
            anybody,
            verified: memory.known.is_verified(),
            mismatches: memory.known.sentences(Weight::Mismatch),
            warnings: memory.known.sentences(Weight::Warning),
        };
        memory.tell(&look);
        drop(memory);
        self.app.half_messages_fit.store(look.mismatches.is_empty(), Ordering::Relaxed);
        self.app.metrics.broker_settings_verified.set(look.verified.into());
        look
    }

    /// Looks, and opens or resolves the alarm.
    ///
    /// # Errors
    /// If the database fails. Half messages are allowed or stopped all the same.
    pub async fn watch(&self) -> Result<Look, StoreError> {
        let look = self.look().await;
        self.record(&look).await?;
        Ok(look)
    }

    /// Opens or resolves the alarm, as a look has it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn record(&self, look: &Look) -> Result<(), StoreError> {
        if !look.mismatches.is_empty() {
            let detail = look.mismatches.join(". ");
            raise_alarm(&self.app, &Alarm::new(AlarmKind::ClockMismatch, SUBJECT, detail)).await?;
        } else if look.verified {
            let (kind, now) = (AlarmKind::ClockMismatch, self.app.now());
            let mut tx = self.app.store.begin().await?;
            alarms::resolve(&mut tx, kind, SUBJECT, "the settings fit", now).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn tell(&mut self, look: &Look) {
        let all: Vec<_> = look.mismatches.iter().chain(&look.warnings).cloned().collect();
        for finding in all.iter().filter(|finding| !self.said.contains(finding)) {
            tracing::warn!("{finding}");
        }
        if all.is_empty() && !self.said.is_empty() {
            tracing::info!("the brokers' settings fit again");
        }
        self.said = all;
    }
}
