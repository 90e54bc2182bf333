//! Counters, locks and the ledger: every piece is counted once, whoever asks at the same time.

use checkback::domain::money::Fen;
use checkback::domain::stock::STOCK_MAX;
use checkback::store::idempotency::{self, UsedKey};
use checkback::store::skus::{self, Adjusted, Adjustment, LOOKUP_MAX, Quantity};
use checkback::store::stock_locks;
use checkback::store::{Store, StoreError, orders};
use futures_util::future::join_all;

use super::database::{Database, at, fen, order_id, order_record, sku, sku_id, until_not_busy};

on_each_database!(
    a_sku_reads_back_and_is_made_once,
    skus_that_differ_in_letter_case_are_two,
    the_skus_of_an_order_are_read_in_one_go,
    title_and_price_change_and_the_counters_stay,
    an_adjustment_moves_total_and_available_once,
    an_adjustment_stays_in_range,
    an_adjustment_that_was_refused_may_be_made_later,
    the_same_adjustment_by_many_at_once_is_made_once,
    pieces_are_locked_and_released_once,
    an_order_of_several_skus_locks_all_or_nothing,
    no_piece_is_locked_without_a_piece,
    the_last_piece_goes_to_one_of_twenty_orders,
    twenty_who_release_the_same_order_give_its_pieces_back_once,
);

/// The counters of every SKU are what its ledger adds up to, and what open locks hold.
async fn balanced(db: &Database) {
    for wrong in [
        "select count(*) from skus where available <> (select cast(sum(available_delta) as \
         signed) from stock_ledger where stock_ledger.sku_id = skus.sku_id)",
        "select count(*) from skus where locked <> (select cast(sum(locked_delta) as signed) \
         from stock_ledger where stock_ledger.sku_id = skus.sku_id)",
        "select count(*) from skus where locked <> (select cast(coalesce(sum(quantity), 0) as \
         signed) from stock_locks where stock_locks.sku_id = skus.sku_id and status = 'open')",
    ] {
        assert_eq!(db.number(wrong).await, 0, "{wrong}");
    }
}

async fn a_sku_reads_back_and_is_made_once(db: &Database) {
    let made = sku("tea-250g", 10);
    assert!(skus::insert(&db.store, &made, "ops", at(0)).await.expect("made"));
    let found = skus::find(&db.store, &made.sku_id).await.expect("readable");
    assert_eq!(found, Some(made.clone()));
    let again = skus::insert(&db.store, &sku("tea-250g", 99), "ops", at(1)).await;
    assert!(!again.expect("an answer"), "it is there");
    let found = skus::find(&db.store, &made.sku_id).await.expect("readable");
    assert_eq!(found, Some(made));
    assert_eq!(skus::find(&db.store, &sku_id("none")).await.expect("readable"), None);
    balanced(db).await;
}

async fn skus_that_differ_in_letter_case_are_two(db: &Database) {
    db.stock("tea", 1).await;
    db.stock("TEA", 2).await;
    assert_eq!(db.pieces("tea").await, (1, 0, 0));
    assert_eq!(db.pieces("TEA").await, (2, 0, 0));
}

fn quantity(id: &str, pieces: i64) -> Quantity {
    Quantity { sku_id: sku_id(id), pieces }
}

async fn the_skus_of_an_order_are_read_in_one_go(db: &Database) {
    let names: Vec<_> = (0..LOOKUP_MAX).map(|n| format!("sku-{n:02}")).collect();
    for name in &names {
        db.stock(name, 1).await;
    }
    let wanted: Vec<_> = names.iter().map(|name| quantity(name, 1)).collect();
    let found = skus::look_up(&db.store, &wanted, "k").await.expect("readable");
    assert_eq!(found.used, None);
    let mut found: Vec<_> = found.skus.into_iter().map(|sku| sku.sku_id).collect();
    found.sort();
    assert_eq!(found, names.iter().map(|name| sku_id(name)).collect::<Vec<_>>());
    let wanted = [quantity("sku-03", 1), quantity("none", 1)];
    let mut tx = db.store.begin().await.expect("a transaction");
    let used = UsedKey { request_hash: "hash".to_owned(), response: "{}".to_owned() };
    let insert = idempotency::insert(&mut tx, "k", &used, &order_id("A"), at(0)).await;
    assert!(insert.expect("written"));
    tx.commit().await.expect("committed");
    for (wanted, found) in [(&wanted[..], 1), (&wanted[..1], 1), (&wanted[1..], 0), (&[][..], 0)] {
        let one = skus::look_up(&db.store, wanted, "k").await.expect("readable");
        assert_eq!((one.skus.len(), one.used.as_ref()), (found, Some(&used)), "{wanted:?}");
        let other = skus::look_up(&db.store, wanted, "other").await.expect("readable");
        assert_eq!((other.skus.len(), other.used), (found, None), "{wanted:?}");
    }
}

