//! Brings the schema up to date, and says what is wrong where it isn't. Any number of instances may
//! start together: on a server, one of them migrates behind a lock, the others wait. An instance
//! works with the schema of a newer release, too, since that only adds; once a release takes
//! something away, its migrations raise `deployment.schema_floor`.

use std::time::Duration;

use sqlx::migrate::{Migration, Migrator};
use sqlx::{AnyConnection, Connection, Executor};

use super::connection::{ACQUIRE_TIMEOUT, Held, limited};
use super::error::mysql_number;
use super::{Backend, Store, StoreError, server};

/// Longest wait for another instance that migrates (seconds).
const LOCK_WAIT_SECONDS: u16 = 60;
/// `ER_NO_SUCH_TABLE`.
const MYSQL_NO_SUCH_TABLE: u16 = 1146;
/// `ER_TABLE_EXISTS_ERROR`, `ER_DUP_FIELDNAME`, `ER_DUP_KEYNAME`.
const MYSQL_THERE_ALREADY: [u16; 3] = [1050, 1060, 1061];

/// The migrations of this release.
pub(super) fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("./migrations");
    // The library's own lock is none on `MariaDB`, which takes no endless wait.
    migrator.set_locking(false).set_ignore_missing(true);
    migrator
}

/// A migration that the database has seen.
#[derive(Debug, sqlx::FromRow)]
struct Applied {
    version: i64,
    checksum: Vec<u8>,
    /// 0: begun, and maybe done.
    finished: i64,
}

/// How the schema differs from what this release needs.
#[derive(Debug, PartialEq, Eq)]
enum Gap {
    /// These are missing.
    Behind(usize),
    /// This one was begun; its process was ended in the middle.
    Unfinished(i64),
    /// This one was another text when it was applied.
    Different(i64),
}

impl Gap {
    fn find(applied: &[Applied], migrator: &Migrator) -> Option<Self> {
        if let Some(begun) = applied.iter().find(|row| row.finished == 0) {
            return Some(Self::Unfinished(begun.version));
        }
        let known = |migration: &&Migration| {
            applied.iter().find(|row| row.version == migration.version).map(|row| &row.checksum)
        };
        let differs = |migration: &&Migration| {
            known(migration).is_some_and(|checksum| **checksum != *migration.checksum)
        };
        if let Some(migration) = migrator.iter().find(differs) {
            return Some(Self::Different(migration.version));
        }
        let missing = migrator.iter().filter(|migration| known(migration).is_none()).count();
        (missing > 0).then_some(Self::Behind(missing))
    }

    fn refusal(&self) -> StoreError {
        StoreError::Unfit(match self {
            Self::Behind(missing) => format!(
                "the schema is {missing} migrations behind this release: run `checkback migrate`"
            ),
            Self::Unfinished(version) => format!(
                "migration {version} was begun and not finished: run `checkback migrate`, which \
                 finishes it"
            ),
            Self::Different(version) => format!(
                "migration {version} of the database is not that of this release: was it made by \
                 a development build?"
            ),
        })
    }
}

impl Store {
    /// Brings the schema up to date. Instances that start together take turns.
    ///
    /// # Errors
    /// If a migration fails, another instance doesn't finish within a minute, or the database's
    /// character set is of no use.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let _turn = self.turn().await?;
        // Out of the pool: whatever happens, the lock ends with this connection.
        let mut connection = self.pool.acquire().await?.detach();
        let migrated = migrate(&mut connection, self.backend).await;
        if let Err(error) = limited(ACQUIRE_TIMEOUT, connection.close()).await {
            tracing::debug!(%error, "the connection of the migrations was not closed properly");
        }
        migrated
    }

    /// Checks that schema and server are what this release needs.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] with a sentence that says what to do.
    pub async fn verify(&self) -> Result<(), StoreError> {
        let mut held = Held::take(&self.pool).await?;
        let migrator = migrator();
        if let Some(gap) = Gap::find(&applied(&mut held).await?, &migrator) {
            return Err(gap.refusal());
        }
        require_release(&mut held, &migrator).await?;
        match self.backend {
            Backend::Sqlite => Ok(()),
            Backend::Mysql => server::verify(&mut held, &tables(&migrator)).await,
        }
    }
}

