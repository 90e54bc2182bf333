//! Sends what is due in the table of refunds, under leases: asks the gateway, looks under the
//! refund's number where the answer alone decides nothing, and writes what that means. Any step can
//! be the last one before a crash: the number stays the same, and the row stays due.

use chrono::{DateTime, Duration, Utc};
use futures_util::stream::{self, StreamExt};

use crate::app::App;
use crate::domain::decision::account_alarm;
use crate::domain::gateway::UnknownReason;
use crate::domain::ids::OutRequestNo;
use crate::domain::priority::Priority;
use crate::domain::refund::{
    RefundFound, RefundOrder, RefundOutcome, RefundStatus, judge, next_try,
};
use crate::store::payments::PaymentRecord;
use crate::store::pending::Lease;
use crate::store::refunds::RefundRecord;
use crate::store::{StoreError, payments, refund_steps, refund_sums, refunds};

use super::raise_alarm::{raise_alarm_or_log, raise_if_corrupt};

pub(super) mod write;

/// Refunds that one process leases and sends at a time.
pub const CONCURRENT: usize = 16;
/// A refund whose worker died is free again after this: a little longer than an exchange takes.
const LEASE: Duration = Duration::seconds(45);
/// An exchange that takes longer is given up and comes again: two gateway calls of 5 s.
const SEND_BUDGET: std::time::Duration = std::time::Duration::from_secs(25);
/// Claiming a batch takes no longer.
const CLAIM_BUDGET: std::time::Duration = std::time::Duration::from_secs(10);
/// Pause before a refund that another one of its trade stands in the way of is looked at again, at
/// least.
const TURN_PAUSE_MIN: Duration = Duration::milliseconds(200);

/// How often an answer is written, with a database that is busy.
const WRITES_MAX: u32 = 5;
/// Pause before the first repetition; it grows with each.
const BUSY_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Leases as many of the refunds that are due at this time as there is room for, and returns their
/// numbers.
///
/// # Errors
/// If the database fails, or is not done in time.
pub async fn claim_due_refunds(
    app: &App,
    room: usize,
    due_by: DateTime<Utc>,
) -> Result<Vec<OutRequestNo>, StoreError> {
    let now = app.now();
    let rows_max = i64::try_from(room).unwrap_or(i64::MAX);
    let lease = Lease { token: app.fresh_id(), until: now + LEASE, due_by, rows_max };
    let claiming = refund_steps::claim_due(&app.store, &lease, now);
    tokio::time::timeout(CLAIM_BUDGET, claiming)
        .await
        .map_err(|_| StoreError::Busy("no batch could be claimed in time".into()))?
}

/// Sends a refund that was claimed; a failure is logged, and it comes again.
pub async fn send_claimed_refund(app: &App, no: &OutRequestNo) {
    let sending = tokio::time::timeout(SEND_BUDGET, send_refund(app, no));
    let late = |_| Err(StoreError::Busy("it took too long".into()));
    if let Err(error) = sending.await.unwrap_or_else(late) {
        tracing::warn!(refund.out_request_no = %no, %error, "not sent, later again");
        raise_if_corrupt(app, &error).await;
        look_again_later(app, no).await;
    }
}

/// Sends one batch of the refunds that are due at this time; how many it looked at.
///
/// # Errors
/// If no batch can be claimed; a failure of a single refund is logged, and it comes again.
pub async fn send_due_refunds(app: &App, due_by: DateTime<Utc>) -> Result<usize, StoreError> {
    let claimed = claim_due_refunds(app, CONCURRENT, due_by).await?;
    let looked_at = claimed.len();
    stream::iter(claimed)
        .for_each_concurrent(CONCURRENT, |no| async move { send_claimed_refund(app, &no).await })
        .await;
    Ok(looked_at)
}

