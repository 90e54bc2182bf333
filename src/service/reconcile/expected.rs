//! What is recorded on a day must stand on its bill.

use chrono::{DateTime, Duration, Utc};

use crate::app::App;
use crate::domain::reconciliation::DifferenceKind;
use crate::store::bill_days::DayKey;
use crate::store::bill_differences::Difference;
use crate::store::billed::{self, Expected, Page};
use crate::store::{Store, StoreError};

use super::compare::{Billed, Compared};
use super::{OnProgress, Progress};

/// Rows that one statement reads.
const PAGE_ROWS: i64 = 1_000;
/// By so much the gateway's clock may differ from ours: a refund is dated by ours.
const CLOCK_TOLERANCE: Duration = Duration::seconds(10);

/// Whether any money is recorded that a bill must tell of.
pub(super) async fn anything_expected(app: &App, key: &DayKey) -> Result<bool, StoreError> {
    let (payments, refunds) = spans(key);
    let of_payments = page(key, payments, 1);
    let of_refunds = page(key, refunds, 1);
    Ok(!billed::payments(&app.store, &of_payments).await?.is_empty()
        || !billed::refunds(&app.store, &of_refunds).await?.is_empty())
}

/// Looks on the bill for everything that is recorded on its day.
pub(super) async fn look_for(
    app: &App,
    key: &DayKey,
    billed: &Billed<'_>,
    compared: &mut Compared,
    progress: OnProgress<'_>,
) -> Result<(), StoreError> {
    let (payments, refunds) = spans(key);
    let mut looked_for = 0;
    for (span, kind) in [(payments, Kind::Payments), (refunds, Kind::Refunds)] {
        let mut page = page(key, span, PAGE_ROWS);
        loop {
            let rows = kind.read(&app.store, &page).await?;
            let Some(last) = rows.last() else { break };
            page.from = last.at;
            kind.number(last).clone_into(&mut page.after);
            looked_for += rows.len();
            for row in rows.iter().filter(|row| !billed.has(&row.out_trade_no, &row.out_request_no))
            {
                compared.add(kind.not_billed(row));
            }
            progress(Progress::LookedFor(looked_for));
        }
    }
    Ok(())
}

type Span = (DateTime<Utc>, DateTime<Utc>);

/// The times of payments, by the gateway's clock, and of refunds, by ours.
fn spans(key: &DayKey) -> (Span, Span) {
    let (begins_at, ends_at) = (key.day.begins_at(), key.day.ends_at());
    ((begins_at, ends_at), (begins_at + CLOCK_TOLERANCE, ends_at - CLOCK_TOLERANCE))
}

fn page(key: &DayKey, (begins_at, until): Span, rows_max: i64) -> Page<'_> {
    Page {
        app_id: &key.app_id,
        seller_id: &key.seller_id,
        begins_at,
        from: begins_at,
        until,
        after: String::new(),
        rows_max,
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Payments,
    Refunds,
}

impl Kind {
    async fn read(self, store: &Store, page: &Page<'_>) -> Result<Vec<Expected>, StoreError> {
        match self {
            Self::Payments => billed::payments(store, page).await,
            Self::Refunds => billed::refunds(store, page).await,
        }
    }

    fn number(self, row: &Expected) -> &str {
        match self {
            Self::Payments => &row.out_trade_no,
            Self::Refunds => &row.out_request_no,
        }
    }

    fn not_billed(self, row: &Expected) -> Difference {
        let amount = row.amount_fen;
        let what = match self {
            Self::Payments => "paid",
            Self::Refunds => "given back",
        };
        Difference {
            kind: DifferenceKind::NotBilled,
            out_trade_no: row.out_trade_no.clone(),
            out_request_no: row.out_request_no.clone(),
            detail: format!("{amount} fen are recorded as {what}, and not on the bill"),
        }
    }
}
