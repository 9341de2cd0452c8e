//! What the CLI does with records: snapshot, write, read, list. Reconciling is the function's own code.

use std::collections::BTreeMap;
use std::future::Future;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::desired::{DesiredRecord, Mode, RecordFile, Unreadable};
use crate::error::ApiError;
use crate::model::{GroupAddress, GroupId, IngressRule, RuleKey, Scope};
use crate::plan::settable_tags;
use crate::ports::{SecurityGroups, Table};

/// Writing records. Only an operator's tools can: the function's role may not.
pub trait Records: Table {
    /// Makes a record current and keeps what it replaces as history, on condition that nobody changed it meanwhile. Answers
    /// with the generation it was given: the record's own, unless history holds that number already.
    fn write(&self, change: &NewGeneration) -> impl Future<Output = Result<u64, WriteError>>;
}

/// A record about to become current.
#[derive(Debug, Clone, PartialEq)]
pub struct NewGeneration {
    /// The group.
    pub address: GroupAddress,
    /// Its new record, with generation, author and time.
    pub record: DesiredRecord,
    /// The item as it was read, if there was one.
    pub replaces: Option<Value>,
}

/// Why a record was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Somebody else wrote the record since it was read.
    #[error("the record of {group} changed while this command was at work, so it was not written; look at it with `rulekeeper show {}` and run the command again", group.id)]
    LostRace {
        /// The group.
        group: GroupAddress,
    },
    /// The table refused.
    #[error("the record could not be written: {0}")]
    Api(#[source] ApiError),
}

/// Why a verb could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// An API call failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// There is no such group.
    #[error("the security group {0} does not exist, or this account cannot see it")]
    NoSuchGroup(GroupAddress),
    /// There is no record.
    #[error("{0} has no desired-state record; `rulekeeper pin {id}` makes one of its live rules", id = .0.id)]
    NoRecord(GroupAddress),
    /// The record in the table cannot be understood.
    #[error("{group}: {unreadable}; mend it with `rulekeeper apply -f FILE`")]
    Unreadable {
        /// The group.
        group: GroupAddress,
        /// What is wrong.
        unreadable: Unreadable,
    },
    /// Live rules that a record could not hold.
    #[error("{group} holds rules that a record cannot: {}; nothing was written", rules.join(", "))]
    Unrecognised {
        /// The group.
        group: GroupAddress,
        /// The rules.
        rules: Vec<String>,
    },
    /// A file was made from an earlier generation than the current one.
    #[error(
        "{file}: made from generation {of_file}, but {group} is at {current}; nothing was written. Export it again and repeat your change, or take `generation` out of the file to overrule"
    )]
    Outdated {
        /// The file.
        file: String,
        /// The group.
        group: GroupAddress,
        /// The generation in the file.
        of_file: u64,
        /// The generation in the table.
        current: u64,
    },
    /// Findings in files; none was written.
    #[error("nothing was written:\n{}", .0.join("\n"))]
    Findings(Vec<String>),
    /// Writing failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A record could not be written, and those before it were.
    #[error("{cause}; written before that: {}", name_all(written))]
    Interrupted {
        /// The records that were written, or were found to be so already.
        written: Vec<Written>,
        /// Why the next one was not.
        cause: Box<OperatorError>,
    },
}

fn name_all(written: &[Written]) -> String {
    let names = written
        .iter()
        .map(|record| format!("{} (generation {})", record.group, record.generation));
    names.collect::<Vec<_>>().join(", ")
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// The group.
    pub group: GroupAddress,
    /// The generation that is current now.
    pub generation: u64,
    /// Whether that generation is new.
    pub changed: bool,
    /// Rules that the record gained, in rule notation.
    pub added: Vec<RuleKey>,
    /// Rules that left it.
    pub removed: Vec<RuleKey>,
}

/// What `pin` was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PinOptions {
    /// The mode to set; the record's own, or enforce, when absent.
    pub mode: Option<Mode>,
    /// The note to set; the record's own when absent.
    pub note: Option<String>,
}

/// Who writes, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// An ARN.
    pub arn: String,
    /// The present time.
    pub now: Timestamp,
}

