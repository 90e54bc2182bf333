//! Live state of one order as server-sent events: at once, then after each change, until it ends.
//!
//! A change is announced inside this process; one made by another instance, or one that a slow
//! listener missed, is found by polling. Nothing is sent twice.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use chrono::{DateTime, Utc};
use futures_util::stream::{self, Stream};
use serde_json::{Value, json};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::HttpState;
use super::auth::{Caller, Keys};
use super::cashier::BuyerView;
use super::error::ApiError;
use crate::app::App;
use crate::config::Scope;
use crate::domain::ids::OrderId;
use crate::domain::order::OrderStatus;
use crate::service::order_view::OrderView;
use crate::store::orders::{Item, OrderRecord};
use crate::store::payments::PaymentRecord;
use crate::store::{StoreError, history, orders, payments};

/// Streams that are open at the same time in this process.
const STREAMS_MAX: usize = 2_000;
/// How often an order is read although nothing was announced.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Shortest wait before an order is read again because its time has come.
const POLL_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// How often a comment keeps an idle connection open.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// How soon a listener should come back after a lost connection.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);
/// The name of every event.
const EVENT: &str = "order";
/// The history's word for the line that holds a cancel's evidence.
const CANCELLED: &str = "cancelled";

static STREAMS: Semaphore = Semaphore::const_new(STREAMS_MAX);

/// Who listens, and so what is sent.
#[derive(Clone, Copy, Debug)]
enum Audience {
    /// The order as the API shows it.
    Storefront,
    /// What the cashier page needs, and nothing of the storefront's own data.
    Buyer,
}

/// What was read of an order at one time.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// The order.
    pub record: OrderRecord,
    /// Its payment attempts, oldest first.
    pub payments: Vec<PaymentRecord>,
    /// A cancelled order's evidence, as it stands in the history.
    pub evidence: Option<Value>,
}

/// Sends an order as the API shows it.
///
/// # Errors
/// If there is no such order, too many streams are open, or the database fails.
pub(super) async fn order_stream(
    state: &HttpState,
    order_id: OrderId,
    caller: Caller,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>, ApiError> {
    let mut keys = state.keys.watch();
    // They may have been replaced since the caller was let in.
    keys.mark_changed();
    open(state, order_id, Audience::Storefront, Some(Admission { keys, caller })).await
}

/// Sends what the buyer's cashier page shows.
///
/// # Errors
/// If there is no such order, too many streams are open, or the database fails.
pub(super) async fn buyer_stream(
    state: &HttpState,
    order_id: OrderId,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>, ApiError> {
    open(state, order_id, Audience::Buyer, None).await
}

async fn open(
    state: &HttpState,
    order_id: OrderId,
    audience: Audience,
    admission: Option<Admission>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>, ApiError> {
    let permit = STREAMS.try_acquire().map_err(|_| {
        ApiError::unavailable("too_many_streams", "too many streams are open, try again")
    })?;
    // Listening begins before reading: a change in between is read twice rather than missed.
    let changes = state.app.changes.subscribe();
    let first = Snapshot::read(&state.app, &order_id).await?;
    let first = first.ok_or_else(|| ApiError::not_found("order").about("id"))?;
    let watch = Watch {
        items: orders::items(&state.app.store, &order_id).await?,
        app: Arc::clone(&state.app),
        order_id,
        audience,
        changes,
        admission,
        stop: state.stop.clone(),
        first: Some(first),
        sent: Value::Null,
        turns_at: None,
        ended: false,
        _permit: permit,
    };
    let events = stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await?;
        Some((Ok(event), watch))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE_INTERVAL)))
}

impl Snapshot {
    /// Reads an order with its payments.
    ///
    /// The payments are read before the order: one that is still unpaid is never shown beside its
    /// applied payment. What has ended is not read again soon, so its payments are read after it.
    pub(super) async fn read(app: &App, id: &OrderId) -> Result<Option<Self>, StoreError> {
        let before = payments::of_order(&app.store, id).await?;
        let Some(record) = orders::find(&app.store, id).await? else { return Ok(None) };
        let payments = if is_last(record.order.status) {
            payments::of_order(&app.store, id).await?
        } else {
            before
        };
        let evidence = match record.order.status {
            OrderStatus::Cancelled => read_evidence(app, id).await?,
            OrderStatus::AwaitingPayment
            | OrderStatus::Paid
            | OrderStatus::Refunding
            | OrderStatus::Refunded => None,
        };
        Ok(Some(Self { record, payments, evidence }))
    }
}

async fn read_evidence(app: &App, id: &OrderId) -> Result<Option<Value>, StoreError> {
    let events = history::list(&app.store, id).await?;
    Ok(events.into_iter().rev().find(|event| event.cause == CANCELLED).map(|event| event.detail))
}

/// Whether a stream ends after this status was sent.
fn is_last(status: OrderStatus) -> bool {
    match status {
        OrderStatus::Paid | OrderStatus::Cancelled | OrderStatus::Refunded => true,
        OrderStatus::AwaitingPayment | OrderStatus::Refunding => false,
    }
}

/// The key that a stream was opened with; buyers need none.
struct Admission {
    keys: watch::Receiver<Arc<Keys>>,
    caller: Caller,
}

impl Admission {
    /// Returns when the key isn't valid any more.
    async fn ended(&mut self) {
        while self.keys.changed().await.is_ok() {
            if !self.keys.borrow_and_update().admit(&self.caller, Scope::Orders) {
                return;
            }
        }
        std::future::pending().await
    }
}

