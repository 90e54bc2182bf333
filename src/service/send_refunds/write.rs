//! Writes what an exchange means for a refund: one transaction with the refund, the payment's sums,
//! the order with its history and event, and the alarms.

use chrono::{DateTime, Utc};
use serde_json::json;

use crate::app::App;
use crate::domain::alarm::{Alarm, AlarmKind};
use crate::domain::event::{OrderEvent, OrderEventKind};
use crate::domain::money::Fen;
use crate::domain::order::OrderStatus;
use crate::domain::payment::AccountRef;
use crate::domain::refund::{Refund, RefundStep, next_try};
use crate::store::held_order::HeldOrder;
use crate::store::history::Entry;
use crate::store::refund_steps::Undecided;
use crate::store::refunds::RefundRecord;
use crate::store::{
    StoreError, WriteTx, alarms, held_order, history, outbox, pending, refund_steps, refund_sums,
};

use super::super::open_refund::resolve_if_all_back;

/// Who stands in the history.
const ACTOR: &str = "refund_sender";

/// How a refund ends.
#[derive(Clone, Copy, Debug)]
pub(in crate::service) enum End<'a> {
    /// The money went back, through the gateway.
    Succeeded,
    /// The gateway refused it.
    Refused(&'a str),
}

/// Writes what an exchange by this account means. `waits`: the gateway can't do it now, for want of
/// money. `begun_at`: the pause before the next try counts from there, so that a gateway that hangs
/// is not asked less often.
pub(super) async fn write(
    app: &App,
    (record, account): (&RefundRecord, &AccountRef),
    step: &RefundStep,
    waits: bool,
    begun_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let next_try_at = next_try(record.refund.tries + 1, begun_at);
    let undecided = |answer, in_doubt| Undecided { answer, in_doubt, next_try_at };
    match step {
        RefundStep::Succeed => end(app, (record, account), End::Succeeded).await,
        RefundStep::Refuse(refusal) => {
            end(app, (record, account), End::Refused(&refusal.in_words())).await
        }
        RefundStep::AskAgain { answer, in_doubt } => {
            let detail = format!("the gateway says {answer}: refunds wait until it is topped up");
            let alarm = waits
                .then(|| Alarm::new(AlarmKind::BalanceTooLow, account.seller_id.as_str(), detail));
            again(app, &record.refund, &undecided(answer, *in_doubt), alarm).await
        }
        RefundStep::AccountBroken(words) => {
            let alarm =
                Alarm::new(AlarmKind::AccountBroken, account.app_id.as_str(), words.as_str());
            // Such an answer needn't be signed: it doesn't say that nothing was done.
            again(app, &record.refund, &undecided("account_broken", true), Some(alarm)).await
        }
        RefundStep::Contradiction(amount) => {
            let detail = format!(
                "under {} the gateway shows {amount} yuan, and {} were asked for",
                record.refund.out_request_no, record.refund.amount
            );
            let subject = record.refund.out_trade_no.as_str();
            let alarm = Alarm::new(AlarmKind::GatewayContradiction, subject, detail);
            again(app, &record.refund, &undecided("another amount", true), Some(alarm)).await
        }
    }
}

/// Nothing is decided: the same number again later.
async fn again(
    app: &App,
    refund: &Refund,
    undecided: &Undecided<'_>,
    alarm: Option<Alarm>,
) -> Result<(), StoreError> {
    let now = app.now();
    let mut tx = app.store.begin().await?;
    refund_steps::note_undecided(&mut tx, &refund.out_request_no, undecided, now).await?;
    if let Some(alarm) = alarm {
        alarms::raise(&mut tx, &alarm, &app.fresh_id(), now).await?;
    }
    tx.commit().await?;
    let answer = undecided.answer;
    tracing::info!(refund.out_request_no = %refund.out_request_no, answer, "refund undecided");
    Ok(())
}

/// Ends a refund, whoever is first.
async fn end(
    app: &App,
    (record, account): (&RefundRecord, &AccountRef),
    end: End<'_>,
) -> Result<(), StoreError> {
    let now = app.now();
    let refund = &record.refund;
    let mut tx = app.store.begin().await?;
    let held = held_order::hold_of(&mut tx, refund.order_id.as_ref(), now).await?;
    let ended = match end {
        End::Succeeded => refund_steps::succeed(&mut tx, &refund.out_request_no, now).await?,
        End::Refused(why) => {
            refund_steps::refuse(&mut tx, &refund.out_request_no, why, now).await?
        }
    };
    if !ended {
        return tx.rollback().await;
    }
    let went_back = matches!(end, End::Succeeded);
    refund_sums::conclude(&mut tx, &refund.out_trade_no, refund.amount, went_back, now).await?;
    if let Some(held) = &held {
        write_order(app, &mut tx, held, refund, &end, ACTOR, now).await?;
        if !went_back {
            // Somebody else's refund may be the reason, and would be seen on the trade.
            pending::look_again(&mut tx, &held.id, &refund.out_trade_no, now).await?;
        }
    }
    write_alarms(app, &mut tx, (refund, account), &end, now).await?;
    tx.commit().await?;
    tell(app, refund, &end);
    Ok(())
}

