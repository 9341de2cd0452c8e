//! Deletions of groups to which rules refer.
//!
//! A deletion of a group is noted in that group's own state, because it has no record as a rule. An invocation
//! that looks at a group with missing rules reads there what became of the groups that they refer to.

use std::collections::BTreeSet;

use super::World;
use super::error::WorkError;
use super::record_update::{WRITES_MAX, close_command};
use super::snapshot::Snapshot;
use crate::decide::changes::{GroupState, KnownCall, WITHHELD_FOR};
use crate::decide::quota::prefix_lists;
use crate::event::Call;
use crate::model::{ActualRules, GroupAddress, GroupId, RuleKey, Source};
use crate::ports::{SecurityGroups, Table};

/// The most referenced groups that are looked up for one look at a group.
const LOOKED_UP_MAX: usize = 10;

/// The known deletions of groups to which missing rules of the record refer. What cannot be read is left out.
pub(super) async fn deletions<E, T: Table>(
    world: &World<'_, E, T>,
    snapshot: &Snapshot,
    actual: &ActualRules,
) -> Vec<KnownCall> {
    let recorded = snapshot.record.rules.keys();
    let missing = recorded.filter(|rule| !actual.contains(rule));
    let groups: BTreeSet<&GroupId> = missing
        .filter_map(|rule| rule.referenced_group())
        .filter(|group| group.account_id.is_none() && group.group_id != snapshot.group.id)
        .map(|group| &group.group_id)
        .collect();
    let mut deletions = Vec::new();
    for group in groups.into_iter().take(LOOKED_UP_MAX) {
        let address = GroupAddress {
            scope: snapshot.group.scope.clone(),
            id: group.clone(),
        };
        // Each such call may take long, and rules wait for it.
        let Ok(loaded) = world.table.load(&address).await else {
            break;
        };
        let state = GroupState::of_item(loaded.state.as_ref());
        let calls = state.calls.into_iter();
        let calls = calls.filter(|call| call.call.is_deletion() && call.reference.is_none());
        deletions.extend(calls.map(|call| KnownCall {
            reference: Some(group.clone()),
            ..call
        }));
    }
    deletions
}

/// Notes a deletion, or an attempt at one, in the state of its group, and in that of every group that has a live rule
/// which refers to it and was put back after the same caller had revoked it. Returns what a person should know.
///
/// # Errors
/// When the deletion could not be noted, or the referring groups not be found.
pub(super) async fn note_deletion<E: SecurityGroups, T: Table>(
    world: &World<'_, E, T>,
    group: &GroupAddress,
    call: &KnownCall,
) -> Result<Vec<String>, WorkError> {
    note(world, group, call).await?;
    let mut notices = Vec::new();
    if call.call != Call::RefusedDelete {
        return Ok(notices);
    }
    for referring in world.ec2.groups_referring_to(&group.id).await? {
        let address = GroupAddress {
            scope: group.scope.clone(),
            id: referring,
        };
        let loaded = world.table.load(&address).await?;
        let state = GroupState::of_item(loaded.state.as_ref());
        let back = put_back(&state, call, &group.id);
        if loaded.desired.is_none() || back.is_empty() {
            continue;
        }
        let of_reference = KnownCall {
            reference: Some(group.id.clone()),
            ..call.clone()
        };
        note(world, &address, &of_reference).await?;
        notices.extend(back.into_iter().map(|rule| {
            format!(
                "{} tries to delete {}, and {rule} of {} refers to it, which was put back after {} had revoked it. Close it: {}",
                call.by,
                group.id,
                address.id,
                call.by,
                close_command(&address.id, &rule)
            )
        }));
    }
    Ok(notices)
}

/// The rules that refer to a group, and that we put back lately after the caller of a deletion had revoked them.
fn put_back(state: &GroupState, deletion: &KnownCall, group: &GroupId) -> Vec<RuleKey> {
    let rules = state.returned.keys().filter(|rule| {
        let reference = rule.referenced_group();
        reference.is_some_and(|reference| reference.group_id == *group)
            && state.last_restored(rule).is_some()
    });
    let by_caller = rules.filter(|rule| {
        let mut calls = state.calls.iter();
        calls.any(|call| {
            let lately = call.at.duration_since(deletion.at).abs() <= WITHHELD_FOR;
            let ids = call.evidence.revoked_ids.iter();
            let by_id = ids.filter_map(|id| state.ids.get(id));
            let mut by_id = by_id.flat_map(|known| &known.contents);
            call.by == deletion.by
                && lately
                && (call.evidence.revoked.contains_key(*rule) || by_id.any(|it| it == *rule))
        })
    });
    by_caller.cloned().collect()
}

/// Notes a call in the state of a group.
async fn note<E, T: Table>(
    world: &World<'_, E, T>,
    group: &GroupAddress,
    call: &KnownCall,
) -> Result<(), WorkError> {
    for _ in 0..WRITES_MAX {
        let loaded = world.table.load(group).await?;
        let state = GroupState::of_item(loaded.state.as_ref());
        let now = (world.now)();
        let mut noted = state.clone();
        noted.note_call(call.clone(), now);
        let mut noted = noted.pruned(now);
        noted.fit();
        if noted == state || world.table.save_state(group, &noted).await? {
            return Ok(());
        }
    }
    Err(WorkError::Contention {
        what: "the run-time state",
        tries: WRITES_MAX,
    })
}

/// The rules whose referenced group or prefix list exists. Where that cannot be found out, none.
pub(super) async fn existing_references<'r, E: SecurityGroups>(
    ec2: &E,
    rules: &[&'r RuleKey],
) -> Vec<&'r RuleKey> {
    let groups = rules.iter().filter_map(|rule| rule.referenced_group());
    let groups: BTreeSet<GroupId> = groups.map(|group| group.group_id.clone()).collect();
    let lists = prefix_lists(rules.iter().copied());
    let existing = match groups.is_empty() {
        true => Default::default(),
        false => ec2.existing_groups(&groups).await.unwrap_or_default(),
    };
    let lists = match lists.is_empty() {
        true => Default::default(),
        false => ec2.prefix_lists(&lists).await.unwrap_or_default(),
    };
    let exists = |rule: &&&RuleKey| match &rule.source {
        Source::ReferencedGroup(group) => existing.contains_key(&group.group_id),
        Source::PrefixList(list) => lists.contains_key(list),
        Source::Ipv4(_) | Source::Ipv6(_) => true,
    };
    rules.iter().filter(exists).copied().collect()
}
