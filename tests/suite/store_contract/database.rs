//! A fresh database for one test, and the rows that tests begin with.

use std::path::PathBuf;

use checkback::domain::ids::{OrderId, OutTradeNo, SkuId};
use checkback::domain::money::Fen;
use checkback::domain::order::{Engine, HalfMessageMeaning, Order, OrderStatus};
use checkback::domain::payment::{AccountRef, Attempt, PaymentStatus};
use checkback::domain::stock::Sku;
use checkback::store::orders::{Item, OrderRecord};
use checkback::store::payments::PaymentRecord;
use checkback::store::{Store, StoreError, orders, payments, skus};
use chrono::{DateTime, Duration, Utc};
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, AssertSqlSafe};
use tempfile::TempDir;

use crate::support::engines::MysqlDatabase;

/// A migrated database that nobody else uses.
pub(super) struct Database {
    pub(super) store: Store,
    /// For what the store itself would never do.
    pub(super) raw: AnyPool,
    url: String,
    on_server: Option<MysqlDatabase>,
    _folder: Option<TempDir>,
}

impl Database {
    pub(super) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file: PathBuf = folder.path().join("checkback.db");
        let url = format!("sqlite://{}", file.display());
        Self::open(url, None, Some(folder)).await
    }

    /// `None` where no server is named.
    pub(super) async fn mysql() -> Option<Self> {
        let database = MysqlDatabase::create().await?;
        Some(Self::open(database.url.clone(), Some(database), None).await)
    }

    async fn open(url: String, on_server: Option<MysqlDatabase>, folder: Option<TempDir>) -> Self {
        let store = Store::connect(&url).await.expect("a database");
        store.migrate().await.expect("a schema");
        let raw = AnyPoolOptions::new().max_connections(2).connect(&url).await;
        Self { store, raw: raw.expect("a connection"), url, on_server, _folder: folder }
    }

    /// Removes a database on a server; a SQLite file goes with its folder.
    pub(super) async fn remove(self) {
        self.raw.close().await;
        self.store.close().await;
        if let Some(database) = self.on_server {
            database.remove().await;
        }
    }

    /// The same database as another instance of the service opens it.
    pub(super) async fn other_instance(&self) -> Store {
        Store::connect(&self.url).await.expect("a database")
    }

    /// Runs a statement that the store doesn't have.
    pub(super) async fn run(&self, sql: &str) -> Result<u64, sqlx::Error> {
        let done = sqlx::query(AssertSqlSafe(sql)).execute(&self.raw).await?;
        Ok(done.rows_affected())
    }

    /// The one number that a query answers with.
    pub(super) async fn number(&self, sql: &str) -> i64 {
        let asked = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&self.raw).await;
        asked.expect("one number")
    }

    /// Writes an order that awaits its payment.
    pub(super) async fn place(&self, id: &str) -> Order {
        let record = order_record(id);
        let mut tx = self.store.begin().await.expect("a transaction");
        orders::insert(&mut tx, &record, &[]).await.expect("an order");
        tx.commit().await.expect("committed");
        record.order
    }

    pub(super) async fn order(&self, id: &str) -> OrderRecord {
        let found = orders::find(&self.store, &order_id(id)).await.expect("readable");
        found.expect("an order")
    }

    /// Writes an attempt of an order that is there.
    pub(super) async fn start_payment(&self, order: &str, number: &str) -> PaymentRecord {
        let record = payment_record(order, number);
        let mut tx = self.store.begin().await.expect("a transaction");
        payments::insert(&mut tx, &record).await.expect("an attempt");
        tx.commit().await.expect("committed");
        record
    }

    pub(super) async fn payment(&self, number: &str) -> PaymentRecord {
        let found = payments::find(&self.store, &out_trade_no(number)).await;
        found.expect("readable").expect("an attempt")
    }

    /// Makes a SKU with so many pieces.
    pub(super) async fn stock(&self, id: &str, pieces: i64) {
        let made = skus::insert(&self.store, &sku(id, pieces), "ops", at(0)).await;
        assert!(made.expect("a SKU"), "{id} is new");
    }

    /// A SKU's available, locked and sold pieces.
    pub(super) async fn pieces(&self, id: &str) -> (i64, i64, i64) {
        let found = skus::find(&self.store, &sku_id(id)).await.expect("readable");
        let sku = found.expect("a SKU");
        (sku.available, sku.locked, sku.sold)
    }
}

/// Repeats what lost a deadlock or its turn, as the service does.
pub(super) async fn until_not_busy<T>(
    work: impl AsyncFn() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    for _ in 0..50 {
        match work().await {
            Err(error) if error.is_busy() => {}
            result => return result,
        }
    }
    work().await
}

pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).expect("a time")
}

pub(super) fn fen(amount: i64) -> Fen {
    Fen::new(amount).expect("an amount")
}

pub(super) fn order_id(text: &str) -> OrderId {
    OrderId::from_trusted(text)
}

pub(super) fn out_trade_no(text: &str) -> OutTradeNo {
    OutTradeNo::from_trusted(text)
}

pub(super) fn sku_id(text: &str) -> SkuId {
    SkuId::from_trusted(text)
}

pub(super) fn sku(id: &str, available: i64) -> Sku {
    Sku {
        sku_id: sku_id(id),
        title: "茶 🍵".into(),
        price_fen: fen(500),
        available,
        locked: 0,
        sold: 0,
    }
}

pub(super) fn order_record(id: &str) -> OrderRecord {
    OrderRecord {
        order: Order {
            id: order_id(id),
            version: 1,
            status: OrderStatus::AwaitingPayment,
            amount: fen(1_000),
            expires_at: at(60),
            cancel_request: None,
            applied: None,
        },
        degraded: false,
        storefront: "shop".into(),
        order_no: None,
        member_id: "m-1".into(),
        class: "default".into(),
        subject: "两盒茶".into(),
        metadata: r#"{"k":"v"}"#.into(),
        engine: Engine::Transaction,
        half_message: HalfMessageMeaning::Cancel,
        refunded: Fen::ZERO,
        paid_at: None,
        cancelled_at: None,
        created_at: at(0),
    }
}

pub(super) fn item(sku: &str, quantity: i64) -> Item {
    Item { sku_id: sku_id(sku), title: "茶".into(), price: fen(500), quantity }
}

pub(super) fn payment_record(order: &str, number: &str) -> PaymentRecord {
    PaymentRecord {
        attempt: Attempt {
            out_trade_no: out_trade_no(number),
            status: PaymentStatus::Created,
            amount: fen(1_000),
            seen: false,
            paid: false,
            refunded: Fen::ZERO,
            refunding: Fen::ZERO,
            code_dies_at: at(0) + Duration::hours(2),
            account: AccountRef {
                gateway_url: "https://gateway".into(),
                app_id: "app".into(),
                seller_id: "seller".into(),
            },
        },
        order_id: Some(order_id(order)),
        channel: "alipay".into(),
        subject: "两盒茶".into(),
        trade_no: None,
        qr_code: None,
        expires_at: at(60),
        paid: None,
        paid_at: None,
        created_at: at(0),
    }
}
