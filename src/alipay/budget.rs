//! How often an account may be called: one budget for all triggers, and this instance's share of
//! it. Alipay publishes no figure; it says when it had enough, and this goes slower then.
//!
//! Who ends an order is served first, then who waits for a page, then routine, then what has time;
//! but every eighth permit goes to one of the later classes, each in turn, so that none of them
//! waits for ever.

use std::collections::VecDeque;
use std::future::pending;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::CALLS_AT_ONCE_MAX;
use crate::domain::priority::Priority;

/// Calls that wait for their permit; more than that are not sent.
const WAITING_MAX: usize = 4_096;
/// One permit in so many goes to one of the later classes first, each in turn.
const TURN_OF_LATER_EVERY: u32 = 8;
/// The full speed; a gateway that has had enough halves it, each second gives one back.
const FULL_SPEED: u32 = 16;
/// The speed is halved no more often: calls under way are answered the same.
const HALVED_AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// Part of a second whose permits may be used at once.
const BURST_PART: u32 = 10;

/// The place of a class among the queues.
fn place(class: Priority) -> usize {
    match class {
        Priority::Final => 0,
        Priority::Waited => 1,
        Priority::Routine => 2,
        Priority::Background => 3,
    }
}

/// May make one call; its place is another's when it is dropped.
pub(super) type Permit = OwnedSemaphorePermit;

type Waiter = (Priority, oneshot::Sender<Permit>);

/// The budget of one account.
#[derive(Debug)]
pub struct Budget {
    waiting: mpsc::Sender<Waiter>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    calls_per_second: NonZeroU32,
    /// Instances that share it.
    instances: AtomicU32,
    /// Sixteenths of this instance's share that are used.
    speed: AtomicU32,
    waiting: [AtomicI64; 4],
    changed: Notify,
    had_enough: Notify,
}

impl State {
    /// The time between two calls of this instance.
    fn period(&self) -> Duration {
        let instances = self.instances.load(Ordering::Relaxed).max(1);
        let speed = self.speed.load(Ordering::Relaxed).max(1);
        let second = Duration::from_secs(1) * instances * FULL_SPEED;
        second / (self.calls_per_second.get().saturating_mul(speed)).max(1)
    }

    fn limiter(&self) -> DefaultDirectRateLimiter {
        let instances = self.instances.load(Ordering::Relaxed).max(1);
        let part = instances.saturating_mul(BURST_PART * FULL_SPEED);
        // A limiter is made at each change of speed, and its burst must not outweigh the rate.
        let speed = self.speed.load(Ordering::Relaxed);
        let burst = self.calls_per_second.get().saturating_mul(speed) / part;
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(self.period().max(Duration::from_micros(1)));
        let quota = quota.unwrap_or(Quota::per_second(self.calls_per_second));
        RateLimiter::direct(quota.allow_burst(burst))
    }
}

impl Budget {
    /// So many calls a second, all for this instance until it is told otherwise. Must be made in a
    /// Tokio runtime.
    #[must_use]
    pub fn new(calls_per_second: NonZeroU32) -> Self {
        let (waiting, waiters) = mpsc::channel(WAITING_MAX);
        let state = Arc::new(State {
            calls_per_second,
            instances: AtomicU32::new(1),
            speed: AtomicU32::new(FULL_SPEED),
            waiting: Default::default(),
            changed: Notify::new(),
            had_enough: Notify::new(),
        });
        tokio::spawn(hand_out(Arc::clone(&state), waiters));
        Self { waiting, state }
    }

    /// Waits for a permit. `None`: too many wait.
    pub(super) async fn permit(&self, priority: Priority) -> Option<Permit> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.try_send((priority, sender)).ok()?;
        receiver.await.ok()
    }

    /// The gateway has had enough of our calls.
    pub(super) fn slow_down(&self) {
        self.state.had_enough.notify_one();
    }

    /// So many instances share the budget from now on.
    pub fn share_between(&self, instances: u32) {
        if self.state.instances.swap(instances.max(1), Ordering::Relaxed) != instances.max(1) {
            self.state.changed.notify_one();
        }
    }

    /// Whether the gateway had enough of our calls, and the full speed isn't reached again.
    #[must_use]
    pub fn is_slowed(&self) -> bool {
        self.state.speed.load(Ordering::Relaxed) < FULL_SPEED
    }

    /// Calls a minute that this instance may make now.
    #[must_use]
    pub fn calls_per_minute(&self) -> i64 {
        let minute = Duration::from_mins(1).as_micros();
        i64::try_from(minute / self.state.period().as_micros().max(1)).unwrap_or(i64::MAX)
    }

    /// Calls that wait for their permit, by class.
    #[must_use]
    pub fn waiting(&self) -> [(Priority, i64); 4] {
        Priority::ALL.map(|class| (class, self.state.waiting[place(class)].load(Ordering::Relaxed)))
    }
}

