//! The conductor: load, plan, authorize, verify, report, in that order.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::desired::Policy;
use crate::event::{Call, GroupLocator, Lookup, Trigger};
use crate::model::{GroupAddress, GroupId};
use crate::ports::{ApiError, Budget, SecurityGroups, Table};
use crate::report::incident::Incident;
use crate::report::{GroupOutcome, Report, RuleOutcome, RuleReport};

mod converge;
mod decision;
pub mod execute;
mod keep;
mod missing;
mod passes;
mod world;

pub use decision::{STATE_TRIES_MAX, write_decision};
pub use missing::MissingReferences;
pub use world::{Settings, World};

use keep::{Known, Look};
use passes::Work;

/// Looks at one group and puts back what is missing. Never fails: whatever happens is in the report.
pub async fn reconcile<E: SecurityGroups, T: Table>(
    world: World<'_, E, T>,
    lookup: &Lookup,
    budget: Budget,
) -> Report {
    let started = Started::now(&world, &lookup.trigger);
    let group = match locate(&world, lookup).await {
        Ok(group) => group,
        Err(report) => return started.finish(&world, *report),
    };
    // An authorize takes nothing away: the table alone says whether it matters. In a burst it may say so of a revoke, and
    // EC2's reads are for the others.
    let drops_rules = lookup.call.is_none_or(Call::drops_rules);
    let (loaded, live) = if drops_rules && !world.in_burst {
        let (loaded, live) = tokio::join!(world.table.load(&group), Look::at_rules(&world, &group));
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
        let report = started.report(group, GroupOutcome::Unmanaged, reason);
        return started.finish(&world, report);
    };
    let known = match Known::read(&group, item, loaded) {
        Ok(known) => known,
        Err(unreadable) => {
            let mut report = started.report(group, GroupOutcome::Failed, &unreadable.to_string());
            report.unreadable = true;
            return started.finish(&world, report);
        }
    };
    if let Some(reason) = unmeant(&known, lookup) {
        let mut report = started.report(group, GroupOutcome::Ignored, &reason);
        report.generation = Some(known.record.generation);
        report.warnings = known.warnings;
        return started.finish(&world, report);
    }
    if world.in_burst
        && let Some(answered) = answered(&known, lookup)
    {
        let mut report = started.report(group, GroupOutcome::Converged, &answered.reason);
        report.generation = Some(known.record.generation);
        report.rules = answered.rules;
        report.warnings = known.warnings;
        return started.finish(&world, report);
    }
    let live = match live {
        Some(live) => live,
        None => Look::at_rules(&world, &group).await,
    };
    match live {
        Ok(look) => converge(world, started, known, look, lookup, budget).await,
        Err(error) => started.finish(&world, started.unread(group, &error, "group's rules")),
    }
}

/// Why an authorize needs no look at the group: nobody follows whoever made it.
fn unmeant(known: &Known, lookup: &Lookup) -> Option<String> {
    let refused = match lookup.call? {
        Call::Authorize => false,
        Call::RefusedAuthorize => true,
        _ => return None,
    };
    let by = lookup.trigger.principal.as_deref().unwrap_or("nobody");
    match known.principals().policy(by) {
        Policy::Follow => None,
        Policy::Accept if !refused => None,
        _ if refused => Some(format!(
            "an authorize by {by}, which is not followed, was refused"
        )),
        _ => Some(format!(
            "an authorize drops no rule, and {by} is not followed"
        )),
    }
}

/// Rules whose revoke has been answered.
struct Answered {
    reason: String,
    rules: Vec<RuleReport>,
}

/// How much later than an event's second our own authorize must be to have come after it: a second for the rest of that
/// second, and one for clocks that differ.
const SURELY_AFTER: SignedDuration = SignedDuration::from_secs(2);

