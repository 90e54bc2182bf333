//! Whether the cause of an alarm is still there: an operator can't resolve what is not settled.

use super::{StoreError, WriteTx};
use crate::domain::alarm::AlarmKind;

/// Why an alarm can't be resolved by hand now; `None` if it can. Read in the transaction that
/// resolves it, after the alarm's row was changed: whatever brings the cause back waits for that.
///
/// # Errors
/// If the database fails.
pub async fn unsettled(
    tx: &mut WriteTx<'_>,
    kind: AlarmKind,
    subject: &str,
) -> Result<Option<&'static str>, StoreError> {
    let Some((sql, why)) = cause(kind) else { return Ok(None) };
    let found: i64 = sqlx::query_scalar(sql).bind(subject).fetch_one(tx.connection()).await?;
    Ok((found > 0).then_some(why))
}

const MONEY: &str = "select count(*) from payments where out_trade_no = ? and status in \
    ('late', 'duplicate', 'wrong_amount', 'orphan') and refunded_fen < paid_fen";
const UNFINISHED_REFUND: &str =
    "select count(*) from refunds where out_request_no = ? and ended_at_ms is null";
const REFUSED_REFUND: &str = "select count(*) from refunds join payments \
    on payments.out_trade_no = refunds.out_trade_no where refunds.out_request_no = ? \
    and refunds.status = 'refused' and payments.status <> 'applied' \
    and payments.refunded_fen < payments.paid_fen";
const WAITING_ORDER: &str =
    "select count(*) from orders where id = ? and status = 'awaiting_payment'";
const LIVE_ATTEMPT: &str =
    "select count(*) from payments where out_trade_no = ? and status in ('created', 'waiting')";
const UNPUBLISHED: &str = "select count(*) from outbox where event_id = ? and published = 0";

/// The query that counts what is unsettled, and what an operator is told then.
fn cause(kind: AlarmKind) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        AlarmKind::LatePayment
        | AlarmKind::DuplicatePayment
        | AlarmKind::WrongAmount
        | AlarmKind::OrphanPayment => (
            MONEY,
            "the payment's money is neither applied nor all back: accept, attach or refund it, \
             and the alarm ends by itself",
        ),
        AlarmKind::RefundOverdue => {
            (UNFINISHED_REFUND, "the refund is unfinished: its end resolves this alarm")
        }
        AlarmKind::RefundRefused => (
            REFUSED_REFUND,
            "the refund is refused, and no order keeps its money: retry it, or note how it was \
             paid elsewhere",
        ),
        AlarmKind::OrderOverdue
        | AlarmKind::CheckCountAtMaximum
        | AlarmKind::HalfMessageGivenUp => {
            (WAITING_ORDER, "the order still awaits its payment: its end resolves this alarm")
        }
        AlarmKind::AttemptOverdue => {
            (LIVE_ATTEMPT, "money can still come for the attempt: its end resolves this alarm")
        }
        AlarmKind::OutboxStuck => {
            (UNPUBLISHED, "the event is not published: that resolves this alarm")
        }
        _ => return None,
    })
}
