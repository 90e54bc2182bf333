//! Order rows: what is written reads back, and a change happens only to the version that was read.

use checkback::domain::money::Fen;
use checkback::domain::order::{CancelRequest, Engine, HalfMessageMeaning, Order, OrderStatus};
use checkback::store::orders::{self, OrderRecord};
use checkback::store::{Store, StoreError};
use futures_util::future::join_all;

use super::database::{
    Database, at, fen, item, order_id, order_record, out_trade_no, until_not_busy,
};

on_each_database!(
    an_order_reads_back_as_it_was_written,
    an_order_is_found_by_its_storefronts_number,
    an_order_number_is_taken_once_in_a_storefront,
    items_are_listed_by_sku,
    an_unknown_order_is_none,
    a_row_that_breaks_an_invariant_is_corrupt,
    a_bump_takes_the_next_version_and_leaves_the_rest,
    a_payment_is_applied_to_the_version_that_was_read,
    an_order_is_cancelled_in_the_version_that_was_read,
    a_cancel_request_is_stored_once,
    whoever_read_an_older_version_changes_nothing,
    an_order_that_has_ended_is_neither_paid_nor_cancelled_again,
    of_many_who_pay_and_cancel_at_once_exactly_one_wins,
);

async fn an_order_reads_back_as_it_was_written(db: &Database) {
    let plain = order_record("PLAIN");
    let full = OrderRecord {
        degraded: true,
        order_no: Some("2023-№1".into()),
        metadata: format!("{{\"note\":\"{}\"}}", "很".repeat(2_000)),
        subject: "👋".repeat(200),
        engine: Engine::Poll,
        half_message: HalfMessageMeaning::Paid,
        order: Order { id: order_id("FULL"), amount: Fen::MAX, ..plain.order.clone() },
        ..plain.clone()
    };
    for record in [plain, full] {
        let mut tx = db.store.begin().await.expect("a transaction");
        orders::insert(&mut tx, &record, &[]).await.expect("an order");
        tx.commit().await.expect("committed");
        assert_eq!(db.order(record.order.id.as_str()).await, record);
    }
}

async fn insert_numbered(db: &Database, id: &str, shop: &str) -> Result<(), StoreError> {
    let plain = order_record(id);
    let record = OrderRecord { order_no: Some("n1".into()), storefront: shop.into(), ..plain };
    let mut tx = db.store.begin().await?;
    orders::insert(&mut tx, &record, &[]).await?;
    tx.commit().await
}

async fn an_order_is_found_by_its_storefronts_number(db: &Database) {
    insert_numbered(db, "A", "shop").await.expect("an order");
    insert_numbered(db, "B", "other shop").await.expect("an order");
    db.place("C").await;
    for (shop, number, id) in
        [("shop", "n1", Some("A")), ("other shop", "n1", Some("B")), ("shop", "n2", None)]
    {
        let found = orders::find_by_order_no(&db.store, shop, number).await.expect("readable");
        assert_eq!(found, id.map(order_id));
    }
}

async fn an_order_number_is_taken_once_in_a_storefront(db: &Database) {
    insert_numbered(db, "A", "shop").await.expect("an order");
    let taken = insert_numbered(db, "B", "shop").await;
    assert!(matches!(taken, Err(StoreError::Database(_))), "{taken:?}");
    assert_eq!(orders::find(&db.store, &order_id("B")).await.expect("readable"), None);
    for id in ["C", "D"] {
        db.place(id).await;
    }
}

async fn items_are_listed_by_sku(db: &Database) {
    let lines = [item("tea", 2), item("cup", 1)];
    let mut tx = db.store.begin().await.expect("a transaction");
    orders::insert(&mut tx, &order_record("ORDER"), &lines).await.expect("an order");
    tx.commit().await.expect("committed");
    let [tea, cup] = lines;
    let listed = orders::items(&db.store, &order_id("ORDER")).await.expect("readable");
    assert_eq!(listed, [cup, tea]);
    assert_eq!(orders::items(&db.store, &order_id("NONE")).await.expect("readable"), []);
}

async fn an_unknown_order_is_none(db: &Database) {
    assert_eq!(orders::find(&db.store, &order_id("NONE")).await.expect("readable"), None);
}

