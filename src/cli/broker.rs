//! `checkback broker`: the embedded RocketMQ alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use super::signals::{Signals, stop_in_time};
use super::{BrokerArgs, say};

/// What the embedded broker is started with.
pub(super) fn settings(
    data_dir: PathBuf,
    namesrv: SocketAddr,
    broker: SocketAddr,
    check_interval: Duration,
    pay_window: Duration,
) -> embedded_rocketmq::Settings {
    embedded_rocketmq::Settings { data_dir, namesrv, broker, check_interval, pay_window }
}

pub(super) async fn run(args: BrokerArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen().context("signals can't be listened to")?;
    say("starting RocketMQ …");
    let settings =
        settings(args.data_dir, args.namesrv, args.broker, args.check_interval, args.pay_window);
    let broker = tokio::select! {
        started = embedded_rocketmq::start(settings) => started?,
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    say(format_args!(
        "RocketMQ is ready: name server {}, broker {}",
        broker.namesrv_address(),
        broker.broker_address()
    ));
    signals.next().await;
    stop_in_time(broker.shutdown(), &mut signals).await;
    Ok(ExitCode::SUCCESS)
}
