//! `checkback reconcile --date D [--json]`.

use std::process::ExitCode;
use std::sync::Arc;

use super::{ReconcileArgs, say};
use crate::app::App;
use crate::domain::bill::BillDay;
use crate::run::{Environment, open_app};
use crate::service::reconcile::{Progress, Report, When, reconcile_day};
use crate::service::share_budget::beside_others;

pub(super) async fn run(args: &ReconcileArgs) -> anyhow::Result<ExitCode> {
    let Some(day) = BillDay::parse(&args.date) else {
        anyhow::bail!("--date is a day of China, such as 2026-01-31, and not {:?}", args.date);
    };
    let app = open_app(args.target.load()?, Environment::default()).await?;
    if day >= BillDay::of(app.now()) {
        anyhow::bail!("the day {day} isn't over in China: its bill is made the day after");
    }
    let app = Arc::new(app);
    let (reports, busy) = beside_others(&app, reconcile(&app, day, args.json)).await?;
    app.store.close().await;
    if args.json {
        say(serde_json::to_string_pretty(&reports)?);
    } else {
        reports.iter().for_each(print);
    }
    if busy {
        anyhow::bail!("another instance looks at the bill of {day} now; try again in a while");
    }
    let clean = reports.iter().all(|report| report.state == "clean" && report.problem.is_none());
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The report of each account, and whether another instance looks at a bill now.
async fn reconcile(app: &App, day: BillDay, quiet: bool) -> anyhow::Result<(Vec<Report>, bool)> {
    let (mut reports, mut busy) = (Vec::new(), false);
    for account in app.accounts() {
        let progress = |progress| {
            if !quiet {
                say(describe(progress));
            }
        };
        match reconcile_day(app, &account, day, When::Now, &progress).await? {
            Some(report) => reports.push(report),
            None => busy = true,
        }
    }
    Ok((reports, busy))
}

fn describe(progress: Progress) -> String {
    match progress {
        Progress::Fetching => "fetching the bill …".to_owned(),
        Progress::Read(ours, others) => format!("read: {ours} lines of ours, {others} of others"),
        Progress::Compared(done, all) => format!("compared {done} of {all} lines"),
        Progress::LookedFor(count) => format!("looked for {count} recorded payments and refunds"),
    }
}

fn print(report: &Report) {
    say(format_args!(
        "{} {}  {}: {} lines, {} of others, {} repaired, {} differences",
        report.app_id,
        report.day,
        report.state,
        report.lines,
        report.lines_of_others,
        report.repaired,
        report.differences.len()
    ));
    if let Some(problem) = &report.problem {
        say(format_args!("    {problem}"));
    }
    for found in &report.differences {
        let number = format!("{} {}", found.out_trade_no, found.out_request_no);
        say(format_args!("    {:<18} {}  {}", found.kind, number.trim(), found.detail));
    }
}