async fn title_and_price_change_and_the_counters_stay(db: &Database) {
    db.stock("tea", 10).await;
    let changed = skus::update(&db.store, &sku_id("tea"), "绿茶", Fen::MAX, at(1)).await;
    assert!(changed.expect("an answer"));
    let found = skus::find(&db.store, &sku_id("tea")).await.expect("readable").expect("a SKU");
    assert_eq!((found.title.as_str(), found.price_fen), ("绿茶", Fen::MAX));
    assert_eq!(db.pieces("tea").await, (10, 0, 0));
    let none = skus::update(&db.store, &sku_id("none"), "x", fen(1), at(1)).await;
    assert!(!none.expect("an answer"));
}

async fn adjust(store: &Store, delta: i64, reason: &str, number: &str) -> Adjusted {
    let tea = sku_id("tea");
    let adjustment = Adjustment { sku_id: &tea, delta, reason, request_no: number, actor: "ops" };
    let adjusted =
        until_not_busy(async || skus::adjust(store, &adjustment, STOCK_MAX, at(1)).await);
    adjusted.await.expect("an answer")
}

async fn an_adjustment_moves_total_and_available_once(db: &Database) {
    db.stock("tea", 10).await;
    assert_eq!(adjust(&db.store, 5, "delivery", "r1").await, Adjusted::Done);
    assert_eq!(adjust(&db.store, 5, "delivery", "r1").await, Adjusted::Repeated);
    assert_eq!(adjust(&db.store, 6, "delivery", "r1").await, Adjusted::OtherRequest);
    assert_eq!(adjust(&db.store, 5, "gift", "r1").await, Adjusted::OtherRequest);
    assert_eq!(adjust(&db.store, -15, "shrinkage", "r2").await, Adjusted::Done);
    assert_eq!(adjust(&db.store, 5, "delivery", "r1").await, Adjusted::Repeated);
    assert_eq!(db.pieces("tea").await, (0, 0, 0));
    balanced(db).await;
}

async fn an_adjustment_stays_in_range(db: &Database) {
    db.stock("tea", 10).await;
    lock(db, "ORDER", &[quantity("tea", 4)]).await.expect("an answer").expect("locked");
    for (number, delta) in [("a", -7), ("b", STOCK_MAX), ("c", STOCK_MAX - 9)] {
        assert_eq!(adjust(&db.store, delta, "", number).await, Adjusted::OutOfRange, "{delta}");
    }
    assert_eq!(db.pieces("tea").await, (6, 4, 0));
    assert_eq!(adjust(&db.store, -6, "", "d").await, Adjusted::Done);
    assert_eq!(adjust(&db.store, STOCK_MAX - 4, "", "e").await, Adjusted::Done);
    balanced(db).await;
    let coffee = sku_id("coffee");
    let unknown =
        Adjustment { sku_id: &coffee, delta: 1, reason: "", request_no: "f", actor: "ops" };
    let adjusted = skus::adjust(&db.store, &unknown, STOCK_MAX, at(1)).await;
    assert_eq!(adjusted.expect("an answer"), Adjusted::OutOfRange);
    let orphans = "select count(*) from stock_ledger where sku_id = 'coffee'";
    assert_eq!(db.number(orphans).await, 0);
}

async fn an_adjustment_that_was_refused_may_be_made_later(db: &Database) {
    db.stock("tea", 1).await;
    assert_eq!(adjust(&db.store, -2, "", "r1").await, Adjusted::OutOfRange);
    assert_eq!(adjust(&db.store, 1, "", "r2").await, Adjusted::Done);
    assert_eq!(adjust(&db.store, -2, "", "r1").await, Adjusted::Done);
    assert_eq!(db.pieces("tea").await, (0, 0, 0));
}

async fn the_same_adjustment_by_many_at_once_is_made_once(db: &Database) {
    db.stock("tea", 0).await;
    let other = db.other_instance().await;
    let twins = (0..10).map(|twin| {
        let store = if twin % 2 == 0 { &db.store } else { &other };
        adjust(store, 3, "delivery", "r1")
    });
    let adjusted = join_all(twins).await;
    assert_eq!(adjusted.iter().filter(|done| **done == Adjusted::Done).count(), 1);
    assert_eq!(adjusted.iter().filter(|done| **done == Adjusted::Repeated).count(), 9);
    assert_eq!(db.pieces("tea").await, (3, 0, 0));
    balanced(db).await;
}

