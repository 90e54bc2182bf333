//! `/_ctl`: playing the buyer, looking behind the curtain, breaking things, moving the clock.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::books::Books;
use crate::buyer;
use crate::faults::{FaultSpec, FaultView, Kind, Target};
use crate::fields::{FieldError, Fields};
use crate::journal::JournalClosed;
use crate::rules::Rules;
use crate::server::Shared;
use crate::trade::{Refused, State as TradeState, Trade};

/// How far the clock may be from the system's.
const MOST_OFFSET_MS: i64 = 10 * 366 * 24 * 3600 * 1000;
const FAULT_FIELDS: [&str; 9] = [
    "method",
    "kind",
    "times",
    "skip",
    "probability",
    "seed",
    "out_trade_no",
    "delay_ms",
    "sub_code",
];
const MOST_DELAY_MS: u64 = 30 * 24 * 3600 * 1000;

/// The routes of the control API.
pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/scan", post(scan))
        .route("/pay", post(pay))
        .route("/fail", post(fail))
        .route("/trades", get(trades))
        .route("/trades/{out_trade_no}", get(trade))
        .route("/faults", get(list_faults).post(add_fault).delete(clear_faults))
        .route("/clock", post(advance_clock))
        .route("/freeze", post(freeze))
        .route("/settings", get(show_rules).post(change_rules))
        .fallback(unknown_call)
        .method_not_allowed_fallback(unknown_call)
}

/// Why a control call has no effect.
#[derive(Debug)]
enum ControlError {
    Field(FieldError),
    UnknownTrade(String),
    Refused(TradeState),
    JournalClosed,
}

impl From<FieldError> for ControlError {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

impl From<JournalClosed> for ControlError {
    fn from(_: JournalClosed) -> Self {
        Self::JournalClosed
    }
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let (status, body) = match self {
            Self::Field(error) => {
                let text = error.to_string();
                (StatusCode::BAD_REQUEST, json!({"error": text, "field": error.field}))
            }
            Self::UnknownTrade(number) => {
                let text = format!("no trade has the out_trade_no {number}");
                (StatusCode::NOT_FOUND, json!({"error": text, "field": "out_trade_no"}))
            }
            Self::Refused(state) => {
                let text = match state {
                    TradeState::NotScanned | TradeState::WaitBuyerPay => {
                        "the code or the trade has expired"
                    }
                    TradeState::TradeClosed => "the trade is closed",
                    TradeState::TradeSuccess | TradeState::TradeFinished => {
                        "the trade was paid before"
                    }
                };
                (StatusCode::CONFLICT, json!({"state": state.name(), "error": text}))
            }
            Self::JournalClosed => {
                let text = JournalClosed.to_string();
                (StatusCode::SERVICE_UNAVAILABLE, json!({"error": text}))
            }
        };
        (status, Json(body)).into_response()
    }
}

async fn scan(State(shared): State<Arc<Shared>>, body: Bytes) -> Result<Json<Value>, ControlError> {
    let fields = Fields::parse("body", &body)?;
    fields.only(&["out_trade_no", "amount", "force"])?;
    let number = fields.required_text("out_trade_no", 64)?;
    let scanned = shared.store.visit(|books, now| {
        buyer::scan(books, &number, now).map(|result| result.map(|trade| show(books, &trade)))
    });
    answer(number.clone(), scanned.await?)
}

async fn pay(State(shared): State<Arc<Shared>>, body: Bytes) -> Result<Json<Value>, ControlError> {
    let fields = Fields::parse("body", &body)?;
    fields.only(&["out_trade_no", "amount", "force"])?;
    let number = fields.required_text("out_trade_no", 64)?;
    let amount = fields.amount("amount")?;
    let pay = if fields.flag("force")? { buyer::force_pay } else { buyer::pay };
    let paid = shared.store.visit(|books, now| {
        pay(books, &number, amount, now).map(|result| result.map(|trade| show(books, &trade)))
    });
    answer(number.clone(), paid.await?)
}

