//! What goes to RocketMQ: half messages, and the events of the outbox.

pub mod admin;
pub(crate) mod callback;
pub mod early_end;
pub mod outbox_relay;
mod plain;
mod renewal;
pub mod rocketmq;
pub mod runtime;
