//! Ten thousand notifications that nobody sent, or that were sent before.

mod forger;

use std::collections::BTreeMap;

use checkback::service::audit::audit;
use futures_util::StreamExt as _;
use reqwest::Client;
use sqlx::{AssertSqlSafe, Row as _};

use crate::support::{TestApp, notification, wait_until};
use forger::{Expected, Forger};

const NOTIFICATIONS: usize = 10_000;
const AT_ONCE: usize = 16;
/// Everything that a notification could change.
const TABLES: [(&str, &str); 9] = [
    ("orders", "id, version, status, refunded_fen"),
    ("payments", "out_trade_no, order_id, status, paid_fen, refunded_fen, trade_no, seen"),
    ("refunds", "out_request_no, status"),
    ("notifications", "notify_hash, effect, received_at_ms"),
    ("alarms", "kind, subject, opened_at_ms"),
    ("order_history", "order_id, version, cause"),
    ("stock_locks", "order_id, sku_id, status"),
    ("outbox", "event_id, tag"),
    // How often the poll has asked is its own affair.
    ("pending_payments", "subject, kind"),
];

/// What is stored, as text, a table each.
async fn stored(app: &TestApp) -> BTreeMap<&'static str, Vec<String>> {
    let database = sqlx::AnyPool::connect(app.app().config.database.url.expose()).await;
    let database = database.expect("the database");
    let mut stored = BTreeMap::new();
    for (table, columns) in TABLES {
        let sql = format!("select {columns} from {table} order by {columns}");
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&database).await.expect("rows");
        let text = |row: &sqlx::any::AnyRow| {
            let column = |at| match row.try_get::<Option<String>, _>(at) {
                Ok(text) => format!("{text:?}"),
                Err(_) => format!("{:?}", row.get::<Option<i64>, _>(at)),
            };
            (0..row.len()).map(column).collect::<Vec<_>>().join(" ")
        };
        stored.insert(table, rows.iter().map(text).collect());
    }
    database.close().await;
    stored
}

/// The sum of a counter, and its sum where it has this label.
async fn counted(app: &TestApp, counter: &str, label: &str) -> (usize, usize) {
    let answer = app.client.get(app.url("/metrics")).send().await.expect("an answer");
    let metrics = answer.text().await.expect("a text");
    let lines: Vec<_> = metrics.lines().filter(|line| line.starts_with(counter)).collect();
    let sum = |lines: &mut dyn Iterator<Item = &&str>| {
        let last = |line: &&str| line.rsplit(' ').next()?.parse::<usize>().ok();
        lines.filter_map(last).sum::<usize>()
    };
    (sum(&mut lines.iter()), sum(&mut lines.iter().filter(|line| line.contains(label))))
}

async fn post(client: &Client, url: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
    let request = client.post(url).header("content-type", "application/x-www-form-urlencoded");
    let response = request.body(body).send().await.expect("an answer");
    (response.status().as_u16(), response.bytes().await.expect("a body").to_vec())
}

/// A paid order, whose notification is known, and orders that wait for theirs or are cancelled.
async fn shop(app: &TestApp) -> Forger {
    app.fault("notify", "drop").await;
    let paid = app.place("paid").await;
    let paid_number = app.start_payment(&paid).await;
    app.buyer_pays(&paid_number).await;
    let trade_no = app.trade(&paid_number).await["trade_no"].as_str().expect("a text").to_owned();
    let changes = [("trade_no", trade_no.as_str()), ("subject", "中文 50%off a+b&c=/")];
    let genuine = notification(&paid_number, &changes);
    assert_eq!(app.notify(genuine.clone()).await, (200, "success".to_owned()));
    app.wait_for_status(&paid, "paid").await;
    let waiting = app.place("waiting").await;
    let cancelled = app.place("cancelled").await;
    let victims = [app.start_payment(&waiting).await, app.start_payment(&cancelled).await];
    assert_eq!(app.cancel(&cancelled).await.0, 200);
    Forger::new(genuine, victims)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_notifications_that_nobody_sent_change_nothing() {
    // Nothing checks back, and the clock stands still: only notifications could change anything.
    let app = TestApp::start_without_broker().await;
    let mut forger = shop(&app).await;
    wait_until("nothing moves any more", async || {
        let before = stored(&app).await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        before == stored(&app).await
    })
    .await;
    let before = (stored(&app).await, app.sku("tea").await);
    let counter = "checkback_notifications_refused_total";
    assert_eq!(counted(&app, counter, "").await.0, 0);

    let url = app.url("/v1/alipay/notify");
    let bodies: Vec<_> = (0..NOTIFICATIONS).map(|_| forger.next()).collect();
    let answers = futures_util::stream::iter(bodies).map(async |(kind, expected, body)| {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let (status, answer) = post(&app.client, &url, body).await;
        let is_success = status == 200 && answer == b"success";
        match expected {
            Expected::Refused => {
                assert!(matches!(status, 400 | 413), "{kind}: {status} {answer:?} to {shown}");
                assert!(!answer.eq_ignore_ascii_case(b"success"), "{kind}");
            }
            Expected::Repeated => assert!(is_success, "{kind}: {status} {answer:?} to {shown}"),
            Expected::Either => assert!(is_success || status == 400, "{kind}: {status} {shown}"),
        }
        usize::from(!is_success)
    });
    let refused: usize =
        answers.buffer_unordered(AT_ONCE).fold(0, async |sum, one| sum + one).await;

    assert!(refused > NOTIFICATIONS / 2, "{refused}");
    assert_eq!((stored(&app).await, app.sku("tea").await), before);
    let (all, badly_signed) = counted(&app, counter, r#"reason="bad_signature""#).await;
    assert_eq!(all, refused, "each refusal is counted by its reason");
    assert!(badly_signed > NOTIFICATIONS / 4, "{badly_signed}");
    let (_, effect) = counted(&app, "checkback_notifications_total", r#"effect="refused""#).await;
    let repeated = counted(&app, "checkback_notifications_total", r#"effect="repeated""#).await.1;
    assert_eq!((effect, effect + repeated), (refused, NOTIFICATIONS));
    assert!(audit(app.app()).await.expect("the audit runs").ok);
    app.finish().await;
}
