//! Commits whose answer got lost: they took place, or they did not, and nobody may assume either.

use std::time::Duration;

use serde_json::json;

use crate::support::commit_proxy::{CommitProxy, Loss};
use crate::support::engines::MysqlDatabase;
use crate::support::{Broker, TestApp, notification, shared_broker, text, wait_until};

const LOSSES: [Loss; 2] = [Loss::Commit, Loss::Answer];

async fn start(broker: Broker) -> Option<(TestApp, CommitProxy)> {
    let mut database = MysqlDatabase::create().await?;
    let proxy = CommitProxy::start(&database.url).await;
    database.url = proxy.url(&database.url);
    Some((TestApp::start_with(broker, Some(database)).await, proxy))
}

/// The first answer is an order or *come again*; the same key then leads to the one order.
async fn place_with_each_loss(app: &TestApp, proxy: &CommitProxy) {
    for (index, loss) in LOSSES.into_iter().enumerate() {
        let sku = format!("sku-of-loss-{index}");
        app.put_sku(&sku, 100, 10).await;
        proxy.lose(loss, &[&sku, "placed"]);
        let (status, answer) = app.try_place(&sku, &sku, 1).await;
        assert!(!proxy.is_armed(), "nothing was lost");
        assert!(matches!(status.as_u16(), 201 | 503), "{loss:?}: {status} {answer}");
        let (status, order) = app.try_place(&sku, &sku, 1).await;
        assert_eq!(status, 201, "{loss:?}: {order}");
        assert_eq!(app.sku(&sku).await["locked"], 1, "{loss:?}");
        let (_, again) = app.try_place(&sku, &sku, 1).await;
        assert_eq!(again["id"], order["id"], "{loss:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_commit_is_lost_is_placed_once() {
    let Some((app, proxy)) = start(shared_broker().await).await else { return };
    place_with_each_loss(&app, &proxy).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_degraded_order_whose_commit_is_lost_is_placed_once() {
    let nowhere = Broker::embedded("127.0.0.1:1".to_owned());
    let Some((app, proxy)) = start(nowhere).await else { return };
    place_with_each_loss(&app, &proxy).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_commit_is_lost_is_applied_once_and_then_acknowledged() {
    let Some((app, proxy)) = start(shared_broker().await).await else { return };
    app.fault("notify", "drop").await;
    for loss in LOSSES {
        let order = app.place(&format!("{loss:?}")).await;
        let number = app.start_payment(&order).await;
        proxy.lose(loss, &[&order, &number, "paid"]);
        app.buyer_pays(&number).await;
        let notify_id = format!("n-{loss:?}");
        let body = notification(&number, &[("notify_id", &notify_id)]);
        let answer = app.notify(body.clone()).await;
        assert_eq!(answer, (200, "success".to_owned()), "{loss:?}");
        assert!(!proxy.is_armed(), "nothing was lost");
        assert_eq!(app.status(&order).await, "paid", "acknowledged with its effect");
        assert_eq!(app.notify(body).await.0, 200);
        let events = app.events(&order).await;
        assert_eq!(events.iter().filter(|event| event["cause"] == "paid").count(), 1, "{loss:?}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_whose_commit_is_lost_releases_the_stock_once() {
    let Some((app, proxy)) = start(shared_broker().await).await else { return };
    for loss in LOSSES {
        let order = app.place(&format!("{loss:?}")).await;
        proxy.lose(loss, &[&order, "cancelled"]);
        app.advance_past_window().await;
        app.wait_for_status(&order, "cancelled").await;
        assert!(!proxy.is_armed(), "nothing was lost");
    }
    assert_eq!(app.sku("tea").await["available"], 1_000);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_whose_commit_is_lost_is_made_once() {
    let Some((app, proxy)) = start(shared_broker().await).await else { return };
    for loss in LOSSES {
        let order = app.place(&format!("{loss:?}")).await;
        proxy.lose(loss, &[&order, "payment_created"]);
        let (status, answer) = app.try_pay(&order, json!({ "channel": "alipay" })).await;
        assert_eq!(status, 503, "{loss:?}: {answer}");
        assert!(!proxy.is_armed(), "nothing was lost");
        let first = app.start_payment(&order).await;
        assert_eq!(app.start_payment(&order).await, first);
        let made = app.order(&order).await;
        assert_eq!(made["payments"].as_array().map(Vec::len), Some(1), "{made}");
        assert_eq!(text(&made["payments"][0], "out_trade_no"), first);
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_whose_commit_is_lost_is_one_refund() {
    let Some((app, proxy)) = start(shared_broker().await).await else { return };
    for loss in LOSSES {
        let (order, trade) = app.place_paid(&format!("{loss:?}"), 2).await;
        proxy.lose(loss, &[&order, "refund_requested"]);
        let body = json!({ "request_no": "r1", "amount_fen": 50, "reason": "broken" });
        let (status, answer) = app.try_refund(&order, body.clone()).await;
        assert!(!proxy.is_armed(), "nothing was lost");
        assert_eq!(status, 503, "{loss:?}: {answer}");
        assert_eq!(app.try_refund(&order, body).await.0, 202, "{loss:?}");
        app.wait_for_refund(&order, "r1", "succeeded").await;
        app.wait_for_status(&order, "paid").await;
        assert_eq!(app.refunds(&order).await.len(), 1, "{loss:?}");
        assert_eq!(app.refunds_at_gateway(&trade).await.len(), 1, "{loss:?}");
    }
    app.finish().await;
}

/// Whatever is being written about a refund when a commit is lost, it moves its money once.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_survives_the_loss_of_any_commit_about_it() {
    let Some((app, proxy)) = start(shared_broker().await).await else { return };
    for loss in LOSSES {
        let (order, trade) = app.place_paid(&format!("{loss:?}"), 1).await;
        app.fault_on(&trade, "alipay.trade.refund", "http_502", None).await;
        app.refund(&order, "r1", None).await;
        let number = text(&app.refunds(&order).await[0], "out_request_no");
        // The notes of the sending, of the answer, and whatever else there is.
        for step in 0..4 {
            proxy.lose(loss, &[&number]);
            wait_until(&format!("step {step} is lost"), async || {
                app.advance(Duration::from_secs(70)).await;
                !proxy.is_armed()
            })
            .await;
        }
        app.clear_faults().await;
        proxy.lose(loss, &[&order, &number, "refunded"]);
        wait_until("the end is lost", async || {
            app.advance(Duration::from_secs(70)).await;
            !proxy.is_armed()
        })
        .await;
        wait_until("the refund has ended all the same", async || {
            app.advance(Duration::from_secs(70)).await;
            app.status(&order).await == "refunded"
        })
        .await;
        assert_eq!(app.refunds_at_gateway(&trade).await.len(), 1, "{loss:?}");
        let ends = app.events(&order).await;
        let ends = ends.iter().filter(|event| event["cause"] == "refunded").count();
        assert_eq!(ends, 1, "{loss:?}");
    }
    app.finish().await;
}
