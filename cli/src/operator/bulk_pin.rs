//! Pinning many groups: planning what to record, and recording it.
//!
//! The danger is to pin an outage: a record whose rules are not all live may be the only copy of those that are gone. So
//! such a record is left alone unless the operator asks to replace it, and so is a group that an AWS service manages.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::inventory::{Inventory, Selection};
use super::managed::manager;
use super::pin::{PinOptions, draft};
use super::release::is_unpinned;
use super::{Archive, Author, Difference, Draft, FromTo, OperatorError};
use rulekeeper::aws::FoundGroup;
use rulekeeper_core::desired::DesiredRecord;
use rulekeeper_core::model::{ActualRules, GroupAddress, GroupId, RuleKey, Scope};
use rulekeeper_core::ports::{ApiError, GROUPS_PER_READ, Loaded};
use rulekeeper_core::sweep::Progress;

/// The name of the group that every VPC has. No other may have it (EC2 API Reference, `CreateSecurityGroup`).
const DEFAULT_GROUP: &str = "default";

/// The options of a bulk pin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BulkPinOptions {
    /// What holds for each group.
    pub pin: PinOptions,
    /// Whether groups that an AWS service manages are recorded too.
    pub include_managed: bool,
    /// Whether a record may lose rules that are not live.
    pub replace: bool,
    /// Whether groups whose record was taken out are recorded again.
    pub include_unpinned: bool,
    /// Whether the default groups of VPCs are recorded too.
    pub include_default: bool,
}

/// The planned or written change of one group's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BulkPinOutcome {
    /// There is none yet.
    New,
    /// Something differs.
    Changed,
    /// It asks for the same already.
    Unchanged,
    /// It is left alone, and the reason says why.
    LeftOut,
    /// The group or its record could not be read or written, and the reason says why.
    Failed,
}

/// One group of many that are pinned.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BulkPinGroup {
    /// The group.
    pub group: GroupAddress,
    /// Its name; absent when the group was not found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its VPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
    /// How many live ingress rules it has; absent when they could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<usize>,
    /// The planned or written change of its record.
    pub outcome: BulkPinOutcome,
    /// The generation that is current now, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Whether that generation was written just now.
    pub changed: bool,
    /// Rules that the record gains, or would gain.
    pub added: Vec<RuleKey>,
    /// Rules that leave it, or would leave it.
    pub removed: Vec<RuleKey>,
    /// Rules that stay in it with another description or other tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub altered: Vec<RuleKey>,
    /// Attributes besides the rules that change, such as `mode`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<&'static str, FromTo>,
    /// Why it was left out or failed, or a remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl BulkPinGroup {
    fn of(scope: &Scope, id: &GroupId, found: Option<&FoundGroup>) -> Self {
        Self {
            group: GroupAddress {
                scope: scope.clone(),
                id: id.clone(),
            },
            name: found.map(|found| found.name.clone()),
            vpc_id: found.map(|found| found.vpc.clone()),
            rules: None,
            outcome: BulkPinOutcome::Unchanged,
            generation: None,
            changed: false,
            added: Vec::new(),
            removed: Vec::new(),
            altered: Vec::new(),
            attributes: BTreeMap::new(),
            reason: None,
        }
    }

    fn ends(&mut self, outcome: BulkPinOutcome, reason: impl ToString) {
        self.outcome = outcome;
        self.reason = Some(reason.to_string());
    }
}

/// Many groups with the planned changes of their records. Nothing is written until [`BulkPin::write`].
#[derive(Debug)]
#[must_use]
pub struct BulkPin {
    groups: Vec<Planned>,
}

#[derive(Debug)]
struct Planned {
    shown: BulkPinGroup,
    write: Option<Pending>,
}

/// A record that is to be written.
#[derive(Debug)]
struct Pending {
    draft: Draft,
    /// The live rules that it was made of.
    actual: ActualRules,
    /// The latest generation of its history, where that was asked for.
    in_history: Option<u64>,
}

