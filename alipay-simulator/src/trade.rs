//! One trade and what may become of it. Pure: no clock, no IO.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::money::Fen;
use crate::rules::Rules;

mod confirmation;
mod state;

pub(crate) use confirmation::Confirmation;
pub(crate) use state::{Product, State};

/// A QR code can be scanned for two hours, whatever the timeouts of its trade say.
pub(crate) const CODE_LIFE: Duration = Duration::hours(2);
/// A paid trade can be cancelled for a day.
const CANCEL_WINDOW: Duration = Duration::hours(24);
/// How many former states a trade remembers for the fault `stale_query`.
const MOST_PAST: usize = 32;

/// What the merchant asked for, and whatever has happened since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trade {
    pub(crate) out_trade_no: String,
    #[serde(default)]
    pub(crate) product: Product,
    /// The secret part of the page that the buyer sees.
    pub(crate) token: String,
    /// The `biz_content` without what each try may change; a repeat must equal it.
    pub(crate) content: Value,
    pub(crate) total: Fen,
    pub(crate) subject: String,
    pub(crate) notify_url: Option<String>,
    /// Where the cashier sends the buyer back to.
    #[serde(default)]
    pub(crate) return_url: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    /// When an unpaid trade closes by itself.
    pub(crate) times_out_at: DateTime<Utc>,
    /// When the code can no longer be scanned.
    pub(crate) code_ends_at: DateTime<Utc>,
    pub(crate) progress: Progress,
    /// Nothing can be refunded while it is.
    #[serde(default)]
    pub(crate) frozen: bool,
    /// Closed before anybody scanned it, under a rule that makes the code worthless then.
    #[serde(default)]
    pub(crate) locked: bool,
    /// What the buyer is going to do by itself.
    #[serde(default)]
    pub(crate) confirmation: Option<Confirmation>,
    /// The codes that the buyer showed for this trade.
    #[serde(default)]
    pub(crate) auth_codes: Vec<String>,
    #[serde(skip)]
    past: Vec<Past>,
}

/// The part of a trade that changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) state: State,
    pub(crate) trade_no: Option<String>,
    pub(crate) scanned_at: Option<DateTime<Utc>>,
    pub(crate) payment: Option<Payment>,
    pub(crate) closed_at: Option<DateTime<Utc>>,
    pub(crate) refunds: Vec<Refund>,
}

/// The buyer's money.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Payment {
    pub(crate) amount: Fen,
    pub(crate) at: DateTime<Utc>,
}

/// Money given back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Refund {
    pub(crate) out_request_no: String,
    pub(crate) amount: Fen,
    pub(crate) reason: Option<String>,
    pub(crate) at: DateTime<Utc>,
}

#[derive(Clone, Debug, PartialEq)]
struct Past {
    until: DateTime<Utc>,
    progress: Progress,
}

/// The state that stood in the way of a scan or a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) State);

/// The `sub_code` of a business failure.
pub(crate) type SubCode = &'static str;

/// What a cancel did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancelled {
    Nothing,
    Closed,
    Refunded,
}

/// What a refund did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refunded {
    Moved,
    /// The same request was granted before.
    Repeated,
}

/// What the merchant fixes for good.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) out_trade_no: String,
    pub(crate) product: Product,
    pub(crate) content: Value,
    pub(crate) total: Fen,
    pub(crate) subject: String,
    pub(crate) notify_url: Option<String>,
    pub(crate) return_url: Option<String>,
    pub(crate) times_out_at: DateTime<Utc>,
    pub(crate) code_ends_at: DateTime<Utc>,
}

impl Trade {
    pub(crate) fn new(order: Order, token: String, now: DateTime<Utc>) -> Self {
        Self {
            out_trade_no: order.out_trade_no,
            product: order.product,
            token,
            content: order.content,
            total: order.total,
            subject: order.subject,
            notify_url: order.notify_url,
            return_url: order.return_url,
            created_at: now,
            times_out_at: order.times_out_at,
            code_ends_at: order.code_ends_at,
            progress: Progress {
                state: State::NotScanned,
                trade_no: None,
                scanned_at: None,
                payment: None,
                closed_at: None,
                refunds: Vec::new(),
            },
            frozen: false,
            locked: false,
            confirmation: None,
            auth_codes: Vec::new(),
            past: Vec::new(),
        }
    }

