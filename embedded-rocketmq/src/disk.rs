//! Room on the disk, looked at before the broker starts: it refuses a full one without saying why.

use std::path::Path;

use crate::StartError;
use crate::config::DISK_REFUSE_PERCENT;

const LIMIT_PERCENT: u64 = DISK_REFUSE_PERCENT as u64;

/// Refuses a directory on a disk that is too full for the store.
pub(crate) fn has_room(path: &Path) -> Result<(), StartError> {
    let disk = rustix::fs::statvfs(path)
        .map_err(|source| StartError::DataDir { path: path.to_owned(), source: source.into() })?;
    let used_percent = used_percent(disk.f_blocks, disk.f_bavail);
    if used_percent < LIMIT_PERCENT {
        return Ok(());
    }
    Err(StartError::DiskFull { path: path.to_owned(), used_percent, limit_percent: LIMIT_PERCENT })
}

/// As the store counts (`rocketmq-store`, `DiskSpaceSample`): what is kept for the system is used.
fn used_percent(total: u64, available: u64) -> u64 {
    total.saturating_sub(available).saturating_mul(100).checked_div(total).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_for_the_system_counts_as_used() {
        assert_eq!(used_percent(1_000, 101), 89);
        assert_eq!(used_percent(1_000, 100), 90);
        assert_eq!(used_percent(0, 0), 0, "a file system without blocks is not full");
    }

    #[test]
    fn a_directory_that_is_gone_is_named() {
        let error = has_room(Path::new("/no/such/directory")).expect_err("it isn't there");
        assert!(error.to_string().contains("/no/such/directory"), "{error}");
    }
}
