//! The demo (`make demo`): a controller revokes rules and fails to put them back; the same without and with rulekeeper.
//!
//! Everything is real but the cloud: the function's binary runs under the Lambda Runtime API, the CLI's binary pins and
//! plans, the controller calls EC2 through the AWS SDK. `rulekeeper-local` is the cloud, on loopback. Every figure is
//! measured while you watch.

use std::process::ExitCode;
use std::time::Duration;

mod observer;
mod options;
mod permission;
mod stage;
mod stories;
mod wording;

use clap::Parser as _;
use options::Options;
use rulekeeper_bench::screen::Screen;
use rulekeeper_bench::screen::seconds;
use rulekeeper_bench::{Failure, exit_code};
use stage::Stage;
use stories::Show;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    exit_code(demo(&Options::parse()).await)
}

async fn demo(options: &Options) -> Result<(), Failure> {
    let screen = Screen::stdout();
    screen.heading("rulekeeper: a security group loses its rules, and gets them back")?;
    screen.paragraph(
        "EC2 has no transaction for security group rules: to change one, a controller revokes the old rule and \
         authorizes the new one. When the second call is refused, the first one stays done. Here are two such \
         stories, each without rulekeeper and with it.",
    )?;
    let stage = Stage::set_up(options).await?;
    let played = play(&screen, &stage, options.delay).await;
    stage.stack.shutdown().await;
    played?;
    screen.paragraph("The stack and its processes have ended; no files are left.")?;
    Ok(())
}

async fn play(screen: &Screen, stage: &Stage, delay: Duration) -> Result<(), Failure> {
    screen.paragraph(&format!(
        "The cloud is rulekeeper-local at {}, on this machine; function, CLI and AWS SDK are the real ones. CloudTrail's \
         events take {} to the function. That is a dial (--delay 6s), because AWS promises no time.",
        stage.stack.endpoint(),
        seconds(delay)
    ))?;
    let header = ["", "without rulekeeper", "with rulekeeper"].map(str::to_owned);
    let show = Show {
        screen,
        stage,
        delay,
    };
    let replacement = stories::replacement_is_refused(show).await?;
    let everything = stories::everything_is_revoked(show).await?;

    screen.heading("In short")?;
    screen.table(&[header, replacement, everything])?;
    screen.paragraph(&format!(
        "Cut: from the moment a rule was gone until it, or the last that could come back, was live again, seen by a \
         thread that looks every millisecond. {} of it is the event's way, as dialled.",
        seconds(delay)
    ))?;
    Ok(())
}
