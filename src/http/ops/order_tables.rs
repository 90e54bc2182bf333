//! What an order's page shows of each kind of row. Nothing of the buyer: a member's id is masked,
//! and a notification's body, which names the payer, isn't read at all.

use serde_json::{Value, json};

use super::cells::{Cell, Facts, Table};
use super::payments::given_back;
use super::session::Session;
use super::{decisions, show};
use crate::domain::ids::OutTradeNo;
use crate::store::history::Event;
use crate::store::notifications::Received;
use crate::store::orders::{Item, OrderRecord};
use crate::store::outbox::Posted;
use crate::store::payment_queries::Logged;
use crate::store::payments::PaymentRecord;
use crate::store::pending::{Kind, Pending};

pub(super) fn facts(record: &OrderRecord) -> Facts {
    let order = &record.order;
    let cancel = order.cancel_request.as_ref();
    let metadata: Value = serde_json::from_str(&record.metadata).unwrap_or_default();
    Facts(vec![
        ("Storefront", Cell::text(record.storefront.as_str())),
        ("Its number", Cell::maybe(record.order_no.as_deref())),
        ("Member", Cell::text(show::masked(&record.member_id))),
        ("Subject", Cell::text(record.subject.as_str())),
        ("Class", Cell::text(record.class.as_str())),
        ("Engine", Cell::text(engine(record))),
        ("Version", Cell::number(order.version)),
        ("Given back", Cell::yuan(record.refunded)),
        ("Placed", Cell::at(record.created_at)),
        ("Deadline", Cell::at(order.expires_at)),
        ("Cancel requested", Cell::at_opt(cancel.map(|request| request.at))),
        ("Requested by", cancel.map_or(Cell::Nothing, |request| Cell::text(request.by.as_str()))),
        ("Paid", Cell::at_opt(record.paid_at)),
        ("Applied payment", Cell::maybe(order.applied.as_ref().map(OutTradeNo::as_str))),
        ("Cancelled", Cell::at_opt(record.cancelled_at)),
        ("Metadata", Cell::json("metadata", "show", &metadata)),
    ])
}

fn engine(record: &OrderRecord) -> String {
    let degraded = if record.degraded { ", degraded: placed without its half message" } else { "" };
    format!("{} ({}){degraded}", record.engine.as_str(), record.half_message.as_str())
}

pub(super) fn items(items: &[Item]) -> Table {
    let rows = items.iter().map(|item| {
        let sum = item.price.checked_mul(item.quantity);
        vec![
            Cell::code(item.sku_id.as_str()),
            Cell::text(item.title.as_str()),
            Cell::yuan(item.price),
            Cell::number(item.quantity),
            sum.map_or(Cell::Nothing, Cell::yuan),
        ]
    });
    Table {
        heads: &["SKU", "Title", "Price", "Pieces", "Sum"],
        rows: rows.collect(),
        empty: "No items.",
    }
}

pub(super) fn payments(
    payments: &[PaymentRecord],
    pending: &[Pending],
    session: &Session,
    page: &str,
) -> Table {
    let row = |payment| {
        let mut cells = payment_row(payment, pending);
        cells.push(Cell::lines(decisions::buttons(payment, session, page)));
        cells
    };
    Table {
        heads: &[
            "Payment",
            "Status",
            "Asked",
            "Paid",
            "Given back",
            "Gateway",
            "Times",
            "More",
            "Decide",
        ],
        rows: payments.iter().map(row).collect(),
        empty: "No payment was started.",
    }
}

fn payment_row(payment: &PaymentRecord, pending: &[Pending]) -> Vec<Cell> {
    let attempt = &payment.attempt;
    let number = attempt.out_trade_no.as_str();
    let answer = pending.iter().find(|row| row.subject == number);
    let answer = answer.and_then(|row| row.last_answer.as_deref());
    let seen = if attempt.seen { "trade was seen" } else { "trade was never seen" };
    let more = json!({
        "channel": payment.channel,
        "gateway": attempt.account.gateway_url,
        "app_id": attempt.account.app_id,
        "seller_id": attempt.account.seller_id,
        "subject": payment.subject,
        "qr_code": payment.qr_code,
        "expires_at": show::utc(payment.expires_at),
        "code_dies_at": show::utc(attempt.code_dies_at),
    });
    vec![
        Cell::lines(vec![Cell::code(number), Cell::maybe(payment.trade_no.as_deref())]),
        Cell::status(attempt.status.as_str()),
        Cell::yuan(attempt.amount),
        payment.paid.map_or(Cell::Nothing, Cell::yuan),
        given_back(attempt),
        Cell::lines(vec![answer.map_or(Cell::Nothing, Cell::status), Cell::text(seen)]),
        Cell::lines(vec![Cell::at(payment.created_at), Cell::at_opt(payment.paid_at)]),
        Cell::json(format!("payment-{number}"), "show", &more),
    ]
}