/// What the end of a refund makes of its order. Only the applied payment's refunds move the order.
pub(in crate::service) async fn write_order(
    app: &App,
    tx: &mut WriteTx<'_>,
    held: &HeldOrder,
    refund: &Refund,
    end: &End<'_>,
    actor: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let is_applied = held.applied.as_ref() == Some(&refund.out_trade_no);
    let went_back = matches!(end, End::Succeeded);
    let to = if is_applied {
        let gone_back = if went_back { refund.amount } else { Fen::ZERO };
        let to = next_status(tx, held, refund, gone_back).await?;
        held_order::move_to(tx, &held.id, to, gone_back).await?;
        to
    } else {
        held.status
    };
    let cause = match (end, is_applied) {
        (End::Succeeded, true) => "refunded",
        (End::Succeeded, false) => "payment_refunded",
        (End::Refused(_), _) => "refund_refused",
    };
    let detail = json!({
        "request_no": refund.request_no,
        "out_request_no": refund.out_request_no,
        "out_trade_no": refund.out_trade_no,
        "amount_fen": refund.amount,
        "items": refund.items,
        "because": match end { End::Refused(why) => Some(*why), End::Succeeded => None },
    });
    let mut entries = Vec::new();
    let mut from = held.status;
    if from == OrderStatus::Paid && to != from {
        // Nobody goes from paid to refunded but by refunding.
        let to = OrderStatus::Refunding;
        entries.push(Entry { cause: "refund_noticed", from: Some(from), to, detail: json!({}) });
        from = to;
    }
    entries.push(Entry { cause, from: Some(from), to, detail });
    history::append(tx, &held.id, held.version, actor, &entries, now).await?;
    if is_applied && went_back {
        let (kind, sequence) = (OrderEventKind::Refunded, held.version);
        let event = OrderEvent::new(kind, &app.deployment, &held.id, sequence, refund.amount, now);
        outbox::insert(tx, &event, now).await?;
    }
    Ok(())
}

/// Refunded when nothing is left, refunding as long as a refund is unfinished, else paid.
async fn next_status(
    tx: &mut WriteTx<'_>,
    held: &HeldOrder,
    refund: &Refund,
    gone_back: Fen,
) -> Result<OrderStatus, StoreError> {
    if held.refunded.checked_add(gone_back) == Some(held.amount) {
        return Ok(OrderStatus::Refunded);
    }
    let unfinished = refund_sums::set_aside(tx, &refund.out_trade_no).await?;
    Ok(if unfinished.is_zero() { OrderStatus::Paid } else { OrderStatus::Refunding })
}

async fn write_alarms(
    app: &App,
    tx: &mut WriteTx<'_>,
    (refund, account): (&Refund, &AccountRef),
    end: &End<'_>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let number = refund.out_request_no.as_str();
    alarms::resolve(tx, AlarmKind::RefundOverdue, number, ACTOR, now).await?;
    if let End::Refused(why) = end {
        let detail = format!("{} yuan of {}: {why}", refund.amount, refund.out_trade_no);
        let alarm = Alarm::new(AlarmKind::RefundRefused, number, detail);
        return alarms::raise(tx, &alarm, &app.fresh_id(), now).await;
    }
    alarms::resolve(tx, AlarmKind::BalanceTooLow, &account.seller_id, ACTOR, now).await?;
    resolve_if_all_back(tx, &refund.out_trade_no, ACTOR, now).await
}

fn tell(app: &App, refund: &Refund, end: &End<'_>) {
    let result = match end {
        End::Succeeded => "succeeded",
        End::Refused(_) => "refused",
    };
    app.metrics.refund(refund.cause.as_str(), result);
    app.outbox_bell.notify_one();
    if let Some(order_id) = &refund.order_id {
        app.changes.announce(order_id);
    }
    tracing::info!(
        refund.out_request_no = %refund.out_request_no,
        amount_fen = refund.amount.fen(),
        result,
        "refund ended"
    );
}
