//! The arguments of the command line.

use std::path::PathBuf;

use clap::{Args, Command, CommandFactory as _, Parser, Subcommand, ValueEnum};
use rulekeeper::config::DEFAULT_RULES_PER_GROUP;
use rulekeeper_core::decide::guardrail::Guardrails;
use rulekeeper_core::desired::Mode;
use rulekeeper_core::model::{AccountId, GroupId};

use crate::records::FileFormat;

mod changes;
mod doctor;
mod import;
mod incidents;
mod pin;
mod shell;
mod views;

pub(crate) use changes::{
    AddPrincipal, Confirm, Consent, Following, History, Pause, Principal, Release, RemovePrincipal,
    ResetPrincipals, Resume, Rollback, Unpin,
};
pub(crate) use doctor::Doctor;
pub(crate) use import::{Import, ImportCloudformation, ImportTerraform};

pub(crate) use incidents::Incidents;
pub(crate) use pin::Pin;
pub(crate) use shell::{Completions, Man, Schema};
pub(crate) use views::{List, State, StatusOf};

const PROGRAM_HELP: &str = "\
Examples:
  rulekeeper pin sg-0123456789abcdef0
  rulekeeper plan
  rulekeeper VERB --help

Exit codes:
  0  done, or nothing to do
  1  failed: something could not be read, written or found out, or is broken (doctor)
  2  wrong usage, or a setting is missing
  3  drift found (plan, replay), something wrong (status), a difference (apply --dry-run), or rules remain missing
     (restore, rollback, resume, replay --execute)
  130  interrupted by Ctrl-C; what was written by then is said. A closed pipe (| head -1) changes no exit code

A superseded rule is no drift. A group that is named and has no record is a failure. With several groups, the worst
result decides.

Region, profile, credentials and endpoints are found as by the AWS CLI: in AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL,
~/.aws/config and so on. NO_COLOR turns colour off. RULEKEEPER_LOG sets what is logged to stderr (default: warn).";

/// Keeps security group ingress rules where they should be: pins them in a record, and puts back what was dropped.
#[derive(Debug, Parser)]
#[command(name = "rulekeeper", version, after_help = PROGRAM_HELP, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The verbs as the program's help shows them.
const GROUPS: [(&str, &[&str]); 6] = [
    (
        "See what is so",
        &[
            "status",
            "list",
            "show",
            "plan",
            "check",
            "incidents",
            "history",
        ],
    ),
    (
        "Keep groups",
        &["pin", "apply", "export", "import", "principal"],
    ),
    ("Put back", &["restore", "rollback", "replay"]),
    (
        "Leave alone, and let go",
        &["pause", "resume", "release", "confirm", "unpin"],
    ),
    ("See that it works", &["doctor"]),
    ("The program itself", &["schema", "completions", "man"]),
];

impl Cli {
    /// The command line, with the verbs in groups in its help.
    pub(crate) fn grouped() -> Command {
        let command = Self::command();
        let mut verbs = String::new();
        for (heading, names) in GROUPS {
            verbs += &format!("{heading}:\n");
            for name in names {
                let verb = command.find_subcommand(name);
                let about = verb.and_then(Command::get_about);
                let about = about.map(ToString::to_string).unwrap_or_default();
                verbs += &format!("  {name:<12} {about}\n");
            }
            verbs.push('\n');
        }
        let template =
            "{about-with-newline}\n{usage-heading} {usage}\n\nVERBS{options}{after-help}";
        command.help_template(template.replace("VERBS", &verbs))
    }
}

