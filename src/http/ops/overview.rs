//! The first page: what is pending, how many alarms are open, whether everything answers, and what
//! the last sweeps had to do.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::cells::{Cell, Table, Tone};
use super::failure::Failure;
use super::pulse::{Numbers, PAGE_ROWS, Snapshot, cut_page};
use super::session::Session;
use super::{Frame, html};
use crate::http::HttpState;
use crate::http::input::QueryFields;
use crate::store::pending_list::{self, PendingOrder};

/// The kinds of rows of the pending table, and what they are called here.
const KINDS: [(&str, &str); 3] =
    [("order", "Awaiting payment"), ("attempt", "Open attempts"), ("closed", "Last looks")];

#[derive(Debug, Deserialize)]
pub(super) struct Fields {
    kind: Option<String>,
    /// The place in the list after which to go on.
    after: Option<String>,
}

struct Tile {
    label: &'static str,
    value: i64,
    tone: &'static str,
    href: &'static str,
}

struct Tab {
    label: &'static str,
    href: String,
    is_current: bool,
}

#[derive(Template)]
#[template(path = "ops/overview.html")]
struct Page {
    frame: Frame,
    tiles: Vec<Tile>,
    health: Vec<(String, Cell)>,
    tabs: Vec<Tab>,
    pending: Table,
    next: Option<String>,
    sweeps: Table,
}

pub(super) async fn page(
    State(state): State<HttpState>,
    Extension(session): Extension<Session>,
    QueryFields(fields): QueryFields<Fields>,
) -> Result<Response, Failure> {
    let kind = fields.kind.as_deref().unwrap_or("order");
    let Some((kind, _)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        return Err(Failure::invalid("There is no such kind of row."));
    };
    let snapshot = state.console.pulse.read(&state).await?;
    let rows = match fields.after.as_deref() {
        None if *kind == "order" => snapshot.pending.clone(),
        after => {
            let after = place(after.unwrap_or("0-"))?;
            pending_list::of_kind(&state.app.store, kind, after, PAGE_ROWS + 1).await?
        }
    };
    let (rows, next) = cut(rows, kind);
    let mut frame = Frame::new(&state, &session, "Overview", "/ops");
    if fields.after.is_none() {
        frame = frame.live("/ops/stream");
    }
    let page = Page {
        frame,
        tiles: tiles(&snapshot.numbers),
        health: health(&snapshot),
        tabs: tabs(kind),
        pending: pending(&rows),
        next,
        sweeps: sweeps(&snapshot),
    };
    Ok(html(StatusCode::OK, &page))
}

/// A place in the list: a time and the row's own number.
fn place(text: &str) -> Result<(i64, &str), Failure> {
    let parts = text.split_once('-');
    let place = parts.and_then(|(ms, subject)| Some((ms.parse().ok()?, subject)));
    place.ok_or_else(|| Failure::invalid("There is no such page."))
}

/// One page of rows, and where the next one begins.
fn cut(mut rows: Vec<PendingOrder>, kind: &str) -> (Vec<PendingOrder>, Option<String>) {
    let more = cut_page(&mut rows);
    let last = rows.last().filter(|_| more).map(|row| {
        let ms = row.next_query_at.timestamp_millis();
        format!("/ops?kind={kind}&after={ms}-{}", row.subject)
    });
    (rows, last)
}

fn tiles(numbers: &Numbers) -> Vec<Tile> {
    let tile = |label, value, bad: &'static str, href| Tile {
        label,
        value,
        tone: if value > 0 { bad } else { "plain" },
        href,
    };
    vec![
        tile("critical alarms", numbers.critical, "bad", "/ops/alarms"),
        tile("warnings", numbers.warning, "warning", "/ops/alarms"),
        tile("awaiting payment", numbers.awaiting, "plain", "/ops"),
        tile("overdue looks", numbers.due, "warning", "/ops"),
        tile("open attempts", numbers.attempts, "plain", "/ops?kind=attempt"),
        tile("refused refunds", numbers.refunds.refused, "bad", "/ops/refunds"),
        tile("refunds under way", numbers.refunds.under_way, "plain", "/ops/refunds"),
        tile("events to publish", numbers.unpublished, "plain", "/ops"),
    ]
}

/// What `/readyz` says, whatever it is.
fn health(snapshot: &Snapshot) -> Vec<(String, Cell)> {
    let told = json!(snapshot.readiness);
    let parts = told.as_object().into_iter().flatten();
    let parts = parts.map(|(part, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (part.replace('_', " "), Cell::status(&value))
    });
    parts.collect()
}

fn tabs(current: &str) -> Vec<Tab> {
    let tab = |(kind, label): (&str, &'static str)| Tab {
        label,
        href: if kind == "order" { "/ops".to_owned() } else { format!("/ops?kind={kind}") },
        is_current: kind == current,
    };
    KINDS.into_iter().map(tab).collect()
}

fn pending(rows: &[PendingOrder]) -> Table {
    Table {
        heads: &["Order", "Amount", "Deadline", "Checks", "Last answer", "Next trigger"],
        rows: rows.iter().map(pending_row).collect(),
        empty: "Nothing is pending: everything is settled.",
    }
}

fn pending_row(row: &PendingOrder) -> Vec<Cell> {
    let mut order = vec![Cell::order(&row.order_id)];
    if row.subject != row.order_id.as_str() {
        order.push(Cell::code(row.subject.as_str()));
    }
    if row.degraded {
        order.push(Cell::status("degraded"));
    }
    if row.cancel_requested {
        order.push(Cell::Badge { tone: "plain", text: "cancel requested".to_owned() });
    }
    let answer = row.last_answer.as_deref().map_or(Cell::Nothing, Cell::status);
    vec![
        Cell::lines(order),
        Cell::yuan(row.amount),
        Cell::at(row.expires_at),
        Cell::text(format!("{} ({} looks)", row.check_count, row.query_count)),
        Cell::lines(vec![answer, Cell::at_opt(row.last_answer_at)]),
        Cell::lines(vec![Cell::text(next_trigger(row)), Cell::at(row.next_query_at)]),
    ]
}

fn next_trigger(row: &PendingOrder) -> &'static str {
    let is_order = row.subject == row.order_id.as_str();
    if is_order && !row.degraded { "check-back, else poll" } else { "poll" }
}

fn sweeps(snapshot: &Snapshot) -> Table {
    let rows = snapshot.sweeps.iter().map(|run| {
        let took = run.finished_at.signed_duration_since(run.started_at).num_milliseconds();
        let failed = if run.failed > 0 { Tone::Bad } else { Tone::Plain };
        vec![
            Cell::at(run.started_at),
            Cell::text(format!("{took} ms")),
            Cell::number(run.settled),
            Cell::number(run.still_pending),
            Cell::badge(failed, run.failed),
        ]
    });
    Table {
        heads: &["Started", "Took", "Settled", "Still pending", "Failed"],
        rows: rows.collect(),
        empty: "No sweep has run yet.",
    }
}