/// Whether every rule that the event says was revoked is recorded and has been authorized by us since. If one has gone
/// again, that had an event of its own. A rule that is not recorded may have stood in for one that is, so an event that
/// names one is looked at; so is one about a rule that is being fought over. Where changes may be meant, each event is a
/// fact to be judged.
fn answered(known: &Known, lookup: &Lookup) -> Option<Answered> {
    let named = &lookup.evidence.revoked;
    let all_are_named = lookup.evidence.revoked_ids.len() <= named.len() && !named.is_empty();
    if lookup.call != Some(Call::Revoke) || !all_are_named || known.principals().any_meant() {
        return None;
    }
    let after = lookup.trigger.event_time? + SURELY_AFTER;
    let mut rules = Vec::new();
    for rule in named {
        let is_kept = known.record.rules.contains_key(rule);
        if !is_kept || known.state.contested.contains_key(rule) {
            return None;
        }
        let at = known.state.last_restored(rule).filter(|at| *at >= after)?;
        let why = format!("rulekeeper put it back after this event, at {at}");
        let line = RuleReport::new(rule.clone(), RuleOutcome::AlreadyPresent);
        rules.push(line.because(why));
    }
    let reason = "what the event tells of has been put back since; in a burst of events the group was not read again";
    Some(Answered {
        reason: reason.to_owned(),
        rules,
    })
}

/// The part of [`reconcile`] after loading: from a record as it stands in the table and a read of the group.
async fn converge<E: SecurityGroups, T: Table>(
    world: World<'_, E, T>,
    started: Started,
    known: Known,
    look: Look,
    lookup: &Lookup,
    budget: Budget,
) -> Report {
    let mut work = Work::new(world, known, look, lookup, budget);
    work.run().await;
    let mut report = work.report(&started);
    record(&world, &started, &mut report).await;
    started.finish(&world, report)
}

/// Writes what is to be remembered. A failure is reported and changes nothing about the restored rules.
async fn record<E, T: Table>(world: &World<'_, E, T>, started: &Started, report: &mut Report) {
    if !world.settings.writes {
        return;
    }
    if world.blind && report.outcome == GroupOutcome::Orphaned {
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
        report.warnings.push(format!(
            "the group could not be marked as orphaned: {error}"
        ));
    }
    started.measure(world, report);
    if let Some(incident) = Incident::of(report, started.at)
        && let Err(error) = world.table.record_incident(&incident).await
    {
        report
            .warnings
            .push(format!("the incident could not be recorded: {error}"));
    }
}

/// Finds the group's id, which an event may leave out.
async fn locate<E: SecurityGroups, T>(
    world: &World<'_, E, T>,
    lookup: &Lookup,
) -> Result<GroupAddress, Box<Report>> {
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
    let mut report = Report::bare(lookup.trigger.clone(), None, outcome, reason);
    report.retryable = retryable;
    Err(Box::new(report))
}

/// When and why a reconcile began.
#[derive(Debug, Clone)]
struct Started {
    at: Timestamp,
    instant: Instant,
    trigger: Trigger,
}

impl Started {
    fn now<E, T>(world: &World<'_, E, T>, trigger: &Trigger) -> Self {
        Self {
            at: (world.now)(),
            instant: Instant::now(),
            trigger: trigger.clone(),
        }
    }

    fn report(&self, group: GroupAddress, outcome: GroupOutcome, reason: &str) -> Report {
        Report::bare(
            self.trigger.clone(),
            Some(group),
            outcome,
            reason.to_owned(),
        )
    }

    /// Whether rules are missing is unknown then, so a retryable reason is worth another delivery.
    fn unread(&self, group: GroupAddress, error: &ApiError, what: &str) -> Report {
        let reason = format!("the {what} could not be read: {error}");
        let mut report = self.report(group, GroupOutcome::Failed, &reason);
        report.retryable = error.is_retryable();
        report.unread = true;
        report
    }

    fn finish<E, T>(&self, world: &World<'_, E, T>, mut report: Report) -> Report {
        self.measure(world, &mut report);
        report
    }

    fn measure<E, T>(&self, world: &World<'_, E, T>, report: &mut Report) {
        report.timing.event_age_ms = report.trigger.age_ms(self.at);
        report.timing.total_ms = millis(self.instant.elapsed());
        report.calls = world.calls.counted();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