pub(super) fn pending(rows: &[Pending]) -> Table {
    let rows = rows.iter().map(|row| {
        let why = match row.kind {
            Kind::Order => "the order awaits payment",
            Kind::Attempt => "money can still come",
            Kind::Closed => "closed, one more look",
        };
        vec![
            Cell::code(row.subject.as_str()),
            Cell::text(why),
            Cell::text(format!("{} ({} looks)", row.check_count, row.query_count)),
            Cell::lines(vec![
                row.last_answer.as_deref().map_or(Cell::Nothing, Cell::status),
                Cell::at_opt(row.last_answer_at),
            ]),
            Cell::at(row.next_query_at),
        ]
    });
    Table {
        heads: &["Subject", "Why", "Checks", "Last answer", "Next poll"],
        rows: rows.collect(),
        empty: "Nothing is pending: no money can come for this order any more.",
    }
}

pub(super) fn history(events: &[Event]) -> Table {
    let rows = events.iter().enumerate().map(|(line, event)| {
        let became = if event.from == event.to {
            Cell::Nothing
        } else {
            Cell::lines(vec![Cell::text(event.from.replace('_', " ")), Cell::status(&event.to)])
        };
        vec![
            Cell::at(event.at),
            Cell::text(event.cause.replace('_', " ")),
            Cell::code(event.actor.as_str()),
            became,
            Cell::json(format!("event-{line}"), "show", &event.detail),
        ]
    });
    Table {
        heads: &["When", "What", "By", "From, to", "Detail"],
        rows: rows.collect(),
        empty: "No history.",
    }
}

pub(super) fn queries(queries: &[Logged]) -> Table {
    let rows = queries.iter().map(|query| {
        vec![
            Cell::at(query.at),
            Cell::code(query.out_trade_no.as_str()),
            Cell::code(query.call.as_str()),
            Cell::text(query.answer.replace('_', " ")),
            Cell::text(format!("{} ms", query.took_ms)),
            Cell::code(query.caused_by.as_str()),
        ]
    });
    Table {
        heads: &["When", "Payment", "Call", "Answer", "Took", "Caused by"],
        rows: rows.collect(),
        empty: "The gateway was not asked.",
    }
}

pub(super) fn notifications(notifications: &[Received]) -> Table {
    let rows = notifications.iter().map(|received| {
        vec![
            Cell::at(received.received_at),
            Cell::code(received.out_trade_no.as_str()),
            Cell::code(received.trade_status.as_str()),
            Cell::text(received.effect.replace('_', " ")),
            Cell::code(received.notify_id.as_str()),
        ]
    });
    Table {
        heads: &["Received", "Payment", "Says", "Effect", "Id"],
        rows: rows.collect(),
        empty: "No notification came.",
    }
}

pub(super) fn outbox(events: &[Posted]) -> Table {
    let rows = events.iter().map(|event| {
        let state = match event.published_at {
            Some(at) => vec![Cell::status("published"), Cell::at(at)],
            None => vec![
                Cell::Badge { tone: "warning", text: "waits".to_owned() },
                Cell::at(event.due_at),
            ],
        };
        vec![
            Cell::code(event.event_id.as_str()),
            Cell::code(event.topic.as_str()),
            Cell::code(event.tag.as_str()),
            Cell::at(event.created_at),
            Cell::lines(state),
            Cell::number(event.failures),
        ]
    });
    Table {
        heads: &["Event", "Topic", "Tag", "Written", "State", "Failures"],
        rows: rows.collect(),
        empty: "Nothing was told to others yet.",
    }
}