/// Makes the live rules of a group its desired state. Mode, pause, principals and priorities of an earlier record stay.
/// When nothing differs, nothing is written.
///
/// # Errors
/// When the group does not exist, holds a rule that cannot be recorded, or the record cannot be read or written.
pub async fn pin(
    ec2: &impl SecurityGroups,
    table: &impl Records,
    group: &GroupAddress,
    options: &PinOptions,
    author: &Author,
) -> Result<Written, OperatorError> {
    let wanted = [group.id.clone()].into();
    let (existing, live, item) = tokio::join!(
        ec2.existing_groups(&wanted),
        ec2.rules_of(&group.id),
        table.desired(group)
    );
    if !existing?.contains(&group.id) {
        return Err(OperatorError::NoSuchGroup(group.clone()));
    }
    let actual = live?;
    if !actual.unrecognised.is_empty() {
        return Err(OperatorError::Unrecognised {
            group: group.clone(),
            rules: actual.unrecognised,
        });
    }
    let item = item?;
    let before = item.as_ref().map(|item| read(group, item)).transpose()?;
    let earlier = before.clone().unwrap_or_default();
    let rules = actual.iter().map(|live| {
        let rule = IngressRule {
            key: live.key.clone(),
            description: live.description.clone(),
            tags: settable_tags(&live.tags),
            priority: earlier.rules.get(&live.key).map_or(0, |rule| rule.priority),
        };
        (live.key.clone(), rule)
    });
    let record = DesiredRecord {
        mode: options.mode.unwrap_or(earlier.mode),
        note: options.note.clone().or_else(|| earlier.note.clone()),
        rules: rules.collect(),
        ..earlier
    };
    make_current(table, group, record, before, item, author).await
}

/// A record file that was read and not looked at yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Submitted {
    /// Where it came from, for messages.
    pub file: String,
    /// Its content.
    pub content: Value,
}

/// The records of files by group, each with the name of its file, and everything that is wrong with the files.
fn check(files: &[Submitted]) -> (BTreeMap<GroupAddress, (&str, DesiredRecord)>, Vec<String>) {
    let mut findings = Vec::new();
    let mut records: BTreeMap<GroupAddress, (&str, DesiredRecord)> = BTreeMap::new();
    for Submitted { file, content } in files {
        match RecordFile::from_json(content) {
            Err(unreadable) => findings.extend(
                unreadable
                    .findings
                    .iter()
                    .map(|finding| format!("{file}: {finding}")),
            ),
            Ok(RecordFile { address, record }) => {
                if let Some((other, _)) = records.get(&address) {
                    findings.push(format!(
                        "{file}: group: {} is in {other} already",
                        address.id
                    ));
                } else {
                    records.insert(address, (file, record));
                }
            }
        }
    }
    (records, findings)
}

/// What is wrong with files, as far as they tell by themselves: one line for each finding, with its file and path.
pub fn findings(files: &[Submitted]) -> Vec<String> {
    check(files).1
}

/// Writes records from files. Every file is checked, and every record it would replace is read, before the first is
/// written.
///
/// # Errors
/// All findings of all files; or the first record that could not be written, with those that were by then.
pub async fn apply(
    table: &impl Records,
    files: &[Submitted],
    author: &Author,
) -> Result<Vec<Written>, OperatorError> {
    let (records, findings) = check(files);
    if !findings.is_empty() {
        return Err(OperatorError::Findings(findings));
    }
    let mut changes = Vec::new();
    for (group, (file, record)) in records {
        let item = table.desired(&group).await?;
        // A record that cannot be understood may be replaced: this is the way to mend it.
        let before = item.as_ref().and_then(|item| read(&group, item).ok());
        let current = item.as_ref().map_or(0, generation_of);
        if record.generation != 0 && record.generation != current {
            let of_file = record.generation;
            return Err(OperatorError::Outdated {
                file: file.to_owned(),
                group,
                of_file,
                current,
            });
        }
        changes.push((group, record, before, item));
    }
    let mut written = Vec::new();
    for (group, record, before, item) in changes {
        match make_current(table, &group, record, before, item, author).await {
            Ok(record) => written.push(record),
            Err(cause) if written.is_empty() => return Err(cause),
            Err(cause) => {
                return Err(OperatorError::Interrupted {
                    written,
                    cause: Box::new(cause),
                });
            }
        }
    }
    Ok(written)
}

