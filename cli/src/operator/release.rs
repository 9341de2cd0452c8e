//! Releasing rules, or taking out a whole record. The live rules stay as they are.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    Archive, Author, Draft, OperatorError, TakenOut, Written, because, generation_of, read,
    recorded,
};
use rulekeeper_core::decide::changes::GroupState;
use rulekeeper_core::desired::{DesiredRecord, SCHEMA};
use rulekeeper_core::model::{GroupAddress, RuleKey};
use rulekeeper_core::ports::Loaded;
use rulekeeper_core::reconcile::write_decision;

/// The attribute of a generation that took the record out. One without rules does not have it.
const UNPINNED: &str = "unpinned";

/// Drafts a record without some of its rules.
///
/// # Errors
/// When a rule is not in the record; when there is no record, or it cannot be read or understood.
pub async fn release(
    table: &impl Archive,
    group: &GroupAddress,
    rules: &[RuleKey],
    reason: Option<&str>,
) -> Result<Draft, OperatorError> {
    let (loaded, before) = recorded(table, group).await?;
    let asked: BTreeSet<&RuleKey> = rules.iter().collect();
    let unknown = asked.iter().filter(|key| !before.rules.contains_key(**key));
    let unknown: Vec<RuleKey> = unknown.map(|key| (*key).clone()).collect();
    if !unknown.is_empty() {
        return Err(OperatorError::NotInRecord {
            group: group.clone(),
            rules: unknown,
            record: before.rules.into_keys().collect(),
        });
    }
    let reason = because("released", reason);
    let leaves = |rule: &RuleKey| asked.contains(rule);
    Ok(without(group, loaded, before, leaves, reason))
}

/// A draft of a record without the rules that leave it.
fn without(
    group: &GroupAddress,
    loaded: Loaded,
    before: DesiredRecord,
    leaves: impl Fn(&RuleKey) -> bool,
    reason: String,
) -> Draft {
    let mut record = before.clone();
    record.rules.retain(|rule, _| !leaves(rule));
    Draft {
        group: group.clone(),
        record,
        before: Some(before),
        loaded,
        reason,
    }
}

/// Drafts a record without the rules that wait for a person to decide. It changes nothing where none does.
///
/// # Errors
/// When there is no record, or it cannot be read or understood.
pub async fn confirm(
    table: &impl Archive,
    group: &GroupAddress,
    reason: Option<&str>,
) -> Result<Draft, OperatorError> {
    let (loaded, before) = recorded(table, group).await?;
    let pending = GroupState::of_item(loaded.state.as_ref()).pending;
    let reason = because("confirmed: what was closed stays closed", reason);
    let leaves = |rule: &RuleKey| pending.contains_key(rule);
    Ok(without(group, loaded, before, leaves, reason))
}

/// A record before it is taken out. Nothing is written until [`Unpinning::write`].
#[derive(Debug, Clone, PartialEq)]
pub struct Unpinning {
    group: GroupAddress,
    /// The record, if it can be understood.
    record: Option<DesiredRecord>,
    /// Its rules, as far as they can be read.
    rules: Vec<RuleKey>,
    item: Value,
    loaded: Loaded,
    reason: String,
}

/// Reads the record that is to be taken out. It may be one that cannot be understood.
///
/// # Errors
/// When there is no record, or the table cannot be read.
pub async fn unpin(
    table: &impl Archive,
    group: &GroupAddress,
    reason: Option<&str>,
) -> Result<Unpinning, OperatorError> {
    let loaded = table.load(group).await?;
    let Some(item) = loaded.desired.clone() else {
        return Err(OperatorError::NoRecord(group.clone()));
    };
    let record = read(group, &item).ok();
    let rules = record.iter().flat_map(|record| record.rules.keys());
    Ok(Unpinning {
        group: group.clone(),
        rules: rules.cloned().collect(),
        record,
        item,
        loaded,
        reason: because("unpinned", reason),
    })
}

impl Unpinning {
    /// The record, if it can be understood.
    pub(super) fn record(&self) -> Option<&DesiredRecord> {
        self.record.as_ref()
    }

    /// The generation that is current.
    pub(super) fn generation(&self) -> u64 {
        generation_of(&self.item)
    }

    /// The rules that will not be kept any more.
    pub fn rules(&self) -> &[RuleKey] {
        &self.rules
    }

    /// Moves the record into history, and a generation behind it that says who took it out and why.
    ///
    /// # Errors
    /// When the record was changed since it was read, or the table cannot be written.
    pub async fn write(
        self,
        table: &impl Archive,
        author: &Author,
    ) -> Result<Written, OperatorError> {
        let tombstone = json!({
            "schema": SCHEMA, UNPINNED: true, "rules": [],
            "updated_at": author.now.to_string(), "updated_by": author.arn, "reason": self.reason,
        });
        let change = TakenOut {
            address: self.group.clone(),
            generation: generation_of(&self.item) + 1,
            tombstone,
            replaces: self.item,
            state: GroupState::default(),
        };
        let (group, state) = (&self.group, self.loaded.state);
        let write = async |state| {
            let change = TakenOut {
                state,
                ..change.clone()
            };
            table.take_out(&change).await
        };
        let generation =
            write_decision(table, group, state, &self.rules, author.now, write).await?;
        Ok(Written {
            group: self.group,
            generation,
            changed: true,
            unpinned: true,
            added: Vec::new(),
            removed: self.rules,
        })
    }
}

/// Whether a generation says that the record was taken out.
pub(super) fn is_unpinned(item: &Value) -> bool {
    item.get(UNPINNED) == Some(&Value::Bool(true))
}
