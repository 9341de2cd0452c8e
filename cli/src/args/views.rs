//! The verbs that show what there is: `list`, `status` and `plan`.

use clap::{Args, ValueEnum};

use super::{Group, group};

const STATUS_HELP: &str = "\
States: missing (the next look puts it back), failed (the last try did not work), held (it waits for its cause), contested,
pending (see `confirm`), unrestorable (see `check`), no_room, paused, observed, reopened (live, and somebody had decided to
close it), orphaned, unreadable, unknown (it could not be looked at). Each has the command that helps.
Exit code 3 says that something is wrong. Nothing is written.

Examples:
  rulekeeper status
  rulekeeper status --all-scopes --follow
  rulekeeper status -o json | jq -r '.items[].command'";

#[derive(Debug, Args)]
#[command(after_help = STATUS_HELP)]
pub(crate) struct StatusOf {
    /// The groups, by id or name; every group with a record when none is given
    #[arg(value_name = "GROUP", value_parser = group)]
    pub(crate) groups: Vec<Group>,
    /// Look again every five seconds, until Ctrl-C
    #[arg(long)]
    pub(crate) follow: bool,
    /// Look in all accounts and Regions that the table knows
    #[arg(long, conflicts_with = "groups")]
    pub(crate) all_scopes: bool,
}

const LIST_HELP: &str = "\
States: enforce, observe, paused, orphaned (the group does not exist), unreadable (the record cannot be understood).
Rules that wait or need a person are counted as the function last saw them: reopened (live, and somebody had decided to
close it), pending (see `confirm`), unrestorable (see `check`), waiting (for the event that took it).
One call to EC2 for each 200 groups tells which of them exist; if it fails, a warning says so and the rest is shown.

Examples:
  rulekeeper list
  rulekeeper list --state paused --state orphaned
  rulekeeper list --name web --vpc vpc-0123456789abcdef0
  rulekeeper list --all-scopes -o json | jq -r '.items[] | select(.state == \"orphaned\") | .group'";

/// How a group is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    /// What is missing is put back
    Enforce,
    /// What is missing is reported
    Observe,
    /// It is left alone for a time
    Paused,
    /// The group does not exist
    Orphaned,
    /// The record cannot be understood
    Unreadable,
    /// Rules wait, or need a person
    Attention,
}

impl State {
    /// The name in lists.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
            Self::Paused => "paused",
            Self::Orphaned => "orphaned",
            Self::Unreadable => "unreadable",
            Self::Attention => "attention",
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = LIST_HELP)]
pub(crate) struct List {
    /// Only groups in this state; may be repeated
    #[arg(long = "state", value_name = "STATE")]
    pub(crate) states: Vec<State>,
    /// Only groups with this in their name
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: Option<String>,
    /// Only groups of this VPC; may be repeated
    #[arg(long = "vpc", value_name = "VPC", value_parser = super::pin::vpc)]
    pub(crate) vpcs: Vec<String>,
    /// List all accounts and Regions that the table knows
    #[arg(long)]
    pub(crate) all_scopes: bool,
}