/// The record of a group.
///
/// # Errors
/// When there is none, or it cannot be read or understood.
pub async fn show(table: &impl Table, group: &GroupAddress) -> Result<RecordFile, OperatorError> {
    let item = table
        .desired(group)
        .await?
        .ok_or_else(|| OperatorError::NoRecord(group.clone()))?;
    let record = read(group, &item)?;
    Ok(RecordFile {
        address: group.clone(),
        record,
    })
}

/// One line of `list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The group's id, as it stands in the table.
    pub group: String,
    /// How the group is kept: `enforce`, `observe`, `paused`, `orphaned` or `unreadable`.
    pub state: &'static str,
    /// What more there is to say of the state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The generation, when the record can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// How many rules are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<usize>,
    /// When the record was last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// By whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_by: Option<String>,
}

/// Every record of a scope with its state.
///
/// # Errors
/// When the table cannot be read.
pub async fn list(
    table: &impl Table,
    scope: &Scope,
    now: Timestamp,
) -> Result<Vec<Listed>, OperatorError> {
    let (records, orphaned) = tokio::join!(table.all_desired(scope), table.orphaned(scope));
    let orphaned = orphaned?;
    let line = |(group, item): (String, Value)| {
        let gone = group
            .parse::<GroupId>()
            .is_ok_and(|id| orphaned.contains(&id));
        let record = match DesiredRecord::from_json(&item, &scope.account) {
            Ok(reading) => reading.record,
            Err(unreadable) => {
                let detail = Some(unreadable.to_string());
                let state = "unreadable";
                return Listed {
                    group,
                    state,
                    detail,
                    generation: None,
                    rules: None,
                    updated_at: None,
                    updated_by: None,
                };
            }
        };
        let (state, detail) = match (record.paused_at(now), record.mode) {
            _ if gone => (
                "orphaned",
                Some("the group does not exist any more".to_owned()),
            ),
            (Some(pause), _) => ("paused", Some(format!("until {}", pause.until))),
            (None, Mode::Observe) => ("observe", None),
            (None, Mode::Enforce) => ("enforce", None),
        };
        Listed {
            group,
            state,
            detail,
            generation: Some(record.generation),
            rules: Some(record.rules.len()),
            updated_at: record.updated_at,
            updated_by: record.updated_by,
        }
    };
    Ok(records?.into_iter().map(line).collect())
}

fn read(group: &GroupAddress, item: &Value) -> Result<DesiredRecord, OperatorError> {
    match DesiredRecord::from_json(item, &group.scope.account) {
        Ok(reading) => Ok(reading.record),
        Err(unreadable) => Err(OperatorError::Unreadable {
            group: group.clone(),
            unreadable,
        }),
    }
}

fn generation_of(item: &Value) -> u64 {
    match item.get("generation") {
        Some(Value::String(text)) => text.trim().parse().unwrap_or(0),
        Some(number) => number.as_u64().unwrap_or(0),
        None => 0,
    }
}

/// Writes a record as the next generation, unless it asks for what the present one asks for.
async fn make_current(
    table: &impl Records,
    group: &GroupAddress,
    mut record: DesiredRecord,
    before: Option<DesiredRecord>,
    item: Option<Value>,
    author: &Author,
) -> Result<Written, OperatorError> {
    let kept = before.as_ref().map(|before| &before.rules);
    let is_kept = |key: &RuleKey| kept.is_some_and(|rules| rules.contains_key(key));
    let added = record
        .rules
        .keys()
        .filter(|key| !is_kept(key))
        .cloned()
        .collect();
    let removed = kept
        .into_iter()
        .flat_map(BTreeMap::keys)
        .filter(|key| !record.rules.contains_key(key));
    let removed = removed.cloned().collect();
    if let Some(before) = before.filter(|before| before.same_content(&record)) {
        return Ok(Written {
            group: group.clone(),
            generation: before.generation,
            changed: false,
            added,
            removed,
        });
    }
    record.generation = item.as_ref().map_or(0, generation_of) + 1;
    record.updated_at = Some(author.now);
    record.updated_by = Some(author.arn.clone());
    let change = NewGeneration {
        address: group.clone(),
        record,
        replaces: item,
    };
    let generation = table.write(&change).await?;
    Ok(Written {
        group: group.clone(),
        generation,
        changed: true,
        added,
        removed,
    })
}
