//! Message consumers, one group a file. Delivery is at least once and may be early: each decides
//! again from the database and never trusts the message.

pub mod bridge;
pub mod cancel_order;
pub mod given_up;
pub mod payment_check;
