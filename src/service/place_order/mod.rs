//! Places an order. The half message goes out first, so that an order can't exist without its
//! timer; the broker's client then runs the creating transaction through the listener. What became
//! of that transaction is read from its own result or from the barrier, never from what the client
//! says about the send. Without a broker the order is placed all the same, marked degraded.

use std::sync::{Arc, OnceLock};

use thiserror::Error;
use tracing::{Instrument as _, Span};

use crate::app::App;
use crate::domain::ids::SkuId;
use crate::domain::order::Engine;
use crate::hash::sha256_hex;
use crate::producer::rocketmq::{EventProducer, TransactionProducer};
use crate::store::idempotency::UsedKey;
use crate::store::skus::Quantity;
use crate::store::{StoreError, barriers, idempotency, skus};

use super::arm_timer::arm_deadline;
use super::forward::half_message;

mod draft;
mod write;

pub use draft::{Draft, Priced, price};
pub use write::{Creation, create};

/// Most lines of one order.
pub const LINES_MAX: usize = skus::LOOKUP_MAX;

/// What a storefront asks for.
#[derive(Clone, Debug)]
pub struct PlaceOrder {
    /// The name of the key that asks.
    pub storefront: String,
    /// The caller's key: the same key and request, the same answer.
    pub idempotency_key: String,
    /// Hash of the request's content.
    pub request_hash: String,
    /// The buyer.
    pub member_id: String,
    /// The order class, if it has one.
    pub class: Option<String>,
    /// What is bought, in ascending order of SKU ids, each once.
    pub quantities: Vec<Quantity>,
    /// The storefront's own data, a JSON text.
    pub metadata: String,
}

/// The order, as it was answered the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The JSON of the order.
    pub body: String,
    /// Whether this key was answered before.
    pub repeated: bool,
}

/// Why there is no order.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// There is no such SKU.
    #[error("there is no SKU {0}")]
    UnknownSku(SkuId),
    /// There is no such class.
    #[error("there is no order class {0}")]
    UnknownClass(String),
    /// The amount exceeds what the gateway takes.
    #[error("the amount exceeds the limit")]
    AmountTooLarge,
    /// Too few pieces are available.
    #[error("not enough of SKU {0} is available")]
    OutOfStock(SkuId),
    /// The key was used with another request.
    #[error("this idempotency key was used with another request")]
    KeyReused,
    /// The database failed, or it is unknown whether the order exists: the same key tells.
    #[error("the order could not be placed")]
    Store(#[from] StoreError),
}

/// What the half message's local transaction is to do, and a slot for what came of it.
#[derive(Debug)]
pub struct CreationJob {
    app: Arc<App>,
    draft: Draft,
    /// The caller's span: the client runs the job on a thread of its own.
    span: Span,
    result: OnceLock<Result<Creation, StoreError>>,
}

impl CreationJob {
    /// Runs the creating transaction. `true`: the order exists, and its half message stays.
    pub async fn run(&self) -> bool {
        let result = create(&self.app, &self.draft).instrument(self.span.clone()).await;
        let keep = !matches!(
            result,
            Ok(Creation::OutOfStock(_) | Creation::KeyTaken | Creation::Tombstoned)
        );
        if self.result.set(result).is_err() {
            tracing::error!(order.id = %self.draft.id(), "a creating transaction ran twice");
        }
        keep
    }
}

/// Places an order, or answers as before if the key was used before.
///
/// # Errors
/// If the request can't be met, or the database fails.
pub async fn place_order(
    app: &Arc<App>,
    half_messages: &TransactionProducer,
    events: &EventProducer,
    request: &PlaceOrder,
) -> Result<Placed, PlaceError> {
    let key_hash = sha256_hex(&[&request.storefront, &request.idempotency_key]);
    let found = skus::look_up(&app.store, &request.quantities, &key_hash).await?;
    if let Some(used) = found.used {
        return repeat(used, &request.request_hash);
    }
    let priced = price(app, request, &found.skus)?;
    let draft = priced.draft(app, request, &key_hash, false)?;
    // Who waits for a broker that doesn't listen keeps others from their turn.
    let is_away = half_messages.is_away();
    let created = match priced.engine() {
        Engine::Transaction if app.half_messages_fit() && !is_away => {
            create_behind_half_message(app, half_messages, draft).await?
        }
        Engine::Delay if !is_away => create_behind_timer(app, events, &draft).await?,
        Engine::Transaction | Engine::Delay => None,
        Engine::Poll => Some(create_alone(app, &draft).await?),
    };
    let creation = if let Some(creation) = created {
        creation
    } else {
        let draft = priced.draft(app, request, &key_hash, true)?;
        tracing::warn!(order.id = %draft.id(), "no timer message, the order is degraded");
        create_alone(app, &draft).await?
    };
    conclude(app, creation, &key_hash, &request.request_hash).await
}

