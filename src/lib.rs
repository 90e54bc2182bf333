//! checkback sees to it that every order ends exactly once, paid or cancelled with its stock
//! released, and that every yuan is applied, refunded or on an alarm list.
//!
//! Reading order: [`domain`] says what may happen, [`domain::decision`] decides it. [`service`]
//! holds the use cases around it, [`store`] the SQL, [`alipay`] the gateway's client. [`listener`],
//! [`consumers`], [`fallback_task`] and [`http`] are the edges that wake the use cases up.
//! [`config`] and [`run`] put it together.

// The futures of RocketMQ's client nest deeper than the default allows.
#![recursion_limit = "256"]

pub mod domain;

pub mod clock;
pub mod hash;
pub mod ids;
pub mod text;

pub mod alipay;
pub mod producer;
pub mod store;
pub mod webhook;

pub mod config;
pub mod metrics;

pub mod app;
pub mod service;

pub mod consumers;
pub mod fallback_task;
pub mod listener;

pub mod http;

pub mod cli;
pub mod run;
