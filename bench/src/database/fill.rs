//! Ended orders in bulk, each with everything that the service would have left of it: the audit
//! finds nothing wrong with them. Half of them are paid, half cancelled.

use checkback::clock::{Clock as _, SystemClock};
use chrono::{DateTime, Duration, Utc};
use sqlx::AnyPool;

use super::{Database, connect};

/// Orders that one statement writes.
const CHUNK: u64 = 50_000;
/// What every order costs (fen).
const AMOUNT_FEN: i64 = 100;

/// What each ended order has, for the numbers from the first `?` up to the second.
const STATEMENTS: [&str; 10] = [
    "insert into orders (id, version, status, degraded, storefront, member_id, class, subject, \
     metadata, stock_kind, engine, half_message, amount_fen, refunded_fen, applied_out_trade_no, \
     expires_at_ms, paid_at_ms, cancelled_at_ms, created_at_ms, updated_at_ms) \
     select concat('E', 10000000 + i), 2, case when i % 2 = 0 then 'paid' else 'cancelled' end, 0, \
     'bench', 'm1', 'default', 'an order', 'null', 'sku', 'transaction', 'cancel', 100, 0, \
     case when i % 2 = 0 then concat('CBE', 10000000 + i) end, expired, \
     case when i % 2 = 0 then ended end, case when i % 2 = 1 then ended end, placed, ended \
     from bench_numbers cross join bench_times where i >= ? and i < ?",
    "insert into barriers (order_id, outcome, at_ms) select concat('E', 10000000 + i), \
     'committed', placed from bench_numbers cross join bench_times where i >= ? and i < ?",
    "insert into order_items (order_id, sku_id, title, price_fen, quantity) \
     select concat('E', 10000000 + i), 'ended', 'a thing', 100, 1 \
     from bench_numbers where i >= ? and i < ?",
    "insert into stock_locks (order_id, sku_id, round, quantity, status, locked_at_ms, \
     ended_at_ms) select concat('E', 10000000 + i), 'ended', 1, 1, \
     case when i % 2 = 0 then 'open' else 'released' end, placed, \
     case when i % 2 = 1 then ended end \
     from bench_numbers cross join bench_times where i >= ? and i < ?",
    "insert into stock_ledger (cause, sku_id, order_id, kind, available_delta, locked_delta, \
     sold_delta, detail, actor, at_ms) select concat('lock:E', 10000000 + i, ':1'), 'ended', \
     concat('E', 10000000 + i), 'lock', -1, 1, 0, '', 'order', placed \
     from bench_numbers cross join bench_times where i >= ? and i < ?",
    "insert into stock_ledger (cause, sku_id, order_id, kind, available_delta, locked_delta, \
     sold_delta, detail, actor, at_ms) select concat('release:E', 10000000 + i, ':1'), 'ended', \
     concat('E', 10000000 + i), 'release', 1, -1, 0, '', 'order', ended \
     from bench_numbers cross join bench_times where i >= ? and i < ? and i % 2 = 1",
    "insert into order_history (order_id, version, line, at_ms, actor, cause, from_status, \
     to_status, detail) select concat('E', 10000000 + i), 1, 0, placed, 'http', 'placed', 'none', \
     'awaiting_payment', '{}' from bench_numbers cross join bench_times where i >= ? and i < ?",
    "insert into order_history (order_id, version, line, at_ms, actor, cause, from_status, \
     to_status, detail) select concat('E', 10000000 + i), 2, 0, ended, 'sweep', \
     case when i % 2 = 0 then 'paid' else 'cancelled' end, 'awaiting_payment', \
     case when i % 2 = 0 then 'paid' else 'cancelled' end, evidence \
     from bench_numbers cross join bench_times where i >= ? and i < ?",
    "insert into payments (out_trade_no, order_id, channel, status, gateway_url, app_id, \
     seller_id, subject, amount_fen, paid_fen, refunded_fen, trade_no, seen, applied_order_id, \
     expires_at_ms, code_dies_at_ms, paid_at_ms, recorded_at_ms, created_at_ms, updated_at_ms) \
     select concat('CBE', 10000000 + i), concat('E', 10000000 + i), 'alipay', 'applied', \
     'http://127.0.0.1:1/', 'bench', 'bench', 'an order', 100, 100, 0, \
     concat('2026', 10000000 + i), 1, concat('E', 10000000 + i), expired, expired, ended, ended, \
     placed, ended \
     from bench_numbers cross join bench_times where i >= ? and i < ? and i % 2 = 0",
    "insert into outbox (event_id, order_id, sequence, topic, tag, body, published, due_at_ms, \
     failures, created_at_ms, published_at_ms) select concat('E', 10000000 + i, '-2'), \
     concat('E', 10000000 + i), 2, 'checkback-order-events', \
     case when i % 2 = 0 then 'paid' else 'cancelled' end, '{}', 1, ended, 0, ended, ended \
     from bench_numbers cross join bench_times where i >= ? and i < ?",
];

