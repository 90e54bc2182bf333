//! Tells open pages that they are out of date; each fetches itself again, so that there is one way
//! to make a page. The change of an order is announced, whichever instance made it; what is no
//! order's change is found by the pulse, which an instance reads once for all of its pages.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep};

use super::failure::Failure;
use super::pulse::Snapshot;
use super::session::{self, Session};
use crate::domain::ids::OrderId;
use crate::http::HttpState;
use crate::http::error::ApiError;
use crate::http::input::OrderPath;
use crate::store::orders;

/// Pages of operators that are open at the same time at this instance.
const STREAMS_MAX: usize = 64;
/// How often the pulse is taken although nothing was announced.
const TICK: Duration = Duration::from_secs(2);
/// A page is told no more often than this: changes of a busy second are one.
const SPACING: Duration = Duration::from_secs(1);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
const CHANGED: &str = "changed";

static STREAMS: Semaphore = Semaphore::const_new(STREAMS_MAX);

pub(super) async fn overview(
    State(state): State<HttpState>,
    headers: HeaderMap,
    Extension(session): Extension<Session>,
) -> Result<impl IntoResponse, Failure> {
    open(state, headers, session, None).await
}

pub(super) async fn order(
    State(state): State<HttpState>,
    headers: HeaderMap,
    Extension(session): Extension<Session>,
    path: Result<OrderPath, ApiError>,
) -> Result<impl IntoResponse, Failure> {
    let OrderPath(id) = path?;
    if orders::find(&state.app.store, &id).await?.is_none() {
        return Err(Failure::not_found("order"));
    }
    open(state, headers, session, Some(id)).await
}

async fn open(
    state: HttpState,
    headers: HeaderMap,
    session: Session,
    order: Option<OrderId>,
) -> Result<impl IntoResponse, Failure> {
    let permit = STREAMS.try_acquire().map_err(|_| Failure::overloaded("Too many open pages."))?;
    let changes = state.app.changes.subscribe();
    let known = state.console.pulse.read(&state).await?;
    let told_at = None;
    let page =
        OpenPage { state, headers, session, order, changes, known, told_at, _permit: permit };
    let events = stream::unfold(page, |mut page| async move {
        let event = page.next().await?;
        Some((Ok::<_, Infallible>(event), page))
    });
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE_INTERVAL));
    // A proxy that collects answers would hold the events back.
    Ok(([(HeaderName::from_static("x-accel-buffering"), "no")], events))
}

/// One page that somebody looks at.
struct OpenPage {
    state: HttpState,
    headers: HeaderMap,
    session: Session,
    /// The order that it shows; the overview has none.
    order: Option<OrderId>,
    changes: Receiver<OrderId>,
    /// What the page shows.
    known: Arc<Snapshot>,
    told_at: Option<Instant>,
    _permit: SemaphorePermit<'static>,
}

impl OpenPage {
    /// The next event; `None` when the service drains, or the session is over.
    async fn next(&mut self) -> Option<Event> {
        let stop = self.state.stop.clone();
        let mut announced = false;
        loop {
            let pause = if announced { self.spacing() } else { TICK };
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                () = self.announced(), if !announced => {
                    announced = true;
                    continue;
                }
                () = sleep(pause) => {}
            }
            if !self.is_logged_in() {
                return None;
            }
            if self.is_out_of_date().await || (announced && self.order.is_some()) {
                self.told_at = Some(Instant::now());
                return Some(Event::default().event(CHANGED).data(CHANGED));
            }
            announced = false;
        }
    }

    /// How long to wait after an announcement: an order's page is told at once if that wasn't just
    /// now; the overview, when the pulse is taken anew.
    fn spacing(&self) -> Duration {
        match (&self.order, self.told_at) {
            (Some(_), Some(told_at)) => SPACING.saturating_sub(told_at.elapsed()),
            (Some(_), None) => Duration::ZERO,
            (None, _) => SPACING,
        }
    }

    /// Its key may be gone since it was opened.
    fn is_logged_in(&self) -> bool {
        let now = self.state.app.now();
        self.session.expires_at > now
            && session::of(&self.headers, &self.state.keys.load(), now).is_some()
    }

    async fn is_out_of_date(&mut self) -> bool {
        match self.state.console.pulse.read(&self.state).await {
            Ok(read) => {
                let differs = *read != *self.known;
                self.known = read;
                differs
            }
            Err(error) => {
                tracing::debug!(%error, "the console reads again");
                false
            }
        }
    }

    /// Returns when what the page shows was announced to have changed, or others were missed.
    async fn announced(&mut self) {
        loop {
            match self.changes.recv().await {
                Ok(changed) => {
                    if self.order.as_ref().is_none_or(|order| *order == changed) {
                        return;
                    }
                }
                Err(RecvError::Lagged(_)) => return,
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}
