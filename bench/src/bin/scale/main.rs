//! Sweeps of many groups, bursts of revokes, and the watch (`make scale`): how many API calls they make, how long they take and how
//! much memory the function needs, at EC2's published limits.
//!
//! The function is the real one and runs under the Lambda Runtime API; `rulekeeper-local` stands in for AWS over HTTP, with
//! the token buckets that EC2 documents and an embedded DynamoDB. API calls and memory are those of a real deployment.
//! Times are not: loopback answers sooner than AWS, and a debug build is slower than a release. A run fails unless at its
//! end every rule is back, every group is in a report and there are no dead letters.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use rulekeeper_bench::screen::Screen;
use rulekeeper_bench::{Result, exit_code};

mod burst;
mod cost;
mod options;
mod setup;
mod sweep;
mod watch;

use options::Options;

/// The longest that a sweep or a burst may take: 50,000 groups take some minutes, a debug build on a busy machine more.
const TIMEOUT: Duration = Duration::from_secs(15 * 60);

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(run(&Options::parse()).await)
}

async fn run(options: &Options) -> Result<()> {
    let screen = Screen::stdout();
    let function = options.function.program()?;
    if !options.sweeps().is_empty() {
        sweep::heading(&screen)?;
    }
    for groups in options.sweeps() {
        sweep::run(&screen, &function, *groups, options).await?;
    }
    if !options.bursts().is_empty() {
        burst::heading(&screen)?;
    }
    for burst in options.bursts() {
        burst::run(&screen, &function, *burst).await?;
    }
    if !options.watched().is_empty() {
        watch::heading(&screen)?;
    }
    for groups in options.watched() {
        watch::run(&screen, &function, *groups).await?;
    }
    Ok(())
}
