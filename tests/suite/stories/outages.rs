//! A real broker that isn't there yet, dies under load, and comes back: nothing is lost, and nobody
//! has to help.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::support::engines::ApacheRocketMq;
use crate::support::{Broker, PATIENCE, TestApp, text, wait_until};

/// How long the broker is dead under load.
const OUTAGE: Duration = Duration::from_mins(1);
/// Load before and after.
const MARGIN: Duration = Duration::from_secs(3);
/// Pause between two orders of the load.
const PAUSE: Duration = Duration::from_millis(200);
/// Every so many orders one is paid.
const PAID_ONE_IN: usize = 3;
/// The broker serves: so long until orders get half messages again. The pulse looks every second.
const RECOVERY_MAX: Duration = Duration::from_secs(15);
/// … and until a check-back has ended an order.
const CHECK_BACK_PATIENCE: Duration = Duration::from_mins(1);

/// Orders that were placed, and what must become of them.
#[derive(Default)]
struct Ledger {
    orders: Vec<(String, &'static str)>,
    degraded: usize,
    slowest: Duration,
}

#[expect(clippy::print_stdout, reason = "what a test measured is worth reading")]
fn note(text: std::fmt::Arguments<'_>) {
    println!("{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_late_and_dies_under_load_loses_nothing() {
    let Some(broker) = ApacheRocketMq::start(&[]) else { return };
    let broker = Arc::new(broker);
    broker.stop();
    let app = TestApp::start_on(Broker::apache(broker.namesrv())).await;
    assert_eq!(app.readiness().await, "degraded");
    let early = app.place("early").await;
    assert_eq!(app.order(&early).await["degraded"], true);
    on(&broker, ApacheRocketMq::restart).await;
    recovers(&app, "name server and broker have come").await;

    let over = AtomicBool::new(false);
    let (mut ledger, ()) = tokio::join!(load(&app, &over), async {
        sleep(MARGIN).await;
        on(&broker, |broker| broker.stop_broker("KILL")).await;
        sleep(OUTAGE).await;
        assert_eq!(app.readiness().await, "degraded");
        on(&broker, ApacheRocketMq::start_broker).await;
        recovers(&app, "the broker is back").await;
        sleep(MARGIN).await;
        over.store(true, Ordering::Relaxed);
    });
    let (placed, degraded, slowest) = (ledger.orders.len(), ledger.degraded, ledger.slowest);
    note(format_args!("{placed} orders, {degraded} of them degraded, the slowest {slowest:?}"));
    assert!(degraded > 0 && degraded < placed);

    ledger.orders.push((early, "cancelled"));
    app.advance_past_window().await;
    for (order, end) in &ledger.orders {
        app.wait_for_status(order, end).await;
    }
    app.finish().await;
}

/// Calls a script without holding up the load.
async fn on(broker: &Arc<ApacheRocketMq>, act: impl FnOnce(&ApacheRocketMq) + Send + 'static) {
    let broker = Arc::clone(broker);
    spawn_blocking(move || act(&broker)).await.expect("the script succeeds");
}

/// Places orders, and pays some, until it is over.
async fn load(app: &TestApp, over: &AtomicBool) -> Ledger {
    let mut ledger = Ledger::default();
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let (status, order) = app.try_place(&app.app().fresh_id(), "tea", 1).await;
        assert_eq!(status, 201, "{order}");
        ledger.slowest = ledger.slowest.max(begun.elapsed());
        ledger.degraded += usize::from(order["degraded"] == true);
        let order = text(&order, "id");
        let is_paid = ledger.orders.len() % PAID_ONE_IN == 0;
        if is_paid {
            let number = app.start_payment(&order).await;
            app.buyer_pays(&number).await;
        }
        ledger.orders.push((order, if is_paid { "paid" } else { "cancelled" }));
        sleep(PAUSE).await;
    }
    ledger
}

/// Orders get half messages again, and check-backs end them.
async fn recovers(app: &TestApp, what: &str) {
    let begun = Instant::now();
    wait_until("orders get half messages", async || {
        let (_, order) = app.try_place(&app.app().fresh_id(), "tea", 1).await;
        order["degraded"] == false
    })
    .await;
    let took = begun.elapsed();
    note(format_args!("{what}: not degraded after {took:?}"));
    assert!(took < RECOVERY_MAX, "{took:?}");
    wait_until("it says so", async || app.readiness().await == "ok").await;
    loop {
        let order = app.place_flash(&app.app().fresh_id()).await;
        app.wait_for_status(&order, "cancelled").await;
        if app.event(&order, "cancelled").await["actor"] == "cancel_consumer" {
            break;
        }
        assert!(begun.elapsed() < CHECK_BACK_PATIENCE.max(PATIENCE), "no check-backs: {what}");
    }
    note(format_args!("{what}: check-backs end orders after {:?}", begun.elapsed()));
}
