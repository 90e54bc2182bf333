//! `checkback sweep --once [--dry-run]`.

use std::process::ExitCode;
use std::sync::Arc;

use super::{SweepArgs, say};
use crate::app::App;
use crate::domain::decision::{AttemptStep, OrderStep};
use crate::fallback_task::sweep;
use crate::run::{Environment, open_app};
use crate::service::settle::preview;
use crate::service::share_budget::beside_others;
use crate::store::pending;

/// Rows that a dry run lists at most.
const DRY_RUN_ROWS_MAX: i64 = 1_000;

pub(super) async fn run(args: &SweepArgs) -> anyhow::Result<ExitCode> {
    let app = Arc::new(open_app(args.target.load()?, Environment::default()).await?);
    if args.dry_run {
        beside_others(&app, dry_run(&app)).await?;
    } else {
        let report = beside_others(&app, async { Ok(sweep(&app).await?) }).await?;
        say(format_args!(
            "{} settled, {} still pending, {} failed",
            report.settled, report.still_pending, report.failed
        ));
    }
    app.store.close().await;
    Ok(ExitCode::SUCCESS)
}

fn describe(step: &AttemptStep) -> String {
    match step {
        AttemptStep::RecordPayment { status, trade } => {
            format!("record {} yuan as {}", trade.amount.to_yuan(), status.as_str())
        }
        AttemptStep::RecordReturn(_) => "record its payment and that it went back".to_owned(),
        AttemptStep::RecordElsewhere(amount) => {
            format!("record that {amount} yuan went back elsewhere")
        }
        AttemptStep::Close => "close its trade".to_owned(),
        AttemptStep::End => "watch it no longer: no money can come".to_owned(),
        AttemptStep::NoteSeen { trade_no } => format!("note that trade {trade_no} waits"),
    }
}

async fn dry_run(app: &App) -> anyhow::Result<()> {
    let mut orders: Vec<_> = pending::due(&app.store, DRY_RUN_ROWS_MAX, app.now())
        .await?
        .into_iter()
        .map(|row| row.order_id)
        .collect();
    orders.dedup();
    for order_id in &orders {
        let Some(decision) = preview(app, order_id).await? else { continue };
        let step = match &decision.order {
            OrderStep::KeepWaiting => "keep waiting: its window is open".to_owned(),
            OrderStep::AwaitAnswer => {
                "keep waiting: the gateway gave no definite answer".to_owned()
            }
            OrderStep::CloseFirst => "close the waiting trade, then cancel".to_owned(),
            OrderStep::Cancel => "cancel and release its stock".to_owned(),
            OrderStep::Confirm(number) => format!("confirm: {number} is paid"),
            OrderStep::Reopen(number) => format!("reopen: {number} is paid, if there is stock"),
            OrderStep::Settled => "look after attempts of an ended order".to_owned(),
        };
        say(format_args!("{order_id}  would {step}"));
        for (number, step) in &decision.attempts {
            say(format_args!("    {number}  {}", describe(step)));
        }
    }
    say(format_args!("{} orders are due; nothing was changed", orders.len()));
    Ok(())
}
