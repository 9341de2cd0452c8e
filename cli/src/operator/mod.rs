//! What the CLI does with records: snapshot, write, read, list. Reconciling is the function's own code.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use rulekeeper_core::desired::{DesiredRecord, Mode, RecordFile, SharedSettings};
use rulekeeper_core::model::{GroupAddress, GroupId, GroupRange, RuleKey, Scope};
use rulekeeper_core::ports::{ApiError, GROUPS_PER_READ, Loaded, SecurityGroups, Table};
use rulekeeper_core::sweep::Progress;

mod apply;
mod archive;
mod bulk_pin;
mod check;
mod difference;
mod draft;
mod error;
mod export;
#[cfg(test)]
mod fakes;
mod files;
mod guardrails;
mod history;
mod incidents;
mod inventory;
mod managed;
mod pause;
mod pin;
mod principals;
mod release;
mod standing;
#[cfg(test)]
mod tests;

pub use apply::{Applied, ApplyOptions, ApplyOutcome, Applying, LiveView, NotLive, plan_apply};
pub use archive::{Archive, NewSettings, TakenOut};
pub use bulk_pin::{BulkPin, BulkPinGroup, BulkPinOptions, BulkPinOutcome, plan_bulk_pin};
use check::gone;
pub use check::{CheckedGroup, CheckedRule, Checks, check};
pub use difference::{Difference, FromTo, RuleChange};
pub use draft::Draft;
pub use error::OperatorError;
pub use export::{Exported, export_all};
pub use files::{Submitted, findings, records};
pub use guardrails::guardrail_remarks;
pub use history::{Generation, History, history, rollback, settings_history};
pub use incidents::{
    Content, DroppedRule, IncidentFacts, Incidents, InvalidSince, PastChange, PastIncident,
    ReopenedGroup, Since, UnrestorableGroup, incidents, past_changes,
};
pub use inventory::{InvalidTagChoice, Inventory, Selection, TagChoice};
pub use managed::{Manager, manager};
pub use pause::{InvalidPause, PauseLength, PausedAll, pause, pause_all, paused_all, resume};
pub use pin::{PinOptions, pin};
pub use principals::{
    Entry, Origin, PrincipalChange, PrincipalDraft, PrincipalList, PrincipalsWritten,
    change_principals, principals, reset_principals,
};
pub use release::{Unpinning, confirm, release, unpin};
pub use standing::{Standing, reopened};

/// A record after it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// The group.
    pub group: GroupAddress,
    /// The generation that is current now.
    pub generation: u64,
    /// Whether that generation is new.
    pub changed: bool,
    /// Whether that generation took the record out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unpinned: bool,
    /// Rules that the record gained, in rule notation.
    pub added: Vec<RuleKey>,
    /// Rules that left it.
    pub removed: Vec<RuleKey>,
}

/// Who writes, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// An ARN.
    pub arn: String,
    /// The present time.
    pub now: Timestamp,
}

/// The record of a group.
///
/// # Errors
/// When there is none, or it cannot be read or understood.
pub async fn show(table: &impl Table, group: &GroupAddress) -> Result<RecordFile, OperatorError> {
    let item = table
        .load(group)
        .await?
        .desired
        .ok_or_else(|| OperatorError::NoRecord(group.clone()))?;
    let record = read(group, &item)?;
    Ok(RecordFile {
        address: group.clone(),
        record,
    })
}

/// The record of a group, and what is known of its rules.
///
/// # Errors
/// When there is none, or it cannot be read or understood.
pub async fn show_with_standing(
    table: &impl Table,
    group: &GroupAddress,
) -> Result<(RecordFile, Standing), OperatorError> {
    let (loaded, record) = recorded(table, group).await?;
    let standing = Standing::of(&group.id, &record, loaded.state.as_ref());
    let address = group.clone();
    Ok((RecordFile { address, record }, standing))
}

