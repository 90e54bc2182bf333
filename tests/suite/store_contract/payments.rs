//! Payment attempts: what is recorded once stays recorded.

use checkback::domain::gateway::{PaidTrade, ReturnedTrade};
use checkback::domain::money::Fen;
use checkback::domain::payment::{Attempt, PaymentStatus};
use checkback::store::payments::{self, PaymentRecord};
use checkback::store::{StoreError, WriteTx};
use futures_util::future::join_all;

use super::database::{Database, at, fen, order_id, out_trade_no, payment_record, until_not_busy};

on_each_database!(
    an_attempt_reads_back_as_it_was_written,
    an_orphan_has_a_payment_and_no_order,
    the_attempts_of_an_order_are_listed_oldest_first,
    a_number_is_used_once,
    a_code_is_stored_with_its_attempt,
    an_attempt_waits_once_its_trade_was_seen,
    a_live_attempt_ends_once,
    a_payment_is_recorded_once,
    a_payment_is_recorded_for_an_attempt_that_was_closed,
    a_payment_is_recorded_only_for_its_own_order,
    a_second_applied_payment_of_an_order_is_refused,
    a_payment_that_went_back_is_recorded_once,
    what_the_gateway_does_not_say_about_a_return_is_taken_from_the_attempt,
    an_attempt_is_retired_by_a_closer_deadline,
    a_row_that_breaks_an_invariant_is_corrupt,
    of_many_who_record_the_same_payment_exactly_one_does,
);

