//! SIGTERM and Ctrl-C: the first stops in order, the second at once.

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::run::Service;

/// Whatever hasn't ended by then is left behind: everything survives a kill.
const SHUTDOWN_BUDGET: Duration = Duration::from_secs(13);

/// Both signals that end a process.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Runs a service until a signal comes or one of its tasks dies, then stops it; `and_then` stops
/// what runs beside it.
pub(super) async fn run_until_stopped(
    mut service: Service,
    signals: &mut Signals,
    and_then: impl Future<Output = ()>,
) -> ExitCode {
    let code = tokio::select! {
        () = signals.next() => ExitCode::SUCCESS,
        what = service.died() => {
            tracing::error!(what, "stopping: a part of the service is gone");
            ExitCode::FAILURE
        }
    };
    tracing::info!("stopping");
    let stopping = async {
        service.shutdown().await;
        and_then.await;
    };
    stop_in_time(stopping, signals).await;
    code
}

/// Waits for an orderly stop, but not for ever, and not past a second signal.
pub(super) async fn stop_in_time(stopping: impl Future<Output = ()>, signals: &mut Signals) {
    tokio::select! {
        () = stopping => tracing::info!("stopped"),
        () = tokio::time::sleep(SHUTDOWN_BUDGET) => {
            tracing::warn!("not everything stopped in {SHUTDOWN_BUDGET:?}");
        }
        () = signals.next() => tracing::warn!("stopping at once"),
    }
}
