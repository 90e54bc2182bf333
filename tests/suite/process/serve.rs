//! `checkback serve`, the service of the production deployment: against a broker and a gateway that
//! run elsewhere, here in a demo.

use std::fs;
use std::time::Duration;

use super::child::{Process, checkback, until};
use super::demo::{Ports, START_PATIENCE, STOP_BUDGET, Site};
use super::shop::Shop;

/// An order's window of five seconds, grace, a few check intervals, and air for a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

#[tokio::test]
async fn serve_works_beside_another_deployment_and_ends_at_sigterm() {
    let site = Site::new("5s", "1s");
    let demo = site.start().await;
    let ports = Ports::free();
    let file = site.dir.path().join("serve.toml");
    let theirs = fs::read_to_string(site.data_dir().join("checkback.toml")).expect("a file");
    let ours = theirs
        .replace(&site.ports.http.to_string(), &ports.http.to_string())
        .replace("checkback.db", "other.db")
        .replace("name_prefix = \"\"", "name_prefix = \"other-\"")
        .replace("mode = \"embedded\"", "mode = \"cluster\"");
    fs::write(&file, ours).expect("a file");

    let mut command = checkback();
    command.arg("serve").arg("--config").arg(&file);
    let mut serve = Process::start("serve", site.dir.path(), command);
    let shop = Shop::new(ports.http, site.ports.simulator);
    until("it is ready", START_PATIENCE, async || {
        assert!(!serve.has_ended(), "it ended: {}", serve.stderr());
        shop.is_ready().await
    })
    .await;
    assert!(serve.stdout().contains(&ports.http.to_string()), "{}", serve.stdout());
    shop.put_sku("tea-250g", 10).await;
    let unpaid = shop.place("unpaid").await;
    let order_id = unpaid["id"].as_str().expect("an id");
    assert_eq!(unpaid["degraded"], false);
    assert_eq!(demo.shop.get(&format!("/v1/orders/{order_id}")).await.expect("it").status, 404);
    until("the order has ended", PATIENCE, async || shop.has_ended(order_id).await).await;
    assert_eq!(shop.ended_by(order_id).await, "cancel_consumer");

    serve.signal("TERM");
    let ended = serve.end_within(STOP_BUDGET).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
}
