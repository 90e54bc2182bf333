//! `alipay.data.dataservice.bill.downloadurl.query`. Its codes have no prefix, and their
//! misspellings are official.

use chrono::{DateTime, Utc};

use super::Failure;
use super::node::Node;
use crate::bill::{self, Line, Period};
use crate::books::Books;
use crate::faults::{Hits, Kind};
use crate::fields::{FieldError, Fields};
use crate::money::Fen;
use crate::server::Shared;
use crate::trade::SubCode;

const WRONG_ARGUMENTS: SubCode = "INVAILID_ARGUMENTS";
const NO_BILL: SubCode = "BILL_NOT_EXIST";
/// The bill of what was paid and refunded; the only one that is kept here.
const TRADE: &str = "trade";

pub(super) fn url(
    shared: &Shared,
    books: &mut Books,
    now: DateTime<Utc>,
    fields: &Result<Fields, FieldError>,
    hits: &Hits,
) -> Result<Node, Failure> {
    let period = asked(fields).ok_or(WRONG_ARGUMENTS)?;
    if !period.is_over(now) {
        return Err(NO_BILL.into());
    }
    let mut lines = bill::lines(&books.all_trades(now), period);
    if lines.is_empty() {
        return Err(NO_BILL.into());
    }
    lines.retain_mut(|line| keep(shared, line));
    let extra_column = hits.has(Kind::BillExtraColumn);
    let mut archive = bill::archive(&shared.seller_id, period, &lines, now, extra_column);
    if hits.has(Kind::BillTruncated) {
        archive.truncate(archive.len() / 2);
    }
    let token = books.new_token();
    let address = shared.bill_address(&token);
    shared.bills.issue(token, archive, now);
    Ok(Node::success().with("bill_download_url", address))
}

fn asked(fields: &Result<Fields, FieldError>) -> Option<Period> {
    let fields = fields.as_ref().ok()?;
    let bill_type = fields.required_text("bill_type", 20).ok()?;
    let date = fields.required_text("bill_date", 15).ok()?;
    (bill_type == TRADE).then(|| Period::parse(&date)).flatten()
}

/// Whether faults leave a line in the bill; one of them changes its amount.
fn keep(shared: &Shared, line: &mut Line) -> bool {
    let hits = shared.faults.draw_bill_line(&line.out_trade_no);
    if hits.has(Kind::BillWrongAmount) {
        line.amount = line.amount.plus(Fen::ONE);
    }
    !hits.has(Kind::BillLineMissing)
}
