//! A proxy before a database server that loses a commit, or the answer to it: the two cases that a
//! service can't tell apart by the broken connection that it sees.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// The command whose text follows as it is.
const COM_QUERY: u8 = 3;

/// What becomes of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The server never sees it.
    Commit,
    /// The server does it; nobody hears of it.
    Answer,
}

#[derive(Debug)]
struct Plan {
    loss: Loss,
    markers: Vec<String>,
}

/// The proxy; it ends with the test's runtime.
pub(crate) struct CommitProxy {
    address: SocketAddr,
    plan: Arc<Mutex<Option<Plan>>>,
}

impl CommitProxy {
    /// Before the server of this address.
    pub(crate) async fn start(url: &str) -> Self {
        let (_, rest) = url.split_once('@').expect("an account");
        let server = rest.split('/').next().expect("a host").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let plan = Arc::<Mutex<Option<Plan>>>::default();
        let shared = Arc::clone(&plan);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                tokio::spawn(carry(client, server, Arc::clone(&shared)));
            }
        });
        Self { address, plan }
    }

    /// The same address by way of the proxy, which can't read what is encrypted.
    pub(crate) fn url(&self, url: &str) -> String {
        let (account, rest) = url.split_once('@').expect("an account");
        let (_, path) = rest.split_once('/').expect("a database");
        let path = path.trim_end_matches('?');
        format!("{account}@{}/{path}?ssl-mode=DISABLED", self.address)
    }

    /// Loses the next commit of a transaction that wrote all of these values.
    pub(crate) fn lose(&self, loss: Loss, markers: &[&str]) {
        let markers = markers.iter().map(|marker| (*marker).to_owned()).collect();
        *lock(&self.plan) = Some(Plan { loss, markers });
    }

    /// Whether nothing was lost yet.
    pub(crate) fn is_armed(&self) -> bool {
        lock(&self.plan).is_some()
    }
}

fn lock(plan: &Mutex<Option<Plan>>) -> std::sync::MutexGuard<'_, Option<Plan>> {
    plan.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The server's answer to a commit that is lost: it is waited for, and not passed on.
#[derive(Default)]
struct Silence {
    begun: AtomicBool,
    answered: Notify,
}

async fn carry(client: TcpStream, server: TcpStream, plan: Arc<Mutex<Option<Plan>>>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let silence = Arc::new(Silence::default());
    let answers = tokio::spawn(pass_answers(from_server, to_client, Arc::clone(&silence)));
    // An error is the end of the connection, as for any proxy.
    if let Err(error) = pass_commands(from_client, to_server, &plan, &silence).await {
        tracing::trace!(%error, "a proxied connection ended");
    }
    answers.abort();
}

async fn pass_answers(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    silence: Arc<Silence>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = server.read(&mut buffer).await?;
        if read == 0 || silence.begun.load(Ordering::SeqCst) {
            silence.answered.notify_one();
            return Ok(());
        }
        client.write_all(&buffer[..read]).await?;
    }
}

async fn pass_commands(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    plan: &Mutex<Option<Plan>>,
    silence: &Silence,
) -> std::io::Result<()> {
    let mut written = Vec::new();
    loop {
        let packet = read_packet(&mut client).await?;
        match command(&packet).as_deref() {
            Some("begin") => written.clear(),
            Some("commit") => match take(plan, &written) {
                None => {}
                Some(Loss::Commit) => return Ok(()),
                Some(Loss::Answer) => {
                    silence.begun.store(true, Ordering::SeqCst);
                    server.write_all(&packet).await?;
                    silence.answered.notified().await;
                    return Ok(());
                }
            },
            _ => written.extend_from_slice(&packet),
        }
        server.write_all(&packet).await?;
    }
}

/// Three bytes of length, one of sequence, then the payload.
async fn read_packet(client: &mut OwnedReadHalf) -> std::io::Result<Vec<u8>> {
    let mut packet = vec![0; 4];
    client.read_exact(&mut packet).await?;
    let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]);
    packet.resize(4 + usize::try_from(length).expect("three bytes"), 0);
    client.read_exact(&mut packet[4..]).await?;
    Ok(packet)
}

fn command(packet: &[u8]) -> Option<String> {
    let (kind, text) = packet.get(4..)?.split_first()?;
    let is_query = *kind == COM_QUERY && text.len() < 64;
    is_query.then(|| String::from_utf8_lossy(text).to_lowercase())
}

fn take(plan: &Mutex<Option<Plan>>, written: &[u8]) -> Option<Loss> {
    let mut plan = lock(plan);
    let holds = |marker: &String| written.windows(marker.len()).any(|w| w == marker.as_bytes());
    if !plan.as_ref()?.markers.iter().all(holds) {
        return None;
    }
    plan.take().map(|plan| plan.loss)
}
