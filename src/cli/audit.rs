//! `checkback audit [--json]`.

use std::process::ExitCode;

use super::{AuditArgs, say};
use crate::run::{Environment, open_app};
use crate::service::audit::{Report, audit};

pub(super) async fn run(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let app = open_app(args.target.load()?, Environment::default()).await?;
    let report = audit(&app).await?;
    app.store.close().await;
    if args.json {
        say(serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(report: &Report) {
    for check in &report.checks {
        let verdict = if check.violations.is_empty() { "ok" } else { "VIOLATED" };
        say(format_args!("{:<4} {verdict:<9} {}", check.id, check.name));
        for violation in &check.violations {
            say(format_args!("       {violation}"));
        }
    }
    for lateness in &report.lateness {
        say(format_args!("{:<4} {} late  {}", lateness.id, lateness.late.len(), lateness.name));
        for late in &lateness.late {
            say(format_args!("       {late}"));
        }
    }
}
