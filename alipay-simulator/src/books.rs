//! Everything the simulator knows, and the records that bring it back after a restart.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{RngExt as _, make_rng};
use serde::{Deserialize, Serialize};

use crate::clock::china;
use crate::money::Fen;
use crate::notify::{self, Notification};
use crate::rules::Rules;
use crate::trade::{Order, Trade};

/// One line of the journal: the whole of something after a change. The last one counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    Trade(Box<Trade>),
    Notification(Box<Notification>),
    ClockOffsetMs(i64),
    Rules(Box<Rules>),
}

/// Trades and notifications with the ways to find them. Every change leaves a record to be saved.
#[derive(Debug)]
pub(crate) struct Books {
    trades: HashMap<String, Trade>,
    numbers_by_trade_no: HashMap<String, String>,
    numbers_by_token: HashMap<String, String>,
    notifications: HashMap<String, Notification>,
    notify_ids: HashMap<String, Vec<String>>,
    numbers_by_auth_code: HashMap<String, String>,
    /// When which buyer does something by itself.
    confirmations: BTreeSet<(DateTime<Utc>, String)>,
    /// When to send which notification.
    agenda: BTreeSet<(DateTime<Utc>, String)>,
    clock_offset_ms: i64,
    rules: Rules,
    unsaved: Vec<Record>,
    random: StdRng,
}

impl Books {
    /// The state that a journal tells of.
    pub(crate) fn replay(records: Vec<Record>) -> Self {
        let mut books = Self {
            trades: HashMap::new(),
            numbers_by_trade_no: HashMap::new(),
            numbers_by_token: HashMap::new(),
            numbers_by_auth_code: HashMap::new(),
            confirmations: BTreeSet::new(),
            notifications: HashMap::new(),
            notify_ids: HashMap::new(),
            agenda: BTreeSet::new(),
            clock_offset_ms: 0,
            rules: Rules::default(),
            unsaved: Vec::new(),
            random: make_rng(),
        };
        for record in records {
            match record {
                Record::Trade(trade) => books.put_trade(*trade),
                Record::Notification(notification) => books.put_notification(*notification),
                Record::ClockOffsetMs(offset_ms) => books.clock_offset_ms = offset_ms,
                Record::Rules(rules) => books.rules = *rules,
            }
        }
        books
    }

    /// The shortest journal that tells of this state.
    pub(crate) fn records(&self) -> Vec<Record> {
        let mut notifications: Vec<_> = self.notifications.values().cloned().collect();
        notifications.sort_by_key(|notification| notification.created_at);
        let clock = Record::ClockOffsetMs(self.clock_offset_ms);
        let rules = Record::Rules(Box::new(self.rules.clone()));
        let trades = self.trades.values().cloned().map(|trade| Record::Trade(Box::new(trade)));
        let notifications =
            notifications.into_iter().map(|one| Record::Notification(Box::new(one)));
        [clock, rules].into_iter().chain(trades).chain(notifications).collect()
    }