async fn in_transaction<T>(
    db: &Database,
    work: impl AsyncFn(&mut WriteTx<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut tx = db.store.begin().await?;
    let done = work(&mut tx).await?;
    tx.commit().await?;
    Ok(done)
}

fn trade(amount: i64) -> PaidTrade {
    PaidTrade { amount: fen(amount), trade_no: "2023".into(), paid_at: Some(at(30)) }
}

async fn record(db: &Database, number: &str, status: PaymentStatus) -> Result<bool, StoreError> {
    in_transaction(db, async |tx| {
        let (order, number) = (order_id("ORDER"), out_trade_no(number));
        payments::record_payment(tx, &order, &number, status, &trade(900), at(31)).await
    })
    .await
}

async fn wait(db: &Database, number: &str) -> bool {
    let marked = in_transaction(db, async |tx| {
        payments::mark_waiting(tx, &out_trade_no(number), Some("2023"), at(10)).await
    });
    marked.await.expect("an answer")
}

async fn end(db: &Database, number: &str, status: PaymentStatus) -> bool {
    let ended = in_transaction(db, async |tx| {
        payments::mark_ended(tx, &out_trade_no(number), (status, false), at(11)).await
    });
    ended.await.expect("an answer")
}

async fn give_back(db: &Database, number: &str, trade: &ReturnedTrade) -> bool {
    let recorded = in_transaction(db, async |tx| {
        payments::record_return(tx, &out_trade_no(number), trade, fen(1_000), at(50)).await
    });
    recorded.await.expect("an answer")
}

async fn an_attempt_reads_back_as_it_was_written(db: &Database) {
    db.place("ORDER").await;
    let written = db.start_payment("ORDER", "CB1").await;
    assert_eq!(db.payment("CB1").await, written);
    let none = payments::find(&db.store, &out_trade_no("CB2")).await.expect("readable");
    assert_eq!(none, None);
}

async fn an_orphan_has_a_payment_and_no_order(db: &Database) {
    let plain = payment_record("", "CB1");
    let (status, amount) = (PaymentStatus::Orphan, fen(77));
    let orphan = PaymentRecord {
        attempt: Attempt { status, amount, seen: true, paid: true, ..plain.attempt },
        order_id: None,
        trade_no: Some("2023".into()),
        paid: Some(amount),
        paid_at: Some(at(30)),
        ..plain
    };
    in_transaction(db, async |tx| payments::insert(tx, &orphan).await).await.expect("written");
    assert_eq!(db.payment("CB1").await, orphan);
}

async fn the_attempts_of_an_order_are_listed_oldest_first(db: &Database) {
    db.place("ORDER").await;
    db.place("OTHER").await;
    for (number, order, second) in
        [("CB3", "ORDER", 2), ("CB1", "ORDER", 2), ("CB2", "ORDER", 1), ("CB0", "OTHER", 0)]
    {
        let record = PaymentRecord { created_at: at(second), ..payment_record(order, number) };
        in_transaction(db, async |tx| payments::insert(tx, &record).await).await.expect("written");
    }
    let listed = payments::of_order(&db.store, &order_id("ORDER")).await.expect("readable");
    let listed: Vec<_> = listed.iter().map(|r| r.attempt.out_trade_no.as_str()).collect();
    assert_eq!(listed, ["CB2", "CB1", "CB3"]);
}

async fn a_number_is_used_once(db: &Database) {
    db.place("ORDER").await;
    let record = db.start_payment("ORDER", "CB1").await;
    let again = in_transaction(db, async |tx| payments::insert(tx, &record).await).await;
    again.expect_err("the number is taken");
}

async fn a_code_is_stored_with_its_attempt(db: &Database) {
    db.place("ORDER").await;
    let before = db.start_payment("ORDER", "CB1").await;
    let number = out_trade_no("CB1");
    payments::set_qr_code(&db.store, &number, "https://qr/abc", at(1)).await.expect("stored");
    let qr_code = Some("https://qr/abc".to_owned());
    assert_eq!(db.payment("CB1").await, PaymentRecord { qr_code, ..before });
}

async fn an_attempt_waits_once_its_trade_was_seen(db: &Database) {
    db.place("ORDER").await;
    db.start_payment("ORDER", "CB1").await;
    assert!(wait(db, "CB1").await);
    let after = db.payment("CB1").await;
    assert_eq!((after.attempt.status, after.attempt.seen), (PaymentStatus::Waiting, true));
    assert_eq!(after.trade_no.as_deref(), Some("2023"));
    assert!(!wait(db, "CB1").await, "it waits already");
    assert!(end(db, "CB1", PaymentStatus::Closed).await);
    assert!(!wait(db, "CB1").await, "it has ended");
    assert!(!wait(db, "NONE").await);
}

async fn a_live_attempt_ends_once(db: &Database) {
    db.place("ORDER").await;
    for (number, status) in [("CB1", PaymentStatus::Closed), ("CB2", PaymentStatus::Failed)] {
        db.start_payment("ORDER", number).await;
        assert!(end(db, number, status).await);
        assert!(!end(db, number, PaymentStatus::Closed).await, "it has ended");
        assert_eq!(db.payment(number).await.attempt.status, status);
    }
    db.start_payment("ORDER", "CB3").await;
    assert!(wait(db, "CB3").await);
    assert!(end(db, "CB3", PaymentStatus::Closed).await);
    assert!(db.payment("CB3").await.attempt.seen, "what was seen stays seen");
}

async fn a_payment_is_recorded_once(db: &Database) {
    db.place("ORDER").await;
    for (number, status) in [
        ("CB1", PaymentStatus::Applied),
        ("CB2", PaymentStatus::Late),
        ("CB3", PaymentStatus::Duplicate),
        ("CB4", PaymentStatus::WrongAmount),
    ] {
        db.start_payment("ORDER", number).await;
        assert!(record(db, number, status).await.expect("recorded"));
        let after = db.payment(number).await;
        assert_eq!((after.attempt.status, after.attempt.paid), (status, true));
        assert_eq!((after.paid, after.paid_at), (Some(fen(900)), Some(at(30))));
        assert_eq!(after.trade_no.as_deref(), Some("2023"));
        assert!(after.attempt.seen);
        assert_eq!(after.attempt.amount, fen(1_000), "what was asked stays");
        assert!(!record(db, number, PaymentStatus::Late).await.expect("an answer"));
        assert!(!end(db, number, PaymentStatus::Closed).await);
        assert!(!wait(db, number).await);
        assert_eq!(db.payment(number).await, after);
    }
}

async fn a_payment_is_recorded_for_an_attempt_that_was_closed(db: &Database) {
    db.place("ORDER").await;
    db.start_payment("ORDER", "CB1").await;
    assert!(end(db, "CB1", PaymentStatus::Closed).await);
    assert!(record(db, "CB1", PaymentStatus::Applied).await.expect("recorded"));
    assert_eq!(db.payment("CB1").await.attempt.status, PaymentStatus::Applied);
}

async fn a_payment_is_recorded_only_for_its_own_order(db: &Database) {
    db.place("ORDER").await;
    db.place("OTHER").await;
    db.start_payment("OTHER", "CB1").await;
    assert!(!record(db, "CB1", PaymentStatus::Applied).await.expect("an answer"));
    assert!(!db.payment("CB1").await.attempt.paid);
}

async fn a_second_applied_payment_of_an_order_is_refused(db: &Database) {
    db.place("ORDER").await;
    for number in ["CB1", "CB2"] {
        db.start_payment("ORDER", number).await;
    }
    assert!(record(db, "CB1", PaymentStatus::Applied).await.expect("recorded"));
    let refused = record(db, "CB2", PaymentStatus::Applied).await;
    assert!(matches!(refused, Err(StoreError::Database(_))), "{refused:?}");
    assert!(!db.payment("CB2").await.attempt.paid);
    assert!(record(db, "CB2", PaymentStatus::Duplicate).await.expect("recorded"));
}

fn returned() -> ReturnedTrade {
    ReturnedTrade {
        trade_no: Some("2023".into()),
        amount: Some(fen(900)),
        paid_at: Some(at(30)),
        refunded: Some(fen(900)),
    }
}

async fn a_payment_that_went_back_is_recorded_once(db: &Database) {
    db.place("ORDER").await;
    db.start_payment("ORDER", "CB1").await;
    assert!(give_back(db, "CB1", &returned()).await);
    let after = db.payment("CB1").await;
    assert_eq!((after.attempt.status, after.attempt.paid), (PaymentStatus::Closed, true));
    assert_eq!((after.paid, after.attempt.refunded), (Some(fen(900)), fen(900)));
    assert_eq!((after.trade_no.as_deref(), after.paid_at), (Some("2023"), Some(at(30))));
    assert!(!give_back(db, "CB1", &returned()).await);
    assert!(!record(db, "CB1", PaymentStatus::Late).await.expect("an answer"));
    assert_eq!(db.payment("CB1").await, after);
}

async fn what_the_gateway_does_not_say_about_a_return_is_taken_from_the_attempt(db: &Database) {
    db.place("ORDER").await;
    db.start_payment("ORDER", "CB1").await;
    assert!(wait(db, "CB1").await);
    let silent = ReturnedTrade { trade_no: None, amount: None, paid_at: None, refunded: None };
    assert!(give_back(db, "CB1", &silent).await);
    let after = db.payment("CB1").await;
    assert_eq!((after.paid, after.attempt.refunded), (Some(fen(1_000)), fen(1_000)));
    assert_eq!((after.trade_no.as_deref(), after.paid_at), (Some("2023"), Some(at(50))));

    db.start_payment("ORDER", "CB2").await;
    let too_much = ReturnedTrade { refunded: Some(Fen::MAX), ..returned() };
    assert!(give_back(db, "CB2", &too_much).await);
    assert_eq!(db.payment("CB2").await.attempt.refunded, fen(900), "never more than was paid");
}

async fn an_attempt_is_retired_by_a_closer_deadline(db: &Database) {
    db.place("ORDER").await;
    let before = db.start_payment("ORDER", "CB1").await;
    let number = out_trade_no("CB1");
    payments::retire(&db.store, &number, at(20)).await.expect("retired");
    let after = db.payment("CB1").await;
    assert_eq!(after, PaymentRecord { expires_at: at(20), ..before });
    payments::retire(&db.store, &number, at(40)).await.expect("no later deadline");
    assert_eq!(db.payment("CB1").await, after);
}

async fn a_row_that_breaks_an_invariant_is_corrupt(db: &Database) {
    db.place("ORDER").await;
    for (number, broken, change) in [
        ("CB1", "amount_fen", "amount_fen = 10000000001"),
        ("CB2", "paid_fen", "paid_fen = 10000000001"),
        ("CB3", "refunded_fen", "refunded_fen = 10000000001"),
    ] {
        db.start_payment("ORDER", number).await;
        let sql = format!("update payments set {change} where out_trade_no = '{number}'");
        db.run(&sql).await.expect("broken");
        match payments::find(&db.store, &out_trade_no(number)).await {
            Err(StoreError::Corrupt { table: "payments", column, id }) => {
                assert_eq!((column, id.as_str()), (broken, number));
            }
            other => panic!("{other:?}"),
        }
    }
    payments::of_order(&db.store, &order_id("ORDER")).await.expect_err("corrupt rows");
}

async fn of_many_who_record_the_same_payment_exactly_one_does(db: &Database) {
    db.place("ORDER").await;
    db.start_payment("ORDER", "CB1").await;
    let workers = (0..10).map(|worker| {
        let status = if worker % 2 == 0 { PaymentStatus::Applied } else { PaymentStatus::Late };
        until_not_busy(async move || record(db, "CB1", status).await)
    });
    let recorded = join_all(workers).await;
    assert_eq!(recorded.iter().filter(|won| *won.as_ref().expect("an answer")).count(), 1);
}