/// The buyer refuses to pay, or can't.
async fn fail(State(shared): State<Arc<Shared>>, body: Bytes) -> Result<Json<Value>, ControlError> {
    let fields = Fields::parse("body", &body)?;
    fields.only(&["out_trade_no"])?;
    let number = fields.required_text("out_trade_no", 64)?;
    let failed = shared.store.visit(|books, now| {
        buyer::give_up(books, &number, now).map(|result| result.map(|trade| show(books, &trade)))
    });
    answer(number.clone(), failed.await?)
}

fn answer(
    number: String,
    outcome: Option<Result<Value, Refused>>,
) -> Result<Json<Value>, ControlError> {
    match outcome {
        None => Err(ControlError::UnknownTrade(number)),
        Some(Err(Refused(state))) => Err(ControlError::Refused(state)),
        Some(Ok(trade)) => Ok(Json(trade)),
    }
}

async fn trades(State(shared): State<Arc<Shared>>) -> Result<Json<Value>, ControlError> {
    let trades = shared.store.visit(|books, now| {
        let trades = books.all_trades(now);
        trades.iter().map(|trade| show(books, trade)).collect::<Vec<_>>()
    });
    Ok(Json(Value::Array(trades.await?)))
}

async fn trade(
    State(shared): State<Arc<Shared>>,
    Path(number): Path<String>,
) -> Result<Json<Value>, ControlError> {
    let trade = shared.store.visit(|books, now| {
        let trade = books.trade(&number, now);
        trade.map(|trade| show(books, &trade))
    });
    trade.await?.map(Json).ok_or(ControlError::UnknownTrade(number))
}

async fn add_fault(
    State(shared): State<Arc<Shared>>,
    body: Bytes,
) -> Result<Json<Value>, ControlError> {
    let spec = read_fault(&Fields::parse("body", &body)?)?;
    tracing::info!(?spec, "a fault is in force");
    let id = shared.faults.add(spec);
    Ok(Json(json!({"id": id.to_string()})))
}

async fn list_faults(State(shared): State<Arc<Shared>>) -> Json<Vec<FaultView>> {
    Json(shared.faults.list())
}

fn read_fault(fields: &Fields) -> Result<FaultSpec, FieldError> {
    fields.only(&FAULT_FIELDS)?;
    let method = fields.required_text("method", 128)?;
    let target = Target::parse(&method).ok_or_else(|| {
        FieldError::new("method", "is neither a method of the gateway, nor *, nor notify")
    })?;
    let kind = fields.required_text("kind", 64)?;
    let kind = serde_json::from_value(Value::String(kind))
        .map_err(|error| FieldError::new("kind", format!("is unknown: {error}")))?;
    if !target.allows(kind) {
        return Err(FieldError::new("kind", format!("can't happen to {method}")));
    }
    let sub_code = fields.text("sub_code", 64)?;
    match (kind, &sub_code) {
        (Kind::BusinessFailure, None) => return Err(FieldError::new("sub_code", "is missing")),
        (Kind::BusinessFailure, Some(_)) | (_, None) => {}
        (_, Some(_)) => return Err(FieldError::new("sub_code", "is for business_failure only")),
    }
    let delay_ms = fields.unsigned("delay_ms", MOST_DELAY_MS)?;
    Ok(FaultSpec {
        target,
        kind,
        times: fields.unsigned("times", u64::MAX)?,
        skip: fields.unsigned("skip", u64::MAX)?.unwrap_or(0),
        probability: fields.probability("probability")?,
        seed: fields.unsigned("seed", u64::MAX)?,
        out_trade_no: fields.text("out_trade_no", 64)?,
        sub_code,
        delay: delay_ms.and_then(|delay| i64::try_from(delay).ok()).map(TimeDelta::milliseconds),
    })
}

async fn clear_faults(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.faults.clear();
    StatusCode::NO_CONTENT
}

