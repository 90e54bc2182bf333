//! Finds what other instances have changed, and announces it to this one's open pages: one question
//! to the database an instance and look, however many pages are open.

use std::collections::HashSet;

use chrono::{DateTime, Duration, Utc};

use crate::app::App;
use crate::store::StoreError;
use crate::store::history::{self, Change};

/// A change has the time at which its transaction was begun, and becomes visible when that commits:
/// each look goes back by the longest transaction and the difference of two clocks.
const OVERLAP: Duration = Duration::seconds(10);
/// Changes that one look takes at most, the latest ones: pages find what is left by themselves.
const ROWS_MAX: i64 = 5_000;

/// What was found before.
#[derive(Debug, Default)]
pub struct ChangeFinder {
    looked_at: Option<DateTime<Utc>>,
    /// What the next look finds again.
    known: HashSet<Change>,
}

impl ChangeFinder {
    /// Announces what has changed since the last look; nothing is read while nobody listens.
    ///
    /// # Errors
    /// If the database fails; the next look goes back as far as this one.
    pub async fn look(&mut self, app: &App) -> Result<(), StoreError> {
        if !app.changes.has_listeners() {
            *self = Self::default();
            return Ok(());
        }
        let now = app.now();
        let from = self.looked_at.unwrap_or(now) - OVERLAP;
        for change in history::since(&app.store, from, ROWS_MAX).await? {
            if !self.known.contains(&change) {
                app.changes.announce(&change.order_id);
                self.known.insert(change);
            }
        }
        self.known.retain(|change| change.at >= now - OVERLAP);
        self.looked_at = Some(now);
        Ok(())
    }
}