async fn migrate(connection: &mut AnyConnection, backend: Backend) -> Result<(), StoreError> {
    let migrator = migrator();
    if Gap::find(&applied(&mut *connection).await?, &migrator).is_none() {
        return Ok(());
    }
    if backend == Backend::Mysql {
        server::require_character_set(connection).await?;
        lock(connection).await?;
        finish_begun(connection, &migrator).await?;
    }
    let Err(error) = migrator.run_direct(None, connection, false).await else { return Ok(()) };
    if let sqlx::migrate::MigrateError::ExecuteMigration(sqlx::Error::Database(_), version) = &error
    {
        forget(connection, *version).await?;
    }
    Err(error.into())
}

/// One instance of a database migrates at a time. The lock lives as long as its connection, also on
/// the server's side: whoever gets it knows that no statement of a killed process is still running.
async fn lock(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let asked = sqlx::query_scalar(
        "select get_lock(concat('checkback-migrate-', left(sha2(database(), 256), 32)), ?)",
    )
    .bind(i64::from(LOCK_WAIT_SECONDS))
    .fetch_one(connection);
    let limit = Duration::from_secs(LOCK_WAIT_SECONDS.into()) + ACQUIRE_TIMEOUT;
    match limited(limit, asked).await? {
        Some(1_i64) => Ok(()),
        Some(_) | None => Err(StoreError::Unfit(format!(
            "another instance has been migrating the database for {LOCK_WAIT_SECONDS} s: start \
             again once it is done"
        ))),
    }
}

/// Finishes what a killed process began. A migration is one statement, and the server does it whole
/// or not at all; so doing it again either does it, or finds that it is there.
async fn finish_begun(
    connection: &mut AnyConnection,
    migrator: &Migrator,
) -> Result<(), StoreError> {
    let rows = applied(&mut *connection).await?;
    let Some(begun) = rows.iter().find(|row| row.finished == 0) else { return Ok(()) };
    let same = |migration: &&Migration| {
        migration.version == begun.version && *migration.checksum == *begun.checksum
    };
    let Some(migration) = migrator.iter().find(same) else {
        return Err(Gap::Different(begun.version).refusal());
    };
    match connection.execute(migration.sql.clone()).await {
        Ok(_) => {}
        Err(error) if mysql_number(&error).is_some_and(|n| MYSQL_THERE_ALREADY.contains(&n)) => {}
        Err(error) => return Err(error.into()),
    }
    sqlx::query("update _sqlx_migrations set success = true where version = ?")
        .bind(begun.version)
        .execute(connection)
        .await?;
    tracing::warn!(version = begun.version, "finished a migration that was begun before");
    Ok(())
}

/// A statement that the server refused did nothing; its row would say that it might have.
async fn forget(connection: &mut AnyConnection, version: i64) -> Result<(), StoreError> {
    sqlx::query("delete from _sqlx_migrations where version = ? and success = false")
        .bind(version)
        .execute(connection)
        .await?;
    Ok(())
}

/// Nothing is applied where nothing was ever migrated.
async fn applied<'c>(
    executor: impl Executor<'c, Database = sqlx::Any>,
) -> Result<Vec<Applied>, StoreError> {
    let rows = sqlx::query_as(
        "select version, checksum, case when success then 1 else 0 end as finished \
         from _sqlx_migrations order by version",
    )
    .fetch_all(executor)
    .await;
    match rows {
        Err(error) if is_missing_table(&error) => Ok(Vec::new()),
        rows => Ok(rows?),
    }
}

fn is_missing_table(error: &sqlx::Error) -> bool {
    match (mysql_number(error), error) {
        (Some(number), _) => number == MYSQL_NO_SUCH_TABLE,
        (None, sqlx::Error::Database(database)) => database.message().contains("no such table"),
        (None, _) => false,
    }
}

/// A newer release may have taken away what this one reads.
async fn require_release(held: &mut Held, migrator: &Migrator) -> Result<(), StoreError> {
    let floor: Option<i64> =
        sqlx::query_scalar("select schema_floor from deployment where slot = 1")
            .fetch_optional(held)
            .await?;
    let newest = migrator.iter().map(|migration| migration.version).max().unwrap_or(0);
    match floor {
        Some(floor) if floor > newest => Err(StoreError::Unfit(format!(
            "the schema is of a newer release, and works with releases from migration {floor} on; \
             this one knows {newest}: install a newer release"
        ))),
        Some(_) | None => Ok(()),
    }
}

/// The tables that the migrations make.
fn tables(migrator: &Migrator) -> Vec<String> {
    let made = migrator.iter().filter_map(|migration| {
        let (_, rest) = migration.sql.as_str().split_once("create table ")?;
        let name = rest.split([' ', '(']).next()?;
        Some(name.to_owned())
    });
    made.collect()
}
