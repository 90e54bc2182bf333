//! Live state of one order as server-sent events: at once, then after each change, until it ends.
//!
//! An order is read when a change of it is announced, and when its time has come; a change that
//! another instance made is announced as well. Nothing is sent twice.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::{self, Stream};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::HttpState;
use super::auth::{Caller, Keys};
use super::cashier::BuyerView;
use super::error::ApiError;
use crate::app::{App, OrderWatch};
use crate::config::Scope;
use crate::domain::ids::OrderId;
use crate::domain::order::OrderStatus;
use crate::service::order_view::OrderView;
use crate::store::orders::{Item, OrderRecord};
use crate::store::payments::PaymentRecord;
use crate::store::refunds::{self, RefundRecord};
use crate::store::{StoreError, history, orders, payments};

/// Streams that are open at the same time in this process.
const STREAMS_MAX: usize = 2_000;
/// An order is read after this although nothing was announced.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// Shortest wait before an order is read again because its time has come.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// How soon an order is read again whose code is being made: that the code came is no change of the
/// order, which others would announce.
const CODE_PAUSE: TimeDelta = TimeDelta::seconds(2);
/// … unless it has been missing for so long that its maker has given up.
const CODE_PATIENCE: TimeDelta = TimeDelta::seconds(30);
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
    /// Refunds of these payments, oldest first.
    pub refunds: Vec<RefundRecord>,
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
    let changes = state.app.changes.watch(&order_id);
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
        let refunds = if payments.iter().any(|payment| payment.paid.is_some()) {
            refunds::of_order(&app.store, id).await?
        } else {
            Vec::new()
        };
        Ok(Some(Self { record, payments, refunds, evidence }))
    }

    /// Whether nothing more happens to the order, and no money is on its way back.
    pub(super) fn is_settled(&self) -> bool {
        is_last(self.record.order.status)
            && self.payments.iter().all(|payment| payment.attempt.refunding.is_zero())
    }
}

async fn read_evidence(app: &App, id: &OrderId) -> Result<Option<Value>, StoreError> {
    let events = history::list(&app.store, id).await?;
    Ok(events.into_iter().rev().find(|event| event.cause == CANCELLED).map(|event| event.detail))
}

/// Whether a stream ends after this status was sent, once no money is on its way back.
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
        std::future::pending::<()>().await;
    }
}

/// One open stream.
struct Watch {
    app: Arc<App>,
    order_id: OrderId,
    audience: Audience,
    changes: OrderWatch,
    admission: Option<Admission>,
    stop: CancellationToken,
    items: Vec<Item>,
    first: Option<Snapshot>,
    /// What the listener knows.
    sent: Value,
    /// When the order may look different although no change is announced.
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
            () = self.changes.changed() => {}
            () = sleep(pause) => {}
        }
        true
    }

    /// The event for what was read; `None` if the listener knows it.
    fn tell(&mut self, snapshot: &Snapshot) -> Option<Event> {
        let now = self.app.now();
        self.ended = match self.audience {
            Audience::Storefront => is_last(snapshot.record.order.status),
            Audience::Buyer => snapshot.is_settled(),
        };
        self.turns_at = next_turn(snapshot, now);
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

/// When an order that awaits its payment looks different by itself: at its deadline, when a code
/// dies, or as soon as one that is being made is there.
fn next_turn(snapshot: &Snapshot, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let order = &snapshot.record.order;
    if order.status != OrderStatus::AwaitingPayment {
        return None;
    }
    let live = snapshot.payments.iter().filter(|payment| payment.attempt.status.is_live());
    let turns = live.map(|payment| {
        let is_made = payment.qr_code.is_none() && now < payment.created_at + CODE_PATIENCE;
        if is_made { now + CODE_PAUSE } else { payment.expires_at }
    });
    turns.chain([order.expires_at]).filter(|at| *at > now).min()
}

/// How long to wait before reading again.
fn pause(now: DateTime<Utc>, turns_at: Option<DateTime<Utc>>) -> Duration {
    let until_turn =
        turns_at.filter(|at| *at > now).and_then(|at| at.signed_duration_since(now).to_std().ok());
    until_turn.unwrap_or(PAUSE_MAX).clamp(PAUSE_MIN, PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::payment::PaymentStatus;
    use crate::http::cashier::fixtures::{self, WINDOW_S, attempt, snapshot};

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_000_000_000 + ms).expect("a time")
    }

    #[test]
    fn the_order_is_read_when_its_time_comes_and_once_a_minute() {
        assert_eq!(pause(at(0), None), PAUSE_MAX);
        assert_eq!(pause(at(0), Some(at(100_000))), PAUSE_MAX);
        assert_eq!(pause(at(0), Some(at(700))), Duration::from_millis(700));
        assert_eq!(pause(at(700), Some(at(700))), PAUSE_MAX);
        assert_eq!(pause(at(900), Some(at(700))), PAUSE_MAX);
    }

    #[test]
    fn an_order_may_look_different_at_its_deadline_when_a_code_dies_and_while_one_is_made() {
        let awaiting = OrderStatus::AwaitingPayment;
        let deadline = Some(fixtures::at(WINDOW_S));
        let turn = |payments, now| next_turn(&snapshot(awaiting, payments), fixtures::at(now));
        assert_eq!(turn(vec![], 10), deadline);
        assert_eq!(turn(vec![], WINDOW_S), None);
        let mut short = attempt("A", PaymentStatus::Waiting);
        short.expires_at = fixtures::at(20);
        assert_eq!(turn(vec![short.clone()], 10), Some(short.expires_at));
        assert_eq!(turn(vec![short], 20), deadline);
        let mut in_the_making = attempt("B", PaymentStatus::Created);
        in_the_making.qr_code = None;
        assert_eq!(turn(vec![in_the_making.clone()], 10), Some(fixtures::at(12)));
        assert_eq!(turn(vec![in_the_making.clone()], 40), deadline);
        in_the_making.attempt.status = PaymentStatus::Failed;
        assert_eq!(turn(vec![in_the_making], 10), deadline);
        let paid = snapshot(OrderStatus::Paid, vec![attempt("C", PaymentStatus::Applied)]);
        assert_eq!(next_turn(&paid, fixtures::at(10)), None);
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
    fn a_buyer_hears_of_money_that_is_on_its_way_back() {
        let mut late = fixtures::paid("A", PaymentStatus::Late, 1_230);
        assert!(snapshot(OrderStatus::Cancelled, vec![late.clone()]).is_settled());
        late.attempt.refunding = fixtures::fen(1_230);
        assert!(!snapshot(OrderStatus::Cancelled, vec![late]).is_settled());
        assert!(!snapshot(OrderStatus::Refunding, vec![]).is_settled());
    }

    #[test]
    fn a_stream_ends_with_what_can_only_change_by_a_refund() {
        let last = OrderStatus::ALL.into_iter().filter(|status| is_last(*status));
        let last: Vec<_> = last.map(OrderStatus::as_str).collect();
        assert_eq!(last, ["paid", "cancelled", "refunded"]);
    }
}
