//! The invariants of the design as queries. Each returns the ids that violate it; an empty answer
//! is the proof. They read whole tables and run in the background or by hand, never in a request.

use super::{Store, StoreError};

mod evidence;
mod lateness;
mod money;
mod orders;

pub use evidence::{CancelEvidence, cancels_after, silent_at_maximum};
pub use lateness::{AlarmAges, late_applications, late_cancels, late_refunds, silent};

/// Most violations of one check that are listed.
const VIOLATIONS_MAX: i64 = 100;

/// An invariant: what must hold, and the query for what violates it. Its one parameter is the most
/// rows to return.
#[derive(Clone, Copy, Debug)]
pub struct Invariant {
    /// Its number in the design.
    pub id: &'static str,
    /// What must hold.
    pub name: &'static str,
    sql: &'static str,
}

/// The invariants that one query can check.
pub fn invariants() -> impl Iterator<Item = &'static Invariant> {
    money::CHECKS.iter().chain(&orders::CHECKS)
}

/// The ids that violate an invariant.
///
/// # Errors
/// If the database fails.
pub async fn violations(store: &Store, invariant: &Invariant) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar(invariant.sql).bind(VIOLATIONS_MAX).fetch_all(store.scan()).await?)
}
