//! What the database server is, how it is set, and how far the schema is: for people, and read
//! only. Settings have other names on each engine, so this has one text per engine, as the clock
//! probe does.

use sqlx::{AnyConnection, Connection as _};

use super::{Backend, StoreError, clock_probe, schema};

/// Settings of a MySQL server that decide whether what was answered survives.
const MYSQL_SETTINGS: [(&str, &str); 9] = [
    ("innodb_flush_log_at_trx_commit", "select cast(@@innodb_flush_log_at_trx_commit as char)"),
    ("innodb_doublewrite", "select cast(@@innodb_doublewrite as char)"),
    ("log_bin", "select cast(@@log_bin as char)"),
    ("sync_binlog", "select cast(@@sync_binlog as char)"),
    ("sql_mode", "select cast(@@global.sql_mode as char)"),
    ("read_only", "select cast(@@read_only as char)"),
    ("character_set_database", "select cast(@@character_set_database as char)"),
    ("collation_database", "select cast(@@collation_database as char)"),
    ("default_storage_engine", "select cast(@@default_storage_engine as char)"),
];

/// A connection that only looks: it makes no file, changes no setting, and migrates nothing.
#[derive(Debug)]
pub struct Inspector {
    connection: AnyConnection,
    backend: Backend,
}

/// How far the schema is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrations {
    /// Applied, of those that this release knows.
    pub applied: usize,
    /// Known to this release, but not applied.
    pub pending: Vec<i64>,
    /// Applied, but not known: the schema is of a newer release.
    pub unknown: Vec<i64>,
    /// Begun and not finished.
    pub failed: Vec<i64>,
}

/// A table whose texts are not as the database's.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct TableCollation {
    /// The table.
    pub table_name: String,
    /// How its texts are compared.
    pub collation: String,
}

impl Inspector {
    /// Connects to what is there.
    ///
    /// # Errors
    /// If it isn't there or refuses.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let backend = Backend::of(url);
        let connection = AnyConnection::connect(&existing_only(url, backend)).await?;
        Ok(Self { connection, backend })
    }

    /// The kind of database.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The server's own name of its version.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn version(&mut self) -> Result<String, StoreError> {
        let sql = match self.backend {
            Backend::Sqlite => "select sqlite_version()",
            Backend::Mysql => "select cast(@@version as char)",
        };
        self.text(sql).await
    }

    /// Settings by the server's names; one that it does not have is left out.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn settings(&mut self) -> Result<Vec<(&'static str, String)>, StoreError> {
        if self.backend == Backend::Sqlite {
            return Ok(vec![("journal_mode", self.text("pragma journal_mode").await?)]);
        }
        let mut settings = Vec::new();
        for (name, sql) in MYSQL_SETTINGS {
            match self.text(sql).await {
                Ok(value) => settings.push((name, value)),
                Err(StoreError::Database(sqlx::Error::Database(error))) => {
                    tracing::debug!(name, %error, "the server does not have this setting");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(settings)
    }

    /// Our tables with how their texts are compared; empty on SQLite, which compares bytes.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn collations(&mut self) -> Result<Vec<TableCollation>, StoreError> {
        if self.backend == Backend::Sqlite {
            return Ok(Vec::new());
        }
        let sql = "select cast(table_name as char) as table_name, \
                   cast(table_collation as char) as collation from information_schema.tables \
                   where table_schema = database() and table_collation is not null";
        Ok(sqlx::query_as(sql).fetch_all(&mut self.connection).await?)
    }

    /// How far the schema is.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn migrations(&mut self) -> Result<Migrations, StoreError> {
        let mut applied = Vec::new();
        let mut failed = Vec::new();
        if self.has_table("_sqlx_migrations").await? {
            let finished = "select version from _sqlx_migrations where success = 1";
            applied = sqlx::query_scalar(finished).fetch_all(&mut self.connection).await?;
            let begun = "select version from _sqlx_migrations where success = 0";
            failed = sqlx::query_scalar(begun).fetch_all(&mut self.connection).await?;
        }
        let known: Vec<i64> = schema::migrator().iter().map(|m| m.version).collect();
        let (ours, unknown): (Vec<i64>, Vec<i64>) =
            applied.into_iter().partition(|version| known.contains(version));
        let pending = known.into_iter().filter(|version| !ours.contains(version)).collect();
        Ok(Migrations { applied: ours.len(), pending, unknown, failed })
    }

    /// The stored deployment id; `None` before the first start.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn deployment(&mut self) -> Result<Option<String>, StoreError> {
        if !self.has_table("deployment").await? {
            return Ok(None);
        }
        let sql = "select deployment_id from deployment where slot = 1";
        Ok(sqlx::query_scalar(sql).fetch_optional(&mut self.connection).await?)
    }

    /// Milliseconds since 1970 by the database's clock.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn now_ms(&mut self) -> Result<i64, StoreError> {
        let sql = clock_probe::sql(self.backend);
        Ok(sqlx::query_scalar(sql).fetch_one(&mut self.connection).await?)
    }

    /// Hangs up.
    pub async fn close(self) {
        if let Err(error) = self.connection.close().await {
            tracing::debug!(%error, "the database did not say good-bye");
        }
    }

    async fn has_table(&mut self, name: &str) -> Result<bool, StoreError> {
        let sql = match self.backend {
            Backend::Sqlite => "select count(*) from sqlite_master where name = ?",
            Backend::Mysql => {
                "select count(*) from information_schema.tables \
                 where table_schema = database() and table_name = ?"
            }
        };
        let found: i64 = sqlx::query_scalar(sql).bind(name).fetch_one(&mut self.connection).await?;
        Ok(found > 0)
    }

    async fn text(&mut self, sql: &'static str) -> Result<String, StoreError> {
        Ok(sqlx::query_scalar(sql).fetch_one(&mut self.connection).await?)
    }
}

/// A SQLite file that isn't there is not made.
fn existing_only(url: &str, backend: Backend) -> String {
    match (backend, url.split_once('?')) {
        (Backend::Mysql, _) => url.to_owned(),
        (Backend::Sqlite, None) => format!("{url}?mode=ro"),
        (Backend::Sqlite, Some((file, options))) => {
            let kept = options.split('&').filter(|option| !option.starts_with("mode="));
            let options: Vec<_> = kept.chain(["mode=ro"]).collect();
            format!("{file}?{}", options.join("&"))
        }
    }
}
