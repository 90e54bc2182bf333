//! How often an account may be called: one budget for all triggers, and this instance's share of
//! it. Alipay publishes no figure; it says when it had enough, and this goes slower then.
//!
//! Who ends an order is served first, then who waits for a page, then routine, then what has time;
//! but every eighth permit goes to the class that is served last, so that nobody waits for ever.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Calls that wait for their permit; more than that are not sent.
const WAITING_MAX: usize = 4_096;
/// One permit in so many goes to the class that is served last.
const LAST_SERVED_EVERY: u32 = 8;
/// The full speed; a gateway that has had enough halves it, each second gives one back.
const FULL_SPEED: u32 = 16;
/// The speed is halved no more often: calls under way are answered the same.
const HALVED_AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// Part of a second whose permits may be used at once.
const BURST_PART: u32 = 10;

/// Who is served first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// It ends an order, or closes a trade.
    Final,
    /// A person or the gateway's notification waits for the answer; money goes back.
    Waited,
    /// A check while the window is open, and what ended orders have left.
    #[default]
    Routine,
    /// Last looks and bills.
    Background,
}

impl Priority {
    /// Every class, first served first.
    pub const ALL: [Self; 4] = [Self::Final, Self::Waited, Self::Routine, Self::Background];

    /// The name in the metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Final => "final",
            Self::Waited => "waited",
            Self::Routine => "routine",
            Self::Background => "background",
        }
    }

    fn place(self) -> usize {
        match self {
            Self::Final => 0,
            Self::Waited => 1,
            Self::Routine => 2,
            Self::Background => 3,
        }
    }
}

type Waiter = (Priority, oneshot::Sender<()>);

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
        let burst = self.calls_per_second.get() / BURST_PART;
        let burst = burst / self.instances.load(Ordering::Relaxed).max(1);
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

    /// Waits for a permit. `false`: too many wait.
    pub(super) async fn permit(&self, priority: Priority) -> bool {
        let (sender, receiver) = oneshot::channel();
        if self.waiting.try_send((priority, sender)).is_err() {
            return false;
        }
        receiver.await.is_ok()
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
        Priority::ALL
            .map(|class| (class, self.state.waiting[class.place()].load(Ordering::Relaxed)))
    }
}

/// Those who wait for a permit, by class.
struct Queues {
    state: Arc<State>,
    classes: [VecDeque<oneshot::Sender<()>>; 4],
    handed_out: u32,
}

impl Queues {
    fn add(&mut self, (priority, waiter): Waiter) {
        self.classes[priority.place()].push_back(waiter);
        self.note(priority.place());
    }

    fn are_empty(&self) -> bool {
        self.classes.iter().all(VecDeque::is_empty)
    }

    /// Gives a permit to whoever still waits for one. `false`: nobody does.
    fn hand_out_one(&mut self) -> bool {
        self.handed_out = self.handed_out.wrapping_add(1);
        let last_first = self.handed_out.is_multiple_of(LAST_SERVED_EVERY);
        for turn in 0..self.classes.len() {
            let place = if last_first { self.classes.len() - 1 - turn } else { turn };
            while let Some(waiter) = self.classes[place].pop_front() {
                self.note(place);
                if waiter.send(()).is_ok() {
                    return true;
                }
            }
        }
        false
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
            () = limiter.until_ready(), if !queues.are_empty() => {
                // A permit of somebody who has given up is the next one's.
                while !queues.hand_out_one() && !queues.are_empty() {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_second(calls: u32) -> NonZeroU32 {
        NonZeroU32::new(calls).expect("not zero")
    }

    async fn permits_within(budget: &Budget, time: Duration) -> u32 {
        let deadline = Instant::now() + time;
        let mut permits = 0;
        while tokio::time::timeout_at(deadline, budget.permit(Priority::Routine)).await.is_ok() {
            permits += 1;
        }
        permits
    }

    #[tokio::test]
    async fn calls_stay_within_the_share_of_an_instance() {
        let budget = Budget::new(per_second(100));
        let alone = permits_within(&budget, Duration::from_secs(1)).await;
        assert!((60..=111).contains(&alone), "{alone} of 100 and a burst of 10");
        budget.share_between(4);
        assert_eq!(budget.calls_per_minute(), 25 * 60);
        let shared = permits_within(&budget, Duration::from_secs(1)).await;
        assert!((10..=28).contains(&shared), "{shared} of 25 and a burst of 2");
    }

    #[tokio::test]
    async fn a_gateway_that_has_had_enough_is_called_half_as_often_and_then_more_again() {
        let budget = Budget::new(per_second(160));
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(!budget.is_slowed());
        for _ in 0..20 {
            budget.slow_down();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(budget.is_slowed());
        assert_eq!(budget.calls_per_minute(), 80 * 60, "halved once for calls of one moment");
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        let now = budget.calls_per_minute();
        assert!(now > 80 * 60 && now < 160 * 60, "{now}");
    }

    #[tokio::test]
    async fn final_checks_go_first_and_nobody_waits_for_ever() {
        let budget = Arc::new(Budget::new(per_second(50)));
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut tasks = tokio::task::JoinSet::new();
        // The burst is used up before.
        for _ in 0..6 {
            assert!(budget.permit(Priority::Routine).await);
        }
        for priority in [Priority::Background, Priority::Routine, Priority::Final] {
            for _ in 0..10 {
                let (budget, order) = (Arc::clone(&budget), Arc::clone(&order));
                tasks.spawn(async move {
                    assert!(budget.permit(priority).await);
                    order.lock().expect("not poisoned").push(priority);
                });
            }
            tokio::task::yield_now().await;
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("a permit");
        }
        let order = order.lock().expect("not poisoned");
        let finals = order[..14].iter().filter(|one| **one == Priority::Final).count();
        assert!(finals >= 9, "{order:?}");
        let background = order[..16].iter().filter(|one| **one == Priority::Background).count();
        assert!(background >= 1, "{order:?}");
    }

    #[tokio::test]
    async fn who_gives_up_takes_no_permit() {
        let budget = Budget::new(per_second(10));
        assert!(budget.permit(Priority::Final).await);
        for _ in 0..20 {
            let waited =
                tokio::time::timeout(Duration::from_millis(1), budget.permit(Priority::Final));
            drop(waited.await);
        }
        let next =
            tokio::time::timeout(Duration::from_millis(500), budget.permit(Priority::Routine));
        assert!(next.await.expect("in time"));
    }
}
