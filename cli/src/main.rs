//! The operator's command line: reads arguments, calls the library that the function is made of, and shows what came
//! of it.

use std::process::ExitCode;

use clap::Parser as _;

mod args;
mod confirm;
mod doctor;
mod events;
mod failure;
mod import;
mod output;
mod page_file;
mod progress;
mod records;
mod render;
mod session;
mod strict;
mod verbs;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    match start(cli) {
        Ok(status) => status.into(),
        Err(failure) => failure.tell(),
    }
}

fn start(cli: args::Cli) -> Result<failure::Status, failure::Failure> {
    output::log_to_stderr(std::env::var("RULEKEEPER_LOG").ok())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(verbs::run(cli))
}
