//! The verb that shows what happened.

use std::path::PathBuf;

use clap::Args;
use rulekeeper_cli::operator::Since;

use super::Group;

const INCIDENTS_HELP: &str = "\
The newest comes first, one line each; --details has every rule. The table keeps incidents for 90 days. Name a group to see them after its record was taken out.
The time that rules were missing counts from the event; for what a sweep or an operator found, it is unknown.

--html writes a page for a browser instead of the list: a timeline of each group, filters, and every incident with its
rules. The page is one file, needs no network and sends nothing. An existing file is replaced once the new page is
complete. With --output the list is shown too.

Examples:
  rulekeeper incidents
  rulekeeper incidents sg-0123456789abcdef0 --since 12h
  rulekeeper incidents --open
  rulekeeper incidents --principal anna@example.com --since 2026-11-20 --until 2026-11-22
  rulekeeper incidents --since 30d -o json | jq -r '.items[].trigger.principal'
  rulekeeper incidents --since 30d --html review.html";

#[derive(Debug, Args)]
#[command(after_help = INCIDENTS_HELP)]
pub(crate) struct Incidents {
    /// The groups; every group with a record when none is given
    #[arg(value_name = "GROUP", value_parser = super::group)]
    pub(crate) groups: Vec<Group>,
    /// How far to look back, such as 90m, 7d or 1 month, or a date or time
    #[arg(
        long,
        value_name = "TIME",
        default_value = "7d",
        allow_hyphen_values = true
    )]
    pub(crate) since: Since,
    /// The end of the time to look at, as in --since [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) until: Option<Since>,
    /// Only incidents with rules that are missing now
    #[arg(long)]
    pub(crate) open: bool,
    /// Only calls of principals or sessions with this in their name
    #[arg(long, value_name = "TEXT")]
    pub(crate) principal: Option<String>,
    /// Look in all accounts and Regions that the table knows
    #[arg(long, conflicts_with = "groups")]
    pub(crate) all_scopes: bool,
    /// Show each rule of each incident
    #[arg(long)]
    pub(crate) details: bool,
    /// Write a page for a post-incident review; - is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}
