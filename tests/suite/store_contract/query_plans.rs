//! Every statement of the store finds its rows through an index. The statements are read from the
//! source, so that one that is added later is looked at as well.

use std::fs;
use std::path::Path;

use sqlx::AssertSqlSafe;

use super::database::Database;
use crate::tidy::expanded;

/// Read the whole of a table that is small by design: for metrics, for the console, once for all
/// who look at it, and once at start.
const READS_ALL: [&str; 8] = [
    "delete from instances where alive_until_ms <= ?",
    "select alive_until_ms from instances",
    "update bill_days set leased_by = null, leased_until_ms = 0 where leased_until_ms > 0",
    "select kind, count(*), count(case when next_query_at_ms <= ? then 1 end) \
     from pending_payments group by kind",
    "select count(*), min(created_at_ms) from pending_payments",
    "update pending_payments set leased_by = null, leased_until_ms = 0 where leased_until_ms > 0",
    "update refunds set leased_by = null, leased_until_ms = 0 where leased_until_ms > 0",
    "select version, checksum, case when success then 1 else 0 end as finished \
     from _sqlx_migrations order by version",
];

/// Files whose statements no request waits for.
const READ_BY_HAND: [&str; 3] = ["audit.rs", "audit", "server_settings.rs"];

/// What must use which index, by a part of the statement that no other has.
const INDEXES: [(&str, &str); 32] = [
    ("from bill_days where next_look_at_ms <= ?", "bill_days_by_due"),
    ("from bill_days where bill_day <", "bill_days_by_day"),
    ("from bill_days where bill_day >=", "bill_days_by_day"),
    ("from bill_differences where app_id = ?", "bill_differences_by_day"),
    ("from payments where paid_at_ms >= ? and paid_at_ms < ?", "payments_by_paid_at"),
    ("from payments where paid_at_ms >= ? and app_id", "payments_by_paid_at"),
    ("from refunds r cross join payments p", "refunds_by_end"),
    ("select order_id from pending_payments where lane", "pending_payments_by_lane"),
    ("update pending_payments set leased_by = ?", "pending_payments_by_order"),
    ("order_id from pending_payments where leased_by", "pending_payments_by_order"),
    ("update pending_payments set check_count", "pending_payments_by_order"),
    ("from pending_payments where order_id = ?", "pending_payments_by_order"),
    ("and not exists (select 1 from outbox earlier", "outbox_by_due"),
    ("select event_id, order_id from outbox", "outbox_by_due"),
    ("from order_history where at_ms >= ?", "order_history_by_age"),
    ("from alarms a where a.resolved_at_ms is null and a.opened_at_ms <= ?", "alarms_by_age"),
    ("from alarms a where a.resolved_at_ms is null and a.opened_at_ms >= ?", "alarms_by_age"),
    ("from alarms a where a.kind = ? order by", "alarms_by_kind"),
    ("from alarms a where a.subject = ?", "alarms_by_subject"),
    ("from alarms a join payments p", "alarms_by_subject"),
    ("from alarms a join payments p", "payments_by_order"),
    ("from orders where order_no = ?", "orders_by_order_no"),
    ("from payments where status in", "payments_by_status"),
    ("from pending_payments p join orders o", "pending_payments_by_due"),
    ("from sweep_runs where started_at_ms >= 0", "sweep_runs_by_age"),
    ("from payments where order_id = ?", "payments_by_order"),
    ("from refunds where next_try_at_ms <= ?", "refunds_by_due"),
    ("from refunds where next_try_at_ms is not null", "refunds_by_due"),
    ("from refunds where order_id = ?", "refunds_by_order"),
    ("from refunds where status in", "refunds_by_status"),
    ("max(updated_at_ms) from refunds", "refunds_by_status"),
    ("from refunds where request_no = ?", "refunds_by_request_no"),
];

/// The SQL in the string literals of a source file, as the compiler sees it.
fn statements(source: &str) -> Vec<String> {
    let source = expanded(source);
    let code: Vec<_> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut statements = Vec::new();
    for literal in code.split('"').skip(1).step_by(2) {
        let lines: Vec<_> = literal.split("\\\n").map(str::trim_start).collect();
        let statement = lines.concat();
        let first = statement.split_whitespace().next().unwrap_or_default();
        if matches!(first, "select" | "update" | "delete") {
            statements.push(statement);
        }
    }
    statements
}

fn all_statements() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let files = fs::read_dir(folder).expect("the store's source");
    // The audit reads whole tables, in the background; the server's settings are for people.
    let files = files.map(|file| file.expect("a file").path());
    let files = files.filter(|file| !READ_BY_HAND.iter().any(|name| file.ends_with(name)));
    files.flat_map(|file| statements(&fs::read_to_string(file).expect("readable"))).collect()
}

async fn plan(db: &Database, statement: &str) -> Vec<String> {
    let explain = format!("explain query plan {statement}");
    let rows: Vec<(i64, i64, i64, String)> = sqlx::query_as(AssertSqlSafe(explain))
        .fetch_all(&db.raw)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
    rows.into_iter().map(|(_, _, _, detail)| detail).collect()
}

fn is_of_mysql(statement: &str) -> bool {
    let words = ["unix_timestamp", "get_lock", "information_schema", "@@"];
    words.iter().any(|word| statement.contains(word))
}

#[test]
fn the_source_is_read_as_the_compiler_reads_it() {
    let source = "// \"select no\n\"select a, \\\n        b from t\"; \"x\"; \"delete from t\"";
    assert_eq!(statements(source), ["select a, b from t", "delete from t"]);
    let source = "macro_rules! select_x {\n($w:literal) => { \
        concat!(\"select \\\n  a from x \", $w) }\n}\n\
        const ONE: &str = select_x!(\n\"where a = ?\");";
    assert_eq!(statements(source), ["select a from x where a = ?"]);
    assert!(all_statements().len() > 40, "{}", all_statements().len());
}

#[tokio::test]
async fn no_statement_scans_a_table() {
    let db = Database::sqlite().await;
    let mut scanning = Vec::new();
    for statement in all_statements().into_iter().filter(|statement| !is_of_mysql(statement)) {
        let plan = plan(&db, &statement).await;
        if plan.iter().any(|step| step.starts_with("SCAN") && step != "SCAN CONSTANT ROW") {
            scanning.push((statement, plan));
        }
    }
    let mut known: Vec<_> = READS_ALL.into();
    scanning.sort();
    known.sort_unstable();
    let scanning_only: Vec<_> = scanning.iter().map(|(statement, _)| statement.as_str()).collect();
    assert_eq!(scanning_only, known, "{scanning:#?}");
}

#[tokio::test]
async fn what_is_asked_all_the_time_uses_the_index_made_for_it() {
    let db = Database::sqlite().await;
    let statements = all_statements();
    let mut otherwise = Vec::new();
    for (part, index) in INDEXES {
        let found: Vec<_> = statements.iter().filter(|text| text.contains(part)).collect();
        assert!(!found.is_empty(), "no statement contains {part}");
        for statement in found {
            let plan = plan(&db, statement).await;
            if !plan.iter().any(|step| step.contains(&format!("INDEX {index} "))) {
                otherwise.push((statement, index, plan));
            }
        }
    }
    assert!(otherwise.is_empty(), "{otherwise:#?}");
}
