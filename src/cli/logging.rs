//! Logs go to standard error, one line an event; what the libraries chat about is left out.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// What is logged unless `CHECKBACK_LOG` says otherwise.
const SERVICE_FILTER: &str = "warn,checkback=info,alipay_simulator=info,embedded_rocketmq=info";
/// The same for the short-lived tools, whose answer is on standard output.
const TOOL_FILTER: &str = "error,checkback=warn";
/// The libraries behind RocketMQ say their troubles through our own errors.
const RUSTLE: &str = "rocketmq_client_rust=error,rocketmq_client_rust::trace=off,\
                      rocketmq_client_rust::factory=off,rocketmq_transport=off,\
                      rocketmq_broker=error,rocketmq_namesrv=error,rocketmq_store=error,\
                      rocketmq_runtime=error,rocketmq_store_local=error,\
                      rocketmq_protocol=error,sqlx=error,hyper=error";

/// Starts logging.
pub(super) fn init(is_service: bool) {
    let filter = if is_service { SERVICE_FILTER } else { TOOL_FILTER };
    let filter = EnvFilter::try_from_env("CHECKBACK_LOG")
        .unwrap_or_else(|_| EnvFilter::new(format!("{filter},{RUSTLE}")));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if let Err(error) = subscriber.try_init() {
        super::complain(&anyhow::anyhow!("logging was started before: {error}"));
    }
}
