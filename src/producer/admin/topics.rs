//! Topics carry their message type (`message.type`), because a broker refuses a half message for a
//! topic of another type, and they are made before consumers start: a group that starts without its
//! topic gets its first message late.

use std::collections::HashMap;
use std::time::Duration;

use rocketmq_client_rust::{
    ClientError, DefaultMQAdminExt, MQAdminMutationExt, MQAdminTopicStatsReadExt,
};
use rocketmq_model::common::config::TopicConfig;
use rocketmq_protocol::code::response_code::ResponseCode;
use tokio::time::{Instant, sleep};

use super::{Admin, AdminError, Broker, answer_code, answered, masters, request, stop_admin, told};

/// A topic that was just made is known to the name server within this time.
const ROUTE_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two looks for its route.
const ROUTE_PROBE_INTERVAL: Duration = Duration::from_millis(50);
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
    /// The broker's word for it.
    #[must_use]
    pub fn attribute(self) -> &'static str {
        match self {
            Self::Transaction => "TRANSACTION",
            Self::Normal => "NORMAL",
            Self::Delay => "DELAY",
        }
    }
}

/// Whether a topic of the broker's own can be read. It has no prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemTopic {
    /// It is there, and this account may look at it.
    Readable,
    /// No broker has it yet.
    Absent,
    /// It is there, but a broker refused to let us look at it.
    Refused(String),
}

impl Admin {
    /// The message type of a topic on each broker by name; an error in words where it can't be
    /// read, `None` where there is no such topic.
    ///
    /// # Errors
    /// When there is no broker or the name server does not answer.
    pub async fn topic_types(
        &self,
        topic: &str,
    ) -> Result<Vec<(String, Result<Option<String>, String>)>, AdminError> {
        let topic = self.runtime.name(topic);
        let mut client = self.connect().await?;
        let result = async {
            let mut types = Vec::new();
            for broker in self.brokers_with(&client).await? {
                let found = topic_type(&client, &broker, &topic).await;
                types.push((broker.name, found.map_err(|error| told(&error))));
            }
            Ok(types)
        };
        let result = result.await;
        stop_admin(&mut client).await;
        result
    }

    /// Looks at a topic of the broker's own, as a consumer of it would have to.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn system_topic(&self, topic: &str) -> Result<SystemTopic, AdminError> {
        let mut client = self.connect().await?;
        let result = look_at(&client, topic).await;
        stop_admin(&mut client).await;
        result
    }
}

async fn look_at(client: &DefaultMQAdminExt, topic: &str) -> Result<SystemTopic, AdminError> {
    let masters = masters(client, topic).await;
    if masters.is_empty() {
        return Ok(SystemTopic::Absent);
    }
    for address in masters {
        match Box::pin(client.topic_stats_at(address.into(), topic.into())).await {
            Ok(_) => {}
            Err(error) if answered(&error, ResponseCode::TopicNotExist) => {
                return Ok(SystemTopic::Absent);
            }
            Err(error) if answer_code(&error).is_some() => {
                return Ok(SystemTopic::Refused(told(&error)));
            }
            Err(error) => return Err(request(format!("look at {topic}"), &error)),
        }
    }
    Ok(SystemTopic::Readable)
}

/// Makes the topic on every broker that lacks it and waits for its route. Returns what could not be
/// checked.
pub(super) async fn ensure(
    client: &DefaultMQAdminExt,
    brokers: &[Broker],
    topic: &str,
    wanted: TopicType,
) -> Result<Vec<String>, AdminError> {
    let mut unchecked = Vec::new();
    for broker in brokers {
        unchecked.extend(ensure_on(client, broker, topic, wanted).await?);
    }
    let deadline = Instant::now() + ROUTE_TIMEOUT;
    while masters(client, topic).await.is_empty() {
        if Instant::now() > deadline {
            return Err(AdminError::NoRoute { topic: topic.to_owned() });
        }
        sleep(ROUTE_PROBE_INTERVAL).await;
    }
    Ok(unchecked)
}

async fn ensure_on(
    client: &DefaultMQAdminExt,
    broker: &Broker,
    topic: &str,
    wanted: TopicType,
) -> Result<Option<String>, AdminError> {
    let error = match topic_type(client, broker, topic).await {
        Ok(Some(found)) if found == wanted.attribute() => return Ok(None),
        Ok(Some(found)) => {
            let (topic, broker) = (topic.to_owned(), broker.name.clone());
            return Err(AdminError::WrongType { topic, broker, found, wanted: wanted.attribute() });
        }
        Ok(None) => match make(client, broker, topic, wanted).await {
            Ok(()) => return Ok(None),
            Err(error) => error,
        },
        Err(error) => error,
    };
    // A broker that refuses will refuse the next time, too; the topic may be meant for others only.
    if answer_code(&error).is_some() && !masters(client, topic).await.is_empty() {
        let (kind, why) = (wanted.attribute(), told(&error));
        return Ok(Some(format!(
            "the topic {topic} on broker {} could not be made or checked ({why}): if it is meant \
             to be there, make sure that its message.type is {kind}",
            broker.name
        )));
    }
    Err(request(format!("make the topic {topic} on {}", broker.name), &error))
}

async fn topic_type(
    client: &DefaultMQAdminExt,
    broker: &Broker,
    topic: &str,
) -> Result<Option<String>, ClientError> {
    let address = broker.address.as_str().into();
    match Box::pin(client.mutation_topic_config(address, topic.into())).await {
        Ok(found) => Ok(Some(found.get_topic_message_type().to_string())),
        Err(error) if answered(&error, ResponseCode::TopicNotExist) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn make(
    client: &DefaultMQAdminExt,
    broker: &Broker,
    topic: &str,
    wanted: TopicType,
) -> Result<(), ClientError> {
    let mut config = TopicConfig::with_queues(topic, QUEUES, QUEUES);
    let attribute = format!("+{MESSAGE_TYPE}");
    config.attributes = HashMap::from([(attribute.into(), wanted.attribute().into())]);
    Box::pin(client.upsert_topic_config(broker.address.as_str().into(), config)).await
}
