//! The checkback binary.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = checkback::cli::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "there is no other voice yet")]
            {
                eprintln!("checkback: the runtime can't be started: {error}");
            }
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(cli.run());
    // What hasn't ended by now is left behind: everything survives a kill.
    runtime.shutdown_background();
    code
}
