//! Starting and ending the simulator.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{ConnectInfo, DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bill::{self, Bills};
use crate::books::Books;
use crate::certificates::{CertificateError, Certificates, SerialNumbers};
use crate::faults::Faults;
use crate::gateway::Meter;
use crate::journal::{Directory, Journal, OpenError};
use crate::keys::KeyError;
use crate::rsa2::{Signer, Verifier};
use crate::store::Store;
use crate::{DEFAULT_APP_ID, DEFAULT_SELLER_ID};
use crate::{buyer, cashier, control, development_keys, gateway, notify};

const MOST_BODY_BYTES: usize = 256 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long open calls may take to end at a shutdown.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(3);

/// What a simulator needs to know.
#[derive(Clone)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where to keep the state; without it, the state ends with the process.
    pub data_dir: Option<PathBuf>,
    /// The only application that may call.
    pub app_id: String,
    /// The seller that owns every trade.
    pub seller_id: String,
    /// What requests are checked with: SPKI, PEM or bare base64.
    pub app_public_key_pem: String,
    /// What answers and notifications are signed with: PKCS#8 or PKCS#1, PEM or bare base64.
    pub private_key_pem: String,
    /// Certificate mode, if there are any.
    pub certificates: Option<Certificates>,
}

impl Default for Settings {
    /// A free port of this machine, no directory, and the published development keys.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data_dir: None,
            app_id: DEFAULT_APP_ID.to_owned(),
            seller_id: DEFAULT_SELLER_ID.to_owned(),
            app_public_key_pem: development_keys::APP_PUBLIC_KEY.to_owned(),
            private_key_pem: development_keys::GATEWAY_PRIVATE_KEY.to_owned(),
            certificates: None,
        }
    }
}

/// Why a simulator could not start: the whole reason in one sentence, so there is no `source`.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Somebody else listens there, or it is no address of this machine.
    #[error("the Alipay simulator can't listen on {address}: {reason}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        reason: io::Error,
    },
    /// The state can't be read or kept.
    #[error("the Alipay simulator can't use the directory {}: {problem}", path.display())]
    DataDir {
        /// The directory asked for.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// One of the keys is none.
    #[error("the Alipay simulator can't use its {which}: {reason}")]
    Key {
        /// Which of the two keys.
        which: &'static str,
        /// What is wrong with it.
        reason: KeyError,
    },
    /// The certificates don't make certificate mode.
    #[error("the Alipay simulator can't use its certificates: {0}")]
    Certificates(CertificateError),
    /// The HTTP client for notifications could not be built.
    #[error("the Alipay simulator can't send notifications: {0}")]
    Client(String),
}

/// Everything that the edges share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) app_id: String,
    pub(crate) seller_id: String,
    pub(crate) verifier: Verifier,
    pub(crate) signer: Signer,
    /// Signs what the fault `other_key` spoils.
    pub(crate) other_signer: Signer,
    /// Certificate mode: what both sides call each other.
    pub(crate) serial_numbers: Option<SerialNumbers>,
    pub(crate) store: Store,
    pub(crate) faults: Faults,
    pub(crate) bills: Bills,
    pub(crate) meter: Meter,
    base_url: String,
    answers: AtomicU64,
}

impl Shared {
    /// The page that the QR code of a trade leads to.
    pub(crate) fn buyer_page(&self, token: &str) -> String {
        format!("{}/qr/{token}", self.base_url)
    }

    /// The page on which a trade of a website is paid.
    pub(crate) fn cashier(&self, token: &str) -> String {
        format!("{}/cashier/{token}", self.base_url)
    }

    /// Where a bill can be fetched.
    pub(crate) fn bill_address(&self, token: &str) -> String {
        format!("{}/bill/{token}.zip", self.base_url)
    }

    /// A new value for the header `trace_id`.
    pub(crate) fn trace_id(&self) -> String {
        let answer = self.answers.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}{answer:08x}", self.store.now().timestamp_millis())
    }
}

/// A running simulator. Dropping it ends it at once, without waiting for anything.
#[derive(Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: CancellationToken,
    deliver: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// Binds, brings the state back and starts to serve and to notify.
///
/// # Errors
/// Says in one sentence what stands in the way: the address, the directory or a key.
pub async fn start(settings: Settings) -> Result<Simulator, StartError> {
    let simulator = start_quietly(settings).await?;
    simulator.deliver_notifications();
    Ok(simulator)
}

