//! The binary itself, as its users meet it: started, called, killed, asked to end, and looked at
//! with its own tools. Everything runs on ports and in a directory of its own.

mod broker_away;
mod broker_settings;
mod child;
mod demo;
mod fleet;
mod gateway_keys;
mod instances;
mod keys;
mod kill;
mod listeners;
mod load;
mod refunds;
mod serve;
mod shop;
mod signals;
mod start_up;
mod tools;