    /// The records of what changed since the last call.
    pub(crate) fn take_unsaved(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.unsaved)
    }

    pub(crate) fn clock_offset_ms(&self) -> i64 {
        self.clock_offset_ms
    }

    pub(crate) fn set_clock_offset_ms(&mut self, offset_ms: i64) {
        self.clock_offset_ms = offset_ms;
        self.unsaved.push(Record::ClockOffsetMs(offset_ms));
    }

    /// The rules in force.
    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(crate) fn set_rules(&mut self, rules: Rules) {
        self.unsaved.push(Record::Rules(Box::new(rules.clone())));
        self.rules = rules;
    }

    /// Takes a refund from what the merchant can give back.
    pub(crate) fn take_balance(&mut self, amount: Fen) {
        if let Some(balance) = self.rules.merchant_balance {
            let left = Some(balance.minus(amount));
            self.set_rules(Rules { merchant_balance: left, ..self.rules.clone() });
        }
    }

    /// The trade as it is now.
    pub(crate) fn trade(&mut self, out_trade_no: &str, now: DateTime<Utc>) -> Option<Trade> {
        self.edit(out_trade_no, now, |trade| trade.clone())
    }

    /// All trades as they are now, oldest first.
    pub(crate) fn all_trades(&mut self, now: DateTime<Utc>) -> Vec<Trade> {
        let numbers: Vec<_> = self.trades.keys().cloned().collect();
        let mut trades: Vec<_> =
            numbers.iter().filter_map(|number| self.trade(number, now)).collect();
        trades
            .sort_by(|a, b| (a.created_at, &a.out_trade_no).cmp(&(b.created_at, &b.out_trade_no)));
        trades
    }

    /// Changes a trade, after time has done its own changes.
    pub(crate) fn edit<T>(
        &mut self,
        out_trade_no: &str,
        now: DateTime<Utc>,
        change: impl FnOnce(&mut Trade) -> T,
    ) -> Option<T> {
        let before = self.trades.get(out_trade_no)?;
        let mut trade = before.clone();
        let confirmed = trade.confirm(now, &self.rules).then(|| trade.clone());
        let ended = trade.tick(now, self.rules.refund_window());
        let ended = ended.then(|| trade.clone());
        let answer = change(&mut trade);
        if trade != *before {
            self.unsaved.push(Record::Trade(Box::new(trade.clone())));
            self.put_trade(trade);
        }
        if let Some(confirmed) = confirmed {
            notify::confirmed(self, &confirmed, now);
        }
        if let Some(ended) = ended {
            notify::ended_by_time(self, &ended, now);
        }
        Some(answer)
    }

    /// Does what buyers were going to do by now, and tells when the next of them acts.
    pub(crate) fn act_for_buyers(&mut self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        while let Some((at, number)) = self.confirmations.first().cloned() {
            if at > now {
                return Some(at);
            }
            // Looking at a trade is enough for time to do its part.
            self.edit(&number, now, |_| ());
            self.confirmations.remove(&(at, number));
        }
        None
    }

    pub(crate) fn add_trade(&mut self, order: Order, now: DateTime<Utc>) -> Trade {
        let trade = Trade::new(order, self.new_token(), now);
        self.unsaved.push(Record::Trade(Box::new(trade.clone())));
        self.put_trade(trade.clone());
        trade
    }

    pub(crate) fn number_of_trade_no(&self, trade_no: &str) -> Option<String> {
        self.numbers_by_trade_no.get(trade_no).cloned()
    }

    pub(crate) fn number_of_token(&self, token: &str) -> Option<String> {
        self.numbers_by_token.get(token).cloned()
    }

    /// The trade for which a buyer has shown this code.
    pub(crate) fn number_of_auth_code(&self, auth_code: &str) -> Option<&str> {
        self.numbers_by_auth_code.get(auth_code).map(String::as_str)
    }

    pub(crate) fn save_notification(&mut self, notification: Notification) {
        self.unsaved.push(Record::Notification(Box::new(notification.clone())));
        self.put_notification(notification);
    }

    pub(crate) fn notification(&self, notify_id: &str) -> Option<&Notification> {
        self.notifications.get(notify_id)
    }

    /// The notifications of one trade, in the order of their events.
    pub(crate) fn notifications_of(&self, out_trade_no: &str) -> Vec<&Notification> {
        let ids = self.notify_ids.get(out_trade_no).map(Vec::as_slice).unwrap_or_default();
        ids.iter().filter_map(|id| self.notifications.get(id)).collect()
    }

    /// The next notifications to send, one for each trade at most and none for a busy one.
    pub(crate) fn agenda(
        &self,
        busy: &HashSet<String>,
        most: usize,
    ) -> Vec<(DateTime<Utc>, Notification)> {
        let mut chosen = HashSet::new();
        let entries = self.agenda.iter().filter_map(|(at, id)| {
            let notification = self.notifications.get(id)?;
            let number = notification.out_trade_no.as_str();
            let free = !busy.contains(number) && chosen.insert(number);
            free.then(|| (*at, notification.clone()))
        });
        entries.take(most).collect()
    }

    /// 28 digits, the date in China first.
    pub(crate) fn new_trade_no(&mut self, now: DateTime<Utc>) -> String {
        loop {
            let number = format!("{}22001{}", day(now), self.digits(15));
            if !self.numbers_by_trade_no.contains_key(&number) {
                return number;
            }
        }
    }

    /// 34 digits, the date in China first.
    pub(crate) fn new_notify_id(&mut self, now: DateTime<Utc>) -> String {
        loop {
            let id = format!("{}00222{}", day(now), self.digits(21));
            if !self.notifications.contains_key(&id) {
                return id;
            }
        }
    }

    /// A fresh secret for a buyer's page.
    pub(crate) fn new_token(&mut self) -> String {
        format!("bax{:032x}", self.random.random::<u128>())
    }

    fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(self.random.random_range(b'0'..=b'9'))).collect()
    }

    fn put_trade(&mut self, trade: Trade) {
        let number = trade.out_trade_no.clone();
        if let Some(trade_no) = &trade.progress.trade_no {
            self.numbers_by_trade_no.insert(trade_no.clone(), number.clone());
        }
        self.numbers_by_token.insert(trade.token.clone(), number.clone());
        for auth_code in &trade.auth_codes {
            self.numbers_by_auth_code.insert(auth_code.clone(), number.clone());
        }
        let token = trade.token.clone();
        let planned = trade.confirmation.map(|confirmation| (confirmation.at, number.clone()));
        let before = self.trades.insert(number.clone(), trade);
        if let Some(before) = before {
            if before.token != token {
                self.numbers_by_token.remove(&before.token);
            }
            if let Some(confirmation) = before.confirmation {
                self.confirmations.remove(&(confirmation.at, number));
            }
        }
        self.confirmations.extend(planned);
    }

    fn put_notification(&mut self, notification: Notification) {
        let id = notification.notify_id.clone();
        let before = self.notifications.get(&id);
        if before.is_none() {
            let number = notification.out_trade_no.clone();
            self.notify_ids.entry(number).or_default().push(id.clone());
        }
        if let Some(planned) = before.and_then(|before| before.due_at) {
            self.agenda.remove(&(planned, id.clone()));
        }
        if let Some(due_at) = notification.due_at {
            self.agenda.insert((due_at, id.clone()));
        }
        self.notifications.insert(id, notification);
    }
}

fn day(now: DateTime<Utc>) -> String {
    now.with_timezone(&china()).format("%Y%m%d").to_string()
}
