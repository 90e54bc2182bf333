//! Topics, groups and brokers: creates what is missing and says what is there.
//!
//! Topics carry their message type (`message.type`), because a broker refuses a half message for a
//! topic of another type, and they are made before consumers start: a group that starts without its
//! topic gets its first message late.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rocketmq_client_rust::{
    ClientConfig, ClientError, ClientResult, ClientRpcHook, ClientRuntime, DefaultMQAdminExt,
    MQAdminMutationExt, MQAdminReadExt,
};
use rocketmq_model::common::config::TopicConfig;
use rocketmq_protocol::protocol::subscription::subscription_group_config::SubscriptionGroupConfig;
use tokio::time::{Instant, sleep, timeout};

use super::runtime::{MessagingRuntime, causes};

/// A topic that was just made is known to the name server within this time.
const ROUTE_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two looks for its route.
const ROUTE_PROBE_INTERVAL: Duration = Duration::from_millis(50);
/// One request to a broker or name server.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(2_500);
/// Stopping takes no longer.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// The brokers' id of a master; replicas have others.
const MASTER_ID: u64 = 0;
/// Queues of a new topic on each broker.
const QUEUES: u32 = 4;
/// The attribute with a topic's message type; `+` adds it.
const MESSAGE_TYPE: &str = "message.type";

/// What a topic carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicType {
    /// Half messages.
    Transaction,
    /// Plain messages.
    Normal,
    /// Messages with a delivery time.
    Delay,
}

impl TopicType {
    fn attribute(self) -> &'static str {
        match self {
            Self::Transaction => "TRANSACTION",
            Self::Normal => "NORMAL",
            Self::Delay => "DELAY",
        }
    }
}

/// A broker that takes messages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Broker {
    /// Its name in routes.
    pub name: String,
    /// The cluster it belongs to.
    pub cluster: String,
    /// `host:port`.
    pub address: String,
}

/// Why a topic or group is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The request failed.
    #[error("RocketMQ could not {action}: {message}")]
    Request {
        /// What was asked for.
        action: String,
        /// The client's error with its causes.
        message: String,
    },
    /// The name server answers, but knows no broker.
    #[error("no broker is registered at the name server {namesrv}")]
    NoBroker {
        /// The name servers.
        namesrv: String,
    },
    /// The topic is there with another type.
    #[error(
        "the topic {topic} on broker {broker} has the type {found}, but {wanted} is needed: \
         delete it or change it"
    )]
    WrongType {
        /// Topic with prefix.
        topic: String,
        /// The broker's name.
        broker: String,
        /// Its type.
        found: String,
        /// The type it should have.
        wanted: &'static str,
    },
    /// The name server does not pass on a topic that was just made.
    #[error("the topic {topic} was made, but has no route after {ROUTE_TIMEOUT:?}")]
    NoRoute {
        /// Topic with prefix.
        topic: String,
    },
}

/// Talks to the name server and the brokers. Every call has a connection of its own: they are rare,
/// and one that is kept would be refused by the client's circuit breaker for 30 s after an outage.
pub struct Admin {
    runtime: Arc<MessagingRuntime>,
}

impl Admin {
    /// Asks through this runtime's settings; needs no broker yet.
    #[must_use]
    pub fn new(runtime: &Arc<MessagingRuntime>) -> Self {
        Self { runtime: Arc::clone(runtime) }
    }

    /// Makes the topic on every broker that lacks it and waits for its route.
    ///
    /// # Errors
    /// When there is no broker, a request fails, or the topic is there with another type.
    pub async fn ensure_topic(&self, topic: &str, topic_type: TopicType) -> Result<(), AdminError> {
        let topic = self.runtime.name(topic);
        let mut client = self.connect().await?;
        let result = self.ensure_topic_with(&client, &topic, topic_type).await;
        stop_admin(&mut client).await;
        result
    }

    /// Makes the consumer group on every broker, for those that do not make groups themselves.
    ///
    /// # Errors
    /// When there is no broker or a request fails.
    pub async fn ensure_group(&self, group: &str) -> Result<(), AdminError> {
        let group = self.runtime.name(group);
        let mut client = self.connect().await?;
        let result = self.ensure_group_with(&client, &group).await;
        stop_admin(&mut client).await;
        result
    }

    /// The brokers that take messages, sorted by name; empty if none is registered.
    ///
    /// # Errors
    /// When the name server does not answer.
    pub async fn brokers(&self) -> Result<Vec<Broker>, AdminError> {
        let mut client = self.connect().await?;
        let result = brokers(&client).await;
        stop_admin(&mut client).await;
        result
    }

    /// The addresses of the brokers that have the topic; empty if nobody has, or the name server
    /// does not answer.
    ///
    /// # Errors
    /// When the client does not start.
    pub async fn route(&self, topic: &str) -> Result<Vec<String>, AdminError> {
        let mut client = self.connect().await?;
        let result = masters(&client, &self.runtime.name(topic)).await;
        stop_admin(&mut client).await;
        Ok(result)
    }

