//! Why a verb could not do its work.

use super::{Selection, Written};
use rulekeeper_core::desired::Unreadable;
use rulekeeper_core::model::{GroupAddress, RuleKey, Scope};
use rulekeeper_core::ports::{ApiError, WriteError};

/// Why a verb could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// An API call failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// There is no such group.
    #[error("the security group {0} does not exist, or this account cannot see it")]
    NoSuchGroup(GroupAddress),
    /// No group is selected.
    #[error("{}", none_of(scope, selection))]
    NothingSelected {
        /// The account and Region.
        scope: Scope,
        /// What was asked for.
        selection: Selection,
    },
    /// There is no record.
    #[error("{0} has no desired-state record; `rulekeeper pin {id}` records its live rules", id = .0.id)]
    NoRecord(GroupAddress),
    /// The record in the table cannot be understood.
    #[error("{group}: {unreadable}; fix it with `rulekeeper apply -f FILE`")]
    Unreadable {
        /// The group.
        group: GroupAddress,
        /// What is wrong.
        unreadable: Unreadable,
    },
    /// The settings in the table cannot be understood.
    #[error(
        "the settings cannot be understood: {}; fix the item `settings` in the table, or replace it by an empty list with `rulekeeper principal reset`",
        .0.errors()
    )]
    UnreadableSettings(Unreadable),
    /// There are no settings that would have to be replaced.
    #[error(
        "the settings can be understood, so nothing was written; `rulekeeper principal remove` removes a principal from the list"
    )]
    NothingToReset,
    /// Live rules that a record cannot hold.
    #[error("{group} holds rules that a record cannot hold: {}; nothing was written", rules.join(", "))]
    Unrecognised {
        /// The group.
        group: GroupAddress,
        /// The rules.
        rules: Vec<String>,
    },
    /// Findings in files; none was written.
    #[error("nothing was written:\n{}", .0.join("\n"))]
    Findings(Vec<String>),
    /// Rules that are to be released are not in the record.
    #[error(
        "{group} does not keep {}; nothing was written. {}",
        names(rules),
        holds(record)
    )]
    NotInRecord {
        /// The group.
        group: GroupAddress,
        /// The rules.
        rules: Vec<RuleKey>,
        /// The rules that are in the record.
        record: Vec<RuleKey>,
    },
    /// A principal that is to be removed is not listed.
    #[error(
        "{arn:?} is not listed {}; nothing was written. {}",
        of(group),
        lists(listed)
    )]
    NotListed {
        /// The pattern.
        arn: String,
        /// The group; none for the settings.
        group: Option<GroupAddress>,
        /// The patterns that are listed.
        listed: Vec<String>,
    },
    /// A principal that is probably a mistake.
    #[error("{arn:?} {doubt}; nothing was written. To list it all the same, give --yes")]
    Doubtful {
        /// The pattern.
        arn: String,
        /// What is doubtful, in a sentence that follows it.
        doubt: String,
    },
    /// There is no such generation.
    #[error("{group} has no generation {generation}; it has {}", ranges(there))]
    NoGeneration {
        /// The group.
        group: GroupAddress,
        /// The generation.
        generation: u64,
        /// Those that there are.
        there: Vec<u64>,
    },
    /// A generation that took the record out cannot be gone back to.
    #[error(
        "generation {generation} of {group} is the one that took its record out; `rulekeeper unpin {}` does that again",
        group.id
    )]
    NothingKept {
        /// The group.
        group: GroupAddress,
        /// The generation.
        generation: u64,
    },
    /// An earlier generation cannot be understood.
    #[error("generation {generation} of {group}: {unreadable}; nothing was written")]
    UnreadableGeneration {
        /// The group.
        group: GroupAddress,
        /// The generation.
        generation: u64,
        /// What is wrong.
        unreadable: Unreadable,
    },
    /// Somebody else wrote the settings since they were read.
    #[error(
        "the settings changed while this command was at work, so they were not written; look at them with `rulekeeper principal list` and run the command again"
    )]
    SettingsChanged,
    /// A time after the last that can be written.
    #[error("the pause would end after the last day that can be written")]
    NoSuchTime,
    /// A time before the first that can be written.
    #[error("the time lies before the first day that can be written")]
    TooLongAgo,
    /// A record could not be written.
    #[error("{}", not_written(.0))]
    Write(#[from] WriteError),
    /// A record could not be written, and those before it were.
    #[error("{group}: {cause}; written before that: {}", name_all(written))]
    Interrupted {
        /// The group whose record was not written.
        group: GroupAddress,
        /// The records that were written, or were found to be so already.
        written: Vec<Written>,
        /// Why the next one was not.
        cause: Box<OperatorError>,
    },
}

fn none_of(scope: &Scope, selection: &Selection) -> String {
    match selection.to_string() {
        selection if selection.is_empty() => format!("{scope} has no security group"),
        selection => format!("{scope} has no security group {selection}"),
    }
}

/// The library says what happened; what to do about it is the command line's to say.
fn not_written(error: &WriteError) -> String {
    match error {
        WriteError::LostRace { group } => format!(
            "the record of {group} changed while this command was at work, so it was not written; look at it with \
             `rulekeeper show {}` and run the command again",
            group.id
        ),
        WriteError::StateChanged { group } => {
            format!(
                "the run-time state of {group} kept changing while this command was at work; run it again"
            )
        }
        WriteError::Api(_) => error.to_string(),
    }
}

fn name_all(written: &[Written]) -> String {
    let names = written.iter().map(|record| {
        let taken_out = if record.unpinned { "taken out, " } else { "" };
        format!(
            "{} ({taken_out}generation {})",
            record.group, record.generation
        )
    });
    names.collect::<Vec<_>>().join(", ")
}

fn names(rules: &[RuleKey]) -> String {
    let rules = rules.iter().map(|rule| format!("{:?}", rule.to_string()));
    rules.collect::<Vec<_>>().join(", ")
}

fn holds(record: &[RuleKey]) -> String {
    if record.is_empty() {
        return "Its record holds no rule".to_owned();
    }
    let rules = record.iter().map(|rule| format!("\n  {rule}"));
    format!("Its record holds:{}", rules.collect::<String>())
}

fn of(group: &Option<GroupAddress>) -> String {
    match group {
        Some(group) => format!("in the record of {group}"),
        None => "in the settings for all groups".to_owned(),
    }
}

fn lists(listed: &[String]) -> String {
    if listed.is_empty() {
        return "No principal is listed there".to_owned();
    }
    let listed = listed.iter().map(|arn| format!("\n  {arn}"));
    format!("Listed are:{}", listed.collect::<String>())
}

/// Numbers in order, those that follow one another taken together: `1 to 4, 6`.
fn ranges(numbers: &[u64]) -> String {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let text = |(first, last): &(u64, u64)| match first == last {
        true => first.to_string(),
        false => format!("{first} to {last}"),
    };
    ranges.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_race_names_the_command_that_shows_the_record() {
        let group = rulekeeper_core::fakes::group();
        let error = OperatorError::from(WriteError::LostRace { group });
        let said = error.to_string();
        assert!(
            said.contains("`rulekeeper show sg-0000000000000000a`")
                && said.contains("run the command again"),
            "{said}"
        );
    }

    #[test]
    fn numbers_are_told_in_ranges() {
        assert_eq!(ranges(&[6, 1, 2, 3, 3, 4]), "1 to 4, 6");
        assert_eq!(ranges(&[2]), "2");
    }
}