/// Plans what to record of the selected groups. A group that cannot be read is among them as failed, and the others are
/// planned all the same.
///
/// The calls: one describe for each 1,000 groups, or 200 that are named; one for each 200 groups' rules and 1,000 of
/// their rules; the records and run-time states of the account and Region by two queries; and one query for each group
/// without a record, whether it was taken out.
///
/// # Errors
/// When nothing is selected, or the groups or the table cannot be read.
pub async fn plan_bulk_pin(
    ec2: &impl Inventory,
    table: &impl Archive,
    scope: &Scope,
    selection: &Selection,
    options: &BulkPinOptions,
    progress: Progress<'_>,
) -> Result<BulkPin, OperatorError> {
    let (found, records, states) = tokio::join!(
        ec2.groups(selection),
        table.all_desired(scope),
        table.all_states(scope)
    );
    let found = found?;
    let mut records: BTreeMap<String, Value> = records?.into_iter().collect();
    let mut states: BTreeMap<String, Value> = states?.into_iter().collect();
    let mut groups = Vec::new();
    match selection {
        Selection::Named(ids) => groups.extend(not_found(scope, ids, &found)),
        Selection::Chosen { .. } if found.is_empty() => {
            return Err(OperatorError::NothingSelected {
                scope: scope.clone(),
                selection: selection.clone(),
            });
        }
        Selection::Chosen { .. } => {}
    }
    let total = groups.len() + found.len();
    for chunk in found.chunks(GROUPS_PER_READ) {
        let ids: Vec<GroupId> = chunk.iter().map(|group| group.id.clone()).collect();
        let mut live = ec2.ingress_rules(&ids).await;
        for found in chunk {
            let loaded = Loaded {
                desired: records.remove(found.id.as_str()),
                state: states.remove(found.id.as_str()),
                settings: None,
            };
            let actual = match &mut live {
                Ok(live) => Ok(live.remove(&found.id).unwrap_or_default()),
                Err(error) => Err(error.clone()),
            };
            let planned = plan(scope, found, actual, loaded, options);
            groups.push(unless_taken_out(table, planned, options).await);
            progress(groups.len(), total);
        }
    }
    groups.sort_by(|a, b| a.shown.group.cmp(&b.shown.group));
    Ok(BulkPin { groups })
}

fn not_found<'a>(
    scope: &'a Scope,
    ids: impl IntoIterator<Item = &'a GroupId>,
    found: &'a [FoundGroup],
) -> impl Iterator<Item = Planned> {
    let missing = ids
        .into_iter()
        .filter(|id| !found.iter().any(|group| group.id == **id));
    missing.map(|id| {
        let mut shown = BulkPinGroup::of(scope, id, None);
        let error = OperatorError::NoSuchGroup(shown.group.clone());
        shown.ends(BulkPinOutcome::Failed, error);
        Planned { shown, write: None }
    })
}

/// Leaves a group out whose record somebody took out, unless told otherwise: that was a decision.
async fn unless_taken_out(
    table: &impl Archive,
    mut planned: Planned,
    options: &BulkPinOptions,
) -> Planned {
    let Some(pending) = &mut planned.write else {
        return planned;
    };
    if options.include_unpinned || pending.draft.before.is_some() {
        return planned;
    }
    let shown = &mut planned.shown;
    let history = match table.history(&shown.group).await {
        Ok(history) => history,
        Err(error) => {
            shown.ends(
                BulkPinOutcome::Failed,
                format!("its history could not be read: {error}"),
            );
            planned.write = None;
            return planned;
        }
    };
    let last = history.iter().max_by_key(|(number, _)| *number);
    pending.in_history = Some(last.map_or(0, |(number, _)| *number));
    if let Some((number, item)) = last.filter(|(_, item)| is_unpinned(item)) {
        let reason = item.get("reason").and_then(Value::as_str);
        let reason = reason.map(|reason| format!(" ({reason})"));
        let reason = format!(
            "its record was taken out in generation {number}{}; `rulekeeper pin {}` keeps it again",
            reason.unwrap_or_default(),
            shown.group.id
        );
        shown.ends(BulkPinOutcome::LeftOut, reason);
        planned.write = None;
    }
    planned
}