async fn advance_clock(
    State(shared): State<Arc<Shared>>,
    body: Bytes,
) -> Result<Json<Value>, ControlError> {
    let fields = Fields::parse("body", &body)?;
    fields.only(&["advance_ms"])?;
    let advance_ms = fields.integer("advance_ms")?;
    let advance_ms = advance_ms.ok_or_else(|| FieldError::new("advance_ms", "is missing"))?;
    let offset = shared.store.visit(|books, _| {
        let offset_ms = books.clock_offset_ms().saturating_add(advance_ms);
        let fits = (-MOST_OFFSET_MS..=MOST_OFFSET_MS).contains(&offset_ms);
        fits.then(|| books.set_clock_offset_ms(offset_ms)).map(|()| offset_ms)
    });
    let too_far = || FieldError::new("advance_ms", "leads more than ten years away");
    let offset_ms = offset.await?.ok_or_else(too_far)?;
    Ok(Json(json!({"now": time(shared.store.now()), "offset_ms": offset_ms})))
}

/// Freezes a trade, or thaws it with `{"frozen":false}`.
async fn freeze(
    State(shared): State<Arc<Shared>>,
    body: Bytes,
) -> Result<Json<Value>, ControlError> {
    let fields = Fields::parse("body", &body)?;
    fields.only(&["out_trade_no", "frozen"])?;
    let number = fields.required_text("out_trade_no", 64)?;
    let frozen = fields.flag_or("frozen", true)?;
    let done = shared.store.visit(|books, now| {
        let trade = books.edit(&number, now, |trade| {
            trade.frozen = frozen;
            trade.clone()
        })?;
        Some(Ok(show(books, &trade)))
    });
    answer(number.clone(), done.await?)
}

async fn show_rules(State(shared): State<Arc<Shared>>) -> Result<Json<Rules>, ControlError> {
    Ok(Json(shared.store.visit(|books, _| books.rules().clone()).await?))
}

/// Changes the rules that are named and leaves the others as they are.
async fn change_rules(
    State(shared): State<Arc<Shared>>,
    body: Bytes,
) -> Result<Json<Rules>, ControlError> {
    let fields = Fields::parse("body", &body)?;
    let changed = shared.store.visit(|books, _| {
        let rules = books.rules().with(fields.to_value())?;
        books.set_rules(rules.clone());
        Ok::<_, FieldError>(rules)
    });
    Ok(Json(changed.await??))
}

async fn unknown_call(method: Method, uri: Uri) -> (StatusCode, Json<Value>) {
    let text = format!("the control API has no {method} {}", uri.path());
    (StatusCode::NOT_FOUND, Json(json!({ "error": text })))
}

fn show(books: &Books, trade: &Trade) -> Value {
    let progress = &trade.progress;
    let refunds = progress.refunds.iter().map(|refund| {
        json!({
            "out_request_no": refund.out_request_no,
            "amount": refund.amount.to_string(),
            "at": time(refund.at),
        })
    });
    let notifications = books.notifications_of(&trade.out_trade_no);
    let attempts = notifications.into_iter().flat_map(|notification| {
        notification.attempts.iter().map(|attempt| {
            json!({
                "notify_id": notification.notify_id,
                "at": time(attempt.at),
                "answered": attempt.answered,
                "problem": attempt.problem,
            })
        })
    });
    json!({
        "out_trade_no": trade.out_trade_no,
        "product": trade.product,
        "trade_no": progress.trade_no,
        "state": progress.state.name(),
        "total_amount": trade.total().to_string(),
        "subject": trade.subject,
        "created_at": time(trade.created_at),
        "times_out_at": time(trade.times_out_at),
        "paid_at": progress.payment.as_ref().map(|payment| time(payment.at)),
        "closed_at": progress.closed_at.map(time),
        "refunds": refunds.collect::<Vec<_>>(),
        "notifications": attempts.collect::<Vec<_>>(),
    })
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
