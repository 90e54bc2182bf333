//! The HTTP server: so many connections at a time, each with so much time to say what it wants. A
//! client that is slow on purpose takes a place for a while, not the service.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Pause after a connection could not be taken: file descriptors may have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// What clients may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at a time; more wait to be accepted.
    pub connections_max: usize,
    /// A request's head comes within this time of the connection, or of the answer before.
    pub head_within: Duration,
}

impl Default for Limits {
    /// Twice the live streams that may be open.
    fn default() -> Self {
        Self { connections_max: 4_096, head_within: Duration::from_secs(10) }
    }
}

/// Serves until told to stop; returns when the last request is answered.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, place)) = accepted else { continue };
        let (router, stop) = (router.clone(), stop.clone());
        connections.spawn(async move {
            answer(stream, router, limits, stop).await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be taken");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn answer(stream: TcpStream, router: Router, limits: Limits, stop: CancellationToken) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.head_within);
    let service = TowerToHyperService::new(router);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinHandle;

    use super::*;

    const LIMITS: Limits = Limits { connections_max: 2, head_within: Duration::from_millis(300) };
    const PATIENCE: Duration = Duration::from_secs(20);

    async fn start() -> (SocketAddr, CancellationToken, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let stop = CancellationToken::new();
        let slow = async || {
            tokio::time::sleep(LIMITS.head_within * 2).await;
            "slow"
        };
        let router = Router::new().route("/", get(async || "hello")).route("/slow", get(slow));
        (address, stop.clone(), tokio::spawn(serve(listener, router, LIMITS, stop)))
    }

    /// Sends this and returns everything that comes until the server hangs up.
    async fn say(address: SocketAddr, words: &str) -> String {
        let mut client = TcpStream::connect(address).await.expect("a connection");
        client.write_all(words.as_bytes()).await.expect("it is sent");
        let mut heard = String::new();
        let reading = client.read_to_string(&mut heard);
        tokio::time::timeout(PATIENCE, reading).await.expect("the server hangs up").expect("text");
        heard
    }

    #[tokio::test]
    async fn clients_that_say_little_take_their_places_for_a_while_only() {
        let (address, stop, server) = start().await;
        let whole = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let (silent, half, patient) = tokio::join!(
            say(address, ""),
            say(address, "GET / HTTP/1.1\r\nHost:"),
            say(address, whole)
        );
        assert!(!silent.contains("hello") && !half.contains("hello"), "{silent} {half}");
        assert!(patient.ends_with("hello"), "{patient}");
        // One that has been answered and stays is hung up on, too.
        let idle = say(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(idle.ends_with("hello"), "{idle}");
        stop.cancel();
        server.await.expect("it ends");
    }

    #[tokio::test]
    async fn a_request_under_way_is_answered_after_the_stop_and_no_other_is() {
        let (address, stop, server) = start().await;
        let slow =
            tokio::spawn(
                async move { say(address, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await },
            );
        tokio::time::sleep(LIMITS.head_within / 3).await;
        stop.cancel();
        tokio::time::timeout(PATIENCE, server).await.expect("in time").expect("it ends");
        assert!(slow.await.expect("no panic").ends_with("slow"));
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }
}
