//! Apache's own console, `mqadmin`, looks at the orders of the service: on Apache RocketMQ, and on
//! the embedded broker.

use serde_json::Value;

use crate::support::engines::{apache_namesrv, mqadmin};
use crate::support::{Broker, TestApp, embedded_broker, wait_until};

/// A broker's name server, and what the console says about it.
struct Console {
    namesrv: String,
    prefix: String,
}

impl Console {
    async fn ask(&self, command: &str, arguments: &[&str]) -> String {
        let namesrv = self.namesrv.clone();
        let command = command.to_owned();
        let arguments: Vec<_> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let asked = tokio::task::spawn_blocking(move || {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            mqadmin(&namesrv, &command, &arguments)
        });
        asked.await.expect("the console answers")
    }

    /// The configuration of topics and groups.
    async fn metadata(&self) -> Value {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_str().expect("a name");
        let said = self.ask("exportMetadata", &["-c", "DefaultCluster", "-f", path]).await;
        let text = std::fs::read_to_string(folder.path().join("metadata.json"));
        let text = text.unwrap_or_else(|error| panic!("{error}: {said}"));
        serde_json::from_str(&text).expect("JSON")
    }

    /// How many messages a topic has under a key.
    async fn count(&self, topic: &str, key: &str) -> usize {
        let said = self.ask("queryMsgByKey", &["-t", topic, "-k", key]).await;
        said.lines().skip_while(|line| !line.starts_with("#Message ID")).skip(1).count()
    }
}

/// An order, by its id, in every topic; topics with their types, the group and its lag.
async fn the_console_finds(broker: Broker) {
    let namesrv = broker.namesrv.clone();
    let app = TestApp::start_on(broker).await;
    let console = Console { namesrv, prefix: app.app().config.rocketmq.name_prefix.clone() };
    let order = app.place_flash("order").await;
    app.wait_for_status(&order, "cancelled").await;
    assert_eq!(app.event(&order, "cancelled").await["actor"], "cancel_consumer");
    let name = |plain: &str| format!("{}{plain}", console.prefix);

    for topic in [
        "RMQ_SYS_TRANS_HALF_TOPIC".to_owned(),
        name("checkback-order-timeout"),
        name("checkback-order-events"),
        "RMQ_SYS_TRACE_TOPIC".to_owned(),
    ] {
        // The index is built behind the store, and traces are sent in batches.
        wait_until(&format!("{topic} has the order"), async || {
            console.count(&topic, &order).await > 0
        })
        .await;
    }
    let lag = console.ask("consumerProgress", &["-g", &name("checkback-cancel-order")]).await;
    assert!(lag.contains(&name("checkback-order-timeout")), "{lag}");
    assert!(lag.contains("Consume Diff Total: 0"), "{lag}");
    let metadata = console.metadata().await;
    for (topic, message_type) in
        [("checkback-order-timeout", "TRANSACTION"), ("checkback-order-events", "NORMAL")]
    {
        let found = &metadata["topicConfigTable"][name(topic)];
        assert_eq!(found["attributes"]["message.type"], message_type, "{topic}: {found}");
    }
    let group = &metadata["subscriptionGroupTable"][name("checkback-cancel-order")];
    assert_eq!(group["consumeEnable"], true, "{group}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_on_apache_rocketmq() {
    let Some(namesrv) = apache_namesrv() else { return };
    the_console_finds(Broker::apache(namesrv)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_on_the_embedded_broker() {
    if apache_namesrv().is_none() {
        return;
    }
    the_console_finds(embedded_broker().await).await;
}
