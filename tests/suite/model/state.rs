//! One state of the world: our database, the gateway's truth, the broker's message and the workers
//! that are somewhere between reading and writing. Small, so that millions of them fit.

use checkback::domain::order::OrderStatus;
use checkback::domain::payment::PaymentStatus;

use super::rules::Bounds;

/// Attempts that an order has at most.
pub(super) const ATTEMPTS: usize = 2;
/// Workers that are at it at the same time.
pub(super) const WORKERS: usize = 2;

/// The clock, as far as it decides anything. It only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Phase {
    /// The buyer may pay.
    Open,
    /// The deadline is past, grace isn't.
    Grace,
    /// Deadline and grace are past.
    Due,
    /// A code that nobody scanned can't be scanned any more.
    CodesDead,
    /// Even the last look at whatever was closed before is due.
    Quiet,
}

impl Phase {
    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::Open => Some(Self::Grace),
            Self::Grace => Some(Self::Due),
            Self::Due => Some(Self::CodesDead),
            Self::CodesDead => Some(Self::Quiet),
            Self::Quiet => None,
        }
    }

    /// `settle::last_look_at`: when the code is dead, and later than now.
    pub(super) fn last_look(self) -> Self {
        if self < Self::CodesDead { Self::CodesDead } else { Self::Quiet }
    }
}

/// What is true at the gateway about one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Truth {
    /// It never heard of the number.
    Unheard,
    /// There is a code that nobody has scanned.
    Unscanned,
    /// The buyer has scanned it and can pay.
    Waiting,
    /// Closed a moment ago: the buyer's confirmation may have been on its way.
    JustClosed,
    /// Closed for good.
    Closed,
    /// Paid as asked.
    Paid,
    /// Paid with another amount.
    PaidWrong,
    /// Paid, and given back by someone else.
    Returned,
}

/// A number at the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Trade {
    pub(super) truth: Truth,
    /// The oldest truth that a query which lags behind may still show.
    pub(super) shown: Truth,
    /// How often a refund of ours moved the money.
    pub(super) moved: u8,
    /// It moved just now: a look under the refund's number may not find it yet.
    pub(super) is_hidden: bool,
    /// The buyer paid it before the deadline, while the order awaited that.
    pub(super) in_time: bool,
}

/// The row of an attempt in `pending_payments`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Pending {
    None,
    Live,
    /// A closed one is looked at once more from then on.
    LastLook(Phase),
}

/// A refund's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Refund {
    None,
    /// To be sent, or sent without a certain answer.
    Due,
    /// The gateway confirmed that the money moved.
    Done,
    /// The gateway refused for certain.
    Refused,
}

/// `Refund::doubt_since`: when the gateway was asked without a certain answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Doubt {
    Never,
    JustNow,
    LongAgo,
}

/// An attempt in our database, with its other rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "the columns are independent")]
pub(super) struct Row {
    pub(super) status: PaymentStatus,
    pub(super) seen: bool,
    pub(super) paid: bool,
    pub(super) returned: bool,
    pub(super) pending: Pending,
    pub(super) refund: Refund,
    pub(super) doubt: Doubt,
    /// An alarm about its money is open.
    pub(super) alarm: bool,
}

/// Everything of ours that is committed. The order's row in `pending_payments` is there exactly
/// while it awaits its payment (`write::write_pending`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Database {
    /// `None` before the creating transaction.
    pub(super) order: Option<OrderStatus>,
    /// A check-back settled the barrier before the creating transaction did.
    pub(super) tombstone: bool,
    pub(super) cancel_requested: bool,
    pub(super) rows: [Option<Row>; ATTEMPTS],
}

/// The half message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Message {
    /// The broker checks back.
    Half,
    /// It is delivered to the cancel consumer, again and again until it is acknowledged.
    Committed,
    /// Resolved, or given up; or there never was one.
    Gone,
    /// Rolled back because its order was never written.
    RolledBack,
}

/// An answer that a worker has, in a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Said {
    Paid,
    PaidWrong,
    Returned,
    Waiting,
    NotExist,
    Closed,
    Unknown,
}

/// What woke a worker up. Poll, sweep, the HTTP API and the consumer of the committed message
/// settle in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Trigger {
    CheckBack,
    Settler,
    /// A notification that agrees with this attempt.
    Notify(usize),
}

/// What becomes of an attempt's rows, as `write::write_attempts` sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Record(PaymentStatus),
    RecordReturn,
    /// Somebody else gave a recorded payment back.
    RecordElsewhere,
    /// With a last look, if the gateway said *closed*.
    End {
        was_closed: bool,
    },
    NoteSeen,
}

/// What a worker is about to write: `plan::Plan` in its effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Plan {
    /// `Some`: what the order becomes.
    pub(super) turn: Option<OrderStatus>,
    pub(super) steps: [Option<Step>; ATTEMPTS],
    /// The last look at this one is over.
    pub(super) looked: [bool; ATTEMPTS],
    pub(super) alarms: [bool; ATTEMPTS],
    /// The broker is told to deliver the message.
    pub(super) commits: bool,
    /// Evidence, by what the gateway really said: no money can come unnoticed for this one.
    pub(super) is_evident: [bool; ATTEMPTS],
    /// The questions were sent after deadline and grace, or after the stored request.
    pub(super) asked_when_due: bool,
}

