//! `checkback doctor`: is everything that the service needs there and right?

use std::fmt::Display;
use std::process::ExitCode;
use std::sync::Arc;

use super::{Target, say};
use crate::app::App;
use crate::producer::admin::Admin;
use crate::producer::runtime::MessagingRuntime;
use crate::run::{Environment, broker_settings, open_app, topics};
use crate::service::watch_clock::clock_skew_ms;

/// A number that no trade has: the gateway's answer to it proves address, keys and signature.
const PROBE_NUMBER: &str = "CHECKBACKDOCTORPROBE";

struct Table {
    healthy: bool,
}

impl Table {
    fn row(&mut self, what: &str, result: Result<impl Display, impl Display>) {
        match result {
            Ok(found) => say(format_args!("ok    {what:<28} {found}")),
            Err(why) => {
                self.healthy = false;
                say(format_args!("FAIL  {what:<28} {why}"));
            }
        }
    }
}

pub(super) async fn run(target: &Target) -> anyhow::Result<ExitCode> {
    let config = target.load()?;
    let mut table = Table { healthy: true };
    table.row("configuration", Ok::<_, String>("can be used"));
    let app = match open_app(config, Environment::default()).await {
        Ok(app) => app,
        Err(error) => {
            table.row("database and keys", Err::<String, _>(format!("{error:#}")));
            return Ok(ExitCode::FAILURE);
        }
    };
    let deployment = format!("{:?}, deployment {}", app.store.backend(), app.deployment);
    table.row("database", Ok::<_, String>(deployment));
    let skew = clock_skew_ms(&app).await;
    table.row("clock, against the database", skew.map(|ms| format!("{ms} ms off")));
    check_timeouts(&app, &mut table);
    check_gateway(&app, &mut table).await;
    check_broker(&app, &mut table).await;
    app.store.close().await;
    Ok(if table.healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check_timeouts(app: &App, table: &mut Table) {
    let timeout = &app.config.timeout;
    let found = format!(
        "window {:?}, check every {:?}, {} checks, the broker holds {} (configured, not verified)",
        timeout.pay_window,
        timeout.check_interval,
        timeout.max_checks(),
        timeout.broker_check_max
    );
    table.row("one clock", Ok::<_, String>(found));
}

async fn check_gateway(app: &App, table: &mut Table) {
    let answer = app.gateway.query(PROBE_NUMBER, app.now()).await;
    let url = &app.config.alipay.gateway_url;
    if answer.is_definite() {
        table.row("gateway", Ok::<_, String>(format!("{url} answers, signatures agree")));
    } else {
        table.row("gateway", Err::<String, _>(format!("{url}: {answer:?}")));
    }
}

async fn check_broker(app: &App, table: &mut Table) {
    let runtime = match MessagingRuntime::start(broker_settings(&app.config.rocketmq)) {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => return table.row("RocketMQ", Err::<String, _>(error)),
    };
    let admin = Admin::new(&runtime);
    match admin.brokers().await {
        Ok(brokers) if brokers.is_empty() => {
            table.row("brokers", Err::<String, _>("none is registered at the name server"));
        }
        Ok(brokers) => {
            let names: Vec<_> = brokers
                .iter()
                .map(|broker| format!("{} {}", broker.name, broker.address))
                .collect();
            table.row("brokers", Ok::<_, String>(names.join(", ")));
        }
        Err(error) => table.row("brokers", Err::<String, _>(error)),
    }
    for (topic, _) in topics() {
        match admin.route(topic).await {
            Ok(route) if route.is_empty() => {
                table.row(topic, Err::<String, _>("no broker has this topic"));
            }
            Ok(route) => table.row(topic, Ok::<_, String>(route.join(", "))),
            Err(error) => table.row(topic, Err::<String, _>(error)),
        }
    }
    runtime.shutdown().await;
}