/// One open stream.
struct Watch {
    app: Arc<App>,
    order_id: OrderId,
    audience: Audience,
    changes: Receiver<OrderId>,
    admission: Option<Admission>,
    stop: CancellationToken,
    items: Vec<Item>,
    first: Option<Snapshot>,
    /// What the listener knows.
    sent: Value,
    /// When the order looks different although nothing changes: at its deadline.
    turns_at: Option<DateTime<Utc>>,
    ended: bool,
    _permit: SemaphorePermit<'static>,
}

impl Watch {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        if let Some(first) = self.first.take() {
            return self.tell(&first).map(|event| event.retry(RECONNECT_AFTER));
        }
        while !self.ended && self.wait().await {
            match Snapshot::read(&self.app, &self.order_id).await {
                Ok(Some(snapshot)) => {
                    if let Some(event) = self.tell(&snapshot) {
                        return Some(event);
                    }
                }
                Ok(None) => return None,
                Err(error) => {
                    tracing::debug!(order.id = %self.order_id, %error, "the stream reads again");
                }
            }
        }
        None
    }

    /// Waits until the order may look different. `false`: the service drains, or the key that the
    /// stream was opened with is gone.
    async fn wait(&mut self) -> bool {
        let pause = pause(self.app.now(), self.turns_at);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => return false,
            () = ended(self.admission.as_mut()) => return false,
            () = announced(&mut self.changes, &self.order_id) => {}
            () = sleep(pause) => {}
        }
        true
    }

    /// The event for what was read; `None` if the listener knows it.
    fn tell(&mut self, snapshot: &Snapshot) -> Option<Event> {
        let now = self.app.now();
        let order = &snapshot.record.order;
        self.ended = is_last(order.status);
        self.turns_at = (order.status == OrderStatus::AwaitingPayment).then_some(order.expires_at);
        let state = match self.audience {
            Audience::Storefront => {
                json!(OrderView::new(&snapshot.record, &self.items, &snapshot.payments))
            }
            Audience::Buyer => json!(BuyerView::new(snapshot, now)),
        };
        if state == self.sent {
            return None;
        }
        let event = Event::default().event(EVENT).data(message(self.audience, &state, now));
        self.sent = state;
        Some(event)
    }
}

async fn ended(admission: Option<&mut Admission>) {
    match admission {
        Some(admission) => admission.ended().await,
        None => std::future::pending().await,
    }
}

/// The state as it is sent; the buyer's page also learns the time, for its countdown.
fn message(audience: Audience, state: &Value, now: DateTime<Utc>) -> String {
    let mut message = state.clone();
    if let (Audience::Buyer, Value::Object(fields)) = (audience, &mut message) {
        fields.insert("server_now".to_owned(), json!(now));
    }
    message.to_string()
}

/// How long to wait before reading again.
fn pause(now: DateTime<Utc>, turns_at: Option<DateTime<Utc>>) -> Duration {
    let until_turn =
        turns_at.filter(|at| *at > now).and_then(|at| at.signed_duration_since(now).to_std().ok());
    until_turn.unwrap_or(POLL_INTERVAL).clamp(POLL_INTERVAL_MIN, POLL_INTERVAL)
}

/// Returns when a change of this order was announced, or when announcements were missed.
async fn announced(changes: &mut Receiver<OrderId>, order_id: &OrderId) {
    loop {
        match changes.recv().await {
            Ok(other) if other != *order_id => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast;

    use super::*;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_000_000_000 + ms).expect("a time")
    }

    #[test]
    fn the_order_is_read_when_its_window_ends_and_every_two_seconds() {
        assert_eq!(pause(at(0), None), POLL_INTERVAL);
        assert_eq!(pause(at(0), Some(at(60_000))), POLL_INTERVAL);
        assert_eq!(pause(at(0), Some(at(700))), Duration::from_millis(700));
        assert_eq!(pause(at(700), Some(at(700))), POLL_INTERVAL);
        assert_eq!(pause(at(900), Some(at(700))), POLL_INTERVAL);
    }

    #[test]
    fn only_the_buyers_message_tells_the_time() {
        let state = json!({ "status": "paid" });
        assert_eq!(message(Audience::Storefront, &state, at(0)), r#"{"status":"paid"}"#);
        let told: Value =
            serde_json::from_str(&message(Audience::Buyer, &state, at(0))).expect("JSON");
        assert_eq!(told["server_now"], json!(at(0)));
    }

    #[test]
    fn a_stream_ends_with_what_can_only_change_by_a_refund() {
        let last = OrderStatus::ALL.into_iter().filter(|status| is_last(*status));
        let last: Vec<_> = last.map(OrderStatus::as_str).collect();
        assert_eq!(last, ["paid", "cancelled", "refunded"]);
    }

    #[tokio::test]
    async fn another_orders_change_wakes_nobody_and_a_missed_one_does() {
        let ours = OrderId::from_trusted("OURS");
        let sender = broadcast::Sender::new(2);
        let mut changes = sender.subscribe();
        sender.send(OrderId::from_trusted("THEIRS")).expect("somebody listens");
        sender.send(ours.clone()).expect("somebody listens");
        announced(&mut changes, &ours).await;
        assert!(changes.is_empty(), "both were looked at");
        for _ in 0..3 {
            sender.send(OrderId::from_trusted("THEIRS")).expect("somebody listens");
        }
        announced(&mut changes, &ours).await;
    }
}
