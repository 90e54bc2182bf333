//! The name server and broker of `RocketMQ` in this process, for development and tests.
//!
//! It speaks the real protocol on loopback, so that the service uses the same client in both
//! deployments, and it keeps its messages on disk, so that they outlive `kill -9`. It is not for
//! production: one broker, no replica, asynchronous flush (what was acknowledged survives the
//! process, not the machine).
//!
//! The broker's asynchronous code is large. It is compiled here only: [`start`] hands its settings
//! to a thread that owns the runtime, and dependents see nothing but channels.

#![cfg(feature = "broker")]
#![recursion_limit = "512"]

mod config;
mod disk;
mod ports;
mod server;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::oneshot;

pub use config::check_max;

/// How long [`EmbeddedRocketMq::shutdown`] takes at most.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(8);

/// What the embedded name server and broker are started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where messages, offsets and topics are kept; created if missing, usable by one broker at a
    /// time.
    pub data_dir: PathBuf,
    /// Address of the name server; port 0 takes a free one.
    pub namesrv: SocketAddr,
    /// Address of the broker; port 0 takes a free one. Its fast listener takes the port two below.
    pub broker: SocketAddr,
    /// Pause between two rounds of check-backs.
    pub check_interval: Duration,
    /// Payment window of an order; a half message is held for ten of them.
    pub pay_window: Duration,
}

/// Why the embedded broker did not start, each in one sentence that names the address or the
/// directory.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Somebody else listens there.
    #[error("the {listener} cannot listen on {address}: {source}")]
    Listen {
        /// Which listener: name server, broker, or the broker's fast listener.
        listener: &'static str,
        /// Where it should have listened.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The fast listener needs the port two below the broker's.
    #[error(
        "the broker cannot use port {port}: its fast listener takes the port two below, \
         so it must be 3 or more"
    )]
    PortTooLow {
        /// The port that was asked for.
        port: u16,
    },
    /// The broker's address is not one of this machine's loopback addresses.
    #[error("the embedded {listener} listens on loopback only, not on {address}")]
    NotLoopback {
        /// Which listener.
        listener: &'static str,
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The directory cannot be created or written.
    #[error("the broker cannot write to its data directory {}: {source}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Another broker, in this or another living process, uses the directory.
    #[error("the broker's data directory {} is in use by another running broker", path.display())]
    DataDirInUse {
        /// The directory.
        path: PathBuf,
    },
    /// The disk is too full for a message store.
    #[error(
        "the disk of the broker's data directory {} is {used_percent} % full; the broker starts \
         below {limit_percent} %",
        path.display()
    )]
    DiskFull {
        /// The directory.
        path: PathBuf,
        /// Of the disk's bytes, those that can't be used (percent).
        used_percent: u64,
        /// At which the broker refuses (percent).
        limit_percent: u64,
    },
    /// The crates of the broker or name server refused.
    #[error("the embedded {component} did not start: {message}")]
    Component {
        /// Name server, broker or runtime.
        component: &'static str,
        /// Its error with all causes.
        message: String,
    },
}

/// A running name server and broker. Dropping it stops them in the background; [`Self::shutdown`]
/// waits.
#[derive(Debug)]
pub struct EmbeddedRocketMq {
    namesrv: SocketAddr,
    broker: SocketAddr,
    stop: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
}

/// Starts name server and broker; returns when the broker is registered and serves.
///
/// # Errors
/// When an address is taken or is not loopback, when the directory is not writable or in use, or
/// when the broker refuses.
pub async fn start(settings: Settings) -> Result<EmbeddedRocketMq, StartError> {
    let (started, start_result) = oneshot::channel();
    let (stop, stop_requested) = oneshot::channel();
    let (stopped_sender, stopped) = oneshot::channel();
    server::spawn(settings, started, stop_requested, stopped_sender)?;
    let addresses = start_result.await.map_err(|_| StartError::Component {
        component: "broker",
        message: "its thread ended unexpectedly".to_owned(),
    })??;
    Ok(EmbeddedRocketMq { namesrv: addresses.namesrv, broker: addresses.broker, stop, stopped })
}

impl EmbeddedRocketMq {
    /// Where the name server listens.
    #[must_use]
    pub fn namesrv_address(&self) -> SocketAddr {
        self.namesrv
    }

    /// Where the broker listens.
    #[must_use]
    pub fn broker_address(&self) -> SocketAddr {
        self.broker
    }

    /// Stops broker and name server: listeners closed, offsets and messages on disk. Takes eight
    /// seconds at most; what has not ended by then is left behind, the store recovers from it as
    /// from a kill.
    pub async fn shutdown(self) {
        // The thread also ends when the sender is dropped, so a failed send means it has ended
        // already.
        let _ = self.stop.send(());
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, self.stopped).await.is_err() {
            tracing::warn!(broker = %self.broker, "the embedded broker did not stop in time");
        }
    }
}
