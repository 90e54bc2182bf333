//! How permits are handed out: the rate, its halving, the classes, and who waits.

use tokio::time::timeout_at;

use super::*;

fn per_second(calls: u32) -> NonZeroU32 {
    NonZeroU32::new(calls).expect("not zero")
}

async fn permits_within(budget: &Budget, time: Duration) -> u32 {
    let deadline = Instant::now() + time;
    let mut permits = 0;
    while let Ok(permit) = timeout_at(deadline, budget.permit(Priority::Routine)).await {
        assert!(permit.is_some(), "few wait");
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
        assert!(budget.permit(Priority::Routine).await.is_some());
    }
    for priority in [Priority::Background, Priority::Routine, Priority::Final] {
        for _ in 0..10 {
            let (budget, order) = (Arc::clone(&budget), Arc::clone(&order));
            tasks.spawn(async move {
                assert!(budget.permit(priority).await.is_some());
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

fn permit() -> Permit {
    Arc::new(Semaphore::new(1)).try_acquire_owned().expect("it is free")
}

fn queues() -> Queues {
    let state = Budget::new(per_second(1)).state;
    Queues { state, classes: Default::default(), handed_out: 0 }
}

fn wait_in(queues: &mut Queues, priority: Priority) -> oneshot::Receiver<Permit> {
    let (sender, receiver) = oneshot::channel();
    queues.add((priority, sender));
    receiver
}

#[tokio::test]
async fn no_class_waits_for_ever_while_all_others_have_waiters() {
    let mut queues = queues();
    let mut waiting = Vec::new();
    for _ in 0..100 {
        for priority in Priority::ALL {
            waiting.push(wait_in(&mut queues, priority));
        }
    }
    for _ in 0..80 {
        assert!(queues.hand_out(permit()));
    }
    let left = queues.classes.each_ref().map(VecDeque::len);
    assert_eq!(left[0], 30, "seven of eight go to the first class");
    assert!(left[1..].iter().all(|left| *left <= 97), "and to the others in turn: {left:?}");
}

#[tokio::test]
async fn only_so_many_wait_and_who_gave_up_makes_room() {
    let mut queues = queues();
    let mut waiting: Vec<_> =
        (0..WAITING_MAX).map(|_| wait_in(&mut queues, Priority::Routine)).collect();
    assert!(wait_in(&mut queues, Priority::Final).await.is_err(), "one too many");
    waiting.truncate(WAITING_MAX / 2);
    let late = wait_in(&mut queues, Priority::Final);
    assert_eq!(queues.count(), WAITING_MAX / 2 + 1);
    assert!(queues.hand_out(permit()));
    assert!(late.await.is_ok());
}

#[tokio::test]
async fn who_gives_up_takes_no_permit() {
    let budget = Budget::new(per_second(10));
    assert!(budget.permit(Priority::Final).await.is_some());
    for _ in 0..20 {
        let waited = tokio::time::timeout(Duration::from_millis(1), budget.permit(Priority::Final));
        drop(waited.await);
    }
    let next = tokio::time::timeout(Duration::from_millis(500), budget.permit(Priority::Routine));
    assert!(next.await.expect("in time").is_some());
}

#[tokio::test]
async fn who_comes_last_with_more_urgency_gets_the_place_of_a_call_that_ends() {
    let budget = Arc::new(Budget::new(per_second(10_000)));
    let mut under_way = Vec::new();
    for _ in 0..CALLS_AT_ONCE_MAX {
        under_way.push(budget.permit(Priority::Routine).await.expect("a permit"));
    }
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut waiting = tokio::task::JoinSet::new();
    for priority in [Priority::Routine, Priority::Background, Priority::Final] {
        let (budget, order) = (Arc::clone(&budget), Arc::clone(&order));
        waiting.spawn(async move {
            let permit = budget.permit(priority).await.expect("a permit");
            order.lock().expect("not poisoned").push(priority);
            permit
        });
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(order.lock().expect("not poisoned").is_empty(), "no place is free");
    under_way.pop();
    drop(waiting.join_next().await.expect("somebody").expect("a permit"));
    assert_eq!(order.lock().expect("not poisoned").first(), Some(&Priority::Final));
}
