//! When poll and sweep look at an order again, if nothing else did before. As long as the broker
//! checks back, its check-backs come first.

use chrono::{DateTime, Duration, Utc};

use crate::domain::gateway::{Answer, NotPaid};
use crate::domain::order::Engine;
use crate::domain::trigger::Trigger;

/// Doublings of the back-off of an ended order's attempts.
const DOUBLINGS_MAX: i64 = 7;
/// Longest back-off.
const BACKOFF_MAX: Duration = Duration::minutes(10);

/// What an order past its deadline was not asked, because too many waited before, is asked soon.
pub(super) const NOT_SENT_PAUSE: Duration = Duration::seconds(2);

/// A closed trade is looked at once more, this long afterwards at the earliest: the confirmation of
/// its buyer may have been on its way.
const LAST_LOOK_AFTER: Duration = Duration::seconds(30);

/// What the time of the next look depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    /// What caused this look.
    pub trigger: Trigger,
    /// How the order's timeout is driven.
    pub engine: Engine,
    /// The next time of the query schedule; none without an attempt that can be asked about.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// The order has no half message and no timer, so that nothing will come by itself.
    pub degraded: bool,
    /// The order still awaits its payment.
    pub awaiting: bool,
    /// The broker was told to deliver the message that cancels the order.
    pub handed_over: bool,
    /// When it may be cancelled.
    pub due_at: DateTime<Utc>,
    /// How often it was looked at.
    pub looks: i64,
    /// The next instant at which an unscanned code can't be scanned any more.
    pub code_dies_at: Option<DateTime<Utc>>,
    /// How often the broker is expected to check back.
    pub check_interval: Duration,
}

impl Situation {
    /// Whether nothing but the missing answer keeps the order waiting.
    pub(super) fn is_past_due(&self, now: DateTime<Utc>) -> bool {
        self.awaiting && now >= self.due_at
    }
}

/// The time of the next look.
///
/// An order that the broker looks after is overdue when two check intervals have passed since the
/// check-back or the message that should have come; one that it doesn't look after is polled, and
/// exactly at the instant it becomes due.
pub(super) fn next_look(situation: &Situation, now: DateTime<Utc>) -> DateTime<Utc> {
    if !situation.awaiting {
        let next = now + backoff(situation.check_interval, situation.looks);
        return situation.code_dies_at.map_or(next, |dies_at| next.min(dies_at));
    }
    match situation.engine {
        Engine::Transaction => next_check_back(situation, now),
        Engine::Delay | Engine::Poll => next_query(situation, now),
    }
}

/// On the query schedule, then at the deadline. Past it the pauses grow, for an answer is missing:
/// each is half of the time that was waited for.
fn next_query(situation: &Situation, now: DateTime<Utc>) -> DateTime<Utc> {
    let Situation { due_at, check_interval: interval, .. } = *situation;
    let message_comes = situation.engine == Engine::Delay
        && !situation.degraded
        && matches!(situation.trigger, Trigger::PaymentCheck | Trigger::Http);
    let slack = if message_comes { interval * 2 } else { Duration::zero() };
    if now < due_at {
        return situation.scheduled_at.map_or(due_at, |at| at.min(due_at)) + slack;
    }
    now + ((now - due_at) / 2).clamp(interval, BACKOFF_MAX.max(interval)) + slack
}

fn next_check_back(situation: &Situation, now: DateTime<Utc>) -> DateTime<Utc> {
    let interval = situation.check_interval;
    // After a commit no check-back comes any more; and where a poll came first, none may come.
    let broker_looks_after_it =
        !situation.degraded && matches!(situation.trigger, Trigger::CheckBack | Trigger::Http);
    if broker_looks_after_it {
        let next = now + interval * 3;
        // A broker that goes on asking has not taken the answer: an account without the right to
        // give it hears nothing of that. Never counted from now: each of its questions would push
        // the poll away.
        return if situation.handed_over {
            next.min(situation.due_at + interval * 4)
        } else {
            next
        };
    }
    let next = now + interval;
    if situation.due_at > now { next.min(situation.due_at) } else { next }
}

/// When a trade that was just closed is looked at for the last time.
#[must_use]
pub fn last_look_at(code_dies_at: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    code_dies_at.max(now + LAST_LOOK_AFTER)
}

/// Whether this answer leaves nothing to come for a closed trade. That the gateway doesn't know one
/// that it showed is as good as unknown.
pub(super) fn last_look_is_over(answer: &Answer, was_seen: bool) -> bool {
    match answer {
        Answer::Unknown(_) | Answer::NotPaid(NotPaid::WaitBuyerPay { .. }) => false,
        Answer::NotPaid(NotPaid::NotExist) => !was_seen,
        Answer::NotPaid(NotPaid::Closed) | Answer::Paid(_) | Answer::Returned(_) => true,
    }
}

