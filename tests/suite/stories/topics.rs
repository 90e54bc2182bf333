//! Topics and groups: what is missing is made, what is there stays as its operator has it.

use std::sync::Arc;

use checkback::producer::admin::{Admin, AdminError, TopicType};
use checkback::producer::runtime::{BrokerSettings, MessagingRuntime};

use crate::support::engines::ApacheRocketMq;
use crate::support::{Broker, TestApp, shared_broker, wait_until};

const TOPIC: &str = "checkback-order-events";
const GROUP: &str = "checkback-cancel-order";

/// An account beside the service's, under the same names.
fn account(broker: &Broker) -> Arc<MessagingRuntime> {
    let settings = BrokerSettings {
        namesrv: broker.namesrv.clone(),
        name_prefix: broker.name_prefix.clone(),
        access_key: None,
        secret_key: None,
        callback_threads: 4,
    };
    Arc::new(MessagingRuntime::start(settings).expect("it starts"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_made_once() {
    let runtime = account(&shared_broker().await);
    let admin = Admin::new(&runtime);
    for _ in 0..2 {
        let made = admin.prepare(&[(TOPIC, TopicType::Normal)], &[GROUP]).await;
        assert_eq!(made.expect("it is made, or there"), [""; 0]);
    }
    let groups = admin.group(GROUP).await.expect("an answer");
    assert!(groups.iter().all(|state| state.exists == Ok(true)), "{groups:?}");
    let missing = admin.group("nobodys").await.expect("an answer");
    assert!(missing.iter().all(|state| state.exists == Ok(false)), "{missing:?}");
    let types = admin.topic_types("nobodys").await.expect("an answer");
    assert!(types.iter().all(|(_, found)| *found == Ok(None)), "{types:?}");
    runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_another_type_is_an_alarm_and_no_order_waits_for_it() {
    let broker = shared_broker().await;
    let topic = format!("{}{TOPIC}", broker.name_prefix);
    let runtime = account(&broker);
    let admin = Admin::new(&runtime);
    admin.prepare(&[(TOPIC, TopicType::Delay)], &[]).await.expect("it is made");
    let refused = admin.prepare(&[(TOPIC, TopicType::Normal)], &[]).await;
    let Err(AdminError::WrongType { found, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(found, "DELAY");
    runtime.shutdown().await;

    let app = TestApp::start_on(broker).await;
    wait_until("it is an alarm", async || {
        app.open_alarms().await.contains(&("topic_wrong_type".to_owned(), topic.clone()))
    })
    .await;
    let order = app.place("k").await;
    app.advance_past_window().await;
    app.wait_for_status(&order, "cancelled").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_stays_as_its_operator_has_it() {
    let Some(apache) = ApacheRocketMq::start(&[]) else { return };
    let broker = Broker::apache(apache.namesrv());
    let group = format!("{}{GROUP}", broker.name_prefix);
    let of_operator = ["updateSubGroup", "-b", &apache.broker(), "-g", &group, "-r", "3"];
    apache.mqadmin(&of_operator);
    let app = TestApp::start_on(broker).await;
    let order = app.place_flash("k").await;
    app.wait_for_status(&order, "cancelled").await;
    let config = apache.mqadmin(&["getConsumerConfig", "-g", &group]);
    let retries = config.lines().find(|line| line.contains("retryMaxTimes"));
    assert!(retries.is_some_and(|line| line.trim_end().ends_with('3')), "{config}");
    app.finish().await;
}
