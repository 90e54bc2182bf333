//! Measures the service beside the raw limits of broker and database, in one run and on the same
//! cores: `cargo run --release -p checkback-bench`. `docs/benchmark.md` says what each figure
//! means.
//!
//! Reading order: [`scenarios`] has one measurement a file; each builds its surroundings with
//! [`ground`], loads them with [`load`], and writes its figures into [`figures`].

// The futures of RocketMQ's client nest deeper than the default allows.
#![recursion_limit = "256"]

mod database;
mod figures;
mod gateway;
mod ground;
mod load;
mod options;
mod run;
mod scenarios;
mod shop;

use std::process::ExitCode;

use clap::Parser as _;

use figures::say;
use options::Options;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    if options.log {
        checkback::cli::log_as_service();
    }
    match Box::pin(scenarios::measure(options)).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(format_args!("the benchmark failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
