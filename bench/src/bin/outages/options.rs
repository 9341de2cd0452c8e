//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use rulekeeper_bench::programs::FunctionArgument;
use rulekeeper_bench::time;

use crate::stories::{self, STORIES, Story};

/// Replays public outages without rulekeeper and with it.
#[derive(Debug, Parser)]
#[command(
    name = "outages",
    after_help = "It takes about three minutes. It exits with 0 if every story went as it should and every rule is \
                  accounted for, else with 1 and leaves the file as it was."
)]
pub(crate) struct Options {
    /// How long CloudTrail's events take to the function; each story is replayed once for each delay.
    #[arg(long, value_name = "TIME,…", value_delimiter = ',', default_value = "2s,6s,60s", value_parser = time::parse)]
    pub(crate) delays: Vec<Duration>,
    /// Only these stories; --list names them.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = stories::named)]
    only: Vec<&'static Story>,
    /// Write the table between the lines <!-- outages:begin --> and <!-- outages:end --> of a file.
    // The table in a file has all stories.
    #[arg(long, value_name = "FILE", conflicts_with = "only")]
    pub(crate) update: Option<PathBuf>,
    /// Name the stories, and exit.
    #[arg(long)]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) function: FunctionArgument,
}

impl Options {
    /// The stories to replay.
    pub(crate) fn stories(&self) -> Vec<&'static Story> {
        if self.only.is_empty() {
            STORIES.iter().collect()
        } else {
            self.only.clone()
        }
    }
}
