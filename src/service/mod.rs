//! The use cases, one a file: load, decide, write with compare-and-set, publish. Edges (HTTP, the
//! transaction listener, consumers, the fallback task) only translate into and out of these.

pub mod accept_notification;
pub mod accept_payment;
pub mod age_alarms;
mod arm_timer;
pub mod ask_again;
pub mod attach_payment;
pub mod audit;
pub mod audit_turn;
pub mod cancel_order;
pub mod check_back;
pub mod check_payment;
pub mod escalate_alarms;
pub mod find_changes;
mod forward;
pub mod handle_alarm;
pub mod note_return;
pub mod note_seen;
pub mod open_refund;
pub mod order_view;
mod orphan;
pub mod place_order;
pub mod quarantine;
pub mod raise_alarm;
pub mod reconcile;
pub mod refund_payment;
pub mod report_given_up;
pub mod request_payment;
pub mod request_refund;
pub mod retry_refund;
pub mod send_refunds;
pub mod settle;
pub mod settle_due;
pub mod share_budget;
pub mod tell_of_alarms;
pub mod watch_broker;
pub mod watch_clock;
