//! The operator's command line: it reads arguments, calls the library that the function is made of, and shows the result.
//!
//! Each room imports only rooms below it, which a test sees to:
//!
//! - `verbs`: one file for each verb
//! - `doctor`: the checks of `doctor`
//! - `events`: files of events, for `replay`
//! - `render`: results as text and as a page
//! - `session`: configuration, clients and who is asking
//! - `advice`: what went wrong with a call, and what to do
//! - `interrupt`: Ctrl-C
//! - `wire`: the HTTP client of every call
//! - `profiles`: the profiles of the AWS CLI
//! - `endpoint`: addresses of endpoints
//! - `output`: results to standard output, logs to standard error
//! - `confirm`: questions on a terminal
//! - `page_file`: the file of a page
//! - `progress`: progress on standard error
//! - `trouble`: the items of `status`
//! - `planned`: the documents of `plan`
//! - `args`: the arguments

use std::process::ExitCode;

use clap::FromArgMatches as _;
use rulekeeper_cli::{failure, import, paint, records, say, schema, steering, strict};

mod advice;
mod args;
mod confirm;
mod doctor;
mod endpoint;
mod events;
#[cfg(test)]
mod imports;
mod interrupt;
mod output;
mod page_file;
mod planned;
mod profiles;
mod progress;
mod render;
mod session;
mod trouble;
mod verbs;
mod wire;

fn main() -> ExitCode {
    paint::begin();
    let matches = args::Cli::grouped().get_matches();
    let cli = match args::Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
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
