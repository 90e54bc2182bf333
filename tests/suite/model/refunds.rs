//! Refunds: `service::send_refunds`, with the real `refund::judge`. One exchange is one step: a
//! crash in it looks like an exchange of which nothing is written.

use checkback::domain::gateway::{Refusal, UnknownReason};
use checkback::domain::ids::{OutRequestNo, OutTradeNo};
use checkback::domain::money::Fen;
use checkback::domain::order::OrderStatus;
use checkback::domain::payment::PaymentStatus;
use checkback::domain::refund::{
    self, RefundCause, RefundFound, RefundOutcome, RefundStatus, RefundStep,
};
use chrono::{DateTime, Duration, Utc};

use super::rules::Rule;
use super::state::{ATTEMPTS, Doubt, Refund, Row, State, Trade};
use super::world::{Event, World};

const AMOUNT: Fen = Fen::new(1_000).expect("an amount");

/// What the gateway answers to a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It moves the money, and says so.
    Moves,
    /// It moves the money, and the answer is lost.
    MovesUnheard,
    /// It was taken before under this number.
    Accepts,
    /// It never arrives, or its answer is lost.
    Lost,
    /// Nothing is done.
    Refuses,
}

/// What a look under the refund's number finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There was no need to look.
    NotAsked,
    Money,
    Nothing,
    Unknown,
}

/// One exchange about a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) index: usize,
    pub(super) sent: Sent,
    pub(super) found: Found,
    pub(super) crashes: bool,
}

impl World {
    pub(super) fn exchanges(&self, state: &State, events: &mut Vec<Event>) {
        for index in 0..ATTEMPTS {
            let is_due = state.database.rows[index].is_some_and(|row| row.refund == Refund::Due);
            if !is_due {
                continue;
            }
            let trade = state.trades[index];
            for sent in self.answers_to_refund(trade) {
                for found in looks(moved(trade, sent), sent) {
                    for crashes in [false, true] {
                        let exchange = Exchange { index, sent, found, crashes };
                        events.push(Event::RefundIsExchanged(exchange));
                    }
                }
            }
        }
        if state.trades.iter().any(|trade| trade.is_hidden) || rows_in_doubt(state).next().is_some()
        {
            events.push(Event::RefundsShow);
        }
    }

    fn answers_to_refund(&self, trade: Trade) -> Vec<Sent> {
        let is_new = trade.holds_money()
            || (trade.moved > 0 && self.without == Some(Rule::RefundHasOneNumber));
        match (is_new, trade.moved > 0) {
            (true, _) => vec![Sent::Moves, Sent::MovesUnheard, Sent::Lost, Sent::Refuses],
            (false, true) => vec![Sent::Accepts, Sent::Lost, Sent::Refuses],
            (false, false) => vec![Sent::Lost, Sent::Refuses],
        }
    }

    pub(super) fn exchange(&self, state: &mut State, exchange: Exchange) {
        let Exchange { index, sent, found, crashes } = exchange;
        let Some(mut row) = state.database.rows[index] else { return };
        let step = match self.without {
            Some(Rule::RefundStaysDue) => RefundStep::Succeed,
            Some(Rule::RefusalNeedsALook) if sent == Sent::Refuses => RefundStep::Refuse(refusal()),
            _ => judged(row, sent, found),
        };
        // `refund_steps::mark_sending` is committed before the gateway hears of it.
        if self.bounds.slow_refunds && self.without != Some(Rule::SendingIsInDoubt) {
            row.doubt = Doubt::JustNow;
            state.database.rows[index] = Some(row);
        }
        state.trades[index] = moved(state.trades[index], sent);
        state.trades[index].is_hidden &= self.bounds.slow_refunds;
        if crashes {
            return;
        }
        match step {
            RefundStep::Succeed => self.end_refund(state, index, Refund::Done),
            RefundStep::Refuse(_) => self.end_refund(state, index, Refund::Refused),
            // `refund_steps::note_undecided`.
            RefundStep::AskAgain { in_doubt, .. } => {
                if in_doubt && self.bounds.slow_refunds {
                    row.doubt = Doubt::JustNow;
                }
                state.database.rows[index] = Some(row);
            }
            RefundStep::AccountBroken(_) | RefundStep::Contradiction(_) => {}
        }
    }

