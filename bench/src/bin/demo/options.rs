//! The command line.

use std::time::Duration;

use clap::Parser;
use rulekeeper_bench::programs::FunctionArgument;
use rulekeeper_bench::time;

/// A controller revokes rules and fails to put them back: without rulekeeper and with it.
#[derive(Debug, Parser)]
#[command(
    name = "demo",
    after_help = "The demo exits with 0 if every rule that can come back is back, else with 1."
)]
pub(crate) struct Options {
    /// How long CloudTrail's events take to the function, such as 500ms or 6s.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time::parse)]
    pub(crate) delay: Duration,
    #[command(flatten)]
    pub(crate) function: FunctionArgument,
}
