//! The simulator as its callers see it: over HTTP, with requests that the test signs itself.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod barcodes;
mod bills;
mod binary;
mod buyer;
mod cashier;
mod certificates;
mod durability;
mod faults;
mod gateway;
mod merchant;
mod notifications;
mod rules;
mod v3;
mod vectors;
mod webhook;
