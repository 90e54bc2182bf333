//! What an operator makes of a refund that the gateway refused: send it again under its own number,
//! or note that it was paid by other means.

use chrono::{DateTime, Utc};
use serde_json::json;
use thiserror::Error;

use crate::app::App;
use crate::domain::alarm::AlarmKind;
use crate::domain::ids::OutRequestNo;
use crate::domain::money::Fen;
use crate::domain::order::OrderStatus;
use crate::domain::refund::{Refund, RefundStatus};
use crate::store::held_order::HeldOrder;
use crate::store::history::Entry;
use crate::store::orders::Item;
use crate::store::refunds::RefundRecord;
use crate::store::{
    StoreError, WriteTx, alarms, held_order, history, orders, refund_steps, refund_sums, refunds,
};

use super::open_refund::resolve_if_all_back;
use super::request_refund::price_of_pieces;
use super::send_refunds::write::{End, write_order};

/// Why nothing was done with a refund.
#[derive(Debug, Error)]
pub enum RetryError {
    /// There is no such refund.
    #[error("there is no such refund")]
    NoSuchRefund,
    /// Nothing has to be decided about it.
    #[error("the refund is {}, only a refused one waits for an operator", .0.as_str())]
    NotRefused(RefundStatus),
    /// Other refunds have taken its money in the meantime.
    #[error("{} fen are left of the payment", .0.fen())]
    MoreThanLeft(Fen),
    /// Other refunds are about its pieces.
    #[error("fewer pieces are left than it is about")]
    PiecesGone,
    /// The database failed.
    #[error("it could not be stored")]
    Store(#[from] StoreError),
}

/// Has a refused refund sent again.
///
/// # Errors
/// If it isn't refused, its money is gone, or the database fails.
pub async fn retry_refund(app: &App, no: &OutRequestNo, by: &str) -> Result<(), RetryError> {
    let record = refused(app, no).await?;
    let now = app.now();
    let lines = lines(app, &record.refund).await?;
    let mut tx = app.store.begin().await?;
    let held = held_order::hold_of(&mut tx, record.refund.order_id.as_ref(), now).await?;
    check_pieces(&mut tx, &record.refund, &lines).await?;
    if !refund_steps::revive(&mut tx, &record.refund, now).await? {
        tx.rollback().await?;
        return Err(changed(app, no).await);
    }
    reserve(&mut tx, &record.refund).await?;
    if let Some(held) = &held {
        note_retry(&mut tx, held, &record.refund, by, now).await?;
    }
    alarms::resolve(&mut tx, AlarmKind::RefundRefused, no.as_str(), by, now).await?;
    tx.commit().await.map_err(RetryError::Store)?;
    app.refund_bell.notify_one();
    announce(app, &record.refund, "an operator has a refund sent again", by);
    Ok(())
}

/// Notes that a refused refund was paid by other means, under a reference.
///
/// # Errors
/// If it isn't refused, its money is gone, or the database fails.
pub async fn settle_refund_elsewhere(
    app: &App,
    no: &OutRequestNo,
    reference: &str,
    by: &str,
) -> Result<(), RetryError> {
    let record = refused(app, no).await?;
    let refund = &record.refund;
    let now = app.now();
    let lines = lines(app, refund).await?;
    let mut tx = app.store.begin().await?;
    let held = held_order::hold_of(&mut tx, refund.order_id.as_ref(), now).await?;
    check_pieces(&mut tx, refund, &lines).await?;
    if !refund_steps::settle_elsewhere(&mut tx, refund, reference, now).await? {
        tx.rollback().await?;
        return Err(changed(app, no).await);
    }
    reserve(&mut tx, refund).await?;
    refund_sums::conclude(&mut tx, &refund.out_trade_no, refund.amount, true, now).await?;
    if let Some(held) = &held {
        write_order(app, &mut tx, held, refund, &End::Succeeded, by, now).await?;
    }
    alarms::resolve(&mut tx, AlarmKind::RefundRefused, no.as_str(), by, now).await?;
    resolve_if_all_back(&mut tx, &refund.out_trade_no, by, now).await?;
    tx.commit().await.map_err(RetryError::Store)?;
    app.outbox_bell.notify_one();
    announce(app, refund, "an operator paid a refund by other means", by);
    Ok(())
}

async fn refused(app: &App, no: &OutRequestNo) -> Result<RefundRecord, RetryError> {
    let record = refunds::find(&app.store, no).await?.ok_or(RetryError::NoSuchRefund)?;
    match record.refund.status {
        RefundStatus::Refused => Ok(record),
        status => Err(RetryError::NotRefused(status)),
    }
}

/// Somebody was first: it isn't refused any more, or its payment was attached to an order.
async fn changed(app: &App, no: &OutRequestNo) -> RetryError {
    match refused(app, no).await {
        Ok(_) => StoreError::Busy("its payment was attached to an order just now".into()).into(),
        Err(error) => error,
    }
}

/// The order's lines, if the refund is about pieces of them.
async fn lines(app: &App, refund: &Refund) -> Result<Vec<Item>, StoreError> {
    match &refund.order_id {
        Some(order_id) if !refund.items.is_empty() => orders::items(&app.store, order_id).await,
        _ => Ok(Vec::new()),
    }
}

/// As long as it was refused, others could be asked for about the same pieces.
async fn check_pieces(
    tx: &mut WriteTx<'_>,
    refund: &Refund,
    lines: &[Item],
) -> Result<(), RetryError> {
    if refund.items.is_empty() {
        return Ok(());
    }
    let mut others = refunds::of_payment(tx, &refund.out_trade_no).await?;
    others.retain(|other| other.refund.out_request_no != refund.out_request_no);
    match price_of_pieces(&refund.items, lines, &others) {
        Ok(_) => Ok(()),
        Err(_) => Err(RetryError::PiecesGone),
    }
}

async fn reserve(tx: &mut WriteTx<'_>, refund: &Refund) -> Result<(), RetryError> {
    if refund_sums::reserve(tx, &refund.out_trade_no, refund.amount).await? {
        return Ok(());
    }
    let left = refund_sums::left(tx, &refund.out_trade_no).await?;
    Err(RetryError::MoreThanLeft(left.unwrap_or_default()))
}

async fn note_retry(
    tx: &mut WriteTx<'_>,
    held: &HeldOrder,
    refund: &Refund,
    by: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let is_applied = held.applied.as_ref() == Some(&refund.out_trade_no);
    let to = if is_applied { OrderStatus::Refunding } else { held.status };
    if is_applied {
        held_order::move_to(tx, &held.id, to, Fen::ZERO).await?;
    }
    let detail = json!({ "out_request_no": refund.out_request_no, "by": by });
    let entry = Entry { cause: "refund_retried", from: Some(held.status), to, detail };
    history::append(tx, &held.id, held.version, by, &[entry], now).await
}

fn announce(app: &App, refund: &Refund, what: &str, by: &str) {
    tracing::info!(
        refund.out_request_no = %refund.out_request_no,
        amount_fen = refund.amount.fen(),
        actor = by,
        "{what}"
    );
    if let Some(order_id) = &refund.order_id {
        app.changes.announce(order_id);
    }
}
