//! The one safe repair of a line, if it has one. Each is a use case that asks the gateway again: a
//! bill alone moves no money and ends no order.

use crate::app::App;
use crate::domain::alarm::{Alarm, AlarmKind};
use crate::domain::bill::BillLine;
use crate::domain::gateway::{Answer, PaidTrade};
use crate::domain::ids::OutTradeNo;
use crate::domain::payment::AccountRef;
use crate::domain::reconciliation::Verdict;
use crate::domain::trigger::Trigger;
use crate::store::{StoreError, alarms, payments, refund_steps};

use super::super::note_return::note_return;
use super::super::orphan::orphan;
use super::super::raise_alarm::raise_alarm;
use super::super::send_refunds::send_due_refunds;
use super::super::settle::{Request, settle};

/// Does what a line needs. `false`: it has no repair.
pub(super) async fn repair(
    app: &App,
    account: &AccountRef,
    line: &BillLine,
    verdict: &Verdict,
) -> Result<bool, StoreError> {
    let number = OutTradeNo::from_trusted(line.out_trade_no.as_str());
    match verdict {
        Verdict::Fits | Verdict::Differs(..) => return Ok(false),
        Verdict::Settle(order_id) => {
            let request =
                Request { named: Some(&number), ..Request::by(Trigger::Reconcile, order_id) };
            settle(app, &request).await?;
        }
        Verdict::RecordOrphan => record_orphan(app, account, &number).await?,
        Verdict::Hasten => {
            refund_steps::hasten(&app.store, &number, app.now()).await?;
            app.refund_bell.notify_one();
            send_due_refunds(app, app.now()).await?;
        }
        Verdict::NoteReturn => {
            let actor = Trigger::Reconcile.as_str();
            note_return(app, &number, &line.out_request_no, actor).await?;
        }
    }
    tracing::info!(trade.out_trade_no = %number, ?verdict, "the bill had a line to repair");
    Ok(true)
}

/// Records a payment of no attempt as the gateway tells of it, if it does.
async fn record_orphan(
    app: &App,
    account: &AccountRef,
    number: &OutTradeNo,
) -> Result<(), StoreError> {
    let Some(gateway) = app.gateway_of(account) else { return Ok(()) };
    let trade = match gateway.query(number.as_str(), app.now()).await {
        Answer::Paid(trade) => trade,
        Answer::Returned(trade) => match (trade.amount, trade.trade_no) {
            (Some(amount), Some(trade_no)) => {
                PaidTrade { amount, trade_no, paid_at: trade.paid_at }
            }
            _ => return Ok(()),
        },
        Answer::Unknown(reason) if reason.is_account_broken() => {
            let subject = account.app_id.as_str();
            let alarm = Alarm::new(AlarmKind::AccountBroken, subject, reason.to_string());
            return raise_alarm(app, &alarm).await;
        }
        Answer::NotPaid(_) | Answer::Unknown(_) => return Ok(()),
    };
    if payments::find(&app.store, number).await?.is_some() {
        return Ok(());
    }
    let record = orphan(app, number.as_str(), &trade, account.clone());
    let detail = format!("{} yuan on a bill for a number that no attempt has", trade.amount);
    let alarm = Alarm::new(AlarmKind::OrphanPayment, number.as_str(), detail);
    let mut tx = app.store.begin().await?;
    payments::insert(&mut tx, &record).await?;
    alarms::raise(&mut tx, &alarm, &app.fresh_id(), app.now()).await?;
    tx.commit().await?;
    app.metrics.payment(record.attempt.status.as_str(), false);
    Ok(())
}
