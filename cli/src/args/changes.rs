//! The verbs that change records besides `pin` and `apply`, and `history`.

use clap::{Args, Subcommand};
use rulekeeper_cli::operator::PauseLength;
use rulekeeper_core::desired::{Policy, SETTLE_SECONDS_MAX};
use rulekeeper_core::model::RuleKey;

use super::{Group, group};

/// Whether to ask before acting.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Consent {
    /// Do not ask first; without a terminal it never asks
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What to do once a group is kept again.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Following {
    #[command(flatten)]
    pub(crate) consent: Consent,
    /// Put back nothing now; the function does when it next looks at the group
    #[arg(long)]
    pub(crate) no_restore: bool,
}

const PAUSE_HELP: &str = "\
A paused group is left alone and reported as held; the pause ends by itself. A new pause replaces an earlier one.
--all pauses every group of all accounts and Regions, in the settings of the table; the function sees it with its next event.

Examples:
  rulekeeper pause sg-0123456789abcdef0 --for 2h --reason 'migration, CHG-1234'
  rulekeeper pause --all --for 1h --reason 'game day'";

#[derive(Debug, Args)]
#[command(after_help = PAUSE_HELP)]
pub(crate) struct Pause {
    /// The group
    #[arg(value_name = "GROUP", value_parser = group, required_unless_present = "all")]
    pub(crate) group: Option<Group>,
    /// Every group of all accounts and Regions
    #[arg(long, conflicts_with = "group")]
    pub(crate) all: bool,
    /// How long, such as 90m, 2h or 1d 12h; 30 days at most
    #[arg(long = "for", value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) length: PauseLength,
    /// Why, for the readers of the record and of reports
    #[arg(long, value_name = "TEXT", value_parser = said)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

const RESUME_HELP: &str = "\
On a terminal it asks whether to put back what went missing meanwhile; elsewhere, and with --yes, it does not ask.
Exit code 3 says that rules remain missing.

Examples:
  rulekeeper resume sg-0123456789abcdef0
  rulekeeper resume sg-0123456789abcdef0 --no-restore
  rulekeeper resume --all";

#[derive(Debug, Args)]
#[command(after_help = RESUME_HELP)]
pub(crate) struct Resume {
    /// The group
    #[arg(value_name = "GROUP", value_parser = group, required_unless_present = "all")]
    pub(crate) group: Option<Group>,
    /// End the pause of all groups; the next sweep puts back what went missing
    #[arg(long, conflicts_with = "group")]
    pub(crate) all: bool,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) following: Following,
}

const RELEASE_HELP: &str = "\
A released rule stays live, but is no longer put back when somebody revokes it.

Examples:
  rulekeeper release sg-0123456789abcdef0 'tcp 8080 from 10.0.0.0/8' --reason 'moved to the new port'";

