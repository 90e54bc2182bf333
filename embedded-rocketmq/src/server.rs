//! The thread that owns the runtime of name server and broker, from start to stop.

use std::error::Error;
use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rocketmq_broker::config::validated::ValidatedBrokerConfig;
use rocketmq_broker::{BrokerBootstrap, Running};
use rocketmq_observability::{TelemetryHandle, TelemetryRuntimeGuard};
use rocketmq_runtime::{RuntimeConfig, RuntimeOwner, ShutdownDeadline};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::{Settings, StartError, config, disk, ports};

/// The broker's futures are deep, and a debug build keeps all of them on the stack (bytes).
const STACK_BYTES: usize = 16 * 1024 * 1024;
/// Blocking threads for store, metadata and name server.
const BLOCKING_THREADS: usize = 64;
/// The name server listens within this time, or the start fails.
const NAMESRV_START_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two looks at a listener that is not up yet.
const PROBE_INTERVAL: Duration = Duration::from_millis(20);
/// A port that was free can be taken before the broker binds it; so often it tries.
const BROKER_START_TRIES: u32 = 3;
/// The broker's share of the shutdown; its store is flushed first.
const BROKER_STOP_TIMEOUT: Duration = Duration::from_millis(5_500);
/// The name server's share of the shutdown.
const NAMESRV_STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// The runtime's share of the shutdown.
const RUNTIME_STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Where the two ended up listening.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) namesrv: SocketAddr,
    pub(crate) broker: SocketAddr,
}

struct Servers {
    addresses: Addresses,
    broker: BrokerBootstrap<Running>,
    namesrv: Namesrv,
    telemetry: TelemetryRuntimeGuard,
}

struct Namesrv {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), String>>,
}

/// Starts the thread. It reports the start to `started`, runs until `stop` is sent or dropped, and
/// drops `stopped` when everything has ended.
pub(crate) fn spawn(
    settings: Settings,
    started: oneshot::Sender<Result<Addresses, StartError>>,
    stop: oneshot::Receiver<()>,
    stopped: oneshot::Sender<()>,
) -> Result<(), StartError> {
    std::thread::Builder::new()
        .name("embedded-rocketmq".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            run(&settings, started, stop);
            drop(stopped);
        })
        .map(drop)
        .map_err(|error| component("thread", &error))
}

fn run(
    settings: &Settings,
    started: oneshot::Sender<Result<Addresses, StartError>>,
    stop: oneshot::Receiver<()>,
) {
    // Held until the end: the kernel lets go of it when the process dies, however it dies.
    let lock = match lock_data_dir(&settings.data_dir) {
        Ok(lock) => lock,
        Err(error) => return report(started, Err(error)),
    };
    let owner = match runtime() {
        Ok(owner) => owner,
        Err(error) => return report(started, Err(error)),
    };
    let result = owner.block_on(Box::pin(start(&owner, settings)));
    match result {
        Ok(servers) => {
            report(started, Ok(servers.addresses));
            // A dropped sender means the same as a sent stop.
            let _ = owner.block_on(stop);
            owner.block_on(Box::pin(stop_servers(servers)));
            stop_runtime(owner);
        }
        Err(error) => {
            // Reported when ports and directory are free again.
            stop_runtime(owner);
            drop(lock);
            report(started, Err(error));
        }
    }
}

fn stop_runtime(owner: RuntimeOwner) {
    let deadline = ShutdownDeadline::after(RUNTIME_STOP_TIMEOUT);
    if let Err(error) = owner.shutdown_runtime_blocking_until(deadline) {
        tracing::warn!(%error, "the embedded broker's runtime did not stop cleanly");
    }
}

fn report(
    started: oneshot::Sender<Result<Addresses, StartError>>,
    result: Result<Addresses, StartError>,
) {
    // Nobody waits for it any more if the caller's future was dropped; `stop` is dropped with it.
    let _ = started.send(result);
}