/// Where to work, and how to show it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The DynamoDB table with the records
    #[arg(long, global = true, env = "RULEKEEPER_TABLE", value_name = "NAME")]
    pub(crate) table: Option<String>,
    /// The table's Region, if it is not the groups'
    #[arg(
        long,
        global = true,
        env = "RULEKEEPER_TABLE_REGION",
        value_name = "REGION"
    )]
    pub(crate) table_region: Option<String>,
    /// The groups' Region [default: as in the AWS CLI]
    #[arg(long, global = true, value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// The profile to take credentials from [default: as in the AWS CLI]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Send every API call to this endpoint
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
    /// The groups' account [default: that of the credentials, by STS]
    #[arg(long, global = true, value_name = "ACCOUNT")]
    pub(crate) account: Option<AccountId>,
    /// The role to assume for EC2 in accounts other than that of the credentials
    #[arg(long, global = true, env = "RULEKEEPER_ROLE_NAME", value_name = "NAME", value_parser = role_name)]
    pub(crate) role_name: Option<String>,
    /// The account's quota of ingress rules per group, 1 to 1000
    #[arg(
        long,
        global = true,
        env = "RULEKEEPER_RULES_PER_GROUP",
        value_name = "NUMBER",
        value_parser = rules_per_group,
        default_value_t = DEFAULT_RULES_PER_GROUP
    )]
    pub(crate) rules_per_group: u32,
    /// Rules that the function never authorizes, as in its own RULEKEEPER_NEVER, separated by semicolons
    #[arg(
        long,
        global = true,
        env = "RULEKEEPER_NEVER",
        value_name = "RULES",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) never: Guardrails,
    /// How to show results [default: table on a terminal, json elsewhere]
    #[arg(short = 'o', long, global = true, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
}

/// How results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text for people
    Table,
    /// One JSON document
    Json,
    /// The same document in YAML
    Yaml,
}

impl Verb {
    /// Whether the verb is about what becomes of groups, which a pause of all of them changes.
    pub(crate) fn looks_at_groups(&self) -> bool {
        matches!(
            self,
            Self::Pin(_)
                | Self::Apply(_)
                | Self::Show(_)
                | Self::List(_)
                | Self::Status(_)
                | Self::Plan(_)
                | Self::Check(_)
                | Self::Restore(_)
                | Self::Resume(_)
                | Self::Rollback(_)
                | Self::Incidents(_)
                | Self::Doctor(_)
        )
    }

    /// The verb's name, which is the kind of its documents.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Pin(_) => "pin",
            Self::Apply(_) => "apply",
            Self::Show(_) => "show",
            Self::Export(_) => "export",
            Self::Import(_) => "import",
            Self::List(_) => "list",
            Self::Status(_) => "status",
            Self::Plan(_) => "plan",
            Self::Check(_) => "check",
            Self::Restore(_) => "restore",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Release(_) => "release",
            Self::Confirm(_) => "confirm",
            Self::Unpin(_) => "unpin",
            Self::History(_) => "history",
            Self::Rollback(_) => "rollback",
            Self::Incidents(_) => "incidents",
            Self::Doctor(_) => "doctor",
            Self::Principal(_) => "principal",
            Self::Replay(_) => "replay",
            Self::Schema(_) => "schema",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
        }
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Record the live rules of groups
    Pin(Pin),
    /// Write records from files and folders; all are checked before the first is written
    Apply(Apply),
    /// Show the record of a group
    Show(Show),
    /// Write the record of a group, or all of them, as files that `apply` reads
    Export(Export),
    /// Make record files from Terraform's JSON or a CloudFormation template; call nothing, write no record
    #[command(subcommand)]
    Import(Import),
    /// List the records of the account and Region with their state
    List(List),
    /// Show what is wrong now, and the command that helps with each; change nothing
    Status(StatusOf),
    /// Show what a restore would do now with each missing rule, and why; change nothing
    Plan(Plan),
    /// Show which recorded rules could not come back if they were dropped now, and why; change nothing
    Check(Check),
    /// Put back what is missing
    Restore(Restore),
    /// Leave a group alone for a time
    Pause(Pause),
    /// End a pause, and put back what is missing
    Resume(Resume),
    /// Take rules out of a record; the live rules stay as they are
    Release(Release),
    /// Let go of pending rules: those that a large change closed and the record still holds
    Confirm(Confirm),
    /// Stop keeping a group: take its record out of the table; the live rules stay as they are
    Unpin(Unpin),
    /// Show every generation of a record, newest first, with its author and what it changed
    History(History),
    /// Make an earlier generation of a record current, and put back what is missing
    Rollback(Rollback),
    /// Show what happened: who dropped which rules, what came back and when, and what did not
    Incidents(Incidents),
    /// Check that everything rulekeeper needs is in place, and say how to fix what is not; change nothing
    Doctor(Doctor),
    /// Show and change the policies for principals
    #[command(subcommand)]
    Principal(Principal),
    /// Run sample or saved events through the function's code; a plan unless --execute
    Replay(Replay),
    /// Print the JSON Schema of a record file
    Schema(Schema),
    /// Print the completion script of a shell
    Completions(Completions),
    /// Print this help as manual pages
    Man(Man),
}