#[derive(Debug, Args)]
#[command(after_help = RELEASE_HELP)]
pub(crate) struct Release {
    /// The group
    #[arg(value_name = "GROUP", value_parser = group)]
    pub(crate) group: Group,
    /// A rule of the record, as `show` and reports write it
    #[arg(value_name = "RULE", required = true)]
    pub(crate) rules: Vec<RuleKey>,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

const CONFIRM_HELP: &str = "\
Some changes take so much away that rulekeeper asks: their rules stay closed, and stay in the record as pending. This takes
them out of the record. `rulekeeper restore` brings them back instead; `rulekeeper show` and `list` name them.

Examples:
  rulekeeper confirm sg-0123456789abcdef0 --reason 'the old listeners are gone'";

#[derive(Debug, Args)]
#[command(after_help = CONFIRM_HELP)]
pub(crate) struct Confirm {
    /// The group
    #[arg(value_name = "GROUP", value_parser = group)]
    pub(crate) group: Group,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

const UNPIN_HELP: &str = "\
The record stays in the history; `rollback` brings it back, `pin` makes a new one.

Examples:
  rulekeeper unpin sg-0123456789abcdef0 --reason 'the service is gone'";

#[derive(Debug, Args)]
#[command(after_help = UNPIN_HELP)]
pub(crate) struct Unpin {
    /// The group
    #[arg(value_name = "GROUP", value_parser = group)]
    pub(crate) group: Group,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

const HISTORY_HELP: &str = "\
The newest generation comes first. Each is compared with the latest before it that can be understood.

Examples:
  rulekeeper history sg-0123456789abcdef0
  rulekeeper history --settings -o json | jq '.items[].updated_by'";

#[derive(Debug, Args)]
#[command(after_help = HISTORY_HELP)]
pub(crate) struct History {
    /// The group
    #[arg(value_name = "GROUP", value_parser = group, required_unless_present = "settings")]
    pub(crate) group: Option<Group>,
    /// Show the generations of the settings, which hold for all groups
    #[arg(long, conflicts_with = "group")]
    pub(crate) settings: bool,
}

const ROLLBACK_HELP: &str = "\
The record comes back as it was, as a new generation; a pause stays as it is now. It works after `unpin` too.
On a terminal it asks whether to put back what is missing; elsewhere, and with --yes, it does not ask.
Exit code 3 says that rules remain missing.

Examples:
  rulekeeper rollback sg-0123456789abcdef0 --to 4 --reason 'the release was withdrawn'";

#[derive(Debug, Args)]
#[command(after_help = ROLLBACK_HELP)]
pub(crate) struct Rollback {
    /// The group
    #[arg(value_name = "GROUP", value_parser = group)]
    pub(crate) group: Group,
    /// The generation to go back to
    #[arg(long, value_name = "GENERATION")]
    pub(crate) to: u64,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) following: Following,
}

const PRINCIPAL_HELP: &str = "\
Examples:
  rulekeeper principal list
  rulekeeper principal add arn:aws:iam::111122223333:role/terraform --policy accept";

/// What to do with principals.
#[derive(Debug, Subcommand)]
#[command(after_help = PRINCIPAL_HELP)]
pub(crate) enum Principal {
    /// Show the principals listed for all groups, or those that count for one group
    List(ListPrincipals),
    /// Set the policy for a principal's changes
    Add(AddPrincipal),
    /// Remove a principal from the list, so that its revokes are undone
    Remove(RemovePrincipal),
    /// Replace settings that cannot be understood by an empty list
    Reset(ResetPrincipals),
}

const LIST_PRINCIPALS_HELP: &str = "\
The first entry that matches a caller counts: those of the group's record come before those of the settings.

Examples:
  rulekeeper principal list
  rulekeeper principal list sg-0123456789abcdef0";

#[derive(Debug, Args)]
#[command(after_help = LIST_PRINCIPALS_HELP)]
pub(crate) struct ListPrincipals {
    /// The group; without one, the list for all groups
    #[arg(value_name = "GROUP", value_parser = group)]
    pub(crate) group: Option<Group>,
}

const ADD_PRINCIPAL_HELP: &str = "\
Without --group the policy holds for all groups. The first entry that matches a caller counts. An entry with the same ARN
is replaced in its place, a new one is added at the end; --first puts either at the front.
Policies: restore (what it revokes comes back), accept (its changes enter the record),
follow (the same, and what it revokes in a change that fails comes back), release (what it revokes leaves the record,
what it authorizes does not enter it).

Examples:
  rulekeeper principal add arn:aws:iam::111122223333:role/terraform --policy accept
  rulekeeper principal add 'arn:aws:iam::*:role/eks/lbc-*' --policy follow --settle-seconds 10 --group sg-0123456789abcdef0";

#[derive(Debug, Args)]
#[command(after_help = ADD_PRINCIPAL_HELP)]
pub(crate) struct AddPrincipal {
    /// ARN of a role or a user; * stands for any text
    #[arg(value_name = "ARN")]
    pub(crate) arn: String,
    /// What happens after its changes: restore, accept, follow or release
    #[arg(long, value_name = "POLICY", value_parser = policy)]
    pub(crate) policy: Policy,
    /// Only for this group, in its record
    #[arg(long, value_name = "GROUP", value_parser = group)]
    pub(crate) group: Option<Group>,
    /// How long its revokes wait for the authorize that belongs to them, 0 to 60; for follow only
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u8).range(..=i64::from(SETTLE_SECONDS_MAX)))]
    pub(crate) settle_seconds: Option<u8>,
    /// Put it first in the list
    #[arg(long)]
    pub(crate) first: bool,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Do not ask first, not even about a pattern that matches nobody, or everybody with a policy other than restore
    #[arg(long)]
    pub(crate) yes: bool,
}

const REMOVE_PRINCIPAL_HELP: &str = "\
Examples:
  rulekeeper principal remove arn:aws:iam::111122223333:role/terraform
  rulekeeper principal remove 'arn:aws:iam::*:role/eks/lbc-*' --group sg-0123456789abcdef0";

#[derive(Debug, Args)]
#[command(after_help = REMOVE_PRINCIPAL_HELP)]
pub(crate) struct RemovePrincipal {
    /// The ARN as it is listed
    #[arg(value_name = "ARN")]
    pub(crate) arn: String,
    /// Only from this group's record
    #[arg(long, value_name = "GROUP", value_parser = group)]
    pub(crate) group: Option<Group>,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

const RESET_PRINCIPALS_HELP: &str = "\
The replaced settings are printed on standard error first and stay in the history. Settings that can be understood are left alone.

Examples:
  rulekeeper principal reset
  rulekeeper principal reset --yes --reason 'hand edit gone wrong'";

#[derive(Debug, Args)]
#[command(after_help = RESET_PRINCIPALS_HELP)]
pub(crate) struct ResetPrincipals {
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

fn policy(text: &str) -> Result<Policy, String> {
    match text {
        "restore" => Ok(Policy::Restore),
        "accept" => Ok(Policy::Accept),
        "follow" => Ok(Policy::Follow),
        "release" => Ok(Policy::Release),
        _ => Err("give restore, accept, follow or release".to_owned()),
    }
}

fn said(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("say why in a few words".to_owned()),
        text => Ok(text.to_owned()),
    }
}
