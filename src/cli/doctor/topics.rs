//! Topics with their types, consumer groups, and whether given-up half messages can be read.

use super::table::Table;
use crate::consumers::given_up;
use crate::producer::admin::{Admin, GroupState, SystemTopic, TopicType};
use crate::run::{groups, topics};

pub(super) async fn check(admin: &Admin, table: &mut Table) {
    for (topic, wanted) in topics() {
        check_topic(admin, topic, wanted, table).await;
    }
    let watched = check_given_up(admin, table).await;
    for group in groups() {
        if group == given_up::GROUP && !watched {
            continue;
        }
        match admin.group(group).await {
            Ok(states) => {
                for state in &states {
                    check_group(group, state, table);
                }
            }
            Err(error) => table.fail(format!("group {group}"), error),
        }
    }
}

async fn check_topic(admin: &Admin, topic: &str, wanted: TopicType, table: &mut Table) {
    let what = format!("topic {topic}");
    let found = match admin.topic_types(topic).await {
        Ok(found) => found,
        Err(error) => return table.fail(what, error),
    };
    for (broker, found) in found {
        match found {
            Ok(Some(found)) if found == wanted.attribute() => {
                table.ok(&what, format!("{found} on {broker}"));
            }
            Ok(Some(found)) => {
                let why = "its messages are refused; delete it or change its message.type";
                table
                    .fail(&what, format!("{found} on {broker}, not {}: {why}", wanted.attribute()));
            }
            Ok(None) => {
                let why = "the next start makes it, if the account may";
                table.warn(&what, format!("missing on {broker}: {why}"));
            }
            Err(why) => check_route(admin, topic, &broker, &why, table).await,
        }
    }
}

/// Where its type may not be read, a route tells at least that it is there.
async fn check_route(admin: &Admin, topic: &str, broker: &str, why: &str, table: &mut Table) {
    let what = format!("topic {topic}");
    match admin.route(topic).await {
        Ok(route) if route.is_empty() => table.fail(what, "no broker has this topic"),
        Ok(route) => table.warn(
            what,
            format!("at {}; its type on {broker} can't be read: {why}", route.join(", ")),
        ),
        Err(error) => table.fail(what, error),
    }
}

/// Whether the topic is there to be watched.
async fn check_given_up(admin: &Admin, table: &mut Table) -> bool {
    let what = "given-up half messages";
    match admin.system_topic(given_up::TOPIC).await {
        Ok(SystemTopic::Readable) => {
            table.ok(what, format!("{} can be watched", given_up::TOPIC));
            return true;
        }
        Ok(SystemTopic::Absent) => {
            table.ok(what, "none so far: the broker makes their topic with the first one");
        }
        Ok(SystemTopic::Refused(why)) => {
            let topic = given_up::TOPIC;
            table.warn(what, format!("not watched: this account may not read {topic}: {why}"));
        }
        Err(error) => table.warn(what, error),
    }
    false
}

fn check_group(group: &str, state: &GroupState, table: &mut Table) {
    let what = format!("group {group}");
    let broker = &state.broker;
    match &state.exists {
        Ok(true) => {}
        Ok(false) => {
            let why = "the next start makes it, if the account may";
            return table.warn(what, format!("missing on {broker}: {why}"));
        }
        Err(why) => return table.warn(what, format!("can't be read on {broker}: {why}")),
    }
    let lag = match &state.lag {
        Ok(lag) => format!("{lag} messages wait"),
        Err(why) => format!("its lag can't be read: {why}"),
    };
    match &state.consumers {
        Ok(0) => table.warn(what, format!("nobody consumes on {broker}, {lag}")),
        Ok(count) => table.ok(what, format!("consumed by {count} on {broker}, {lag}")),
        Err(why) => table.warn(what, format!("consumers on {broker} can't be read: {why}; {lag}")),
    }
}
