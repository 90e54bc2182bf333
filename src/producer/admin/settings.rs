//! What brokers are set to, and what they say about themselves.

use std::collections::HashMap;
use std::time::Duration;

use rocketmq_client_rust::{BrokerAdmin, DefaultMQAdminExt};

use super::{Admin, AdminError, Broker, stop_admin, told};
use crate::domain::broker_clock::{Reading, Reported};

/// A broker's settings by its own names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerProperties(HashMap<String, String>);

impl BrokerProperties {
    /// The value of a setting, if the broker tells it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// What it says about its check-backs.
    #[must_use]
    pub fn reported(&self) -> Reported {
        Reported::read(|key| self.get(key))
    }
}

/// A broker with all that it says; a text says why it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerFacts {
    /// Which one.
    pub broker: Broker,
    /// Its settings.
    pub settings: Result<BrokerProperties, String>,
    /// Its state: version, start, running time.
    pub state: Result<BrokerProperties, String>,
}

impl BrokerFacts {
    /// The time by the broker's clock when it was asked, in ms since 1970, to the second below: its
    /// start and its running time are all that it tells.
    #[must_use]
    pub fn now_ms(&self) -> Option<i64> {
        let state = self.state.as_ref().ok()?;
        let started_ms: i64 = state.get("bootTimestamp")?.parse().ok()?;
        let running = running_time(state.get("runtime")?)?;
        started_ms.checked_add(i64::try_from(running.as_millis()).ok()?)
    }
}

impl Admin {
    /// What the brokers that have a topic say about their check-backs, or every broker as long as
    /// none has it; empty if none is registered.
    ///
    /// # Errors
    /// When the name server does not answer.
    pub async fn read_clocks(&self, topic: &str) -> Result<Vec<Reading>, AdminError> {
        let mut client = self.connect().await?;
        let result = async {
            let mut readings = Vec::new();
            let brokers = super::brokers(&client).await?;
            let route = super::masters(&client, &self.runtime.name(topic)).await;
            let has = |broker: &Broker| route.is_empty() || route.contains(&broker.address);
            for broker in brokers.into_iter().filter(has) {
                let settings = settings(&client, &broker).await;
                if let Err(why) = &settings {
                    tracing::debug!(broker = broker.name, why, "its settings can't be read");
                }
                let reported = settings.ok().map(|settings| settings.reported());
                readings.push(Reading { broker: broker.name, reported });
            }
            Ok(readings)
        };
        let result = result.await;
        stop_admin(&mut client).await;
        result
    }

    /// Every broker with its settings and state; empty if none is registered.
    ///
    /// # Errors
    /// When the name server does not answer.
    pub async fn facts(&self) -> Result<Vec<BrokerFacts>, AdminError> {
        let mut client = self.connect().await?;
        let result = async {
            let mut facts = Vec::new();
            for broker in super::brokers(&client).await? {
                let settings = settings(&client, &broker).await;
                let state = state(&client, &broker).await;
                facts.push(BrokerFacts { broker, settings, state });
            }
            Ok(facts)
        };
        let result = result.await;
        stop_admin(&mut client).await;
        result
    }
}

async fn settings(client: &DefaultMQAdminExt, broker: &Broker) -> Result<BrokerProperties, String> {
    let read = BrokerAdmin::get_broker_config(client, broker.address.as_str().into());
    let found = Box::pin(read).await.map_err(|error| told(&error))?;
    Ok(BrokerProperties(texts(found)))
}

async fn state(client: &DefaultMQAdminExt, broker: &Broker) -> Result<BrokerProperties, String> {
    let read = BrokerAdmin::fetch_broker_runtime_stats(client, broker.address.as_str().into());
    let found = Box::pin(read).await.map_err(|error| told(&error))?;
    Ok(BrokerProperties(texts(found.table)))
}

fn texts<T: ToString>(table: impl IntoIterator<Item = (T, T)>) -> HashMap<String, String> {
    table.into_iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// Reads `[ 0 days, 0 hours, 1 minutes, 50 seconds ]`.
fn running_time(text: &str) -> Option<Duration> {
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    let numbers: Vec<u64> = numbers.map(str::parse).collect::<Result<_, _>>().ok()?;
    let [days, hours, minutes, seconds] = numbers[..] else { return None };
    let hours = days.checked_mul(24)?.checked_add(hours)?;
    let minutes = hours.checked_mul(60)?.checked_add(minutes)?;
    Some(Duration::from_secs(minutes.checked_mul(60)?.checked_add(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_time_is_read() {
        let text = "[ 1 days, 2 hours, 1 minutes, 50 seconds ]";
        assert_eq!(running_time(text), Some(Duration::from_secs(93_710)));
        assert_eq!(running_time("a while"), None);
    }
}
