//! What the merchant is told, and until when.

mod message;
mod worker;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::books::Books;
use crate::clock::wire_time;
use crate::faults::Kind;
use crate::trade::{Payment, Refund, State, Trade};

pub(crate) use worker::run;

/// The pauses between deliveries that aren't acknowledged: 8 deliveries in 24 h 24 min.
const RETRY_MINUTES: [i64; 7] = [4, 10, 10, 60, 120, 360, 900];
/// How long the merchant may take to answer, in real time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How many notifications are on their way at once.
const MOST_AT_ONCE: usize = 16;
/// How much of an answer is kept.
const MOST_ANSWER_BYTES: usize = 1024;

/// The buyer, who is always the same person.
pub(crate) const BUYER_ID: &str = "2088102000000001";
pub(crate) const BUYER_LOGON_ID: &str = "138****0001";

/// One event to tell the merchant of, until it answers `success` or the last retry is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Notification {
    pub(crate) notify_id: String,
    pub(crate) out_trade_no: String,
    pub(crate) url: String,
    /// What the event fixed; time of sending and signature are added to each delivery.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) created_at: DateTime<Utc>,
    /// When to send it next, `None` if it is over.
    pub(crate) due_at: Option<DateTime<Utc>>,
    /// How many deliveries of the schedule have failed.
    pub(crate) failures: usize,
    /// The fault that has put the next delivery off, which happens only once.
    pub(crate) put_off: Option<Kind>,
    pub(crate) attempts: Vec<Attempt>,
}

/// One delivery, whether or not it reached anyone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) at: DateTime<Utc>,
    /// The body of the answer.
    pub(crate) answered: Option<String>,
    /// Why the delivery doesn't count, if it doesn't.
    pub(crate) problem: Option<String>,
}

impl Notification {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(known, _)| known == name);
        field.map(|(_, value)| value.as_str())
    }

    /// Whether the merchant has answered `success`.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.problem.is_none())
    }

    /// Notes how a delivery went and plans the next one.
    fn record(&mut self, attempts: Vec<Attempt>) {
        let Some(first) = attempts.first() else { return };
        let pause = RETRY_MINUTES.get(self.failures).copied().map(TimeDelta::minutes);
        let acknowledged = attempts.iter().any(|attempt| attempt.problem.is_none());
        self.due_at = pause.filter(|_| !acknowledged).map(|pause| first.at + pause);
        self.failures += usize::from(!acknowledged);
        self.put_off = None;
        self.attempts.extend(attempts);
    }
}

/// The buyer has paid.
pub(crate) fn paid(books: &mut Books, trade: &Trade, now: DateTime<Utc>) {
    let url = trade.notify_url.clone();
    tell(books, trade, url, "payByAccountAction", Vec::new(), now);
}

/// The buyer has done by itself what it was going to do: a payment is told like any other.
pub(crate) fn confirmed(books: &mut Books, trade: &Trade, now: DateTime<Utc>) {
    match trade.progress.payment {
        Some(_) => paid(books, trade, now),
        None => ended_by_time(books, trade, now),
    }
}

/// The buyer has scanned: told only under a rule.
pub(crate) fn scanned(books: &mut Books, trade: &Trade, now: DateTime<Utc>) {
    if books.rules().notify_scan {
        tell(books, trade, trade.notify_url.clone(), "", Vec::new(), now);
    }
}

/// Time, or the buyer, has closed or finished a trade: told only under rules.
pub(crate) fn ended_by_time(books: &mut Books, trade: &Trade, now: DateTime<Utc>) {
    let rules = books.rules();
    let (is_told, action) = match trade.progress.state {
        State::TradeClosed => (rules.notify_timeout, "closeTradeAction"),
        State::TradeFinished => (rules.notify_finished, "finishFPAction"),
        State::NotScanned | State::WaitBuyerPay | State::TradeSuccess => (false, ""),
    };
    if is_told {
        tell(books, trade, trade.notify_url.clone(), action, Vec::new(), now);
    }
}

