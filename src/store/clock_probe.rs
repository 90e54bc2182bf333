//! The database's clock, asked only to see how far this machine's clock is off. Its answer decides
//! no order's time. The two engines need different SQL for it.

use super::{Backend, Store, StoreError};

/// Milliseconds since 1970 by the database's clock.
///
/// # Errors
/// If the database fails.
pub async fn now_ms(store: &Store) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(sql(store.backend())).fetch_one(store.pool()).await?)
}

/// The statement that asks for it.
pub(super) fn sql(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => "select cast((julianday('now') - 2440587.5) * 86400000 as integer)",
        Backend::Mysql => "select cast(unix_timestamp(current_timestamp(3)) * 1000 as signed)",
    }
}
