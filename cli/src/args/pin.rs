//! The verb that records live rules.

use clap::Args;
use rulekeeper_cli::operator::TagChoice;
use rulekeeper_core::desired::Mode;

use super::{Group, group, mode};

const PIN_HELP: &str = "\
Mode, pause, watch, principals and priorities of an earlier record stay. When nothing differs, nothing is written.

One named group is pinned at once. Several groups, and those that --vpc, --tag or --all select, are shown first: what is
new, what changes, and what is left out and why. On a terminal it then asks; elsewhere give --yes to write, or --dry-run to
only look.

It leaves out groups that an AWS service manages, unless they are named or --include-managed is given; groups whose record
was taken out with `unpin`, unless they are named; and records that would lose a rule because it is not live, unless
--replace is given: there may be an outage, and the record may be the only copy of the rule.
A group that cannot be pinned is listed with the reason; the others are pinned all the same, and the exit code is 1.
What is written already is not written again, so an interrupted command can be run again.

Examples:
  rulekeeper pin sg-0123456789abcdef0
  rulekeeper pin sg-0123456789abcdef0 --mode observe --note 'watch first, CHG-1234'
  rulekeeper pin --all --dry-run
  rulekeeper pin --vpc vpc-0123456789abcdef0 --tag env=prod --tag team --mode observe
  rulekeeper pin --all --yes -o json | jq '.items[] | select(.outcome == \"left_out\")'";

#[derive(Debug, Args)]
#[command(after_help = PIN_HELP)]
pub(crate) struct Pin {
    /// The groups
    #[arg(
        value_name = "GROUP",
        value_parser = group,
        required_unless_present_any = ["vpcs", "tags", "all"],
        conflicts_with_all = ["vpcs", "tags", "all"]
    )]
    pub(crate) groups: Vec<Group>,
    /// Every group of this VPC; of several VPCs, of any of them
    #[arg(long = "vpc", value_name = "VPC", value_parser = vpc)]
    pub(crate) vpcs: Vec<String>,
    /// Every group with this tag, with any value if only KEY is given; of several tags, with all of them
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    pub(crate) tags: Vec<TagChoice>,
    /// Every group of the account and Region
    #[arg(long, conflicts_with_all = ["vpcs", "tags"])]
    pub(crate) all: bool,
    /// Record groups that an AWS service manages too, such as those of EKS clusters
    #[arg(long)]
    pub(crate) include_managed: bool,
    /// Remove rules that are not live from existing records
    #[arg(long)]
    pub(crate) replace: bool,
    /// Show what would be recorded, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// enforce puts missing rules back, observe only reports them [default: as before, or enforce]
    #[arg(long, value_name = "MODE", value_parser = mode)]
    pub(crate) mode: Option<Mode>,
    /// Read the group every few seconds, where the stack has WatchSeconds; --watch=false ends that [default: as before]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) watch: Option<bool>,
    /// Why, for the readers of the record [default: as before]
    #[arg(long, visible_alias = "reason", value_name = "TEXT")]
    pub(crate) note: Option<String>,
    /// Do not ask first; needed for several groups where there is no terminal to ask on
    #[arg(long)]
    pub(crate) yes: bool,
}

/// A VPC's id as EC2 writes it: `vpc-` and hexadecimal digits.
pub(super) fn vpc(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("vpc-").unwrap_or_default();
    match !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text.to_owned()),
        false => Err("give a VPC's id such as vpc-0123456789abcdef0".to_owned()),
    }
}
