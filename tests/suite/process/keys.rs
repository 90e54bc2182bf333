//! API keys of a running service: read again at SIGHUP, and kept if that fails.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::child::until;
use super::demo::Ports;
use super::fleet::{Fleet, Instance};
use super::shop::Shop;

const PATIENCE: Duration = Duration::from_secs(20);

fn key(name: &str, secret: &str) -> String {
    format!("[[http.keys]]\nname = \"{name}\"\n{secret}\nscopes = [\"orders\", \"ops\"]\n")
}

/// Writes a file with a secret, which these may read.
fn write_secret(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
}

async fn status(instance: &Instance, key: &str) -> u16 {
    let shop = instance.shop.clone().with_key(key);
    shop.get("/v1/skus/tea-250g").await.expect("an answer").status
}

/// Sends SIGHUP and waits until the log has said this once more.
async fn hang_up(instance: &Instance, said: &str) {
    let times = || instance.process.stderr().matches(said).count();
    let before = times();
    instance.process.signal("HUP");
    until(said, PATIENCE, async || times() > before).await;
}

const READ_AGAIN: &str = "the API keys were read again";
const KEPT: &str = "the API keys stay as they were";

#[tokio::test]
async fn keys_are_read_again_at_a_hangup_and_kept_if_they_cannot_be() {
    let mut fleet = Fleet::new("60s").await;
    let http = Ports::free().http;
    let secret = fleet.dir.path().join("shop.key");
    write_secret(&secret, "first-key\n", 0o600);
    let of_file = format!("key_file = \"{}\"", secret.display());
    fleet.keys = key("demo", "key = \"dev\"") + &key("shop", &of_file);
    let instance = fleet.start("serve", http).await;
    instance.shop.put_sku("tea-250g", 10).await;
    assert_eq!((status(&instance, "dev").await, status(&instance, "first-key").await), (200, 200));

    // Another secret in the same file, and a key more.
    let shop = instance.shop.clone().with_key("first-key");
    let watched = shop.place("watched").await["id"].as_str().expect("an id").to_owned();
    let stream = shop.stream(&watched).await;
    write_secret(&secret, "second-key", 0o600);
    fleet.keys += &key("newcomer", "key = \"third-key\"");
    fleet.configure(http);
    assert_eq!(status(&instance, "third-key").await, 401);
    hang_up(&instance, READ_AGAIN).await;
    for (key, expected) in [("dev", 200), ("first-key", 401), ("second-key", 200)] {
        assert_eq!(status(&instance, key).await, expected, "{key}");
    }
    let told = stream.text().await.expect("the stream of a key that is gone ends in order");
    assert!(told.contains(&watched), "{told}");
    assert_history_names(&instance.shop.clone().with_key("third-key"), "newcomer").await;

    // What can't be read changes nothing.
    for (text, named) in [("", "the key shop is empty"), ("two words", "the key shop has")] {
        write_secret(&secret, text, 0o600);
        hang_up(&instance, KEPT).await;
        assert!(instance.process.stderr().contains(named), "{named}");
    }
    fs::remove_file(&secret).expect("it was there");
    hang_up(&instance, "http.keys.key_file of shop").await;
    fs::write(fleet.configure(http), "[http").expect("a file");
    hang_up(&instance, KEPT).await;
    assert_eq!((status(&instance, "second-key").await, status(&instance, "dev").await), (200, 200));

    // A key that is left out is refused at once.
    fleet.keys = key("newcomer", "key = \"third-key\"");
    fleet.configure(http);
    hang_up(&instance, READ_AGAIN).await;
    for (key, expected) in [("dev", 401), ("second-key", 401), ("third-key", 200)] {
        assert_eq!(status(&instance, key).await, expected, "{key}");
    }
    let log = instance.process.stderr();
    assert!(!log.contains("second-key") && !log.contains("third-key"), "a secret: {log}");
    instance.terminate().await;
    fleet.finish().await;
}

/// The name of the key stands in the history of what it did.
async fn assert_history_names(shop: &Shop, name: &str) {
    let order = shop.place("by the newcomer").await;
    let order_id = order["id"].as_str().expect("an id");
    assert_eq!(shop.cancel(order_id).await.expect("an answer").status, 200);
    let events = shop.get(&format!("/v1/orders/{order_id}/events")).await.expect("an answer");
    let events = events.json();
    let events = events["events"].as_array().expect("events");
    assert!(events.iter().any(|event| event["detail"]["by"] == name), "{events:#?}");
    assert!(events.iter().any(|event| event["actor"] == name), "{events:#?}");
}

#[tokio::test]
async fn a_secret_that_others_can_read_is_warned_about_at_start() {
    let mut fleet = Fleet::new("60s").await;
    let http = Ports::free().http;
    let [kept, exposed] = ["kept.key", "exposed.key"].map(|name| fleet.dir.path().join(name));
    write_secret(&kept, "kept-key", 0o640);
    write_secret(&exposed, "exposed-key", 0o644);
    let of = |path: &Path| format!("key_file = \"{}\"", path.display());
    fleet.keys = key("kept", &of(&kept)) + &key("exposed", &of(&exposed));
    write_secret(&fleet.dir.path().join("app.pem"), development_key(), 0o600);
    let instance = fleet.start("files", http).await;
    let log = instance.process.stderr();
    assert!(log.contains("WARN") && log.contains("http.keys.key_file of exposed"), "{log}");
    assert!(!log.contains("key_file of kept") && !log.contains("private_key_file"), "{log}");
    assert!(!log.contains("http.keys.key:"), "{log}");
    instance.terminate().await;

    fleet.keys = key("inline", "key = \"exposed-key\"");
    let file = fleet.configure(http);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("permissions");
    let instance = fleet.start("inline", http).await;
    let log = instance.process.stderr();
    assert!(log.contains("http.keys.key") && log.contains("others can read"), "{log}");
    assert!(!log.contains("exposed-key"), "a secret: {log}");
    instance.terminate().await;
    fleet.finish().await;
}

fn development_key() -> &'static str {
    alipay_simulator::development_keys::APP_PRIVATE_KEY
}