/// One line of `list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The group's id, as it stands in the table.
    pub group: String,
    /// The group's name, if the record has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How the group is kept: `enforce`, `observe`, `paused`, `orphaned` or `unreadable`.
    pub state: &'static str,
    /// Details of the state.
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
    /// Rules that wait, or that need a person.
    #[serde(flatten)]
    pub standing: Standing,
}

/// Every record of a scope with its state.
///
/// # Errors
/// When the table cannot be read.
pub async fn list(
    table: &impl Archive,
    scope: &Scope,
    now: Timestamp,
) -> Result<Vec<Listed>, OperatorError> {
    let all = GroupRange::default();
    let (records, marks, states) = tokio::join!(
        table.all_desired(scope),
        table.marks(scope, &all),
        table.all_states(scope)
    );
    let orphaned = marks?.orphaned;
    let states: BTreeMap<String, Value> = states?.into_iter().collect();
    let line = |(group, item): (String, Value)| {
        let id = group.parse::<GroupId>().ok();
        let gone = id.as_ref().is_some_and(|id| orphaned.contains(id));
        let record = match DesiredRecord::from_json(&item, &scope.account) {
            Ok(reading) => reading.record,
            Err(unreadable) => {
                let detail = Some(unreadable.to_string());
                let state = "unreadable";
                return Listed {
                    group,
                    name: None,
                    state,
                    detail,
                    generation: None,
                    rules: None,
                    updated_at: None,
                    updated_by: None,
                    standing: Standing::default(),
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
        let standing = id.map(|id| Standing::of(&id, &record, states.get(&group)));
        Listed {
            group,
            name: record.name,
            state,
            detail,
            standing: standing.unwrap_or_default(),
            generation: Some(record.generation),
            rules: Some(record.rules.len()),
            updated_at: record.updated_at,
            updated_by: record.updated_by,
        }
    };
    Ok(records?.into_iter().map(line).collect())
}

/// Marks groups that do not exist as orphaned. The function marks them only when it has a rule to restore. One describe
/// for each 200 groups.
///
/// # Errors
/// When EC2 cannot be asked; groups marked by then stay marked.
pub async fn find_gone(
    ec2: &impl SecurityGroups,
    records: &mut [Listed],
    progress: Progress<'_>,
) -> Result<(), ApiError> {
    let readable = |record: &&mut Listed| !["orphaned", "unreadable"].contains(&record.state);
    let mut records: Vec<(GroupId, &mut Listed)> = records
        .iter_mut()
        .filter(readable)
        .filter_map(|record| Some((record.group.parse().ok()?, record)))
        .collect();
    let (mut done, total) = (0, records.len());
    for records in records.chunks_mut(GROUPS_PER_READ) {
        let ids: BTreeSet<GroupId> = records.iter().map(|(id, _)| id.clone()).collect();
        let existing = ec2.existing_groups(&ids).await?;
        for (_, record) in records
            .iter_mut()
            .filter(|(id, _)| !existing.contains_key(id))
        {
            record.state = "orphaned";
            let detail = "the group does not exist, or these credentials cannot see it";
            record.detail = Some(detail.to_owned());
        }
        done += ids.len();
        progress(done, total);
    }
    Ok(())
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

/// A group's record as it is, with all that was read of the group.
async fn recorded(
    table: &impl Table,
    group: &GroupAddress,
) -> Result<(Loaded, DesiredRecord), OperatorError> {
    let loaded = table.load(group).await?;
    let Some(item) = &loaded.desired else {
        return Err(OperatorError::NoRecord(group.clone()));
    };
    let record = read(group, item)?;
    Ok((loaded, record))
}

fn read_settings(item: &Value) -> Result<SharedSettings, OperatorError> {
    match SharedSettings::from_json(item) {
        Ok((settings, _)) => Ok(settings),
        Err(unreadable) => Err(OperatorError::UnreadableSettings(unreadable)),
    }
}

/// The reason in a record: what was done, and the operator's reason.
fn because(what: &str, reason: Option<&str>) -> String {
    match reason.map(str::trim).filter(|reason| !reason.is_empty()) {
        Some(reason) => format!("{what}: {reason}"),
        None => what.to_owned(),
    }
}
