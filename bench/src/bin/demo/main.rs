//! The demo (`make demo`): a controller revokes rules and fails to authorize them again; without rulekeeper and with it.
//!
//! Only AWS is simulated, by `rulekeeper-local`: the function's program runs under the Lambda Runtime API, the CLI's
//! program pins and plans, and the controller calls EC2 through the AWS SDK. All times are measured during the run.

use std::process::ExitCode;

use clap::Parser as _;
use rulekeeper_bench::screen::Screen;
use rulekeeper_bench::time::seconds;
use rulekeeper_bench::{Result, exit_code};

mod backup;
mod lines;
mod observer;
mod options;
mod setup;
mod stories;

use options::Options;
use setup::Setup;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    exit_code(run(&Options::parse()).await)
}

async fn run(options: &Options) -> Result<()> {
    let screen = Screen::stdout();
    screen.heading("rulekeeper: a security group loses its rules, and gets them back")?;
    screen.paragraph(
        "EC2 has no transaction for security group rules: to change one, a controller revokes the old rule and \
         authorizes the new one. When the second call is refused, the first one stays done. Here are two such \
         stories, each without rulekeeper and with it.",
    )?;
    let setup = Setup::start(screen, options).await?;
    let result = run_stories(&setup).await;
    setup.stack.shutdown().await;
    result?;
    setup
        .screen
        .paragraph("The stack and its processes have ended; no files are left.")?;
    Ok(())
}

async fn run_stories(setup: &Setup) -> Result<()> {
    let (screen, delay) = (&setup.screen, seconds(setup.delay));
    screen.paragraph(&format!(
        "AWS is rulekeeper-local at {}, on this machine; the function, the CLI and the AWS SDK are real. CloudTrail's \
         events reach the function after {delay}. AWS guarantees no time; --delay 6s sets another.",
        setup.stack.endpoint(),
    ))?;
    let header = ["", "without rulekeeper", "with rulekeeper"].map(str::to_owned);
    let replacement = stories::replacement_is_refused(setup).await?;
    let everything = stories::everything_is_revoked(setup).await?;

    screen.heading("In short")?;
    screen.table(&[header, replacement, everything])?;
    screen.paragraph(&format!(
        "Cut: from the first missing rule until every rule that can come back is live again, measured by a thread that \
         reads the group every millisecond. {delay} of it is the delay of the event.",
    ))?;
    Ok(())
}