fn backoff(interval: Duration, looks: i64) -> Duration {
    let doublings = u32::try_from(looks.clamp(0, DOUBLINGS_MAX)).unwrap_or(0);
    (interval * 2_i32.pow(doublings)).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::gateway::UnknownReason;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + seconds, 0).expect("a time")
    }

    fn situation() -> Situation {
        Situation {
            trigger: Trigger::CheckBack,
            engine: Engine::Transaction,
            scheduled_at: None,
            degraded: false,
            awaiting: true,
            handed_over: false,
            due_at: at(60),
            looks: 0,
            code_dies_at: None,
            check_interval: Duration::seconds(5),
        }
    }

    #[test]
    fn after_a_check_back_two_further_ones_may_be_missed() {
        assert_eq!(next_look(&situation(), at(0)), at(15));
    }

    #[test]
    fn a_broker_that_goes_on_asking_after_its_answer_is_not_waited_for() {
        let answered = Situation { handed_over: true, ..situation() };
        assert_eq!(next_look(&answered, at(60)), at(75));
        assert_eq!(next_look(&answered, at(70)), at(80));
        assert_eq!(next_look(&answered, at(90)), at(80));
    }

    #[test]
    fn a_degraded_order_is_polled_exactly_when_it_becomes_due() {
        let degraded = Situation { degraded: true, ..situation() };
        assert_eq!(next_look(&degraded, at(0)), at(5));
        assert_eq!(next_look(&degraded, at(58)), at(60));
        assert_eq!(next_look(&degraded, at(60)), at(65));
    }

    #[test]
    fn a_polled_order_is_asked_about_on_schedule_and_at_its_deadline() {
        let (trigger, engine) = (Trigger::Poll, Engine::Poll);
        let polled = Situation { trigger, engine, ..situation() };
        assert_eq!(next_look(&polled, at(0)), at(60), "nobody can pay without an attempt");
        let scanned = |second| Situation { scheduled_at: Some(at(second)), ..polled };
        assert_eq!(next_look(&scanned(15), at(0)), at(15));
        assert_eq!(next_look(&scanned(90), at(50)), at(60));
        // Past its deadline the pauses grow to ten minutes.
        let pauses = [60, 70, 100, 10_000].map(|now| next_look(&polled, at(now)) - at(now));
        assert_eq!(pauses.map(|pause| pause.num_seconds()), [5, 5, 20, 600]);
    }

    #[test]
    fn an_order_with_timers_is_polled_when_a_message_is_overdue() {
        let (trigger, engine) = (Trigger::PaymentCheck, Engine::Delay);
        let timed = Situation { trigger, engine, scheduled_at: Some(at(15)), ..situation() };
        assert_eq!(next_look(&timed, at(0)), at(25));
        assert_eq!(next_look(&Situation { scheduled_at: None, ..timed }, at(0)), at(70));
        let by_poll = Situation { trigger: Trigger::Poll, ..timed };
        assert_eq!(next_look(&by_poll, at(0)), at(15), "messages don't come: it is polled");
    }

    #[test]
    fn attempts_of_an_ended_order_back_off_to_ten_minutes() {
        let ended = Situation { awaiting: false, ..situation() };
        let looks = [0, 1, 2, 7, 1_000];
        let seconds = looks.map(|looks| {
            next_look(&Situation { looks, ..ended }, at(0)).signed_duration_since(at(0))
        });
        assert_eq!(seconds.map(|delay| delay.num_seconds()), [5, 10, 20, 600, 600]);
    }

    #[test]
    fn a_last_look_is_repeated_until_its_answer_is_certain() {
        let waiting = NotPaid::WaitBuyerPay { trade_no: "2023".into() };
        for (answer, never_seen, seen) in [
            (Answer::NotPaid(NotPaid::Closed), true, true),
            (Answer::NotPaid(NotPaid::NotExist), true, false),
            (Answer::NotPaid(waiting), false, false),
            (Answer::Unknown(UnknownReason::Timeout), false, false),
        ] {
            assert_eq!(last_look_is_over(&answer, false), never_seen, "{answer:?}");
            assert_eq!(last_look_is_over(&answer, true), seen, "{answer:?}");
        }
    }

    #[test]
    fn a_code_is_asked_about_in_the_instant_it_dies() {
        let ended = Situation { awaiting: false, looks: 7, ..situation() };
        let dying = Situation { code_dies_at: Some(at(30)), ..ended };
        assert_eq!(next_look(&dying, at(0)), at(30));
    }
}
