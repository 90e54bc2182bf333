//! The HTTP edge: storefront API, webhook, cashier page, operators, health. Handlers parse, call
//! one use case and answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::app::App;
use crate::config::{Config, Scope};
use crate::metrics::RouteLabel;
use crate::producer::rocketmq::{EventProducer, TransactionProducer};

mod admin;
mod admin_money;
pub mod auth;
mod cashier;
pub mod error;
mod health;
pub mod input;
mod live;
mod notify;
mod ops;
mod orders;
mod payments;
mod qr;
mod refunds;
mod refused_sample;
mod skus;
mod stream;

use error::ApiError;

/// Every answer is given within this time.
const ANSWER_BUDGET: Duration = Duration::from_secs(10);
/// Orders that are placed at the same time at most.
const PLACING_MAX: usize = 128;
/// An order waits for its turn to be placed no longer than this.
const PLACING_WAIT: Duration = Duration::from_secs(3);

/// What handlers work with.
#[derive(Clone)]
pub struct HttpState {
    /// The context of all use cases.
    pub app: Arc<App>,
    /// Where half messages go.
    pub half_messages: Arc<TransactionProducer>,
    /// Where timers go.
    pub events: Arc<EventProducer>,
    /// Cancelled when the service drains.
    pub stop: CancellationToken,
    /// Work that goes on after its answer.
    pub tasks: TaskTracker,
    /// How buyers reach the cashier, without a slash at the end.
    pub public_url: Arc<str>,
    keys: Arc<auth::KeyRing>,
    console: Arc<ops::Console>,
    placing: Arc<Semaphore>,
    refused: Arc<refused_sample::RefusedSample>,
}

impl std::fmt::Debug for HttpState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpState").finish_non_exhaustive()
    }
}

#[derive(OpenApi)]
#[openapi(info(
    title = "checkback",
    description = "Every order ends exactly once. Amounts are integer fen, times RFC 3339 UTC, \
                   errors application/problem+json with a stable `code`."
))]
struct ApiDoc;

impl HttpState {
    /// The state of a running service.
    #[must_use]
    pub fn new(
        app: Arc<App>,
        (half_messages, events): (Arc<TransactionProducer>, Arc<EventProducer>),
        public_url: &str,
        keys: Arc<auth::KeyRing>,
        stop: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        let placing = Arc::new(Semaphore::new(placing_max(&app.config)));
        let public_url = public_url.trim_end_matches('/').into();
        let (console, refused) = (Arc::default(), Arc::default());
        Self {
            app,
            half_messages,
            events,
            stop,
            tasks,
            public_url,
            keys,
            console,
            placing,
            refused,
        }
    }
}

/// Orders that are placed at the same time: with half messages as many as have a thread for their
/// local transactions beside the check-backs. The others wait for their turn and read the stock
/// then, so that a rush for a few pieces sends few half messages in vain.
fn placing_max(config: &Config) -> usize {
    match config.timeout.needed_of_brokers().half_messages {
        Some(_) => (config.rocketmq.callback_threads / 2).max(1),
        None => PLACING_MAX,
    }
}

/// Everything on one listener.
pub fn router(state: &HttpState) -> Router {
    finish(private_routes(state).merge(public_routes()), state)
}

/// What storefronts, operators and monitoring use.
pub fn private_router(state: &HttpState) -> Router {
    finish(private_routes(state), state)
}

/// What the gateway and buyers use.
pub fn public_router(state: &HttpState) -> Router {
    finish(public_routes(), state)
}

fn public_routes() -> Router<HttpState> {
    notify::router().merge(cashier::router())
}

fn private_routes(state: &HttpState) -> Router<HttpState> {
    let storefront = orders::router().merge(payments::router()).merge(skus::router());
    let storefront = scoped(storefront.merge(stream::router()), &[Scope::Orders]);
    let refunds = scoped(refunds::router(), &[Scope::Refunds]);
    let refund_list = scoped(refunds::list_router(), &[Scope::Orders, Scope::Refunds]);
    let operators = scoped(admin::router().merge(admin_money::router()), &[Scope::Ops]);
    let keyed = storefront
        .merge(refunds)
        .merge(refund_list)
        .merge(operators)
        .route_layer(from_fn_with_state(state.clone(), auth::require_key));
    let (api, document) =
        OpenApiRouter::with_openapi(ApiDoc::openapi()).merge(keyed).split_for_parts();
    api.merge(SwaggerUi::new("/docs").url("/openapi.json", document))
        .merge(health::router())
        .merge(ops::router(state))
}

/// Routes for callers with any of these scopes.
fn scoped(routes: OpenApiRouter<HttpState>, scopes: &'static [Scope]) -> OpenApiRouter<HttpState> {
    routes.route_layer(from_fn_with_state(scopes, auth::require_scope))
}

fn finish(routes: Router<HttpState>, state: &HttpState) -> Router {
    routes
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(CatchPanicLayer::custom(|_| {
            tracing::error!("a handler panicked");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            ApiError::new(status, "internal", "an error inside checkback").into_response()
        }))
        .layer(from_fn_with_state(state.clone(), observe))
        .with_state(state.clone())
}

/// Anybody can make methods up, and each would be a new series.
fn method_label(method: &Method) -> String {
    let known = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD];
    let label = known.contains(method).then(|| method.to_string());
    label.unwrap_or_else(|| "other".to_owned())
}

/// Under `/v1` nobody without a key learns what exists.
async fn no_such_route(State(state): State<HttpState>, request: Request) -> ApiError {
    state.keys.load().refuse_unknown(&request).unwrap_or_else(|| ApiError::not_found("page"))
}

async fn no_such_method(State(state): State<HttpState>, request: Request) -> ApiError {
    let detail = "this path has no such method";
    let wrong_method = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
    state.keys.load().refuse_unknown(&request).unwrap_or(wrong_method)
}

/// Refusals by the libraries below become problem details, too; the console's are pages.
fn as_problem(response: Response) -> Response {
    let status = response.status();
    let is_ours = response.headers().get(header::CONTENT_TYPE).is_some_and(|media_type| {
        let ours: [&[u8]; 2] = [b"application/problem+json", b"text/html"];
        ours.iter().any(|ours| media_type.as_bytes().starts_with(ours))
    });
    if is_ours || !status.is_client_error() {
        return response;
    }
    let detail = "the request can't be understood";
    match status {
        StatusCode::NOT_FOUND => ApiError::not_found("page").into_response(),
        status => ApiError::new(status, "invalid_request", detail).into_response(),
    }
}

/// A span, a time budget and a count for every request.
async fn observe(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let route = route.unwrap_or("unmatched").to_owned();
    let span = tracing::info_span!("http", method, route);
    let answering = tokio::time::timeout(ANSWER_BUDGET, next.run(request)).instrument(span);
    let response = answering.await.unwrap_or_else(|_| {
        ApiError::unavailable("timed_out", "no answer in time, ask again").into_response()
    });
    let response = as_problem(response);
    let status = response.status().as_str().to_owned();
    state.app.metrics.http_answers.get_or_create(&RouteLabel { method, route, status }).inc();
    response
}