/// The merchant has closed an unpaid trade, and may have named a URL for this.
pub(crate) fn closed(books: &mut Books, trade: &Trade, url: Option<String>, now: DateTime<Utc>) {
    if !books.rules().notify_close {
        return;
    }
    let url = url.or_else(|| trade.notify_url.clone());
    tell(books, trade, url, "closeTradeAction", Vec::new(), now);
}

/// Money went back. The notification looks like the one of the payment, with marks of the refund.
pub(crate) fn refunded(books: &mut Books, trade: &Trade, refund: &Refund, now: DateTime<Utc>) {
    if trade.progress.state == State::TradeClosed && !books.rules().notify_full_refund {
        return;
    }
    let marks = vec![
        ("out_biz_no", refund.out_request_no.clone()),
        ("refund_fee", trade.progress.refunded().to_string()),
        (
            "gmt_refund",
            format!("{}.{:03}", wire_time(refund.at), refund.at.timestamp_subsec_millis()),
        ),
    ];
    tell(books, trade, trade.notify_url.clone(), "refundFPAction", marks, now);
}

fn tell(
    books: &mut Books,
    trade: &Trade,
    url: Option<String>,
    action: &str,
    marks: Vec<(&str, String)>,
    now: DateTime<Utc>,
) {
    let Some(url) = url else { return };
    let notify_id = books.new_notify_id(now);
    let mut fields = fields_of(trade);
    fields.push(("notify_action_type", action.to_owned()));
    fields.extend(marks);
    let filled = fields.into_iter().filter(|(_, value)| !value.is_empty());
    books.save_notification(Notification {
        notify_id,
        out_trade_no: trade.out_trade_no.clone(),
        url,
        fields: filled.map(|(name, value)| (name.to_owned(), value)).collect(),
        created_at: now,
        due_at: Some(now),
        failures: 0,
        put_off: None,
        attempts: Vec::new(),
    });
}

fn fields_of(trade: &Trade) -> Vec<(&'static str, String)> {
    let progress = &trade.progress;
    let asked = |name| trade.content.get(name).and_then(serde_json::Value::as_str);
    let asked = |name| asked(name).unwrap_or_default().to_owned();
    let time = |at: Option<DateTime<Utc>>| at.map(wire_time).unwrap_or_default();
    let mut fields = vec![
        ("trade_no", progress.trade_no.clone().unwrap_or_default()),
        ("out_trade_no", trade.out_trade_no.clone()),
        ("buyer_id", BUYER_ID.to_owned()),
        ("buyer_logon_id", BUYER_LOGON_ID.to_owned()),
        ("trade_status", progress.state.name().to_owned()),
        ("total_amount", trade.total().to_string()),
        ("subject", trade.subject.clone()),
        ("body", asked("body")),
        ("passback_params", asked("passback_params")),
        ("gmt_create", time(progress.scanned_at)),
        ("gmt_close", time(progress.closed_at)),
    ];
    if let Some(Payment { amount, at }) = &progress.payment {
        let bill = format!(r#"[{{"amount":"{amount}","fundChannel":"ALIPAYACCOUNT"}}]"#);
        fields.extend([
            ("receipt_amount", amount.to_string()),
            ("invoice_amount", amount.to_string()),
            ("buyer_pay_amount", amount.to_string()),
            ("point_amount", "0.00".to_owned()),
            ("gmt_payment", wire_time(*at)),
            ("fund_bill_list", bill),
        ]);
    }
    fields
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::{Attempt, Notification};

    #[test]
    fn eight_deliveries_take_a_day_and_24_minutes() {
        let start = DateTime::UNIX_EPOCH;
        let mut notification = Notification {
            notify_id: "N1".to_owned(),
            out_trade_no: "T1".to_owned(),
            url: "http://127.0.0.1:9/n".to_owned(),
            fields: Vec::new(),
            created_at: start,
            due_at: Some(start),
            failures: 0,
            put_off: None,
            attempts: Vec::new(),
        };
        while let Some(at) = notification.due_at {
            let problem = Some("no answer".to_owned());
            notification.record(vec![Attempt { at, answered: None, problem }]);
        }
        let last = notification.attempts.last().unwrap().at;
        assert_eq!(notification.attempts.len(), 8);
        assert_eq!(last - start, TimeDelta::hours(24) + TimeDelta::minutes(24));
    }
}