fn lock_data_dir(data_dir: &Path) -> Result<File, StartError> {
    let failed = |source| StartError::DataDir { path: data_dir.to_owned(), source };
    std::fs::create_dir_all(data_dir).map_err(failed)?;
    let file = File::create(data_dir.join("rocketmq.lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(StartError::DataDirInUse { path: data_dir.to_owned() })
        }
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn runtime() -> Result<RuntimeOwner, StartError> {
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let mut config = RuntimeConfig::for_parallelism("embedded-rocketmq", threads);
    config.thread_stack_size = Some(STACK_BYTES);
    config.max_blocking_threads = BLOCKING_THREADS;
    RuntimeOwner::plan(config)
        .map_err(|error| component("runtime", &error))?
        .build()
        .map_err(|error| component("runtime", &error))
}

async fn start(owner: &RuntimeOwner, settings: &Settings) -> Result<Servers, StartError> {
    // All are looked at before anything is started, so that a refusal leaves nothing behind.
    disk::has_room(&settings.data_dir)?;
    let broker_address = ports::broker_address(settings.broker)?;
    let namesrv_address = ports::namesrv_address(settings.namesrv)?;
    let telemetry = TelemetryRuntimeGuard::noop();
    let mut namesrv = start_namesrv(owner, settings, namesrv_address, telemetry.handle());
    let started = match wait_for_namesrv(&mut namesrv, namesrv_address).await {
        Ok(()) => Box::pin(start_broker(owner, settings, namesrv_address, broker_address)).await,
        Err(error) => Err(error),
    };
    match started {
        Ok((broker, broker_address)) => {
            let addresses = Addresses { namesrv: namesrv_address, broker: broker_address };
            Ok(Servers { addresses, broker, namesrv, telemetry })
        }
        Err(error) => {
            stop_namesrv(namesrv).await;
            Err(error)
        }
    }
}

fn start_namesrv(
    owner: &RuntimeOwner,
    settings: &Settings,
    address: SocketAddr,
    telemetry: TelemetryHandle,
) -> Namesrv {
    let bootstrap = rocketmq_namesrv::bootstrap::Builder::new(
        owner.root_context().component("namesrv"),
        telemetry,
    )
    .set_name_server_config(config::namesrv(&settings.data_dir))
    .set_server_config(config::listener(address))
    .build();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(Box::pin(async move {
        let stop = async move {
            let _ = stopped.await;
        };
        bootstrap.boot_with_shutdown(stop).await.map_err(|error| causes(&error))
    }));
    Namesrv { stop, task }
}

/// The broker registers once while it starts, so the name server must listen before.
async fn wait_for_namesrv(namesrv: &mut Namesrv, address: SocketAddr) -> Result<(), StartError> {
    let deadline = Instant::now() + NAMESRV_START_TIMEOUT;
    while TcpStream::connect(address).await.is_err() {
        let message = if namesrv.task.is_finished() {
            match (&mut namesrv.task).await {
                Ok(Err(message)) => message,
                Ok(Ok(())) => "it ended at once".to_owned(),
                Err(panic) => panic.to_string(),
            }
        } else if Instant::now() > deadline {
            format!("it does not listen on {address} after {NAMESRV_START_TIMEOUT:?}")
        } else {
            sleep(PROBE_INTERVAL).await;
            continue;
        };
        return Err(StartError::Component { component: "name server", message });
    }
    Ok(())
}

async fn start_broker(
    owner: &RuntimeOwner,
    settings: &Settings,
    namesrv: SocketAddr,
    mut address: SocketAddr,
) -> Result<(BrokerBootstrap<Running>, SocketAddr), StartError> {
    let mut tries_left = BROKER_START_TRIES;
    loop {
        tries_left -= 1;
        match Box::pin(try_start_broker(owner, settings, namesrv, address)).await {
            Ok(broker) => return Ok((broker, address)),
            Err(error) if tries_left == 0 => return Err(error),
            // Where a port was taken meanwhile, this finds another one, or says which.
            Err(_) => address = ports::broker_address(settings.broker)?,
        }
    }
}

async fn try_start_broker(
    owner: &RuntimeOwner,
    settings: &Settings,
    namesrv: SocketAddr,
    address: SocketAddr,
) -> Result<BrokerBootstrap<Running>, StartError> {
    let replica = ports::replica_address(address.ip())?;
    let validated = ValidatedBrokerConfig::try_from_parts(
        config::broker(settings, namesrv, address),
        config::store(settings, replica),
    )
    .map_err(|error| component("broker", &error))?;
    let context = owner.root_context().component("broker");
    let configured = rocketmq_broker::Builder::new(context, TelemetryRuntimeGuard::noop())
        .with_validated_config(validated)
        .build();
    let initialized =
        Box::pin(configured.initialize()).await.map_err(|error| component("broker", &error))?;
    Box::pin(initialized.start()).await.map_err(|error| component("broker", &error))
}

async fn stop_servers(servers: Servers) {
    if timeout(BROKER_STOP_TIMEOUT, Box::pin(servers.broker.shutdown())).await.is_err() {
        tracing::warn!("the embedded broker did not stop in {BROKER_STOP_TIMEOUT:?}");
    }
    stop_namesrv(servers.namesrv).await;
    drop(servers.telemetry);
}

async fn stop_namesrv(namesrv: Namesrv) {
    // A failed send means that it has ended already.
    let _ = namesrv.stop.send(());
    if timeout(NAMESRV_STOP_TIMEOUT, namesrv.task).await.is_err() {
        tracing::debug!("the embedded name server did not stop in {NAMESRV_STOP_TIMEOUT:?}");
    }
}

fn component(component: &'static str, error: &dyn Error) -> StartError {
    StartError::Component { component, message: causes(error) }
}

/// The error with its causes: the crates redact their own texts, the cause often says what
/// happened.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
