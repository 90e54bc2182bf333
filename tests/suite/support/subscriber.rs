//! Another team that subscribes to what the service tells, with a consumer group of its own.

use std::sync::{Arc, Mutex};

use checkback::consumers::bridge::{Consumed, Consumer, Handler};
use checkback::producer::admin::Admin;
use checkback::producer::runtime::MessagingRuntime;
use checkback::run::broker_settings;
use serde_json::Value;

use super::TestApp;

/// A subscription to one topic.
pub(crate) struct Subscriber {
    runtime: Arc<MessagingRuntime>,
    consumer: Consumer,
    received: Arc<Mutex<Vec<Value>>>,
}

impl Subscriber {
    /// Subscribes from the topic's beginning.
    pub(crate) async fn start(app: &TestApp, topic: &str) -> Self {
        let settings = broker_settings(&app.app().config.rocketmq);
        let runtime = Arc::new(MessagingRuntime::start(settings).expect("a client"));
        let received: Arc<Mutex<Vec<Value>>> = Arc::default();
        let sink = Arc::clone(&received);
        let handler: Handler = Arc::new(move |delivery| {
            let event = serde_json::from_slice(&delivery.body).expect("an event is JSON");
            sink.lock().expect("not poisoned").push(event);
            Box::pin(async { Consumed::Done })
        });
        let group = format!("reader-of-{topic}");
        // Where groups aren't made by themselves.
        let made = Admin::new(&runtime).prepare(&[], &[&group]).await;
        made.expect("a group");
        let started = Consumer::start(&runtime, &group, topic, handler).await;
        Self { runtime, consumer: started.expect("a consumer"), received }
    }

    /// The events of an order, in the order in which they came, each as often as it came.
    pub(crate) fn events_of(&self, order_id: &str) -> Vec<Value> {
        let received = self.received.lock().expect("not poisoned");
        received.iter().filter(|event| event["subject"] == order_id).cloned().collect()
    }

    pub(crate) async fn stop(self) {
        self.consumer.shutdown().await;
        self.runtime.shutdown().await;
    }
}