const APPLY_HELP: &str = "\
A file holds a record in YAML or, if its name ends in .json, in JSON; several YAML documents are several records. Of a
folder every *.yaml, *.yml and *.json is read, in folders below it too, but for hidden ones and rulekeeper.schema.json.
A file without `account` or `region` is about --account and --region, or what credentials and environment say.
A record whose content is the table's is left as it is. A file with other content and a `generation` other than the table's
is refused, so that nobody's change is lost. A file without `paused_until` leaves a pause as it is.
Before it writes it says which rules are not live now, and which live rules are kept no more. On a terminal it asks if there
are any; elsewhere it asks nothing.
--prune acts where the files are: in each account and Region of a record in them, and in the one that --account and --region
both name. It asks first, and without a terminal it needs --yes; so it does, on a terminal too, if it would take out every
record of an account and Region.
Exit code 3 says that a dry run found a difference.

Examples:
  rulekeeper apply -f records --dry-run --prune
  rulekeeper apply -f records --prune --yes --reason 'CHG-1234'
  rulekeeper apply -f records/web.yaml -f records/db.yaml
  rulekeeper export sg-0123456789abcdef0 | rulekeeper apply -f -";

#[derive(Debug, Args)]
#[command(after_help = APPLY_HELP)]
pub(crate) struct Apply {
    /// A file with records, or a folder of them; - is standard input
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR", required = true, num_args = 1..)]
    pub(crate) files: Vec<PathBuf>,
    /// Show what would differ, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Take records out of the table that the files do not hold; the live rules stay as they are
    #[arg(long)]
    pub(crate) prune: bool,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Do not ask first. Take records out without a terminal too, and write doubtful entries: a host address with a wide
    /// mask, or a principal's pattern that matches nobody, or everybody with a policy other than restore
    #[arg(long)]
    pub(crate) yes: bool,
}

const SHOW_HELP: &str = "\
Examples:
  rulekeeper show sg-0123456789abcdef0
  rulekeeper show sg-0123456789abcdef0 -o json | jq '.items[].rules[].description'";

#[derive(Debug, Args)]
#[command(after_help = SHOW_HELP)]
pub(crate) struct Show {
    /// The group
    #[arg(value_name = "GROUP", value_parser = group)]
    pub(crate) group: Group,
}

const EXPORT_HELP: &str = "\
A file is written for a folder in Git: without what changes by itself, so that it can be applied again at any time. `apply`
takes account and Region from its own flags or the environment, then. With --all each record has a file DIR/GROUP.yaml, and
rulekeeper.schema.json lies beside them, for editors; files with the same content are left as they are.

Examples:
  rulekeeper export sg-0123456789abcdef0 > web.yaml
  rulekeeper export sg-0123456789abcdef0 --format json --out web.json --force
  rulekeeper export --all --output-dir records";

#[derive(Debug, Args)]
#[command(after_help = EXPORT_HELP)]
pub(crate) struct Export {
    /// The group
    #[arg(value_name = "GROUP", value_parser = group, required_unless_present = "all")]
    pub(crate) group: Option<Group>,
    /// Every record of the account and Region
    #[arg(long, conflicts_with_all = ["group", "out"], requires = "output_dir")]
    pub(crate) all: bool,
    /// The folder for the files of --all; it is made if need be
    #[arg(long, value_name = "DIR", requires = "all", group = "destination")]
    pub(crate) output_dir: Option<PathBuf>,
    /// The file's format
    #[arg(long, value_name = "FORMAT", default_value = "yaml")]
    pub(crate) format: FileFormat,
    /// Write to this file instead of standard output
    #[arg(long = "out", value_name = "FILE", group = "destination")]
    pub(crate) out: Option<PathBuf>,
    /// Write account and Region too
    #[arg(long)]
    pub(crate) with_scope: bool,
    /// Write the generation too, who wrote it, when and why, and a pause: `apply` then refuses the file once the record
    /// has changed
    #[arg(long)]
    pub(crate) with_generation: bool,
    /// Replace files that exist
    #[arg(long, requires = "destination")]
    pub(crate) force: bool,
}