    /// Closes what has timed out, finishes what can't be refunded any more, and tells whether it
    /// did.
    pub(crate) fn tick(&mut self, now: DateTime<Utc>, refund_window: Duration) -> bool {
        let before = self.progress.state;
        if self.progress.state == State::WaitBuyerPay && now >= self.times_out_at {
            let at = self.times_out_at;
            self.change(at, |progress| progress.close(at));
        }
        let paid_at = self.progress.payment.as_ref().map(|payment| payment.at);
        let finished_at = paid_at.and_then(|at| at.checked_add_signed(refund_window));
        let finished_at = finished_at.filter(|at| now >= *at);
        if let (State::TradeSuccess, Some(at)) = (self.progress.state, finished_at) {
            self.change(at, |progress| progress.state = State::TradeFinished);
        }
        before != self.progress.state
    }

    /// The buyer scans the code: the trade comes into being. A second scan changes nothing.
    pub(crate) fn scan(&mut self, now: DateTime<Utc>, trade_no: String) -> Result<(), Refused> {
        match self.progress.state {
            State::WaitBuyerPay => Ok(()),
            State::NotScanned if self.locked => Err(Refused(State::TradeClosed)),
            State::NotScanned if now < self.code_ends_at && now < self.times_out_at => {
                self.change(now, |progress| progress.open(now, trade_no));
                Ok(())
            }
            state => Err(Refused(state)),
        }
    }

    /// The buyer, who has scanned, pays.
    pub(crate) fn pay(
        &mut self,
        now: DateTime<Utc>,
        amount: Fen,
        rules: &Rules,
    ) -> Result<(), Refused> {
        if self.progress.state != State::WaitBuyerPay {
            return Err(Refused(self.progress.state));
        }
        self.change(now, |progress| progress.pay(now, amount, rules));
        Ok(())
    }

    /// The buyer's confirmation was on its way when the trade was closed or expired. Refused only
    /// if there was a payment before.
    pub(crate) fn force_pay(
        &mut self,
        now: DateTime<Utc>,
        trade_no: String,
        amount: Fen,
        rules: &Rules,
    ) -> Result<(), Refused> {
        if self.progress.payment.is_some() {
            return Err(Refused(self.progress.state));
        }
        self.change(now, |progress| {
            if progress.trade_no.is_none() {
                progress.open(now, trade_no);
            }
            progress.closed_at = None;
            progress.pay(now, amount, rules);
        });
        Ok(())
    }

    /// The merchant ends an unpaid trade.
    pub(crate) fn close(&mut self, now: DateTime<Utc>, rules: &Rules) -> Result<(), SubCode> {
        match self.progress.state {
            State::NotScanned => {
                self.locked |= rules.close_locks_unscanned_code;
                Err("ACQ.TRADE_NOT_EXIST")
            }
            State::WaitBuyerPay => {
                self.change(now, |progress| progress.close(now));
                Ok(())
            }
            State::TradeSuccess | State::TradeFinished | State::TradeClosed => {
                Err(rules.close_refusal.sub_code())
            }
        }
    }

    /// The merchant ends a trade whatever it takes: an unpaid one is closed, a paid one refunded.
    pub(crate) fn cancel(
        &mut self,
        now: DateTime<Utc>,
        rules: &Rules,
    ) -> Result<Cancelled, SubCode> {
        match (self.progress.state, &self.progress.payment) {
            (State::NotScanned | State::TradeClosed, _) => Ok(Cancelled::Nothing),
            (State::TradeFinished, _) => Err("ACQ.TRADE_HAS_FINISHED"),
            (State::TradeSuccess, Some(_)) if !self.progress.refunds.is_empty() => {
                Err("ACQ.REASON_TRADE_REFUND_FEE_ERR")
            }
            (State::TradeSuccess, Some(payment)) if now > payment.at + CANCEL_WINDOW => {
                Err("ACQ.TRADE_CANCEL_TIME_OUT")
            }
            (State::TradeSuccess, Some(_)) if self.frozen => Err("ACQ.REASON_TRADE_BEEN_FREEZEN"),
            (State::TradeSuccess, Some(payment)) if !rules.balance_covers(payment.amount) => {
                Err("ACQ.SELLER_BALANCE_NOT_ENOUGH")
            }
            (State::TradeSuccess, Some(payment)) => {
                let (number, all) = (self.out_trade_no.clone(), payment.amount);
                self.change(now, |progress| progress.refund(now, number, all, None));
                Ok(Cancelled::Refunded)
            }
            (State::WaitBuyerPay | State::TradeSuccess, _) => {
                self.change(now, |progress| progress.close(now));
                Ok(Cancelled::Closed)
            }
        }
    }

