//! A broker that isn't there yet, is killed, hangs, and comes back: orders are placed all the same
//! and end in time.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::child::{Process, checkback, note, until, until_none};
use super::demo::{Demo, START_PATIENCE, STOP_BUDGET, Site};
use super::shop::Shop;

const PAY_WINDOW: &str = "5s";
const CHECK_INTERVAL: &str = "1s";
/// Without a broker the HTTP port opens after ten seconds; the rest is air for a busy machine.
const OPEN_PATIENCE: Duration = Duration::from_secs(25);
/// What the design promises for every HTTP answer.
const ANSWER_BUDGET: Duration = Duration::from_secs(10);
/// An order's window of five seconds, grace, a few check intervals, and air for a busy machine.
const END_PATIENCE: Duration = Duration::from_secs(40);
/// The client notices by itself that a broker is back.
const RECOVERY_PATIENCE: Duration = Duration::from_mins(1);
/// Pause between two orders that are placed to see whether the broker is back.
const PROBE_PAUSE: Duration = Duration::from_millis(500);

struct Town {
    site: Site,
    shop: Shop,
    orders: Vec<String>,
}

impl Town {
    fn broker(&self) -> Process {
        let mut command = checkback();
        command.arg("broker").arg("--data-dir").arg(self.site.dir.path().join("broker"));
        command.args(["--namesrv", &self.site.ports.namesrv.to_string()]);
        command.args(["--broker", &self.site.ports.broker.to_string()]);
        command.args(["--pay-window", PAY_WINDOW, "--check-interval", CHECK_INTERVAL]);
        Process::start("broker", self.site.dir.path(), command)
    }

    /// Starts the broker, for the `nth` time, and waits until it is ready.
    async fn start_broker(&self, nth: usize) -> Process {
        let mut broker = self.broker();
        until("the broker is ready", START_PATIENCE, async || {
            assert!(!broker.has_ended(), "the broker ended: {}", broker.stderr());
            broker.stdout().matches("RocketMQ is ready").count() == nth
        })
        .await;
        broker
    }

    /// Places an order, which is answered in time whatever the broker does.
    async fn place(&mut self) -> Value {
        let begun = Instant::now();
        let order = self.shop.place(&format!("order-{}", self.orders.len())).await;
        let took = begun.elapsed();
        assert!(took < ANSWER_BUDGET, "{took:?}");
        note(format_args!("placed in {took:?}, degraded: {}", order["degraded"]));
        self.orders.push(id(&order));
        order
    }

    async fn place_degraded(&mut self) -> String {
        let order = self.place().await;
        assert_eq!(order["degraded"], true, "{order}");
        id(&order)
    }

    /// Places orders until one isn't degraded.
    async fn recover(&mut self, what: &str) -> String {
        let begun = Instant::now();
        loop {
            let order = self.place().await;
            if order["degraded"] == false {
                note(format_args!("{what}: not degraded after {:?}", begun.elapsed()));
                return id(&order);
            }
            assert!(begun.elapsed() < RECOVERY_PATIENCE, "still degraded: {what}");
            tokio::time::sleep(PROBE_PAUSE).await;
        }
    }

    /// Places orders until one is ended by its half message.
    async fn recover_check_backs(&mut self, what: &str) {
        let begun = Instant::now();
        loop {
            let order_id = self.recover(what).await;
            self.wait_for_end(&order_id).await;
            if self.shop.ended_by(&order_id).await == "cancel_consumer" {
                note(format_args!("{what}: check-backs end orders after {:?}", begun.elapsed()));
                return;
            }
            assert!(begun.elapsed() < RECOVERY_PATIENCE, "no check-backs: {what}");
        }
    }

    async fn wait_for_end(&self, order_id: &str) {
        let ended = async || self.shop.has_ended(order_id).await;
        until("the order has ended", END_PATIENCE, ended).await;
    }
}

fn id(order: &Value) -> String {
    order["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn orders_are_placed_and_end_while_the_broker_comes_and_goes() {
    let mut site = Site::new(PAY_WINDOW, CHECK_INTERVAL);
    site.options.extend(["--rocketmq".to_owned(), site.ports.namesrv.to_string()]);
    let begun = Instant::now();
    let demo = site.start().await;
    note(format_args!("without a broker the port opens after {:?}", begun.elapsed()));
    assert!(begun.elapsed() < OPEN_PATIENCE, "{:?}", begun.elapsed());
    let mut town = Town { shop: demo.shop.clone(), site, orders: Vec::new() };

    end_by_poll(&mut town).await;

    let broker = town.start_broker(1).await;
    town.recover_check_backs("the broker has come").await;
    paid_at_a_check_back(&mut town).await;

    let orphan = town.recover("the broker is about to die").await;
    broker.kill();
    let without = town.place_degraded().await;
    for order_id in [&orphan, &without] {
        town.wait_for_end(order_id).await;
        assert_eq!(town.shop.ended_by(order_id).await, "poll");
    }
    let broker = town.start_broker(2).await;
    town.recover_check_backs("the broker is back").await;

    broker.signal("STOP");
    town.place_degraded().await;
    broker.signal("CONT");
    town.recover_check_backs("the broker goes on").await;

    end_everything(town, demo, broker).await;
}

async fn end_by_poll(town: &mut Town) {
    let never_tried = town.place_degraded().await;
    let scanned = town.place_degraded().await;
    let number = town.shop.start_payment(&scanned).await;
    town.shop.scan(&number).await;
    let paid = town.place_degraded().await;
    let number = town.shop.start_payment(&paid).await;
    town.shop.pay_silently(&number).await;
    for (order_id, status) in [(never_tried, "cancelled"), (scanned, "cancelled"), (paid, "paid")] {
        town.wait_for_end(&order_id).await;
        assert_eq!(town.shop.status(&order_id).await, status);
        assert_eq!(town.shop.ended_by(&order_id).await, "poll");
    }
}

async fn paid_at_a_check_back(town: &mut Town) {
    let order = town.place().await;
    assert_eq!(order["degraded"], false, "{order}");
    let order_id = id(&order);
    let number = town.shop.start_payment(&order_id).await;
    town.shop.pay_silently(&number).await;
    town.wait_for_end(&order_id).await;
    assert_eq!(town.shop.status(&order_id).await, "paid");
    assert_eq!(town.shop.ended_by(&order_id).await, "check_back");
}

/// Everything ends, the demo beside a hanging broker too.
async fn end_everything(town: Town, demo: Demo, mut broker: Process) {
    until_none("orders still wait", END_PATIENCE, async || town.shop.waiting(&town.orders).await)
        .await;
    demo.assert_no_panic();
    broker.signal("STOP");
    demo.terminate().await;
    broker.signal("CONT");
    broker.signal("TERM");
    let ended = broker.end_within(STOP_BUDGET).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    town.site.assert_sound().await;
}
