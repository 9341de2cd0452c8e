//! The command line.

use std::str::FromStr;

use clap::{Parser, ValueEnum};
use rulekeeper_bench::programs::FunctionArgument;

/// Measures sweeps of many groups, bursts of revokes, and the watch, at EC2's limits.
#[derive(Debug, Parser)]
#[command(name = "scale")]
pub(crate) struct Options {
    /// Sweeps, by number of groups.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1000,10000,50000", value_parser = positive)]
    groups: Vec<usize>,
    /// How many groups in a hundred lost a rule.
    #[arg(long, value_name = "PERCENT", default_value = "1", value_parser = percent)]
    pub(crate) drifted: f64,
    /// Rules of each group that is swept.
    #[arg(long, value_name = "N", default_value = "5", value_parser = positive)]
    pub(crate) rules: usize,
    /// Bursts, by number of revokes and number of groups that lose rules.
    #[arg(
        long,
        value_name = "REVOKESxGROUPS,…",
        value_delimiter = ',',
        default_value = "1000x200,500x1"
    )]
    bursts: Vec<Burst>,
    /// Watches, by number of groups.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,200,2000", value_parser = positive)]
    watched: Vec<usize>,
    /// Measure these only.
    #[arg(long, value_enum)]
    only: Option<Kind>,
    #[command(flatten)]
    pub(crate) function: FunctionArgument,
}

impl Options {
    /// The sweeps to run, by number of groups.
    pub(crate) fn sweeps(&self) -> &[usize] {
        if self.wants(Kind::Sweeps) {
            &self.groups
        } else {
            &[]
        }
    }

    /// The bursts to run.
    pub(crate) fn bursts(&self) -> &[Burst] {
        if self.wants(Kind::Bursts) {
            &self.bursts
        } else {
            &[]
        }
    }

    /// The watches to run, by number of groups.
    pub(crate) fn watched(&self) -> &[usize] {
        if self.wants(Kind::Watch) {
            &self.watched
        } else {
            &[]
        }
    }

    fn wants(&self, kind: Kind) -> bool {
        self.only.is_none_or(|only| only == kind)
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Sweeps,
    Bursts,
    Watch,
}

/// Revokes, and the groups that they are spread over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Burst {
    pub(crate) revokes: usize,
    pub(crate) groups: usize,
}

impl FromStr for Burst {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('x');
        let (revokes, groups) = parts.ok_or("it is not REVOKESxGROUPS")?;
        Ok(Self {
            revokes: positive(revokes)?,
            groups: positive(groups)?,
        })
    }
}

fn positive(text: &str) -> Result<usize, String> {
    let number = text.trim().parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{text:?} is not a number above 0"))
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    let number = number.filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| "it is not a number from 0 to 100".to_owned())
}