/// One exchange about one refund.
async fn send_refund(app: &App, no: &OutRequestNo) -> Result<(), StoreError> {
    let Some(record) = refunds::find(&app.store, no).await? else { return Ok(()) };
    if record.refund.status.is_ended() {
        return Ok(());
    }
    let out_trade_no = &record.refund.out_trade_no;
    let Some(payment) = payments::find(&app.store, out_trade_no).await? else {
        return Err(StoreError::corrupt("refunds", "out_trade_no", no.as_str()));
    };
    let spacing = app.config.refund.spacing;
    let turn = (out_trade_no, no, record.refund.tries > 0);
    if !refund_sums::take_turn(&app.store, turn, spacing, app.now()).await? {
        let pause = crate::app::to_chrono(spacing).max(TURN_PAUSE_MIN);
        return refund_steps::put_off(&app.store, no, app.now() + pause).await;
    }
    let begun_at = app.now();
    if !refund_steps::mark_sending(&app.store, no, begun_at).await? {
        return Ok(());
    }
    let record = with_doubt(record, begun_at);
    let (sent, found) = exchange(app, &record, &payment, begun_at).await;
    let step = judge(&record.refund, &sent, found.as_ref(), app.now());
    let waits = matches!(sent, RefundOutcome::NotNow(_));
    let account = &payment.attempt.account;
    let mut tries = 0;
    loop {
        tries += 1;
        match write::write(app, (&record, account), &step, waits, begun_at).await {
            // Whether a commit whose answer got lost took place is read: an end happens once.
            Err(error) if error.may_be_repeated() && tries < WRITES_MAX => {
                tracing::debug!(refund.out_request_no = %no, %error, "writing again");
                tokio::time::sleep(BUSY_PAUSE * tries).await;
            }
            written => return written,
        }
    }
}

/// What could not be written comes again after the pause of its tries, not only when its lease is
/// over.
async fn look_again_later(app: &App, no: &OutRequestNo) {
    let put_off = async {
        let tries = refunds::find(&app.store, no).await?.map_or(1, |known| known.refund.tries);
        let at = next_try(tries + 1, app.now());
        refund_steps::put_off(&app.store, no, at).await
    };
    if let Err(error) = put_off.await {
        tracing::warn!(refund.out_request_no = %no, %error, "its lease has to end first");
    }
}

/// An exchange that left no answer was cut off by a crash or a time limit: the gateway may have
/// taken it.
fn with_doubt(mut record: RefundRecord, now: DateTime<Utc>) -> RefundRecord {
    if record.refund.status == RefundStatus::Sending && record.last_answer.is_none() {
        record.refund.doubt_since = Some(now);
    }
    record
}

/// Asks for the refund; unless that moved the money, or was certainly not done, looks under its
/// number.
async fn exchange(
    app: &App,
    record: &RefundRecord,
    payment: &PaymentRecord,
    now: DateTime<Utc>,
) -> (RefundOutcome, Option<RefundFound>) {
    let refund = &record.refund;
    let (trade, number) = (refund.out_trade_no.as_str(), refund.out_request_no.as_str());
    let Some(gateway) = app.gateway_of(&payment.attempt.account) else {
        let reason = UnknownReason::NotAsked;
        if let Some(alarm) = account_alarm(&payment.attempt, &reason) {
            raise_alarm_or_log(app, &alarm).await;
        }
        return (RefundOutcome::Unknown(reason), None);
    };
    let order = RefundOrder {
        out_trade_no: trade,
        out_request_no: number,
        amount: refund.amount,
        reason: &refund.reason,
    };
    let gateway = gateway.at(Priority::Waited);
    let sent = gateway.refund(&order, now).await;
    match sent {
        RefundOutcome::Moved | RefundOutcome::AccountBroken(_) => (sent, None),
        RefundOutcome::Accepted
        | RefundOutcome::NotNow(_)
        | RefundOutcome::Refused(_)
        | RefundOutcome::Unknown(_) => {
            let found = gateway.refund_query(trade, number, app.now()).await;
            (sent, Some(found))
        }
    }
}
