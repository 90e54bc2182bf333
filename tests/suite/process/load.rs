//! A bounded crowd for tests that kill: buyers who place, scan, pay and cancel in every order, and
//! a ledger of what they were promised.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tokio::task::JoinSet;

use super::shop::{Answer, Shop};

/// What is bought.
pub(super) const SKU: &str = "crowd-pleaser";
/// Buyers at the same time.
const BUYERS: u64 = 4;
/// Orders that each of them places at most in one life of the demo.
const ORDERS_A_BUYER: u32 = 16;
/// Longest pause between two steps of a buyer.
const PAUSE_MAX_MS: u64 = 120;

/// A request for an order, and what it was answered, if it was.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) pieces: i64,
    pub(super) answer: Option<String>,
}

/// What was promised to the crowd over all lives of the demo.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    inner: Mutex<Promises>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Promises {
    /// Requests by their idempotency keys.
    pub(super) requests: BTreeMap<String, Request>,
    /// Trades that the simulator confirmed as paid.
    pub(super) paid: BTreeSet<String>,
    /// Those of them that were closed before: only a notification tells of them.
    pub(super) forced: BTreeSet<String>,
    /// Answers that nobody should ever get.
    pub(super) surprises: Vec<String>,
}

impl Ledger {
    pub(super) fn open(&self) -> MutexGuard<'_, Promises> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests that were answered with an order.
    pub(super) fn answered(&self) -> usize {
        self.open().requests.values().filter(|request| request.answer.is_some()).count()
    }

    fn expect(&self, what: &str, answer: &Answer, expected: &[u16]) -> bool {
        if expected.contains(&answer.status) {
            return true;
        }
        self.open().surprises.push(format!("{what}: {answer:?}"));
        false
    }
}

/// What a buyer does with an order.
#[derive(Clone, Copy, Debug)]
enum Plan {
    Leave,
    StartPayment,
    Scan,
    Pay,
    PaySilently,
    Cancel,
    CancelWhilePaying,
    PayAfterCancel,
}

const PLANS: [Plan; 10] = [
    Plan::Leave,
    Plan::StartPayment,
    Plan::Scan,
    Plan::Pay,
    Plan::Pay,
    Plan::PaySilently,
    Plan::PaySilently,
    Plan::Cancel,
    Plan::CancelWhilePaying,
    Plan::PayAfterCancel,
];

/// Lets the crowd in; it leaves when it has had enough, or when nobody answers any more.
pub(super) fn crowd(shop: &Shop, ledger: &Arc<Ledger>, life: u64, seed: u64) -> JoinSet<()> {
    let mut crowd = JoinSet::new();
    for buyer in 0..BUYERS {
        let random = StdRng::seed_from_u64(seed.wrapping_add(buyer));
        let name = format!("life-{life}-buyer-{buyer}");
        let (shop, ledger) = (shop.clone(), Arc::clone(ledger));
        let mut buyer = Buyer { name, shop, ledger, random };
        crowd.spawn(async move { buyer.shop_until_killed().await });
    }
    crowd
}

struct Buyer {
    name: String,
    shop: Shop,
    ledger: Arc<Ledger>,
    random: StdRng,
}

impl Buyer {
    async fn shop_until_killed(&mut self) {
        for number in 0..ORDERS_A_BUYER {
            let key = format!("{}-order-{number}", self.name);
            if self.buy(key).await.is_err() {
                return;
            }
        }
    }

    /// An error says that nobody answers any more.
    async fn buy(&mut self, key: String) -> reqwest::Result<()> {
        let pieces = self.random.random_range(1..=3);
        let request = Request { pieces, answer: None };
        self.ledger.open().requests.insert(key.clone(), request);
        let answer = self.shop.try_place(&key, SKU, pieces).await?;
        if !self.ledger.expect("place", &answer, &[201, 503]) || answer.status == 503 {
            return Ok(());
        }
        let order_id = answer.text("id");
        let request = Request { pieces, answer: Some(answer.body) };
        self.ledger.open().requests.insert(key, request);
        self.pause().await;
        let plan = PLANS[self.random.random_range(0..PLANS.len())];
        self.carry_out(plan, &order_id).await?;
        self.pause().await;
        Ok(())
    }

    async fn carry_out(&mut self, plan: Plan, order_id: &str) -> reqwest::Result<()> {
        match plan {
            Plan::Leave => return Ok(()),
            Plan::Cancel => return self.cancel(order_id).await,
            _ => {}
        }
        let answer = self.shop.try_start_payment(order_id).await?;
        if !self.ledger.expect("start", &answer, &[200, 201, 409, 503]) || answer.status > 201 {
            return Ok(());
        }
        let number = answer.text("out_trade_no");
        self.pause().await;
        match plan {
            Plan::Leave | Plan::Cancel | Plan::StartPayment => Ok(()),
            Plan::Scan => {
                let scan = json!({ "out_trade_no": number });
                let answer = self.shop.try_control("scan", scan).await?;
                self.ledger.expect("scan", &answer, &[200, 409]);
                Ok(())
            }
            Plan::Pay => self.pay(&number, false).await,
            Plan::PaySilently => {
                let fault = json!({ "method": "notify", "kind": "drop", "out_trade_no": number });
                let answer = self.shop.try_control("faults", fault).await?;
                self.ledger.expect("faults", &answer, &[200]);
                self.pay(&number, false).await
            }
            Plan::CancelWhilePaying => {
                let (paid, cancelled) =
                    tokio::join!(self.pay(&number, false), self.cancel(order_id));
                paid.and(cancelled)
            }
            Plan::PayAfterCancel => {
                let scan = json!({ "out_trade_no": number });
                self.shop.try_control("scan", scan).await?;
                self.cancel(order_id).await?;
                self.pay(&number, true).await
            }
        }
    }

    async fn pay(&self, number: &str, force: bool) -> reqwest::Result<()> {
        let pay = json!({ "out_trade_no": number, "force": force });
        let answer = self.shop.try_control("pay", pay).await?;
        self.ledger.expect("pay", &answer, &[200, 409]);
        if answer.status == 200 {
            let mut ledger = self.ledger.open();
            ledger.paid.insert(number.to_owned());
            if force {
                ledger.forced.insert(number.to_owned());
            }
        }
        Ok(())
    }

    async fn cancel(&self, order_id: &str) -> reqwest::Result<()> {
        let answer = self.shop.cancel(order_id).await?;
        self.ledger.expect("cancel", &answer, &[200, 202, 409, 503]);
        Ok(())
    }

    async fn pause(&mut self) {
        let pause = self.random.random_range(0..=PAUSE_MAX_MS);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}