/// Writes so many ended orders of the SKU `ended`, which must not exist yet.
pub(crate) async fn fill(
    database: &Database,
    orders: u64,
    tell: impl Fn(u64),
) -> anyhow::Result<()> {
    let pool = connect(&database.url).await?;
    if database.server.is_none() {
        sqlx::query("pragma synchronous = off").execute(&pool).await?;
    }
    prepare(&pool, orders).await?;
    let mut from = 0;
    while from < orders {
        let to = (from + CHUNK).min(orders);
        let mut tx = pool.begin().await?;
        for statement in STATEMENTS {
            let written = sqlx::query(statement);
            written.bind(number(from)).bind(number(to)).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        tell(to);
        from = to;
    }
    for helper in ["drop table bench_numbers", "drop table bench_times"] {
        sqlx::query(helper).execute(&pool).await?;
    }
    if database.server.is_none() {
        sqlx::query("pragma wal_checkpoint(truncate)").fetch_all(&pool).await?;
    }
    pool.close().await;
    Ok(())
}

/// The SKU, and tables of numbers and of times, from which rows are made.
async fn prepare(pool: &AnyPool, orders: u64) -> anyhow::Result<()> {
    let now = SystemClock.now();
    let sold = orders.div_ceil(2);
    sqlx::query(
        "insert into skus (sku_id, title, price_fen, total, available, locked, sold, \
         created_at_ms, updated_at_ms) values ('ended', 'a thing', ?, ?, ?, ?, 0, ?, ?)",
    )
    .bind(AMOUNT_FEN)
    .bind(number(orders))
    .bind(number(orders - sold))
    .bind(number(sold))
    .bind(now.timestamp_millis())
    .bind(now.timestamp_millis())
    .execute(pool)
    .await?;
    sqlx::query(
        "insert into stock_ledger (cause, sku_id, kind, available_delta, locked_delta, \
         sold_delta, detail, actor, at_ms) values ('initial', 'ended', 'initial', ?, 0, 0, '', \
         'bench', ?)",
    )
    .bind(number(orders))
    .bind(now.timestamp_millis())
    .execute(pool)
    .await?;
    count_up(pool, orders).await?;
    note_times(pool, now).await
}

/// The numbers from zero, ten times as many with each statement, until there are enough.
async fn count_up(pool: &AnyPool, wanted: u64) -> anyhow::Result<()> {
    sqlx::query("create table bench_numbers (i bigint not null primary key)").execute(pool).await?;
    sqlx::query("insert into bench_numbers (i) values (0), (1), (2), (3), (4), (5), (6), (7), (8)")
        .execute(pool)
        .await?;
    sqlx::query("insert into bench_numbers (i) values (9)").execute(pool).await?;
    let mut count = 10;
    while count < wanted {
        sqlx::query(
            "insert into bench_numbers (i) select digits.d * ? + bench_numbers.i \
             from (select i as d from bench_numbers where i between 1 and 9) digits \
             cross join bench_numbers",
        )
        .bind(number(count))
        .execute(pool)
        .await?;
        count *= 10;
    }
    Ok(())
}

/// Placed a day ago, expired and ended soon after, with the evidence of a cancel.
async fn note_times(pool: &AnyPool, now: DateTime<Utc>) -> anyhow::Result<()> {
    let placed = now - Duration::days(1);
    let expired = placed + Duration::minutes(5);
    let ended = expired + Duration::seconds(3);
    let evidence = serde_json::json!({
        "answers": [],
        "asked_at": ended,
        "attempts": [],
        "checks": 1,
        "due_at": expired + Duration::seconds(2),
        "reason": "no_attempt",
    });
    sqlx::query(
        "create table bench_times (placed bigint not null, expired bigint not null, \
         ended bigint not null, evidence text not null)",
    )
    .execute(pool)
    .await?;
    sqlx::query("insert into bench_times (placed, expired, ended, evidence) values (?, ?, ?, ?)")
        .bind(placed.timestamp_millis())
        .bind(expired.timestamp_millis())
        .bind(ended.timestamp_millis())
        .bind(evidence.to_string())
        .execute(pool)
        .await?;
    Ok(())
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
