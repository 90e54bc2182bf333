//! The history lines of a settlement: what changed, and the evidence for it.

use serde_json::json;

use super::super::open_refund::automatic;
use super::plan::{Plan, Turn};
use crate::app::App;
use crate::domain::decision::AttemptStep;
use crate::domain::ids::{OrderId, OutTradeNo};
use crate::domain::order::OrderStatus;
use crate::domain::payment::PaymentStatus;
use crate::store::history::Entry;

/// The history lines of this plan: what happened to its attempts, then what the order became.
pub(super) fn entries(app: &App, plan: &Plan<'_>, turn: Turn) -> Vec<Entry> {
    let from = plan.order().status;
    let line = |cause, from, to, detail| Entry { cause, from: Some(from), to, detail };
    let own = match turn {
        Turn::Paid | Turn::Reopened => {
            vec![line("paid", from, OrderStatus::Paid, evidence(app, plan))]
        }
        Turn::Cancelled => {
            vec![line("cancelled", from, OrderStatus::Cancelled, evidence(app, plan))]
        }
        // Nobody goes from paid to refunded but by refunding.
        Turn::WalkedBack(to) => vec![
            line("refund_noticed", from, OrderStatus::Refunding, json!({})),
            line("refunded", OrderStatus::Refunding, to, json!({ "elsewhere": true })),
        ],
        Turn::Unchanged => vec![],
    };
    let mut lines = Vec::new();
    for (number, step) in plan.steps() {
        let (cause, detail) = describe(number, &step);
        lines.push(line(cause, from, from, detail));
        if let Some(detail) = automatic_refund(&plan.order().id, number, &step) {
            lines.push(line("refund_requested", from, from, detail));
        }
    }
    lines.extend(own);
    lines
}

/// What the gateway answered, when it was asked, and after how many check-backs.
fn evidence(app: &App, plan: &Plan<'_>) -> serde_json::Value {
    let answers = plan.evident_answers();
    let reason = match (&plan.order().cancel_request, answers.as_slice()) {
        (Some(request), _) => format!("cancel requested by {}", request.by),
        (None, []) if plan.snapshot.attempts.is_empty() => "no_attempt".to_owned(),
        (None, []) => "no_open_attempt".to_owned(),
        (None, _) => answers.summary().to_owned(),
    };
    let attempts = plan.snapshot.attempts.iter();
    let attempts = attempts.map(|known| json!({ known.out_trade_no.as_str(): known.status }));
    let told = plan.request.notified.as_ref().and_then(|notified| notified.answer.as_ref());
    json!({
        "answers": answers,
        "answered_by": if told.is_some() { "notification" } else { "query" },
        "asked_at": plan.asked_at,
        "attempts": attempts.collect::<Vec<_>>(),
        "checks": plan.check_count(),
        "due_at": plan.order().due_at(app.policy().grace),
        "reason": reason,
    })
}

/// The refund that gives a payment back which its order can't take.
fn automatic_refund(
    order_id: &OrderId,
    number: &OutTradeNo,
    step: &AttemptStep,
) -> Option<serde_json::Value> {
    let AttemptStep::RecordPayment { status, trade } = step else { return None };
    let refund = automatic(order_id, number, *status, trade.amount)?;
    Some(json!({
        "request_no": refund.request_no,
        "out_trade_no": number,
        "amount_fen": refund.amount,
        "reason": status,
    }))
}

fn describe(number: &OutTradeNo, step: &AttemptStep) -> (&'static str, serde_json::Value) {
    match step {
        AttemptStep::RecordPayment { status, trade } => {
            let cause = match status {
                PaymentStatus::Applied => "payment_applied",
                PaymentStatus::Late => "payment_late",
                PaymentStatus::Duplicate => "payment_duplicate",
                _ => "payment_wrong_amount",
            };
            (cause, json!({ "out_trade_no": number, "trade": trade }))
        }
        AttemptStep::RecordReturn(trade) => {
            ("payment_returned", json!({ "out_trade_no": number, "trade": trade }))
        }
        AttemptStep::RecordElsewhere(amount) => {
            ("payment_returned_elsewhere", json!({ "out_trade_no": number, "amount_fen": amount }))
        }
        AttemptStep::NoteSeen { trade_no } => {
            ("payment_waiting", json!({ "out_trade_no": number, "trade_no": trade_no }))
        }
        AttemptStep::End | AttemptStep::Close => {
            ("payment_closed", json!({ "out_trade_no": number }))
        }
    }
}