async fn a_row_that_breaks_an_invariant_is_corrupt(db: &Database) {
    for (id, column, change) in [
        ("A", "engine", "engine = 'steam'"),
        ("B", "half_message", "half_message = 'maybe'"),
        ("C", "amount_fen", "amount_fen = 10000000001"),
    ] {
        db.place(id).await;
        db.run(&format!("update orders set {change} where id = '{id}'")).await.expect("broken");
        match orders::find(&db.store, &order_id(id)).await {
            Err(StoreError::Corrupt { table: "orders", column: named, id: row }) => {
                assert_eq!((named, row.as_str()), (column, id));
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn bump(db: &Database, read: &Order) -> Result<bool, StoreError> {
    let mut tx = db.store.begin().await?;
    let won = orders::bump(&mut tx, read, at(5)).await?;
    tx.commit().await?;
    Ok(won)
}

async fn pay(store: &Store, read: &Order) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let won = orders::mark_paid(&mut tx, read, &out_trade_no("CB1"), at(30), at(31)).await?;
    tx.commit().await?;
    Ok(won)
}

async fn cancel(store: &Store, read: &Order) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let won = orders::mark_cancelled(&mut tx, read, at(65)).await?;
    tx.commit().await?;
    Ok(won)
}

async fn request_cancel(db: &Database, read: &Order, by: &str) -> Result<bool, StoreError> {
    let mut tx = db.store.begin().await?;
    let won = orders::request_cancel(&mut tx, read, by, at(40)).await?;
    tx.commit().await?;
    Ok(won)
}

async fn a_bump_takes_the_next_version_and_leaves_the_rest(db: &Database) {
    let read = db.place("ORDER").await;
    let before = db.order("ORDER").await;
    assert!(bump(db, &read).await.expect("bumped"));
    let order = Order { version: 2, ..read };
    assert_eq!(db.order("ORDER").await, OrderRecord { order, ..before });
}

async fn a_payment_is_applied_to_the_version_that_was_read(db: &Database) {
    let read = db.place("ORDER").await;
    assert!(pay(&db.store, &read).await.expect("paid"));
    let after = db.order("ORDER").await;
    assert_eq!((after.order.version, after.order.status), (2, OrderStatus::Paid));
    assert_eq!(after.order.applied, Some(out_trade_no("CB1")));
    assert_eq!((after.paid_at, after.cancelled_at), (Some(at(30)), None));
    assert_eq!(after.order.amount, fen(1_000));
}

async fn an_order_is_cancelled_in_the_version_that_was_read(db: &Database) {
    let read = db.place("ORDER").await;
    assert!(cancel(&db.store, &read).await.expect("cancelled"));
    let after = db.order("ORDER").await;
    assert_eq!((after.order.version, after.order.status), (2, OrderStatus::Cancelled));
    assert_eq!((after.paid_at, after.cancelled_at), (None, Some(at(65))));
}

async fn a_cancel_request_is_stored_once(db: &Database) {
    let read = db.place("ORDER").await;
    assert!(request_cancel(db, &read, "buyer").await.expect("stored"));
    let after = db.order("ORDER").await.order;
    let request = CancelRequest { at: at(40), by: "buyer".into() };
    let expected = Order { version: 2, cancel_request: Some(request), ..read };
    assert_eq!(after, expected);
    assert!(!request_cancel(db, &after, "someone else").await.expect("there is one"));
    assert_eq!(db.order("ORDER").await.order, expected);
}

async fn whoever_read_an_older_version_changes_nothing(db: &Database) {
    let read = db.place("ORDER").await;
    assert!(bump(db, &read).await.expect("bumped"));
    let before = db.order("ORDER").await;
    assert!(!bump(db, &read).await.expect("too late"));
    assert!(!pay(&db.store, &read).await.expect("too late"));
    assert!(!cancel(&db.store, &read).await.expect("too late"));
    assert!(!request_cancel(db, &read, "buyer").await.expect("too late"));
    assert_eq!(db.order("ORDER").await, before);
}

async fn an_order_that_has_ended_is_neither_paid_nor_cancelled_again(db: &Database) {
    let read = db.place("PAID").await;
    assert!(pay(&db.store, &read).await.expect("paid"));
    let read = db.place("CANCELLED").await;
    assert!(cancel(&db.store, &read).await.expect("cancelled"));
    for id in ["PAID", "CANCELLED"] {
        let before = db.order(id).await;
        assert!(!pay(&db.store, &before.order).await.expect("it has ended"));
        assert!(!cancel(&db.store, &before.order).await.expect("it has ended"));
        assert!(!request_cancel(db, &before.order, "buyer").await.expect("it has ended"));
        assert_eq!(db.order(id).await, before);
        assert!(bump(db, &before.order).await.expect("its attempts may still change"));
        assert!(
            !bump(db, &Order { status: OrderStatus::AwaitingPayment, ..before.order })
                .await
                .expect("another status")
        );
    }
}

async fn of_many_who_pay_and_cancel_at_once_exactly_one_wins(db: &Database) {
    let read = db.place("ORDER").await;
    let other = db.other_instance().await;
    let racers = (0..20).map(|racer| {
        let store = if racer % 3 == 0 { &other } else { &db.store };
        let read = &read;
        until_not_busy(async move || {
            if racer % 2 == 0 { pay(store, read).await } else { cancel(store, read).await }
        })
    });
    let won = join_all(racers).await.into_iter().filter(|won| *won.as_ref().expect("an answer"));
    assert_eq!(won.count(), 1);
    let after = db.order("ORDER").await;
    assert_eq!(after.order.version, 2);
    assert!(after.paid_at.is_some() != after.cancelled_at.is_some());
}
