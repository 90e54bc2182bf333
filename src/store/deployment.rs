//! The deployment id: made once for a database, carried by every message.

use chrono::{DateTime, Utc};

use super::{Store, StoreError, inserted_once};
use crate::domain::ids::DeploymentId;

/// Reads the deployment id, or stores `fresh` as such if the database has none yet.
///
/// # Errors
/// If the database fails.
pub async fn ensure(
    store: &Store,
    fresh: DeploymentId,
    now: DateTime<Utc>,
) -> Result<DeploymentId, StoreError> {
    if let Some(stored) = load(store).await? {
        return Ok(stored);
    }
    let mut tx = store.begin().await?;
    let inserted =
        sqlx::query("insert into deployment (slot, deployment_id, created_at_ms) values (1, ?, ?)")
            .bind(fresh.as_str())
            .bind(now.timestamp_millis())
            .execute(tx.connection())
            .await;
    if inserted_once(inserted)? {
        tx.commit().await?;
        return Ok(fresh);
    }
    tx.rollback().await?;
    load(store).await?.ok_or_else(|| StoreError::corrupt("deployment", "slot", "1"))
}

/// The stored deployment id.
///
/// # Errors
/// If the database fails.
pub async fn load(store: &Store) -> Result<Option<DeploymentId>, StoreError> {
    let id: Option<String> =
        sqlx::query_scalar("select deployment_id from deployment where slot = 1")
            .fetch_optional(store.pool())
            .await?;
    Ok(id.map(DeploymentId::from_trusted))
}
