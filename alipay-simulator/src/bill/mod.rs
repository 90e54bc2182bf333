//! Bills: what came and went on a day or in a month, as an archive with two tables, to be fetched
//! once its address was asked for.

mod archive;
mod sheet;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Months, NaiveDate, TimeDelta, Utc};

use crate::clock::china;
use crate::money::Fen;
use crate::server::Shared;
use crate::trade::Trade;

/// How long the address of a bill is good for.
const ADDRESS_LIFE: TimeDelta = TimeDelta::seconds(30);

/// The days of China that a bill is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) from: NaiveDate,
    /// The first day that it isn't about.
    pub(crate) until: NaiveDate,
}

impl Period {
    /// Reads `yyyy-MM-dd`, or `yyyy-MM` for a month.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let day = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
        match text.len() {
            10 => day(text).and_then(|from| Some(Self { from, until: from.succ_opt()? })),
            7 => day(&format!("{text}-01")).and_then(|from| {
                Some(Self { from, until: from.checked_add_months(Months::new(1))? })
            }),
            _ => None,
        }
    }

    /// Whether it is over, so that there can be a bill.
    pub(crate) fn is_over(self, now: DateTime<Utc>) -> bool {
        self.until <= now.with_timezone(&china()).date_naive()
    }

    fn contains(self, at: DateTime<Utc>) -> bool {
        let day = at.with_timezone(&china()).date_naive();
        self.from <= day && day < self.until
    }
}

/// Whether money came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Movement {
    Payment,
    Refund { out_request_no: String },
}

/// One line of a bill.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) movement: Movement,
    pub(crate) trade_no: String,
    pub(crate) out_trade_no: String,
    pub(crate) subject: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) at: DateTime<Utc>,
    pub(crate) amount: Fen,
}

/// What came and went in a period, oldest first.
pub(crate) fn lines(trades: &[Trade], period: Period) -> Vec<Line> {
    let mut lines: Vec<_> = trades.iter().flat_map(lines_of).collect();
    lines.retain(|line| period.contains(line.at));
    lines.sort_by(|a, b| (a.at, &a.out_trade_no).cmp(&(b.at, &b.out_trade_no)));
    lines
}

fn lines_of(trade: &Trade) -> Vec<Line> {
    let line = |movement, at, amount| Line {
        movement,
        trade_no: trade.progress.trade_no.clone().unwrap_or_default(),
        out_trade_no: trade.out_trade_no.clone(),
        subject: trade.subject.clone(),
        created_at: trade.created_at,
        at,
        amount,
    };
    let paid = trade.progress.payment.iter();
    let paid = paid.map(|payment| line(Movement::Payment, payment.at, payment.amount));
    let refunded = trade.progress.refunds.iter().map(|refund| {
        let out_request_no = refund.out_request_no.clone();
        line(Movement::Refund { out_request_no }, refund.at, refund.amount)
    });
    paid.chain(refunded).collect()
}

/// A bill as a file.
pub(crate) fn archive(
    seller_id: &str,
    period: Period,
    lines: &[Line],
    now: DateTime<Utc>,
    extra_column: bool,
) -> Vec<u8> {
    let name = format!("{seller_id}0156_{}", period.from.format("%Y%m%d"));
    let head = sheet::Head { seller_id, period, now };
    let detail = sheet::detail(&head, lines, extra_column);
    let summary = sheet::summary(&head, lines);
    archive::zip(&[
        (format!("{name}_业务明细.csv"), detail),
        (format!("{name}_业务明细(汇总).csv"), summary),
    ])
}

#[derive(Debug)]
struct Issued {
    expires_at: DateTime<Utc>,
    archive: Vec<u8>,
}

/// The bills whose addresses are still good. They end with the process, as with time.
#[derive(Debug, Default)]
pub(crate) struct Bills(Mutex<HashMap<String, Issued>>);

impl Bills {
    pub(crate) fn issue(&self, token: String, archive: Vec<u8>, now: DateTime<Utc>) {
        let mut issued = self.lock();
        issued.retain(|_, bill| now < bill.expires_at);
        issued.insert(token, Issued { expires_at: now + ADDRESS_LIFE, archive });
    }

    fn fetch(&self, token: &str, now: DateTime<Utc>) -> Option<Vec<u8>> {
        let issued = self.lock();
        issued.get(token).filter(|bill| now < bill.expires_at).map(|bill| bill.archive.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Issued>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `GET /bill/{token}.zip`.
pub(crate) async fn download(
    State(shared): State<Arc<Shared>>,
    Path(file): Path<String>,
) -> Response {
    let token = file.strip_suffix(".zip").unwrap_or_default();
    match shared.bills.fetch(token, shared.store.now()) {
        Some(archive) => ([(CONTENT_TYPE, "application/zip")], archive).into_response(),
        None => {
            (StatusCode::FORBIDDEN, "the address of the bill is wrong or expired").into_response()
        }
    }
}