    /// The merchant gives money back. A request number that was granted before is answered before
    /// the state is looked at, so that a repeat of the last refund succeeds on the closed trade.
    pub(crate) fn refund(
        &mut self,
        now: DateTime<Utc>,
        out_request_no: Option<String>,
        amount: Fen,
        reason: Option<String>,
        rules: &Rules,
    ) -> Result<Refunded, SubCode> {
        let whole = out_request_no.is_none();
        let number = out_request_no.unwrap_or_else(|| self.out_trade_no.clone());
        match self.refund_of(&number) {
            Some(known) if known.amount == amount => return Ok(Refunded::Repeated),
            Some(_) => return Err("ACQ.DISCORDANT_REPEAT_REQUEST"),
            None => {}
        }
        match self.progress.state {
            State::NotScanned => return Err("ACQ.TRADE_NOT_EXIST"),
            State::WaitBuyerPay => return Err("ACQ.TRADE_STATUS_ERROR"),
            State::TradeFinished => return Err("ACQ.TRADE_HAS_FINISHED"),
            State::TradeClosed => return Err("ACQ.TRADE_HAS_CLOSE"),
            State::TradeSuccess if self.frozen => return Err("ACQ.REASON_TRADE_BEEN_FREEZEN"),
            State::TradeSuccess => {}
        }
        let total = self.total();
        if amount > total || (whole && amount != total) {
            return Err("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL");
        }
        if self.progress.refunded().plus(amount) > total {
            return Err("ACQ.REASON_TRADE_REFUND_FEE_ERR");
        }
        if !rules.balance_covers(amount) {
            return Err("ACQ.SELLER_BALANCE_NOT_ENOUGH");
        }
        let last = self.progress.refunds.iter().map(|refund| refund.at).max();
        if last.is_some_and(|last| now < last + rules.refund_spacing()) {
            return Err("ACQ.SYSTEM_ERROR");
        }
        self.change(now, |progress| progress.refund(now, number, amount, reason));
        Ok(Refunded::Moved)
    }

    pub(crate) fn refund_of(&self, out_request_no: &str) -> Option<&Refund> {
        self.progress.refunds.iter().find(|refund| refund.out_request_no == out_request_no)
    }

    /// The trade's amount: what was ordered, or what was paid instead.
    pub(crate) fn total(&self) -> Fen {
        self.progress.payment.as_ref().map_or(self.total, |payment| payment.amount)
    }

    /// The trade as it was at a moment of the past, as far as it is remembered.
    pub(crate) fn as_of(&self, at: DateTime<Utc>) -> Self {
        let past = self.past.iter().find(|past| past.until > at);
        let mut trade = self.clone();
        trade.progress = past.map_or(&self.progress, |past| &past.progress).clone();
        trade
    }

    fn change(&mut self, at: DateTime<Utc>, change: impl FnOnce(&mut Progress)) {
        if self.past.len() == MOST_PAST {
            self.past.remove(0);
        }
        self.past.push(Past { until: at, progress: self.progress.clone() });
        change(&mut self.progress);
    }
}

impl Progress {
    pub(crate) fn refunded(&self) -> Fen {
        self.refunds.iter().fold(Fen::ZERO, |sum, refund| sum.plus(refund.amount))
    }

    fn open(&mut self, now: DateTime<Utc>, trade_no: String) {
        self.state = State::WaitBuyerPay;
        self.trade_no = Some(trade_no);
        self.scanned_at = Some(now);
    }

    fn pay(&mut self, now: DateTime<Utc>, amount: Fen, rules: &Rules) {
        let finished = rules.finished_when_paid;
        self.state = if finished { State::TradeFinished } else { State::TradeSuccess };
        self.payment = Some(Payment { amount, at: now });
    }

    fn close(&mut self, at: DateTime<Utc>) {
        self.state = State::TradeClosed;
        self.closed_at = Some(at);
    }

    fn refund(
        &mut self,
        at: DateTime<Utc>,
        out_request_no: String,
        amount: Fen,
        reason: Option<String>,
    ) {
        self.refunds.push(Refund { out_request_no, amount, reason, at });
        let paid = self.payment.as_ref().map_or(Fen::ZERO, |payment| payment.amount);
        if paid.minus(self.refunded()) == Fen::ZERO {
            self.close(at);
        }
    }
}