/// What a key was answered before.
fn repeat(used: UsedKey, request_hash: &str) -> Result<Placed, PlaceError> {
    if used.request_hash == request_hash {
        Ok(Placed { body: used.response, repeated: true })
    } else {
        Err(PlaceError::KeyReused)
    }
}

/// `None`: the broker didn't take the half message, and a tombstone makes sure that this id is
/// never written.
async fn create_behind_half_message(
    app: &Arc<App>,
    half_messages: &TransactionProducer,
    draft: Draft,
) -> Result<Option<Creation>, PlaceError> {
    let order_id = draft.id().clone();
    let message = half_message(app, &draft.record);
    let job = Arc::new(CreationJob {
        app: Arc::clone(app),
        draft,
        span: Span::current(),
        result: OnceLock::new(),
    });
    let sent = half_messages.send_in_transaction(message, Arc::clone(&job) as _).await;
    let mut failed = None;
    match job.result.get() {
        Some(Ok(creation)) => return Ok(Some(creation.clone())),
        // With the tombstone below the same key can be tried again.
        Some(Err(error)) => failed = Some(StoreError::Busy(error.to_string())),
        None => tracing::warn!(order.id = %order_id, ?sent, "the half message was not accepted"),
    }
    match barriers::settle(&app.store, &order_id, app.now()).await? {
        barriers::Outcome::RolledBack => failed.map_or(Ok(None), |error| Err(error.into())),
        barriers::Outcome::Committed => Ok(Some(Creation::KeyTaken)),
    }
}

/// The timer goes out first, so that an order doesn't exist without it; that of an order that comes
/// to nothing does no harm. `None`: the broker didn't take it.
async fn create_behind_timer(
    app: &App,
    events: &EventProducer,
    draft: &Draft,
) -> Result<Option<Creation>, PlaceError> {
    match arm_deadline(app, events, &draft.record.order).await {
        Ok(()) => Ok(Some(create_alone(app, draft).await?)),
        Err(error) => {
            tracing::warn!(order.id = %draft.id(), %error, "its timer was not accepted");
            Ok(None)
        }
    }
}

/// An order without a half message. Where the answer to its commit got lost, the barrier tells, and
/// keeps a commit that is still under way from counting later.
async fn create_alone(app: &App, draft: &Draft) -> Result<Creation, PlaceError> {
    match create(app, draft).await {
        Err(error @ StoreError::CommitUnknown(_)) => {
            match barriers::settle(&app.store, draft.id(), app.now()).await? {
                barriers::Outcome::Committed => Ok(Creation::KeyTaken),
                barriers::Outcome::RolledBack => Err(error.into()),
            }
        }
        created => Ok(created?),
    }
}

async fn conclude(
    app: &App,
    creation: Creation,
    key_hash: &str,
    request_hash: &str,
) -> Result<Placed, PlaceError> {
    match creation {
        Creation::Created(body) => Ok(Placed { body, repeated: false }),
        Creation::OutOfStock(sku_id) => {
            app.metrics.order("refused");
            Err(PlaceError::OutOfStock(sku_id))
        }
        Creation::KeyTaken | Creation::Tombstoned => {
            let used = idempotency::find(&app.store, key_hash).await?;
            let given_up = || StoreError::Busy("the order was given up, try again".into());
            repeat(used.ok_or_else(given_up)?, request_hash)
        }
    }
}
