//! Stories: one order's fate from outside, with everything real.

mod accounts;
mod acl;
mod alarms;
mod audit;
mod bills;
mod broker;
mod broker_clock;
mod cancel;
mod certificates;
mod closing;
mod commits;
mod console;
mod deployments;
mod engines;
mod forgeries;
mod late_payments;
mod leftovers;
mod notifications;
mod outages;
mod payment;
mod placing;
pub(crate) mod quarantine;
mod refund_faults;
mod refunds;
mod refused_refunds;
mod timeout;
mod topics;
