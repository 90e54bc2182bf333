//! Topics, groups, brokers and their settings: creates what is missing and says what is there.
//!
//! An account may have fewer rights than that. What it may not make or read is looked for in the
//! routes; what is there is used, and what could not be checked is told.

use std::sync::Arc;
use std::time::Duration;

use rocketmq_client_rust::{
    ClientConfig, ClientError, ClientResult, ClientRpcHook, ClientRuntime, DefaultMQAdminExt,
    MQAdminReadExt, MQClientException,
};
use rocketmq_protocol::code::response_code::ResponseCode;
use tokio::time::timeout;

use super::runtime::MessagingRuntime;
use crate::text::causes;

mod groups;
mod settings;
mod topics;

pub use groups::GroupState;
pub use settings::{BrokerFacts, BrokerProperties};
pub use topics::{SystemTopic, TopicType};

/// One request to a broker or name server.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(2_500);
/// Stopping takes no longer.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// The brokers' id of a master; replicas have others.
const MASTER_ID: u64 = 0;
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
    #[error("the topic {topic} was made, but has no route yet")]
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

    /// Makes the topics and consumer groups that are missing on a broker, and waits for the routes.
    /// What is there stays as its operator has it. Returns what could be neither made nor checked,
    /// each as a sentence with what to do; none of that keeps messages from flowing.
    ///
    /// # Errors
    /// When there is no broker, a topic is missing and can't be made, or it has another type.
    pub async fn prepare(
        &self,
        topics: &[(&str, TopicType)],
        groups: &[&str],
    ) -> Result<Vec<String>, AdminError> {
        let mut client = self.connect().await?;
        let result = self.prepare_with(&client, topics, groups).await;
        stop_admin(&mut client).await;
        result
    }

    async fn prepare_with(
        &self,
        client: &DefaultMQAdminExt,
        topics: &[(&str, TopicType)],
        groups: &[&str],
    ) -> Result<Vec<String>, AdminError> {
        let brokers = self.brokers_with(client).await?;
        let mut unchecked = Vec::new();
        for (topic, topic_type) in topics {
            let topic = self.runtime.name(topic);
            unchecked.extend(topics::ensure(client, &brokers, &topic, *topic_type).await?);
        }
        for group in groups {
            let group = self.runtime.name(group);
            unchecked.extend(groups::ensure(client, &brokers, &group).await?);
        }
        Ok(unchecked)
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

/// The code of the broker's own answer; `None` if it did not answer.
fn answer_code(error: &ClientError) -> Option<i32> {
    let exception =
        || error.source_ref::<MQClientException>().map(MQClientException::response_code);
    error.broker_response_code().or_else(exception).filter(|code| *code >= 0)
}

fn answered(error: &ClientError, code: ResponseCode) -> bool {
    answer_code(error) == Some(code.to_i32())
}

/// The broker's own words, where it answered: the client wraps them twice.
fn told(error: &ClientError) -> String {
    let answer = error.source_ref::<MQClientException>();
    let words = answer.filter(|answer| answer.response_code() >= 0).and_then(|answer| {
        let words = answer.error_message()?.trim();
        Some(format!("the broker answered {}: {words}", answer.response_code()))
    });
    words.unwrap_or_else(|| causes(error))
}

fn request(action: String, error: &ClientError) -> AdminError {
    AdminError::Request { action, message: told(error) }
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