const PLAN_HELP: &str = "\
Actions: restore, wait (for the event that took it, or the rest of a change), leave (the record: it is meant to be gone),
pending (until a person decides; `restore` is such a decision), superseded (live rules allow the same), contested,
unrestorable (see `check`), no_room, paused, observe. A prefix list counts as one rule of the quota.
Exit code 3 says that rules are missing, other than those that leave or are superseded. Nothing is written, neither to
EC2 nor to the table.

Examples:
  rulekeeper plan sg-0123456789abcdef0
  rulekeeper plan -o json | jq '.items[].group.id'";

#[derive(Debug, Args)]
#[command(after_help = PLAN_HELP)]
pub(crate) struct Plan {
    /// The groups; every group with a record when none is given
    #[arg(value_name = "GROUP", value_parser = group)]
    pub(crate) groups: Vec<Group>,
    /// Look in all accounts and Regions that the table knows
    #[arg(long, conflicts_with = "groups")]
    pub(crate) all_scopes: bool,
}

const CHECK_HELP: &str = "\
Reasons: reference_gone (the group or prefix list that it refers to does not exist), guardrail (RULEKEEPER_NEVER forbids it),
no_room (the quota has no room for it beside the other rules). Groups of other accounts cannot be seen, and are taken to
exist. Whether the function's role may authorize says `doctor`.
Exit code 3 says that some rules could not come back. The function looks for the same in a sweep, once an hour.

Examples:
  rulekeeper check
  rulekeeper check -o json | jq -r '.items[].rules[] | \"\\(.rule): \\(.reason)\"'";

#[derive(Debug, Args)]
#[command(after_help = CHECK_HELP)]
pub(crate) struct Check {
    /// The groups; every group with a record when none is given
    #[arg(value_name = "GROUP", value_parser = group)]
    pub(crate) groups: Vec<Group>,
}

const RESTORE_HELP: &str = "\
A paused group and one whose record says observe are left as they are, and reported as held or observed. Rules that wait,
for the event that took them or because somebody keeps dropping them, go on waiting; --now brings them back.
Without a group it shows first what is missing, and asks on a terminal. Exit code 3 says that rules remain missing.

Examples:
  rulekeeper restore sg-0123456789abcdef0
  rulekeeper restore web --now
  rulekeeper restore --region eu-west-1";