    async fn connect(&self) -> Result<DefaultMQAdminExt, AdminError> {
        let runtime = &self.runtime;
        admin_client(runtime.client(), runtime.hook(), runtime.connection())
            .await
            .map_err(|error| request("be asked".to_owned(), &error))
    }

    async fn ensure_topic_with(
        &self,
        client: &DefaultMQAdminExt,
        topic: &str,
        topic_type: TopicType,
    ) -> Result<(), AdminError> {
        for broker in self.brokers_with(client).await? {
            ensure_topic_on(client, &broker, topic, topic_type).await?;
        }
        let deadline = Instant::now() + ROUTE_TIMEOUT;
        while masters(client, topic).await.is_empty() {
            if Instant::now() > deadline {
                return Err(AdminError::NoRoute { topic: topic.to_owned() });
            }
            sleep(ROUTE_PROBE_INTERVAL).await;
        }
        Ok(())
    }

    async fn ensure_group_with(
        &self,
        client: &DefaultMQAdminExt,
        group: &str,
    ) -> Result<(), AdminError> {
        for broker in self.brokers_with(client).await? {
            let config = SubscriptionGroupConfig::new(group.into());
            Box::pin(client.upsert_subscription_group(broker.address.into(), config))
                .await
                .map_err(|error| request(format!("make the consumer group {group}"), &error))?;
        }
        Ok(())
    }

    async fn brokers_with(&self, client: &DefaultMQAdminExt) -> Result<Vec<Broker>, AdminError> {
        let brokers = brokers(client).await?;
        if brokers.is_empty() {
            return Err(AdminError::NoBroker { namesrv: self.runtime.settings().namesrv.clone() });
        }
        Ok(brokers)
    }
}

async fn brokers(client: &DefaultMQAdminExt) -> Result<Vec<Broker>, AdminError> {
    let info = Box::pin(client.examine_broker_cluster_info())
        .await
        .map_err(|error| request("list the brokers".to_owned(), &error))?;
    let mut brokers: Vec<Broker> = info
        .broker_addr_table
        .unwrap_or_default()
        .into_values()
        .filter_map(|broker| {
            let address = broker.broker_addrs().get(&MASTER_ID)?.to_string();
            Some(Broker {
                name: broker.broker_name().to_string(),
                cluster: broker.cluster().to_owned(),
                address,
            })
        })
        .collect();
    brokers.sort();
    Ok(brokers)
}

async fn ensure_topic_on(
    client: &DefaultMQAdminExt,
    broker: &Broker,
    topic: &str,
    wanted: TopicType,
) -> Result<(), AdminError> {
    let address = || broker.address.as_str().into();
    // A failed read means that it is not there, or that the write below fails and says why.
    if let Ok(found) = Box::pin(client.mutation_topic_config(address(), topic.into())).await {
        let found = found.get_topic_message_type().to_string();
        if found == wanted.attribute() {
            return Ok(());
        }
        let (topic, broker) = (topic.to_owned(), broker.name.clone());
        return Err(AdminError::WrongType { topic, broker, found, wanted: wanted.attribute() });
    }
    let mut config = TopicConfig::with_queues(topic, QUEUES, QUEUES);
    let attribute = format!("+{MESSAGE_TYPE}");
    config.attributes = HashMap::from([(attribute.into(), wanted.attribute().into())]);
    Box::pin(client.upsert_topic_config(address(), config))
        .await
        .map_err(|error| request(format!("make the topic {topic} on {}", broker.name), &error))
}

fn request(action: String, error: &ClientError) -> AdminError {
    AdminError::Request { action, message: causes(error) }
}

/// An admin client with a connection of its own; [`stop_admin`] ends it.
pub(crate) async fn admin_client(
    client: Arc<ClientRuntime>,
    hook: Option<Arc<ClientRpcHook>>,
    config: ClientConfig,
) -> ClientResult<DefaultMQAdminExt> {
    let mut admin = match hook {
        Some(hook) => DefaultMQAdminExt::with_rpc_hook_and_timeout(client, hook, REQUEST_TIMEOUT),
        None => DefaultMQAdminExt::with_timeout(client, REQUEST_TIMEOUT),
    };
    *admin.client_config_mut() = config;
    Box::pin(admin.start()).await?;
    Ok(admin)
}

pub(crate) async fn stop_admin(admin: &mut DefaultMQAdminExt) {
    if timeout(SHUTDOWN_TIMEOUT, Box::pin(admin.shutdown())).await.is_err() {
        tracing::debug!("a RocketMQ admin client did not stop in {SHUTDOWN_TIMEOUT:?}");
    }
}

/// The masters that have a topic, `host:port`. The client reports a topic without a route as an
/// error, as it does a name server that is away: both mean none.
pub(crate) async fn masters(admin: &DefaultMQAdminExt, topic: &str) -> Vec<String> {
    let Ok(Some(route)) = Box::pin(admin.examine_topic_route_info(topic.into())).await else {
        return Vec::new();
    };
    let addresses =
        route.broker_datas.iter().filter_map(|broker| broker.broker_addrs().get(&MASTER_ID));
    addresses.map(ToString::to_string).collect()
}
