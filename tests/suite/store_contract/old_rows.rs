//! A database with a row in every table of an earlier release, brought up to date: whatever later
//! migrations do, everything still reads.

use checkback::domain::order::OrderStatus;
use checkback::store::{
    Store, alarms, barriers, deployment, history, idempotency, notifications, orders, outbox,
    payments, pending, skus,
};
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, AssertSqlSafe, Executor as _};

use super::database::{at, order_id, out_trade_no, sku_id};
use crate::support::engines::MysqlDatabase;

/// The last migration of the release that the rows are of.
const OLD: i64 = 32;

/// A row in every table, as that release wrote them.
const ROWS: [&str; 14] = [
    "insert into deployment (slot, deployment_id, created_at_ms) values (1, 'DEPLOYMENT', 1)",
    "insert into skus values ('tea', '茶', 500, 10, 8, 1, 1, 1, 1)",
    "insert into stock_ledger values ('initial', 'tea', null, 'initial', 10, 0, 0, '{}', 'ops', 1)",
    "insert into orders values ('ORDER', 2, 'paid', 0, 'shop', null, 'm-1', 'default', '茶', '{}', \
     'sku', 'transaction', 'cancel', 500, 0, 'T1', 60000, null, null, 30000, null, 1, 2)",
    "insert into order_items values ('ORDER', 'tea', '茶', 500, 1)",
    "insert into stock_locks values ('ORDER', 'tea', 1, 1, 'open', 1, null)",
    "insert into order_history values ('ORDER', 1, 1, 1, 'http', 'placed', 'none', \
     'awaiting_payment', '{}')",
    "insert into payments values ('T1', 'ORDER', 'alipay', 'applied', 'https://gateway', 'app', \
     'seller', '茶', 500, 500, 0, '2026', 1, 'https://qr', 'ORDER', 60000, 90000, 30000, 30001, \
     null, 1, 2)",
    "insert into pending_payments values ('T2', 'attempt', 'ORDER', 1, 0, 0, null, null, null, \
     null, 0, 1)",
    "insert into barriers values ('ORDER', 'committed', 1)",
    "insert into idempotency_keys values ('key', 'request', 'ORDER', '{}', 1)",
    "insert into outbox values ('EVENT', 'ORDER', 2, 'checkback-order-events', 'paid', '{}', 0, 1, \
     0, 1, null)",
    "insert into alarms values ('ALARM', 'order_overdue', 'ORDER', 'warning', 'late', \
     'order_overdue ORDER', 1, 1, 1, null, null, null, null)",
    "insert into notifications values ('hash', 'n1', 'T1', 'TRADE_SUCCESS', 'paid', x'61', 1)",
];

async fn write_old(pool: &AnyPool) {
    let mut migrator = sqlx::migrate!("./migrations");
    migrator.set_locking(false);
    migrator.run_to(OLD, pool).await.expect("the schema of then");
    for row in ROWS {
        pool.execute(row).await.unwrap_or_else(|error| panic!("{row}: {error}"));
    }
    pool.execute("insert into sweep_runs values ('RUN', 1, 2, 3, 4, 5)").await.expect("a run");
    for migration in migrator.iter().filter(|migration| migration.version <= OLD) {
        let Some((_, rest)) = migration.sql.as_str().split_once("create table ") else { continue };
        let table = rest.split([' ', '(']).next().expect("a name");
        let count = AssertSqlSafe(format!("select count(*) from {table}"));
        let rows: i64 = sqlx::query_scalar(count).fetch_one(pool).await.expect("a number");
        assert!(rows > 0, "{table} has no row of an earlier release");
    }
}

async fn assert_readable(store: &Store) {
    let order = orders::find(store, &order_id("ORDER")).await.expect("readable").expect("there");
    assert_eq!((order.order.status, order.order.version), (OrderStatus::Paid, 2));
    assert_eq!(orders::items(store, &order_id("ORDER")).await.expect("readable").len(), 1);
    let payment = payments::find(store, &out_trade_no("T1")).await.expect("readable");
    assert_eq!(payment.expect("there").qr_code.as_deref(), Some("https://qr"));
    assert_eq!(history::list(store, &order_id("ORDER")).await.expect("readable").len(), 1);
    assert_eq!(pending::of_order(store, &order_id("ORDER")).await.expect("readable").len(), 1);
    let tea = skus::find(store, &sku_id("tea")).await.expect("readable").expect("there");
    assert_eq!((tea.available, tea.locked, tea.sold), (8, 1, 1));
    assert!(deployment::load(store).await.expect("readable").is_some());
    assert!(idempotency::find(store, "key").await.expect("readable").is_some());
    assert!(notifications::is_seen(store, "hash").await.expect("readable"));
    assert_eq!(alarms::open(store, 10).await.expect("readable").len(), 1);
    assert_eq!(outbox::claim_due(store, 10, at(60), at(0)).await.expect("readable").len(), 1);
    let settled = barriers::settle(store, &order_id("ORDER"), at(0)).await.expect("readable");
    assert_eq!(settled, barriers::Outcome::Committed);
    let mut tx = store.begin().await.expect("a transaction");
    assert!(orders::bump(&mut tx, &order.order, at(1)).await.expect("writable"));
    tx.commit().await.expect("committed");
}

async fn migrates(url: &str) {
    sqlx::any::install_default_drivers();
    let pool = AnyPoolOptions::new().max_connections(1).connect(url).await.expect("a database");
    write_old(&pool).await;
    pool.close().await;
    let store = Store::connect(url).await.expect("a database");
    store.migrate().await.expect("up to date");
    store.verify().await.expect("complete");
    assert_readable(&store).await;
    store.close().await;
}

#[tokio::test]
async fn rows_of_an_earlier_release_are_read_after_the_migration_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    migrates(&format!("sqlite://{}?mode=rwc", folder.path().join("old.db").display())).await;
}

#[tokio::test]
async fn rows_of_an_earlier_release_are_read_after_the_migration_on_mysql() {
    let Some(database) = MysqlDatabase::create().await else { return };
    migrates(&database.url).await;
    database.remove().await;
}