/// Places an order that locks these pieces, as the service does.
async fn lock(
    db: &Database,
    id: &str,
    quantities: &[Quantity],
) -> Result<Result<(), String>, StoreError> {
    let mut tx = db.store.begin().await?;
    orders::insert(&mut tx, &order_record(id), &[]).await?;
    match stock_locks::lock(&mut tx, &order_id(id), quantities, at(1)).await? {
        Ok(()) => tx.commit().await.map(Ok),
        Err(short) => tx.rollback().await.map(|()| Err(short.as_str().to_owned())),
    }
}

async fn release(store: &Store, id: &str) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    stock_locks::release(&mut tx, &order_id(id), at(2)).await?;
    tx.commit().await
}

async fn pieces_are_locked_and_released_once(db: &Database) {
    db.stock("tea", 10).await;
    lock(db, "ORDER", &[quantity("tea", 3)]).await.expect("an answer").expect("locked");
    assert_eq!(db.pieces("tea").await, (7, 3, 0));
    balanced(db).await;
    for _ in 0..2 {
        release(&db.store, "ORDER").await.expect("released");
        assert_eq!(db.pieces("tea").await, (10, 0, 0));
        balanced(db).await;
    }
    let ended = "select count(*) from stock_locks where status = 'released' and ended_at_ms > 0";
    assert_eq!(db.number(ended).await, 1);
    release(&db.store, "NONE").await.expect("nothing to release");
}

async fn an_order_of_several_skus_locks_all_or_nothing(db: &Database) {
    db.stock("cup", 5).await;
    db.stock("tea", 1).await;
    let both = [quantity("cup", 2), quantity("tea", 1)];
    lock(db, "A", &both).await.expect("an answer").expect("locked");
    let short = lock(db, "B", &both).await.expect("an answer");
    assert_eq!(short, Err("tea".to_owned()));
    assert_eq!((db.pieces("cup").await, db.pieces("tea").await), ((3, 2, 0), (0, 1, 0)));
    let unknown = lock(db, "C", &[quantity("none", 1)]).await.expect("an answer");
    assert_eq!(unknown, Err("none".to_owned()));
    release(&db.store, "A").await.expect("released");
    assert_eq!((db.pieces("cup").await, db.pieces("tea").await), ((5, 0, 0), (1, 0, 0)));
    balanced(db).await;
}

async fn no_piece_is_locked_without_a_piece(db: &Database) {
    db.stock("tea", 1).await;
    for pieces in [0, -1, i64::MIN + 1] {
        let refused = lock(db, "ORDER", &[quantity("tea", pieces)]).await;
        refused.expect_err("the database refuses it");
        assert_eq!(db.pieces("tea").await, (1, 0, 0), "{pieces}");
    }
    let too_many = lock(db, "ORDER", &[quantity("tea", i64::MAX)]).await;
    assert_eq!(too_many.expect("an answer"), Err("tea".to_owned()));
}

async fn the_last_piece_goes_to_one_of_twenty_orders(db: &Database) {
    db.stock("tea", 1).await;
    let wanted = [quantity("tea", 1)];
    let names: Vec<_> = (0..20).map(|n| format!("ORDER{n:02}")).collect();
    let buyers = names.iter().map(|name| until_not_busy(|| lock(db, name, &wanted)));
    let locked = join_all(buyers).await;
    let won = locked.iter().filter(|lock| lock.as_ref().expect("an answer").is_ok()).count();
    assert_eq!(won, 1);
    assert_eq!(db.pieces("tea").await, (0, 1, 0));
    assert_eq!(db.number("select count(*) from orders").await, 1, "the others left nothing");
    balanced(db).await;
}

async fn twenty_who_release_the_same_order_give_its_pieces_back_once(db: &Database) {
    db.stock("tea", 5).await;
    db.stock("cup", 5).await;
    let both = [quantity("cup", 1), quantity("tea", 2)];
    lock(db, "ORDER", &both).await.expect("an answer").expect("locked");
    lock(db, "OTHER", &both).await.expect("an answer").expect("locked");
    let other = db.other_instance().await;
    let workers = (0..20).map(|worker| {
        let store = if worker % 2 == 0 { &db.store } else { &other };
        until_not_busy(async move || release(store, "ORDER").await)
    });
    for released in join_all(workers).await {
        released.expect("released");
    }
    assert_eq!((db.pieces("cup").await, db.pieces("tea").await), ((4, 1, 0), (3, 2, 0)));
    balanced(db).await;
}
