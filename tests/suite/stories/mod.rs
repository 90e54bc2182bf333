//! Stories: one order's fate from outside, with everything real.

mod broker;
mod broker_clock;
mod cancel;
mod commits;
mod deployments;
mod engines;
mod notifications;
mod payment;
mod placing;
mod timeout;
mod topics;