impl Plan {
    /// `write::write` compares and sets only if there is something to write in history.
    pub(super) fn has_entries(&self) -> bool {
        self.turn.is_some() || self.steps.iter().any(Option::is_some)
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.has_entries()
            && !self.commits
            && self.looked == [false; ATTEMPTS]
            && self.alarms == [false; ATTEMPTS]
    }
}

/// How far a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// Gathering answers.
    Asking { asks: [bool; ATTEMPTS], said: [Option<Said>; ATTEMPTS] },
    /// Closing what waits.
    Closing {
        closes: [bool; ATTEMPTS],
        shown: [Option<Said>; ATTEMPTS],
        said: [Option<Said>; ATTEMPTS],
    },
    /// Decided.
    Writing(Plan),
}

/// A worker between its reading and its writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Worker {
    pub(super) trigger: Trigger,
    /// The time that was read before the first question was sent.
    pub(super) now: Phase,
    /// What was read. As long as the version is the same it is what the database holds.
    pub(super) read: Database,
    /// The order's version is another one by now.
    pub(super) is_stale: bool,
    pub(super) stage: Stage,
}

impl Worker {
    /// Which of two workers comes first does not matter: they are kept in this order.
    pub(super) fn rank(&self) -> (u8, Phase, u8, [Option<Said>; ATTEMPTS]) {
        let trigger = match self.trigger {
            Trigger::CheckBack => 0,
            Trigger::Settler => 1,
            Trigger::Notify(0) => 2,
            Trigger::Notify(_) => 3,
        };
        let (stage, said) = match self.stage {
            Stage::Asking { said, .. } => (0, said),
            Stage::Closing { said, .. } => (1, said),
            Stage::Writing(_) => (2, [None; ATTEMPTS]),
        };
        (trigger, self.now, stage, said)
    }
}

/// One state of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "the facts are independent")]
pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) message: Message,
    pub(super) database: Database,
    pub(super) trades: [Trade; ATTEMPTS],
    pub(super) workers: [Option<Worker>; WORKERS],
    /// `request_payment` has read the order at its present version, before the deadline.
    pub(super) is_adding: bool,
    /// Another order could still be given the same goods.
    pub(super) has_stock: bool,
    /// A cancel without a definite answer about each live attempt, or asked too early.
    pub(super) bad_cancel: bool,
    /// A transition that `OrderStatus::may_become` forbids.
    pub(super) bad_transition: bool,
}

impl State {
    /// Before the creating transaction, with a half message or (degraded) without.
    pub(super) fn initial(bounds: &Bounds) -> Vec<Self> {
        let trade = Trade {
            truth: Truth::Unheard,
            shown: Truth::Unheard,
            moved: 0,
            is_hidden: false,
            in_time: false,
        };
        let database = Database {
            order: None,
            tombstone: false,
            cancel_requested: false,
            rows: [None; ATTEMPTS],
        };
        let half = Self {
            phase: Phase::Open,
            message: Message::Half,
            database,
            trades: [trade; ATTEMPTS],
            workers: [None; WORKERS],
            is_adding: false,
            has_stock: true,
            bad_cancel: false,
            bad_transition: false,
        };
        let degraded = Self { message: Message::Gone, ..half.clone() };
        let begins = [(bounds.half_message, half), (bounds.degraded, degraded)];
        begins.into_iter().filter_map(|(may_be, state)| may_be.then_some(state)).collect()
    }

    /// Whatever changes an order bumps its version. With compare-and-set, a worker that was about
    /// to write on the older one finds out and reads again: that is a new worker.
    pub(super) fn bump(&mut self, compares: bool) {
        self.is_adding = false;
        for slot in &mut self.workers {
            let Some(worker) = slot else { continue };
            worker.is_stale = true;
            let loses = matches!(worker.stage, Stage::Writing(plan) if plan.has_entries());
            if compares && loses {
                *slot = None;
            }
        }
    }

    /// Whether poll or sweep would find a row.
    pub(super) fn is_due(&self) -> bool {
        let mut rows = self.database.rows.iter().flatten();
        self.awaits()
            || rows.any(|row| match row.pending {
                Pending::None => false,
                Pending::Live => true,
                Pending::LastLook(at) => at <= self.phase,
            })
    }

    pub(super) fn awaits(&self) -> bool {
        self.database.order == Some(OrderStatus::AwaitingPayment)
    }
}

impl Database {
    /// `domain::order::Order::applied`.
    pub(super) fn applied(&self) -> impl Iterator<Item = usize> {
        let applied = |row: &Option<Row>| row.is_some_and(|r| r.status == PaymentStatus::Applied);
        self.rows.into_iter().enumerate().filter(move |(_, row)| applied(row)).map(|(i, _)| i)
    }
}