/// Like [`start`], but nothing is delivered before [`Simulator::deliver_notifications`]: for a
/// merchant in the same process, whose webhook opens later. A delivery that nobody takes uses up a
/// try of its schedule.
///
/// # Errors
/// As [`start`].
pub async fn start_quietly(settings: Settings) -> Result<Simulator, StartError> {
    let key = |which| move |reason| StartError::Key { which, reason };
    let signer = Signer::new(&settings.private_key_pem).map_err(key("private key"))?;
    let (verifier, serial_numbers) = if let Some(certificates) = &settings.certificates {
        let opened = certificates.open(&signer).map_err(StartError::Certificates)?;
        (opened.0, Some(opened.1))
    } else {
        let verifier = Verifier::new(&settings.app_public_key_pem);
        (verifier.map_err(key("app public key"))?, None)
    };
    let other_signer =
        Signer::new(development_keys::OTHER_PRIVATE_KEY).map_err(key("other key"))?;
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .no_proxy()
        .build()
        .map_err(|error| StartError::Client(error.to_string()))?;
    let refused = |reason| StartError::Listen { address: settings.listen, reason };
    let listener = TcpListener::bind(settings.listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let store = open_store(settings.data_dir).await?;
    let shared = Arc::new(Shared {
        app_id: settings.app_id,
        seller_id: settings.seller_id,
        verifier,
        signer,
        other_signer,
        serial_numbers,
        store,
        faults: Faults::new(),
        bills: Bills::default(),
        meter: Meter::default(),
        base_url: format!("http://{}", reachable(address)),
        answers: AtomicU64::new(0),
    });
    let stop = CancellationToken::new();
    let service = router(Arc::clone(&shared)).into_make_service_with_connect_info::<SocketAddr>();
    let server =
        axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    let serving = tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the simulator's server has ended");
        }
    });
    let deliver = CancellationToken::new();
    let notifying =
        tokio::spawn(notify_when_told(deliver.clone(), Arc::clone(&shared), client, stop.clone()));
    tracing::info!(%address, "the Alipay simulator listens");
    Ok(Simulator { shared, address, stop, deliver, tasks: vec![serving, notifying] })
}

async fn notify_when_told(
    deliver: CancellationToken,
    shared: Arc<Shared>,
    client: reqwest::Client,
    stop: CancellationToken,
) {
    if stop.run_until_cancelled(deliver.cancelled()).await.is_some() {
        notify::run(shared, client, stop).await;
    }
}

impl Simulator {
    /// Starts delivering notifications, those of an earlier run first.
    pub fn deliver_notifications(&self) {
        self.deliver.cancel();
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where clients of the gateway call.
    #[must_use]
    pub fn gateway_url(&self) -> String {
        format!("{}/gateway.do", self.shared.base_url)
    }

    /// Ends the simulator: lets hanging calls go, gives open ones a few seconds, closes the state.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        self.shared.faults.clear();
        for mut task in std::mem::take(&mut self.tasks) {
            if tokio::time::timeout(SHUTDOWN_PATIENCE, &mut task).await.is_err() {
                task.abort();
            }
        }
        if let Some(writer) = self.shared.store.close() {
            // The writer has said what went wrong, if anything did.
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
        self.shared.faults.clear();
        self.shared.store.close();
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn open_store(data_dir: Option<PathBuf>) -> Result<Store, StartError> {
    let Some(path) = data_dir else {
        return Ok(Store::new(Books::replay(Vec::new()), Journal::none()));
    };
    let directory = path.clone();
    let opened = tokio::task::spawn_blocking(move || replay(&directory)).await;
    let opened = opened.map_err(|error| error.to_string());
    opened
        .and_then(|store| store.map_err(|error| error.to_string()))
        .map_err(|problem| StartError::DataDir { path, problem })
}

fn replay(directory: &Path) -> Result<Store, OpenError> {
    let directory = Directory::take(directory)?;
    let books = Books::replay(directory.records()?);
    let journal = directory.start(&books.records())?;
    Ok(Store::new(books, journal))
}

fn router(shared: Arc<Shared>) -> Router {
    let control = control::router().layer(middleware::from_fn(loopback_only));
    Router::new()
        .route("/gateway.do", get(gateway::handle).post(gateway::handle))
        .route("/v3/{*call}", get(gateway::v3::handle).post(gateway::v3::handle))
        .route("/bill/{file}", get(bill::download))
        .route("/qr/{token}", get(buyer::open))
        .route("/qr/{token}/pay", post(buyer::press_pay))
        .route("/cashier/{token}", get(cashier::open))
        .route("/cashier/{token}/{button}", post(cashier::press))
        .nest("/_ctl", control)
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES))
        .with_state(shared)
}

/// The control API has no key, so it is for callers on this machine.
async fn loopback_only(
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if peer.ip().to_canonical().is_loopback() {
        return next.run(request).await;
    }
    let text = "the control API answers on loopback only";
    (StatusCode::FORBIDDEN, Json(json!({ "error": text }))).into_response()
}

/// An address that a client on this machine can call.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if ip.is_unspecified() => {
            SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())
        }
        _ => address,
    }
}
