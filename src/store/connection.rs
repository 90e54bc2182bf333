//! One connection in use. Every statement has a time limit, because the client library has none: a
//! server that hangs would hold whoever asks, for as long as the network keeps quiet. A connection
//! whose statement was given up, or whose caller went away in the middle, is closed: an answer that
//! comes late must never be taken for that of the next statement.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use sqlx::any::{
    AnyConnectOptions, AnyPoolOptions, AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo,
};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Connection, Describe, Either, Execute, Executor, SqlStr};

use super::Backend;
use super::error::needs_another_server;

/// Connections at most.
const CONNECTIONS_MAX: u32 = 16;
/// Longest wait for a connection, and for the turn to write on SQLite.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for the answer to a statement; a wait for a row lock ends before.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(6);
/// The same for what reads whole tables, outside of any request.
const SCAN_TIMEOUT: Duration = Duration::from_mins(10);
/// A connection that nobody needs is closed, before the server hangs up on it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that idled longer is tried before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

type Step = Either<AnyQueryResult, AnyRow>;

/// A pool that has no connection yet.
pub(super) fn pool(options: AnyConnectOptions, backend: Backend) -> AnyPool {
    AnyPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(IDLE_TIMEOUT)
        .after_connect(move |connection, _| Box::pin(prepare(connection, backend)))
        .test_before_acquire(false)
        .before_acquire(|connection, used| {
            Box::pin(async move {
                if used.idle_for > TRUSTED_IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .after_release(move |connection, _| Box::pin(is_alive(connection, backend)))
        .connect_lazy_with(options)
}

/// The pool's own test of a connection that comes back has no limit.
async fn is_alive(connection: &mut AnyConnection, backend: Backend) -> Result<bool, sqlx::Error> {
    if backend == Backend::Mysql {
        limited(ACQUIRE_TIMEOUT, connection.ping()).await?;
    }
    Ok(true)
}

/// Waits for an answer, but no longer than this.
pub(super) async fn limited<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| {
        let why = format!("the database did not answer within {limit:?}");
        Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, why)))
    })
}

async fn prepare(connection: &mut AnyConnection, backend: Backend) -> Result<(), sqlx::Error> {
    let settings = match backend {
        // What was answered must survive a power cut, so every commit is flushed.
        Backend::Sqlite => ["pragma journal_mode = wal", "pragma synchronous = full"],
        // Compare-and-set needs no snapshot, and a frozen one would show yesterday's attempts. A
        // wait for a lock must not outlast the wait for a connection. An instance that hangs in the
        // middle of a transaction must not keep its locks: the server hangs up on it. A migration
        // that waits for a table lets nobody else have it. What doesn't
        // fit its column is an error whatever the server's own mode says.
        Backend::Mysql => [
            "set session transaction isolation level read committed",
            "set session innodb_lock_wait_timeout = 3, lock_wait_timeout = 5, wait_timeout = 20, \
             autocommit = 1, \
             default_storage_engine = 'InnoDB', \
             sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,PIPES_AS_CONCAT'",
        ],
    };
    for setting in settings {
        connection.execute(setting).await?;
    }
    Ok(())
}

/// A connection that is taken out of the pool, and given back when it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    /// Only without one while it is dropped.
    connection: Option<PoolConnection<Any>>,
    limit: Duration,
    in_transaction: bool,
    /// A statement is under way, or the last one came to no proper end.
    unusable: bool,
}

impl Held {
    pub(super) async fn take(pool: &AnyPool) -> Result<Self, sqlx::Error> {
        let connection = Some(pool.acquire().await?);
        let limit = STATEMENT_TIMEOUT;
        Ok(Self { connection, limit, in_transaction: false, unusable: false })
    }

    pub(super) async fn begin(&mut self, how: &'static str) -> Result<(), sqlx::Error> {
        self.all(how).await?;
        self.in_transaction = true;
        Ok(())
    }

    /// Ends the transaction with `commit` or `rollback`.
    pub(super) async fn end(&mut self, how: &'static str) -> Result<(), sqlx::Error> {
        self.all(how).await?;
        self.in_transaction = false;
        Ok(())
    }

    pub(super) async fn ping(&mut self) -> Result<(), sqlx::Error> {
        let limit = self.limit;
        self.unusable = true;
        let result = limited(limit, self.connection()?.ping()).await;
        self.judge(result)
    }

    fn all<'e, 'q: 'e, E>(&'e mut self, query: E) -> BoxFuture<'e, Result<Vec<Step>, sqlx::Error>>
    where
        E: 'q + Execute<'q, Any>,
    {
        Box::pin(async move {
            let limit = self.limit;
            self.unusable = true;
            let steps = self.connection()?.fetch_many(query).try_collect();
            let result = limited(limit, steps).await;
            self.judge(result)
        })
    }

    fn optional<'e, 'q: 'e, E>(
        &'e mut self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<AnyRow>, sqlx::Error>>
    where
        E: 'q + Execute<'q, Any>,
    {
        Box::pin(async move {
            let limit = self.limit;
            self.unusable = true;
            let result = limited(limit, self.connection()?.fetch_optional(query)).await;
            self.judge(result)
        })
    }

    fn connection(&mut self) -> Result<&mut AnyConnection, sqlx::Error> {
        self.connection.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// After a proper answer, be it a refusal, the connection is as good as before.
    fn judge<T>(&mut self, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        self.unusable = match &result {
            Ok(_) => false,
            Err(error @ sqlx::Error::Database(_)) => needs_another_server(error),
            Err(_) => true,
        };
        result
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        if self.unusable {
            connection.close_on_drop();
        } else if self.in_transaction {
            tokio::spawn(async move {
                if let Err(error) = limited(ACQUIRE_TIMEOUT, connection.execute("rollback")).await {
                    tracing::debug!(%error, "a connection with an open transaction is closed");
                    connection.close_on_drop();
                }
            });
        }
    }
}

impl<'c> Executor<'c> for &'c mut Held {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let steps = async move { self.all(query).await.map(|steps| stream::iter(steps).map(Ok)) };
        stream::once(steps).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<AnyRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        self.optional(query)
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.connection()?.prepare_with(sql, parameters).await })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Any>, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.connection()?.describe(sql).await })
    }
}

/// Runs each statement on a connection of its own.
#[derive(Clone, Debug)]
pub(super) struct Pooled {
    pool: AnyPool,
    limit: Duration,
}

impl Pooled {
    pub(super) fn new(pool: &AnyPool) -> Self {
        Self { pool: pool.clone(), limit: STATEMENT_TIMEOUT }
    }

    /// For what reads whole tables.
    pub(super) fn scanning(pool: &AnyPool) -> Self {
        Self { pool: pool.clone(), limit: SCAN_TIMEOUT }
    }

    async fn take(self) -> Result<Held, sqlx::Error> {
        let mut held = Held::take(&self.pool).await?;
        held.limit = self.limit;
        Ok(held)
    }
}

impl<'c> Executor<'c> for Pooled {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let steps = async move {
            let steps = self.take().await?.all(query).await?;
            Ok::<_, sqlx::Error>(stream::iter(steps).map(Ok))
        };
        stream::once(steps).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<AnyRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        Box::pin(async move { self.take().await?.optional(query).await })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.pool.prepare_with(sql, parameters).await })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Any>, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.pool.describe(sql).await })
    }
}
