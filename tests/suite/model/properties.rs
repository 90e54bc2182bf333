//! What must hold in every state, and what must be possible.

use checkback::domain::order::OrderStatus;
use checkback::domain::payment::PaymentStatus;
use stateright::Property;

use super::rules::Bounds;
use super::state::{Message, Pending, Phase, Refund, Row, Stage, State, Trade, Trigger, Truth};
use super::world::World;

pub(super) const SETTLED: &str = "nothing left that would wake us means everything settled";
pub(super) const SWEEP_SUFFICES: &str = "the sweep alone ends everything";
pub(super) const ONE_APPLIED: &str = "at most one payment is applied";
pub(super) const EVIDENCE: &str = "no cancel without definite answers when due";
pub(super) const IN_TIME: &str = "an order paid in time is never cancelled";
pub(super) const TRANSITIONS: &str = "no other transitions than the allowed ones";
pub(super) const EXPLAINED: &str = "money that isn't kept has a refund or an alarm";
pub(super) const MOVED_ONCE: &str = "no refund moves money twice";
pub(super) const NOT_REFUSED: &str = "a refund that moved money is never taken for refused";
pub(super) const ROLLED_BACK: &str = "what was rolled back never happens";

/// Every property within these bounds.
pub(super) fn all(bounds: &Bounds) -> Vec<Property<World>> {
    let mut all = vec![
        Property::always(SETTLED, |_, s: &State| !is_quiet(s) || is_settled(s)),
        Property::always(SWEEP_SUFFICES, |world: &World, s: &State| {
            s.phase != Phase::Quiet || !s.is_idle() || world.heals(s)
        }),
        Property::always(ONE_APPLIED, |_, s: &State| has_applied_as_it_says(s)),
        Property::always(EVIDENCE, |_, s: &State| !s.bad_cancel),
        Property::always(IN_TIME, |_, s: &State| {
            let in_time = |trade: &Trade| trade.truth == Truth::Paid && trade.in_time;
            !is_cancelled(s) || s.database.cancel_requested || !s.trades.iter().any(in_time)
        }),
        Property::always(TRANSITIONS, |_, s: &State| !s.bad_transition),
        Property::always(EXPLAINED, |_, s: &State| rows(s).copied().all(is_explained)),
        Property::always(MOVED_ONCE, |_, s: &State| s.trades.iter().all(|t| t.moved < 2)),
        Property::always(NOT_REFUSED, |_, s: &State| {
            let refused = |row: &Option<Row>| row.is_some_and(|r| r.refund == Refund::Refused);
            let mut pairs = s.database.rows.iter().zip(&s.trades);
            !pairs.any(|(row, trade)| refused(row) && trade.moved > 0)
        }),
        Property::always(ROLLED_BACK, |_, s: &State| {
            s.message != Message::RolledBack || s.database.order.is_none()
        }),
    ];
    all.extend(ends(bounds));
    all
}