    /// `send_refunds::write::end`.
    fn end_refund(&self, state: &mut State, index: usize, refund: Refund) {
        let Some(row) = &mut state.database.rows[index] else { return };
        row.refund = refund;
        row.doubt = Doubt::Never;
        row.returned |= refund == Refund::Done;
        row.alarm |= refund == Refund::Refused;
        if row.status == PaymentStatus::Applied {
            let is_back = refund == Refund::Done;
            let ended = if is_back { OrderStatus::Refunded } else { OrderStatus::Paid };
            state.database.order = Some(ended);
        }
        self.bump(state);
    }
}

/// What is true at the gateway afterwards.
fn moved(trade: Trade, sent: Sent) -> Trade {
    match sent {
        Sent::Moves | Sent::MovesUnheard => {
            Trade { moved: 2.min(trade.moved + 1), is_hidden: true, ..trade }
        }
        Sent::Accepts | Sent::Lost | Sent::Refuses => trade,
    }
}

/// Some time passes: what was done can be found by now.
pub(super) fn show(state: &mut State) {
    for trade in &mut state.trades {
        trade.is_hidden = false;
    }
    for row in state.database.rows.iter_mut().flatten() {
        if row.doubt == Doubt::JustNow {
            row.doubt = Doubt::LongAgo;
        }
    }
}

fn rows_in_doubt(state: &State) -> impl Iterator<Item = &Row> {
    state.database.rows.iter().flatten().filter(|row| row.doubt == Doubt::JustNow)
}

/// `send_refunds::exchange`: what is found under its number.
fn looks(trade: Trade, sent: Sent) -> Vec<Found> {
    match (sent, trade.moved > 0, trade.is_hidden) {
        (Sent::Moves, _, _) => vec![Found::NotAsked],
        (_, true, true) => vec![Found::Money, Found::Nothing, Found::Unknown],
        (_, true, false) => vec![Found::Money, Found::Unknown],
        (_, false, _) => vec![Found::Nothing, Found::Unknown],
    }
}

fn refusal() -> Refusal {
    Refusal { code: "40004".into(), sub_code: None, sub_msg: None }
}

fn judged(row: Row, sent: Sent, found: Found) -> RefundStep {
    let now = DateTime::<Utc>::UNIX_EPOCH + Duration::days(1);
    let refund = refund::Refund {
        out_request_no: OutRequestNo::from_trusted("R"),
        order_id: None,
        out_trade_no: OutTradeNo::from_trusted("A"),
        request_no: "1".into(),
        cause: RefundCause::Late,
        status: RefundStatus::Sending,
        amount: AMOUNT,
        reason: String::new(),
        items: vec![],
        tries: 1,
        doubt_since: match row.doubt {
            Doubt::Never => None,
            Doubt::JustNow => Some(now),
            Doubt::LongAgo => Some(now - Duration::hours(1)),
        },
    };
    let sent = match sent {
        Sent::Moves => RefundOutcome::Moved,
        Sent::Accepts => RefundOutcome::Accepted,
        Sent::MovesUnheard | Sent::Lost => RefundOutcome::Unknown(UnknownReason::Timeout),
        Sent::Refuses => RefundOutcome::Refused(refusal()),
    };
    let found = match found {
        Found::NotAsked => None,
        Found::Money => Some(RefundFound::Succeeded(AMOUNT)),
        Found::Nothing => Some(RefundFound::NotFound),
        Found::Unknown => Some(RefundFound::Unknown(UnknownReason::Timeout)),
    };
    refund::judge(&refund, &sent, found.as_ref(), now)
}