/// Those who wait for a permit, by class.
struct Queues {
    state: Arc<State>,
    classes: [VecDeque<oneshot::Sender<Permit>>; 4],
    handed_out: u32,
}

impl Queues {
    /// Lets somebody wait; who finds too many waiting is told so by the end of its channel.
    fn add(&mut self, (priority, waiter): Waiter) {
        if self.count() >= WAITING_MAX {
            self.forget_who_gave_up();
        }
        if self.count() < WAITING_MAX {
            self.classes[place(priority)].push_back(waiter);
            self.note(place(priority));
        }
    }

    fn count(&self) -> usize {
        self.classes.iter().map(VecDeque::len).sum()
    }

    fn forget_who_gave_up(&mut self) {
        for place in 0..self.classes.len() {
            self.classes[place].retain(|waiter| !waiter.is_closed());
            self.note(place);
        }
    }

    fn are_empty(&self) -> bool {
        self.classes.iter().all(VecDeque::is_empty)
    }

    /// Gives a permit to whoever still waits for one. `false`: nobody does.
    fn hand_out(&mut self, mut permit: Permit) -> bool {
        self.handed_out = self.handed_out.wrapping_add(1);
        let turn_of_later = self.handed_out.is_multiple_of(TURN_OF_LATER_EVERY).then(|| {
            let turn = self.handed_out / TURN_OF_LATER_EVERY;
            self.later_class_in_turn(turn)
        });
        for place in turn_of_later.flatten().into_iter().chain(0..self.classes.len()) {
            while let Some(waiter) = self.classes[place].pop_front() {
                self.note(place);
                match waiter.send(permit) {
                    Ok(()) => return true,
                    // Who has given up leaves it to the next one.
                    Err(unused) => permit = unused,
                }
            }
        }
        false
    }

    /// One of the classes after the first in which somebody waits, another one each turn.
    fn later_class_in_turn(&self, turn: u32) -> Option<usize> {
        let waits = |place: &usize| !self.classes[*place].is_empty();
        let later: Vec<_> = (1..self.classes.len()).filter(waits).collect();
        let count = u32::try_from(later.len()).ok().filter(|count| *count > 0)?;
        later.get(usize::try_from(turn % count).ok()?).copied()
    }

    fn note(&self, place: usize) {
        let count = i64::try_from(self.classes[place].len()).unwrap_or(i64::MAX);
        self.state.waiting[place].store(count, Ordering::Relaxed);
    }
}

/// Hands permits out until nobody can ask for one any more.
async fn hand_out(state: Arc<State>, mut waiters: mpsc::Receiver<Waiter>) {
    let mut queues =
        Queues { state: Arc::clone(&state), classes: Default::default(), handed_out: 0 };
    let mut limiter = state.limiter();
    let mut halved_at: Option<Instant> = None;
    let calls = Arc::new(Semaphore::new(CALLS_AT_ONCE_MAX));
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = state.had_enough.notified() => {
                let again = halved_at.is_none_or(|at| at.elapsed() >= HALVED_AT_MOST_EVERY);
                if again {
                    halved_at = Some(Instant::now());
                    let speed = state.speed.load(Ordering::Relaxed);
                    state.speed.store((speed / 2).max(1), Ordering::Relaxed);
                    limiter = state.limiter();
                }
            }
            () = state.changed.notified() => limiter = state.limiter(),
            _ = seconds.tick() => {
                let speed = state.speed.load(Ordering::Relaxed);
                let rested = halved_at.is_none_or(|at| at.elapsed() >= HALVED_AT_MOST_EVERY);
                if speed < FULL_SPEED && rested {
                    state.speed.store(speed + 1, Ordering::Relaxed);
                    limiter = state.limiter();
                }
            }
            waiter = waiters.recv() => match waiter {
                Some(waiter) => queues.add(waiter),
                None => return,
            },
            permit = next_permit(&limiter, &calls), if !queues.are_empty() => {
                queues.hand_out(permit);
            }
        }
    }
}

/// A place among the calls under way comes first: a permit that waits for one would be taken from a
/// more urgent call that comes meanwhile.
async fn next_permit(limiter: &DefaultDirectRateLimiter, calls: &Arc<Semaphore>) -> Permit {
    let Ok(permit) = Arc::clone(calls).acquire_owned().await else { return pending().await };
    limiter.until_ready().await;
    permit
}

#[cfg(test)]
mod tests;
