//! Faults: what goes wrong with which calls, until when.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _, make_rng};
use serde::Serialize;
use tokio::sync::watch;

use crate::gateway::Method;
use crate::notify::Notification;

mod kind;

use kind::Family;
pub(crate) use kind::Kind;

/// Which calls a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Gateway(Method),
    AnyGateway,
    Notify,
}

impl Target {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "*" => Some(Self::AnyGateway),
            "notify" => Some(Self::Notify),
            name => Method::parse(name).map(Self::Gateway),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gateway(method) => method.name(),
            Self::AnyGateway => "*",
            Self::Notify => "notify",
        }
    }

    /// Whether a fault of this kind can ever hit here.
    pub(crate) fn allows(self, kind: Kind) -> bool {
        match self {
            Self::Gateway(method) => kind.concerns(method),
            Self::AnyGateway => Method::ALL.iter().any(|method| kind.concerns(*method)),
            Self::Notify => kind.concerns_notifications(),
        }
    }
}

/// A fault as it was asked for.
#[derive(Debug)]
pub(crate) struct FaultSpec {
    pub(crate) target: Target,
    pub(crate) kind: Kind,
    pub(crate) times: Option<u64>,
    /// How many calls it lets pass before the first that it hits.
    pub(crate) skip: u64,
    pub(crate) probability: Option<f64>,
    pub(crate) seed: Option<u64>,
    pub(crate) out_trade_no: Option<String>,
    pub(crate) delay: Option<TimeDelta>,
    /// What `business_failure` answers.
    pub(crate) sub_code: Option<String>,
}

#[derive(Debug)]
struct Fault {
    id: u64,
    spec: FaultSpec,
    hits: u64,
    random: StdRng,
}

/// A fault in force, to look at.
#[derive(Debug, Serialize)]
pub(crate) struct FaultView {
    id: String,
    method: &'static str,
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_code: Option<String>,
    hits: u64,
    /// How many more calls it hits, if there is a limit.
    times: Option<u64>,
}

impl Fault {
    /// Whether the fault strikes this call, which uses it up by one.
    fn strikes(&mut self, out_trade_no: Option<&str>) -> bool {
        let named = self.spec.out_trade_no.as_deref();
        if named.is_some_and(|named| Some(named) != out_trade_no) || self.spec.times == Some(0) {
            return false;
        }
        if self.spec.skip > 0 {
            self.spec.skip -= 1;
            return false;
        }
        let probability = self.spec.probability;
        if probability.is_some_and(|probability| !self.random.random_bool(probability)) {
            return false;
        }
        self.spec.times = self.spec.times.map(|times| times - 1);
        self.hits += 1;
        true
    }
}

/// The faults that struck one call.
#[derive(Clone, Debug)]
pub(crate) struct Hits {
    struck: Vec<Hit>,
    cleared: watch::Receiver<u64>,
}

#[derive(Clone, Debug)]
struct Hit {
    kind: Kind,
    delay: Option<TimeDelta>,
    sub_code: Option<String>,
}

impl Hits {
    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.delay(kind, TimeDelta::zero()).is_some()
    }

    /// How many faults of a kind struck.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.struck.iter().filter(|hit| hit.kind == kind).count()
    }

    /// The `delay_ms` of a fault that struck, or else the default.
    pub(crate) fn delay(&self, kind: Kind, default: TimeDelta) -> Option<TimeDelta> {
        let hit = self.struck.iter().find(|hit| hit.kind == kind);
        hit.map(|hit| hit.delay.unwrap_or(default))
    }

    /// What the call comes to, if a fault decides that.
    pub(crate) fn outcome(&self) -> Option<Kind> {
        self.struck.iter().map(|hit| hit.kind).find(|kind| kind.is_outcome())
    }

    /// The `sub_code` that the fault which decides the call answers.
    pub(crate) fn sub_code(&self) -> Option<&str> {
        let outcome = self.struck.iter().find(|hit| hit.kind.is_outcome())?;
        outcome.sub_code.as_deref()
    }

    /// Returns once all faults have been cleared.
    pub(crate) async fn cleared(&self) {
        let mut cleared = self.cleared.clone();
        // A table that is gone hangs nobody up either.
        let _ = cleared.changed().await;
    }
}

/// All faults in force.
#[derive(Debug)]
pub(crate) struct Faults {
    table: Mutex<Vec<Fault>>,
    last_id: AtomicU64,
    clears: watch::Sender<u64>,
}

impl Faults {
    pub(crate) fn new() -> Self {
        Self { table: Mutex::default(), last_id: AtomicU64::new(0), clears: watch::Sender::new(0) }
    }

    pub(crate) fn add(&self, spec: FaultSpec) -> u64 {
        let random = spec.seed.map_or_else(make_rng, StdRng::seed_from_u64);
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        self.table().push(Fault { id, spec, hits: 0, random });
        id
    }

    /// The faults in force, oldest first.
    pub(crate) fn list(&self) -> Vec<FaultView> {
        let view = |fault: &Fault| FaultView {
            id: fault.id.to_string(),
            method: fault.spec.target.name(),
            kind: fault.spec.kind,
            sub_code: fault.spec.sub_code.clone(),
            hits: fault.hits,
            times: fault.spec.times,
        };
        self.table().iter().map(view).collect()
    }

    /// Takes all faults away and lets hanging calls go.
    pub(crate) fn clear(&self) {
        let mut table = self.table();
        table.clear();
        self.clears.send_modify(|clears| *clears += 1);
    }

    /// The faults that strike a gateway call: the oldest that decides its outcome, and all others.
    pub(crate) fn draw_call(&self, method: Method, out_trade_no: Option<&str>) -> Hits {
        self.draw(out_trade_no, |target, kind| {
            kind.family() != Family::BillLine
                && match target {
                    Target::Gateway(named) => named == method,
                    Target::AnyGateway => kind.concerns(method),
                    Target::Notify => false,
                }
        })
    }

    /// What strikes a call that is not admitted.
    pub(crate) fn none(&self) -> Hits {
        Hits { struck: Vec::new(), cleared: self.clears.subscribe() }
    }

    /// The faults that strike a line of a bill.
    pub(crate) fn draw_bill_line(&self, out_trade_no: &str) -> Hits {
        self.draw(Some(out_trade_no), |_, kind| kind.family() == Family::BillLine)
    }

    /// The faults that strike a delivery.
    pub(crate) fn draw_notification(&self, notification: &Notification) -> Hits {
        let refund = notification.field("refund_fee").is_some();
        self.draw(Some(&notification.out_trade_no), |target, kind| {
            let fits = match kind {
                Kind::RefundAsSuccess => refund,
                Kind::Delay | Kind::Reorder => notification.put_off.is_none(),
                _ => true,
            };
            target == Target::Notify && fits
        })
    }

    fn draw(&self, out_trade_no: Option<&str>, fits: impl Fn(Target, Kind) -> bool) -> Hits {
        let mut table = self.table();
        let mut struck = Vec::new();
        let mut decided = false;
        for fault in table.iter_mut() {
            let kind = fault.spec.kind;
            if (decided && kind.is_outcome()) || !fits(fault.spec.target, kind) {
                continue;
            }
            if fault.strikes(out_trade_no) {
                let (delay, sub_code) = (fault.spec.delay, fault.spec.sub_code.clone());
                struck.push(Hit { kind, delay, sub_code });
                decided |= kind.is_outcome();
            }
        }
        table.retain(|fault| fault.spec.times != Some(0));
        Hits { struck, cleared: self.clears.subscribe() }
    }

    fn table(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