#[derive(Debug, Args)]
#[command(after_help = RESTORE_HELP)]
pub(crate) struct Restore {
    /// The groups; every group with a record when none is given
    #[arg(value_name = "GROUP", value_parser = group)]
    pub(crate) groups: Vec<Group>,
    /// Put back what waits too: a contested rule, one whose cause is awaited, one that a deletion withholds
    #[arg(long, requires = "groups")]
    pub(crate) now: bool,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

const REPLAY_HELP: &str = "\
A file holds events as EventBridge delivers them, CloudTrail records, a CloudTrail log file ({\"Records\": […]}), a JSON
array of events, or one event after another, such as JSON lines. The result is a plan as `plan` shows it, with --execute
the function's answer; an item for each event.

Examples:
  rulekeeper replay events/revoke-by-permission.json
  rulekeeper replay saved/*.json --execute";

#[derive(Debug, Args)]
#[command(after_help = REPLAY_HELP)]
pub(crate) struct Replay {
    /// Files with events, alone or as CloudTrail, CloudWatch Logs, SNS, SQS, Lambda and Athena hand them out; - is standard
    /// input
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Put back what is missing, and record incidents, as the function would
    #[arg(long)]
    pub(crate) execute: bool,
}

/// A group, as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Group {
    /// By id.
    Id(GroupId),
    /// By name.
    Name(String),
}

/// A group's id as EC2 writes it, or its name. No name begins with `sg-` (EC2 API Reference, `CreateSecurityGroup`), and an
/// id has 8 or 17 hexadecimal digits (EC2 User Guide, "Resource IDs"). The library leaves the digits to EC2; on a command
/// line anything else is a typing error, and would otherwise be reported as a missing group or record.
fn group(text: &str) -> Result<Group, String> {
    let Some(digits) = text.strip_prefix("sg-") else {
        return match text.trim() {
            "" => Err("give a group's id or name".to_owned()),
            _ => Ok(Group::Name(text.to_owned())),
        };
    };
    let is_id = [8, 17].contains(&digits.len())
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let id = text.parse().map_err(|_| ()).ok().filter(|_| is_id);
    id.map(Group::Id).ok_or_else(|| {
        format!("{text:?} is no security group id: one has 8 or 17 hexadecimal digits, such as sg-0123456789abcdef0")
    })
}

fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "enforce" => Ok(Mode::Enforce),
        "observe" => Ok(Mode::Observe),
        _ => Err("give enforce or observe".to_owned()),
    }
}

/// An empty variable counts as absent, as it does for the function.
fn rules_per_group(text: &str) -> Result<u32, String> {
    match text.trim() {
        "" => Ok(DEFAULT_RULES_PER_GROUP),
        text => match text.parse() {
            Ok(number @ 1..=1_000) => Ok(number),
            _ => Err("give your account's quota, a number from 1 to 1000".to_owned()),
        },
    }
}

fn role_name(text: &str) -> Result<String, String> {
    if text.contains([':', ' ']) {
        return Err("give a role's name, with its path if it has one, and not an ARN".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn the_long_help_of_every_verb_has_examples_of_it() {
        use clap::CommandFactory;
        fn check(command: &mut clap::Command, path: &str) {
            let help = command.render_long_help().to_string();
            let example = match path {
                "rulekeeper" => "Examples:\n  rulekeeper ".to_owned(),
                path => format!("Examples:\n  {path}"),
            };
            assert!(help.contains(&example), "{path}:\n{help}");
            for verb in command.get_subcommands_mut() {
                let path = format!("{path} {}", verb.get_name());
                check(verb, &path);
            }
        }
        let mut program = Cli::command().disable_help_subcommand(true);
        program.build();
        check(&mut program, "rulekeeper");
    }

    #[test]
    fn the_help_has_every_verb_in_one_group() {
        let mut grouped: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| *names)
            .copied()
            .collect();
        let command = Cli::command();
        let mut verbs: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        grouped.sort_unstable();
        verbs.sort_unstable();
        assert_eq!(grouped, verbs);
        let help = Cli::grouped().render_help().to_string();
        for part in [
            "Usage: rulekeeper",
            "Put back:\n  restore ",
            "--table",
            "Exit codes:",
        ] {
            assert!(help.contains(part), "{part} is not in {help}");
        }
    }

    #[test]
    fn a_group_is_named_by_an_id_of_8_or_17_digits_or_by_its_name() {
        for id in ["sg-0123456789abcdef0", "sg-0123abcd"] {
            assert_eq!(group(id), Ok(Group::Id(id.parse().expect("an id"))));
        }
        for wrong in [
            "sg-zz",
            "sg-",
            "sg-123",
            "sg-0123456789abcdef",
            "sg-0123456789ABCDEF0",
            " ",
        ] {
            assert!(group(wrong).is_err(), "{wrong}");
        }
        assert_eq!(group("web"), Ok(Group::Name("web".to_owned())));
    }

    #[test]
    fn settings_that_the_function_would_refuse_are_refused() {
        assert_eq!(rules_per_group(""), Ok(60));
        assert_eq!(rules_per_group("120"), Ok(120));
        assert!(rules_per_group("0").is_err() && rules_per_group("many").is_err());
        assert!(role_name("arn:aws:iam::111122223333:role/x").is_err());
        assert!(mode("watch").is_err());
    }
}
