//! The work on one group: load, plan, authorize, verify, report, in that order.

use std::collections::BTreeMap;

use crate::decide::changes::KnownCall;
use crate::decide::restorable::Unrestorable;
use crate::event::{Call, GroupLocator, Lookup};
use crate::model::{GroupAddress, GroupId, RuleKey};
use crate::ports::{Budget, SecurityGroups, Table};
use crate::report::incident::Incident;
use crate::report::{GroupOutcome, Report, RuleOutcome};

mod converge;
mod decision;
mod deferred;
mod deletion;
mod error;
pub mod execute;
mod guardrails;
mod missing;
mod passes;
mod planned;
mod record_update;
mod restorable;
mod result;
mod save_state;
mod shortcuts;
mod snapshot;
mod started;
mod world;

pub use decision::write_decision;
pub use guardrails::Forbidden;
pub use missing::MissingReferences;
pub use record_update::close_command;
pub use restorable::Outlook;
pub use result::{GroupResult, RuleResult};
pub use world::{Settings, World};

use deletion::note_deletion;
use passes::Passes;
use shortcuts::{answered, unlisted};
use snapshot::{LiveRead, Snapshot};
use started::Started;

/// Looks at one group and restores what is missing. Never fails: the report says what happened.
pub async fn reconcile<E: SecurityGroups, T: Table>(
    world: World<'_, E, T>,
    lookup: &Lookup,
    budget: Budget,
) -> GroupResult {
    reconcile_with(world, lookup, None, budget).await
}

/// The same where it was looked up which rules of the record could not come back: what changed of that is told once.
pub async fn reconcile_with<E: SecurityGroups, T: Table>(
    world: World<'_, E, T>,
    lookup: &Lookup,
    outlook: Option<BTreeMap<RuleKey, Unrestorable>>,
    budget: Budget,
) -> GroupResult {
    let started = Started::now(&world, &lookup.trigger);
    let group = match locate(&world, lookup).await {
        Ok(group) => group,
        Err(report) => return started.finish(&world, *report),
    };
    // An authorize takes nothing away: the table alone says whether it matters. While EC2 throttles, it may answer a revoke
    // too, and reads of EC2 are left to other events.
    let drops_rules = lookup.call.is_none_or(Call::drops_rules);
    let (loaded, live) = if drops_rules && !world.spares_reads {
        let (loaded, live) = tokio::join!(world.table.load(&group), LiveRead::of(&world, &group));
        (loaded, Some(live))
    } else {
        (world.table.load(&group).await, None)
    };
    let mut loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            let report = started.unread(group, &error, "desired-state record");
            return started.finish(&world, report);
        }
    };
    let Some(item) = loaded.desired.take() else {
        let reason = "there is no desired-state record";
        let mut report = started.report(group.clone(), GroupOutcome::Unmanaged, reason);
        note_reference(&world, lookup, &group, &mut report).await;
        return started.finish(&world, report);
    };
    let snapshot = match Snapshot::read(&group, item, loaded) {
        Ok(snapshot) => snapshot,
        Err(unreadable) => {
            let mut report = started.report(group, GroupOutcome::Failed, &unreadable.to_string());
            report.unreadable = true;
            return started.finish(&world, report);
        }
    };
    if let Some(reason) = unlisted(&snapshot, lookup) {
        let mut report = started.report(group, GroupOutcome::Ignored, &reason);
        report.of_record(&snapshot.record);
        report.warnings = snapshot.warnings;
        return started.finish(&world, report);
    }
    if world.spares_reads
        && let Some(answered) = answered(&snapshot, lookup)
    {
        let mut report = started.report(group, GroupOutcome::Converged, &answered.reason);
        report.of_record(&snapshot.record);
        report.rules = answered.rules;
        report.warnings = snapshot.warnings;
        return started.finish(&world, report);
    }
    let live = match live {
        Some(live) => live,
        None => LiveRead::of(&world, &group).await,
    };
    match live {
        Ok(live) => {
            let passes = Passes::new(world, snapshot, live, lookup, outlook, budget);
            converge(world, started, passes, lookup).await
        }
        Err(error) => started.finish(&world, started.unread(group, &error, "group's rules")),
    }
}

