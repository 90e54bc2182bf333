//! The same money from the gateway's side: what the simulator's books say at the end of a test is
//! what the service has recorded, or what it still asks about.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::{AnyPool, AssertSqlSafe};

use super::{TestApp, json_of, text};

/// Stands before every number of the service's; other trades are somebody else's.
const OUR_PREFIX: &str = "CB";

/// What the service knows of a trade.
#[derive(Debug, Default)]
struct Payment {
    status: String,
    paid_fen: Option<i64>,
    refunded_fen: i64,
    /// It will be asked about: its own row, or its order's, is pending.
    pending: bool,
}

/// A refund of the service's.
#[derive(Debug)]
struct Refund {
    trade: String,
    amount_fen: i64,
    status: String,
    how: String,
}

/// Everything that the service has recorded.
struct Records {
    payments: BTreeMap<String, Payment>,
    refunds: BTreeMap<String, Refund>,
}

impl Records {
    /// What operators gave back by other means: the gateway never heard of it.
    fn paid_by_hand(&self, trade: &str) -> i64 {
        let of_it = self.refunds.values().filter(|refund| refund.trade == trade);
        of_it.filter(|refund| refund.how == "by hand").map(|refund| refund.amount_fen).sum()
    }
}

impl TestApp {
    /// The gateway's books don't know the payment of this number: only notifications that the test
    /// has signed itself told of it.
    pub(crate) fn only_notified(&self, out_trade_no: &str) {
        let mut told = self.only_notified.lock().expect("no panic");
        told.push(out_trade_no.to_owned());
    }

    /// Where the gateway's books and the service's records disagree.
    pub(crate) async fn disagreements(&self) -> Vec<String> {
        let url = format!("{}/_ctl/trades", self.simulator);
        let trades = json_of(self.client.get(url).send().await.expect("an answer")).await;
        let trades = trades.as_array().expect("a list");
        let records = self.records().await;
        let mut found = Vec::new();
        for trade in trades {
            compare_trade(trade, &records, &mut found);
        }
        let at_gateway = |number: &str| {
            let same = |trade: &&Value| trade["out_trade_no"] == number;
            trades.iter().find(same)
        };
        let told = self.only_notified.lock().expect("no panic").clone();
        for (number, payment) in &records.payments {
            let marked = told.contains(number);
            match (payment.paid_fen, at_gateway(number).and_then(paid_fen)) {
                (Some(_), None) if !marked => {
                    found.push(format!("{number} is recorded as paid, and not at the gateway"));
                }
                (_, Some(_)) if marked => {
                    found.push(format!("{number} is marked, but paid at the gateway"));
                }
                _ => {}
            }
        }
        for (number, refund) in &records.refunds {
            let moved = refund.status == "succeeded" && refund.how == "sent";
            if !moved || told.contains(&refund.trade) {
                continue;
            }
            let there = at_gateway(&refund.trade).map(|trade| refunds_of(trade, number));
            if there != Some(vec![refund.amount_fen]) {
                found.push(format!("{number} succeeded here, at the gateway there is {there:?}"));
            }
        }
        found
    }

    async fn records(&self) -> Records {
        let url = self.app().config.database.url.expose().to_owned();
        let database = AnyPool::connect(&url).await.expect("the database");
        let payments: Vec<(String, String, Option<i64>, i64, i64)> = rows(
            &database,
            "select out_trade_no, status, paid_fen, refunded_fen, (select count(*) \
             from pending_payments where subject = payments.out_trade_no \
             or (subject = payments.order_id)) from payments",
        )
        .await;
        let refunds: Vec<(String, String, i64, String, String)> = rows(
            &database,
            "select out_request_no, out_trade_no, amount_fen, status, case when \
             paid_elsewhere is not null then 'by hand' when cause = 'elsewhere' then 'noticed' \
             else 'sent' end from refunds",
        )
        .await;
        database.close().await;
        let payments = payments.into_iter().map(|(number, status, paid, refunded_fen, pending)| {
            (number, Payment { status, paid_fen: paid, refunded_fen, pending: pending > 0 })
        });
        let refunds = refunds.into_iter().map(|(number, trade, amount_fen, status, how)| {
            (number, Refund { trade, amount_fen, status, how })
        });
        Records { payments: payments.collect(), refunds: refunds.collect() }
    }
}

async fn rows<T>(database: &AnyPool, sql: &str) -> Vec<T>
where
    T: for<'r> sqlx::FromRow<'r, sqlx::any::AnyRow> + Send + Unpin,
{
    let read = sqlx::query_as(AssertSqlSafe(sql.to_owned())).fetch_all(database).await;
    read.expect("rows")
}

/// A paid trade is a recorded payment, or will be asked about; each of its refunds is one of ours
/// that is not refused, or recorded as somebody else's.
fn compare_trade(trade: &Value, records: &Records, found: &mut Vec<String>) {
    let number = text(trade, "out_trade_no");
    let Some(paid) = paid_fen(trade).filter(|_| number.starts_with(OUR_PREFIX)) else { return };
    let nothing = Payment::default();
    let payment = records.payments.get(&number).unwrap_or(&nothing);
    if payment.paid_fen.is_none() && payment.pending {
        return;
    }
    if payment.paid_fen != Some(paid) {
        let (status, recorded) = (&payment.status, payment.paid_fen);
        found.push(format!("{number}: {paid} fen at the gateway, {recorded:?} here ({status})"));
        return;
    }
    let (mut ours, mut foreign) = (0, 0);
    for refund in trade["refunds"].as_array().expect("a list") {
        let amount = fen(&text(refund, "amount"));
        let request = text(refund, "out_request_no");
        match records.refunds.get(&request) {
            Some(known) if known.trade == number && known.amount_fen == amount => {
                ours += i64::from(known.status == "succeeded") * amount;
                if known.status == "refused" {
                    found.push(format!("{request} is refused here, and moved {amount} fen"));
                }
            }
            Some(known) => found.push(format!("{request} moved {amount} fen, not {known:?}")),
            None => foreign += amount,
        }
    }
    let recorded = payment.refunded_fen - ours - records.paid_by_hand(&number);
    if foreign != recorded && !payment.pending {
        found.push(format!("{number}: others gave {foreign} fen back, {recorded} are recorded"));
    }
}

/// What a trade brought; `None`: it was never paid.
fn paid_fen(trade: &Value) -> Option<i64> {
    trade["paid_at"].as_str().map(|_| fen(&text(trade, "total_amount")))
}

fn refunds_of(trade: &Value, number: &str) -> Vec<i64> {
    let refunds = trade["refunds"].as_array().expect("a list").iter();
    let same = refunds.filter(|refund| refund["out_request_no"] == number);
    same.map(|refund| fen(&text(refund, "amount"))).collect()
}

fn fen(yuan: &str) -> i64 {
    let (whole, part) = yuan.split_once('.').unwrap_or((yuan, "00"));
    let number = |digits: &str| digits.parse::<i64>().expect("digits");
    number(whole) * 100 + number(&format!("{part:0<2}"))
}
