//! Sweeps of fleets and bursts of revokes (`make scale`): how many API calls they make, how long they take and how much
//! memory the function needs, at EC2's published limits.
//!
//! The function is the real one, over the Lambda Runtime API and real HTTP; `rulekeeper-local` is the cloud, with
//! token buckets as EC2 documents them, and its DynamoDB is embedded. Calls and memory are those of a real deployment;
//! times are not, because loopback answers sooner than AWS and a debug build works slower than a release. After each run,
//! every rule must be back, every group accounted for and no letter dead; one that is not, and the run fails.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use rulekeeper_bench::{Failure, exit_code};

mod burst;
mod measure;
mod options;
mod stage;
mod sweep;

use options::Options;

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(run(&Options::parse()).await)
}

async fn run(options: &Options) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    let function = options.function.program()?;
    if !options.sweeps().is_empty() {
        sweep::heading(&mut out)?;
    }
    for groups in options.sweeps() {
        sweep::run(&mut out, &function, *groups, options.drifted, options.rules).await?;
    }
    if !options.bursts().is_empty() {
        burst::heading(&mut out)?;
    }
    for burst in options.bursts() {
        burst::run(&mut out, &function, *burst).await?;
    }
    Ok(())
}

/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