/// Notes a deletion of the group, or an attempt at one, for the groups with rules that refer to it.
async fn note_reference<E: SecurityGroups, T: Table>(
    world: &World<'_, E, T>,
    lookup: &Lookup,
    group: &GroupAddress,
    report: &mut GroupResult,
) {
    let is_deletion = lookup.call.is_some_and(Call::is_deletion);
    let Some(call) = KnownCall::of(lookup).filter(|_| is_deletion && world.settings.writes) else {
        return;
    };
    match note_deletion(world, group, &call).await {
        Ok(notices) => report.notices.extend(notices),
        Err(error) => {
            report.retryable = error.is_retryable();
            report.warn_unsaved(format!("the deletion could not be noted: {error}"));
        }
    }
}

/// Does the work, with a record and a read of the group at hand.
async fn converge<E: SecurityGroups, T: Table>(
    world: World<'_, E, T>,
    started: Started,
    mut passes: Passes<'_, E, T>,
    lookup: &Lookup,
) -> GroupResult {
    passes.run().await;
    loop {
        passes.weigh().await;
        let mut report = passes.report(&started);
        if let Some(group) = report.group.clone() {
            note_reference(&world, lookup, &group, &mut report).await;
        }
        // Nothing in the incident depends on what is left to save, but the warning if that fails, which the report has.
        let recorded = record(&world, &started, &mut report);
        let (overtaken, ()) = tokio::join!(passes.save_last(), recorded);
        // Who wrote the state meanwhile judged without this event. The incident is then written again.
        if !(overtaken && passes.run_again().await) {
            passes.tell(&mut report);
            return started.finish(&world, report);
        }
    }
}

/// Marks a group that is gone, and writes the incident. A failure is reported; restored rules stay restored.
async fn record<E, T: Table>(world: &World<'_, E, T>, started: &Started, report: &mut GroupResult) {
    if !world.settings.writes {
        return;
    }
    if world.without_role && report.outcome == GroupOutcome::Orphaned {
        let hint = "the group's account is not ours, so it may exist all the same: set RULEKEEPER_ROLE_NAME";
        report.warnings.push(hint.to_owned());
    } else if report
        .rules
        .iter()
        .any(|rule| rule.outcome == RuleOutcome::Failed)
        && let (GroupOutcome::Orphaned, Some(group)) = (report.outcome, &report.group)
        && let Err(error) = world
            .table
            .mark_orphaned(group, &started.at.to_string())
            .await
    {
        report.warn_unsaved(format!(
            "the group could not be marked as orphaned: {error}"
        ));
    }
    started.measure(world, report);
    if let Some(incident) = Incident::of(report, started.at)
        && let Err(error) = world.table.record_incident(&incident).await
    {
        report.warn_unsaved(format!("the incident could not be recorded: {error}"));
    }
}

/// Finds the group's id when an event gives only its name.
async fn locate<E: SecurityGroups, T>(
    world: &World<'_, E, T>,
    lookup: &Lookup,
) -> Result<GroupAddress, Box<GroupResult>> {
    let address = |id: GroupId| GroupAddress {
        scope: lookup.scope.clone(),
        id,
    };
    let name = match &lookup.group {
        GroupLocator::Id(id) => return Ok(address(id.clone())),
        GroupLocator::DefaultVpcName(name) => name,
    };
    let (outcome, reason, retryable) = match world.ec2.default_vpc_group(name).await {
        Ok(Some(id)) => return Ok(address(id)),
        Ok(None) => {
            let reason = format!(
                "the default VPC of {} has no group named {name:?}",
                lookup.scope
            );
            (GroupOutcome::Ignored, reason, false)
        }
        Err(error) => {
            let reason = format!("the group named {name:?} could not be looked up: {error}");
            (GroupOutcome::Failed, reason, error.is_retryable())
        }
    };
    let report = Report::bare(lookup.trigger.clone(), None, outcome, reason);
    let mut report = GroupResult::from(report);
    report.retryable = retryable;
    Err(Box::new(report))
}

#[cfg(test)]
mod tests;