/// Each end is reachable.
fn ends(bounds: &Bounds) -> Vec<Property<World>> {
    let mut ends = vec![
        Property::sometimes("paid, and nothing is left", |_, s: &State| {
            is_quiet(s) && s.database.order == Some(OrderStatus::Paid)
        }),
        Property::sometimes("cancelled at the deadline, and nothing is left", |_, s: &State| {
            is_quiet(s) && is_cancelled(s) && !s.database.cancel_requested
        }),
        Property::sometimes("cancelled on request before the deadline", |_, s: &State| {
            is_cancelled(s) && s.database.cancel_requested && s.phase == Phase::Open
        }),
        Property::sometimes("a late payment is refunded, and nothing is left", |_, s: &State| {
            is_quiet(s) && has(s, PaymentStatus::Late, Refund::Done)
        }),
        Property::sometimes("a refused refund is on the alarm list", |_, s: &State| {
            is_quiet(s) && has(s, PaymentStatus::Late, Refund::Refused)
        }),
        Property::sometimes("nobody ever scanned the code", |_, s: &State| {
            is_quiet(s) && is_cancelled(s) && s.trades[0].truth == Truth::Unscanned
        }),
    ];
    if bounds.half_message {
        ends.extend([
            Property::sometimes("never written", |_, s: &State| s.message == Message::RolledBack),
            Property::sometimes("committed by a check-back", |_, s: &State| {
                s.message == Message::Committed
            }),
            Property::sometimes(
                "cancelled while its message is delivered again",
                |_, s: &State| {
                    is_cancelled(s) && s.message == Message::Committed && works(s, Trigger::Settler)
                },
            ),
        ]);
    }
    if bounds.attempts > 1 {
        ends.push(Property::sometimes("a duplicate payment is refunded", |_, s: &State| {
            is_quiet(s) && has(s, PaymentStatus::Duplicate, Refund::Done)
        }));
    }
    if bounds.late_confirmation {
        ends.push(Property::sometimes("the last look finds a payment", |_, s: &State| {
            let about_to = |row: &Row, trade: &Trade| {
                matches!(row.pending, Pending::LastLook(_)) && trade.truth == Truth::Paid
            };
            s.workers.iter().flatten().any(|worker| {
                let writes = matches!(worker.stage, Stage::Writing(plan) if plan.has_entries());
                let mut pairs = s.database.rows.iter().zip(&s.trades);
                writes
                    && worker.trigger == Trigger::Settler
                    && pairs.any(|(row, trade)| row.is_some_and(|row| about_to(&row, trade)))
            })
        }));
    }
    if bounds.strange_money {
        ends.push(Property::sometimes("a wrong amount is on the alarm list", |_, s: &State| {
            is_quiet(s) && has(s, PaymentStatus::WrongAmount, Refund::None)
        }));
        ends.push(Property::sometimes("a payment is recorded as given back", |_, s: &State| {
            rows(s).any(|row| row.status == PaymentStatus::Closed && row.returned)
        }));
    }
    if bounds.requested_refunds {
        ends.push(Property::sometimes(
            "refunded on request, and nothing is left",
            |_, s: &State| is_quiet(s) && s.database.order == Some(OrderStatus::Refunded),
        ));
    }
    ends
}

fn rows(state: &State) -> impl Iterator<Item = &Row> {
    state.database.rows.iter().flatten()
}

fn is_cancelled(state: &State) -> bool {
    state.database.order == Some(OrderStatus::Cancelled)
}

fn works(state: &State, trigger: Trigger) -> bool {
    state.workers.iter().flatten().any(|worker| worker.trigger == trigger)
}

fn has(state: &State, status: PaymentStatus, refund: Refund) -> bool {
    rows(state).any(|row| row.status == status && row.refund == refund)
}

impl State {
    pub(super) fn is_idle(&self) -> bool {
        self.workers.iter().all(Option::is_none)
    }
}

/// No row, message or worker is left that would ever wake us. Notifications do not count: each may
/// be lost.
pub(super) fn is_quiet(state: &State) -> bool {
    let is_over = |row: &Row| row.pending == Pending::None && row.refund != Refund::Due;
    state.is_idle()
        && !state.awaits()
        && matches!(state.message, Message::Gone | Message::RolledBack)
        && rows(state).all(is_over)
}

/// Every yuan at the gateway is accounted for.
pub(super) fn is_settled(state: &State) -> bool {
    let pairs = state.database.rows.iter().zip(&state.trades);
    pairs.into_iter().all(|(row, trade)| match trade.truth {
        Truth::Paid | Truth::PaidWrong => row.is_some_and(|row| is_accounted(state, row, *trade)),
        Truth::Unheard
        | Truth::Unscanned
        | Truth::Waiting
        | Truth::JustClosed
        | Truth::Closed
        | Truth::Returned => true,
    }) && rows(state).all(|row| !row.status.is_live())
}

fn is_accounted(state: &State, row: Row, trade: Trade) -> bool {
    let kept = row.status == PaymentStatus::Applied
        && trade.moved == 0
        && state.database.order == Some(OrderStatus::Paid);
    let given_back = row.refund == Refund::Done && trade.moved == 1;
    kept || given_back || row.alarm
}

fn has_applied_as_it_says(state: &State) -> bool {
    let applied = state.database.applied().count();
    match state.database.order {
        None | Some(OrderStatus::AwaitingPayment | OrderStatus::Cancelled) => applied == 0,
        Some(OrderStatus::Paid | OrderStatus::Refunding | OrderStatus::Refunded) => applied == 1,
    }
}

fn is_explained(row: Row) -> bool {
    match row.status {
        PaymentStatus::Late | PaymentStatus::Duplicate => {
            row.refund != Refund::None && (row.refund != Refund::Refused || row.alarm)
        }
        PaymentStatus::WrongAmount | PaymentStatus::Orphan => row.alarm,
        PaymentStatus::Created
        | PaymentStatus::Waiting
        | PaymentStatus::Applied
        | PaymentStatus::Closed
        | PaymentStatus::Failed => true,
    }
}