/// Plans the record of one group.
fn plan(
    scope: &Scope,
    found: &FoundGroup,
    actual: Result<ActualRules, ApiError>,
    loaded: Loaded,
    options: &BulkPinOptions,
) -> Planned {
    let mut shown = BulkPinGroup::of(scope, &found.id, Some(found));
    let manager = manager(found);
    if let Some(manager) = manager.as_ref().filter(|_| !options.include_managed) {
        let reason = format!("{manager}; --include-managed records it all the same");
        shown.ends(BulkPinOutcome::LeftOut, reason);
    }
    if found.name == DEFAULT_GROUP && !options.include_default {
        let reason = format!(
            "the default group of a VPC should have no rules (CIS AWS Foundations Benchmark; Security Hub EC2.2); `rulekeeper pin {}` records it all the same",
            found.id
        );
        shown.ends(BulkPinOutcome::LeftOut, reason);
    }
    let actual = match actual {
        Ok(actual) => actual,
        Err(_) if shown.outcome == BulkPinOutcome::LeftOut => {
            return Planned { shown, write: None };
        }
        Err(error) => {
            shown.ends(
                BulkPinOutcome::Failed,
                format!("its rules could not be read: {error}"),
            );
            return Planned { shown, write: None };
        }
    };
    shown.rules = Some(actual.iter().count() + actual.unrecognised.len());
    if shown.outcome == BulkPinOutcome::LeftOut {
        return Planned { shown, write: None };
    }
    let draft = match draft(&shown.group, &found.name, &actual, loaded, &options.pin) {
        Ok(draft) => draft,
        Err(error) => {
            shown.ends(BulkPinOutcome::Failed, error);
            return Planned { shown, write: None };
        }
    };
    shown.reason = manager.map(|manager| manager.to_string());
    shown.generation = draft.before.as_ref().map(|record| record.generation);
    if draft.changes_nothing() {
        return Planned { shown, write: None };
    }
    let Difference {
        added,
        removed,
        changed,
        attributes,
    } = draft.difference();
    let lost = removed.len();
    shown.added = added;
    shown.removed = removed;
    shown.altered = changed.into_iter().map(|change| change.rule).collect();
    if draft.before.is_none() {
        // All of a new record is new.
        shown.outcome = BulkPinOutcome::New;
    } else {
        shown.outcome = BulkPinOutcome::Changed;
        shown.attributes = attributes;
    }
    if lost > 0 && !options.replace {
        let reason = format!(
            "{lost} of the rules that it keeps {} not live and would be forgotten; `rulekeeper restore {}` puts back what \
             is missing, --replace pins the live rules all the same",
            if lost == 1 { "is" } else { "are" },
            found.id
        );
        shown.ends(BulkPinOutcome::LeftOut, reason);
        return Planned { shown, write: None };
    }
    Planned {
        shown,
        write: Some(Pending {
            draft,
            actual,
            in_history: None,
        }),
    }
}

impl BulkPin {
    /// The groups in order of their ids.
    pub fn groups(&self) -> Vec<BulkPinGroup> {
        self.groups
            .iter()
            .map(|group| group.shown.clone())
            .collect()
    }

    /// The records that are to be written.
    pub fn records(&self) -> impl Iterator<Item = (&GroupAddress, &DesiredRecord)> {
        let to_write = self.groups.iter().filter_map(|group| group.write.as_ref());
        to_write.map(|pending| (pending.draft.group(), pending.draft.record()))
    }

    /// How many records are to be written.
    pub fn to_write(&self) -> usize {
        let to_write = self.groups.iter().filter(|group| group.write.is_some());
        to_write.count()
    }

    /// Writes the records, one after the other, each on condition that it is still as it was read. What cannot be
    /// written is failed, and the next is written all the same.
    pub async fn write(
        self,
        table: &impl Archive,
        author: &Author,
        progress: Progress<'_>,
    ) -> Vec<BulkPinGroup> {
        let total = self.to_write();
        let (mut groups, mut done) = (Vec::new(), 0);
        for Planned { mut shown, write } in self.groups {
            if let Some(Pending {
                draft,
                actual,
                in_history,
            }) = write
            {
                let written = draft.write_after(in_history, &actual, table, author);
                match written.await {
                    Ok(written) => {
                        shown.generation = Some(written.generation);
                        shown.changed = true;
                    }
                    Err(error) => shown.ends(BulkPinOutcome::Failed, error),
                }
                done += 1;
                progress(done, total);
            }
            groups.push(shown);
        }
        groups
    }
}

#[cfg(test)]
mod tests;
