//! The verb that shows what happened.

use std::path::PathBuf;

use clap::Args;
use rulekeeper_cli::operator::Since;
use rulekeeper_core::model::GroupId;

const INCIDENTS_HELP: &str = "\
The newest comes first. The table keeps incidents for 90 days. Name a group to see them after its record was taken out.
The time that rules were missing counts from the event; for what a sweep or an operator found, it is unknown.

--html writes a page for a browser instead of the list: a timeline of each group, filters, and every incident with its
rules. The page is one file, needs no network and sends nothing. An existing file is replaced once the new page is
complete. With --output the list is shown too.

Examples:
  rulekeeper incidents
  rulekeeper incidents sg-0123456789abcdef0 --since 12h
  rulekeeper incidents --since 30d --output json | jq -r '.incidents[].trigger.principal'
  rulekeeper incidents --since 30d --html review.html";

#[derive(Debug, Args)]
#[command(after_help = INCIDENTS_HELP)]
pub(crate) struct Incidents {
    /// The groups; every group with a record when none is given
    #[arg(value_name = "GROUP", value_parser = super::group_id)]
    pub(crate) groups: Vec<GroupId>,
    /// How far to look back, such as 90m, 7d or 1 month
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "7d",
        allow_hyphen_values = true
    )]
    pub(crate) since: Since,
    /// Write a page for a post-incident review; - is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}
