//! Consumer groups, for brokers that do not make them by themselves. One that is there stays as its
//! operator has it.

use rocketmq_client_rust::{
    ClientError, ConsumerAdmin, DefaultMQAdminExt, MQAdminConsumerObservationReadExt,
    MQAdminMutationExt,
};
use rocketmq_client_rust::{ConsumerConnectionRead, ConsumerProgressRead};
use rocketmq_protocol::code::response_code::ResponseCode;
use rocketmq_protocol::protocol::subscription::subscription_group_config::SubscriptionGroupConfig;

use super::{Admin, AdminError, Broker, answer_code, answered, request, stop_admin, told};

/// What a broker knows of a consumer group. A text says why it could not be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupState {
    /// The broker's name.
    pub broker: String,
    /// Whether the group is made.
    pub exists: Result<bool, String>,
    /// Consumers that are connected.
    pub consumers: Result<usize, String>,
    /// Messages that wait.
    pub lag: Result<i64, String>,
}

impl Admin {
    /// What each broker knows of a consumer group.
    ///
    /// # Errors
    /// When there is no broker or the name server does not answer.
    pub async fn group(&self, group: &str) -> Result<Vec<GroupState>, AdminError> {
        let group = self.runtime.name(group);
        let mut client = self.connect().await?;
        let result = async {
            let mut states = Vec::new();
            for broker in self.brokers_with(&client).await? {
                states.push(state(&client, broker, &group).await);
            }
            Ok(states)
        };
        let result = result.await;
        stop_admin(&mut client).await;
        result
    }
}

async fn state(client: &DefaultMQAdminExt, broker: Broker, group: &str) -> GroupState {
    let address = || broker.address.as_str().into();
    let exists = exists(client, &broker, group).await.map_err(|error| told(&error));
    let consumers = match client.consumer_connection_at(address(), group.into()).await {
        Ok(ConsumerConnectionRead::Online(found)) => Ok(found.get_connection_set().len()),
        Ok(ConsumerConnectionRead::Offline) => Ok(0),
        Err(error) => Err(told(&error)),
    };
    let lag = match client.consumer_progress_at(address(), group.into()).await {
        Ok(ConsumerProgressRead::Observed(stats)) => Ok(stats.compute_total_diff()),
        Ok(ConsumerProgressRead::Absent) => Ok(0),
        Err(error) => Err(told(&error)),
    };
    GroupState { broker: broker.name, exists, consumers, lag }
}

/// Makes the group on every broker that lacks it. Returns what could be neither made nor checked.
pub(super) async fn ensure(
    client: &DefaultMQAdminExt,
    brokers: &[Broker],
    group: &str,
) -> Result<Vec<String>, AdminError> {
    let mut unchecked = Vec::new();
    for broker in brokers {
        let made = match exists(client, broker, group).await {
            Ok(true) => Ok(()),
            Ok(false) => make(client, broker, group).await,
            Err(error) => Err(error),
        };
        match made {
            Ok(()) => {}
            // The broker answered, and will answer the same the next time.
            Err(error) if answer_code(&error).is_some() => unchecked.push(format!(
                "the consumer group {group} on broker {} could be neither checked nor made ({}): \
                 make it with `mqadmin updateSubGroup -g {group}`, unless the broker makes groups \
                 itself",
                broker.name,
                told(&error)
            )),
            Err(error) => return Err(request(format!("make the consumer group {group}"), &error)),
        }
    }
    Ok(unchecked)
}

async fn exists(
    client: &DefaultMQAdminExt,
    broker: &Broker,
    group: &str,
) -> Result<bool, ClientError> {
    let address = broker.address.as_str().into();
    let read = ConsumerAdmin::examine_subscription_group_config(client, address, group.into());
    match Box::pin(read).await {
        Ok(_) => Ok(true),
        Err(error) if answered(&error, ResponseCode::SubscriptionGroupNotExist) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn make(client: &DefaultMQAdminExt, broker: &Broker, group: &str) -> Result<(), ClientError> {
    let config = SubscriptionGroupConfig::new(group.into());
    let address = broker.address.as_str().into();
    Box::pin(client.upsert_subscription_group(address, config)).await
}
