//! Stories: one order's fate from outside, with everything real.

mod accounts;
mod acl;
mod alarms;
mod audit;
mod broker;
mod broker_clock;
mod cancel;
mod certificates;
mod commits;
mod console;
mod deployments;
mod engines;
mod forgeries;
mod notifications;
mod outages;
mod payment;
mod placing;
mod refunds;
mod timeout;
mod topics;
