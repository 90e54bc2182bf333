//! Every function of the store against a real database: a SQLite file of its own for each test,
//! and the same tests on `MySQL` or `MariaDB` where `CHECKBACK_TEST_MYSQL_URL` names a server.

mod database;

/// Runs each of these functions on each kind of database, as a test of its own.
macro_rules! on_each_database {
    ($($(#[$attribute:meta])* $name:ident),+ $(,)?) => {
        mod on_sqlite {
            $(
                $(#[$attribute])*
                #[tokio::test]
                async fn $name() {
                    let database = $crate::store_contract::database::Database::sqlite().await;
                    super::$name(&database).await;
                }
            )+
        }

        mod on_mysql {
            $(
                $(#[$attribute])*
                #[tokio::test]
                async fn $name() {
                    use $crate::store_contract::database::Database;
                    let Some(database) = Database::mysql().await else { return };
                    super::$name(&database).await;
                    database.remove().await;
                }
            )+
        }
    };
}

mod alarm_notices;
mod alarms;
mod audit;
mod barriers;
mod bills;
mod connection;
mod console;
mod constraints;
mod history;
mod instances;
mod notifications;
mod old_rows;
mod once;
mod orders;
mod outbox;
mod payments;
mod pending;
mod query_plans;
mod schema;
mod server;
mod stock;
mod turns;
