//! Looking at every recorded group of an account and Region.
//!
//! CloudTrail delivers to EventBridge on best effort, so events go missing. A sweep ends in the same place as the
//! events would have: it reads up to 200 groups with one describe and reconciles those that differ from their record.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde_json::Value;

use crate::actual::ActualRules;
use crate::budget::Budget;
use crate::desired::DesiredRecord;
use crate::event::{Evidence, GroupLocator, Lookup, Trigger};
use crate::model::{GroupAddress, GroupId, Scope};
use crate::plan::plan;
use crate::ports::{Calls, GROUPS_PER_READ, SecurityGroups, Table};
use crate::reconcile::{World, reconcile};
use crate::report::{GroupOutcome, Report, SweepReport};

/// What is told after each group: how many are done, and how many there are.
pub type Progress<'a> = &'a dyn Fn(usize, usize);

/// Reconciles every recorded group of a scope.
///
/// The records and rules that are read for many groups at once only tell which groups to look at: those that differ are
/// read again, because a record may change while a sweep is under way. Groups known to be gone are reported and not
/// asked about.
pub async fn sweep<E: SecurityGroups, T: Table>(
    world: World<'_, E, T>,
    scope: &Scope,
    trigger: &Trigger,
    budget: Budget,
    progress: Progress<'_>,
) -> SweepReport {
    let mut tally = Tally::default();
    let (records, marks) = tokio::join!(world.table.all_desired(scope), world.table.marks(scope));
    let records = match records {
        Ok(records) => records,
        Err(error) => {
            let reason = format!("the records could not be read: {error}");
            return tally.finish(Some(reason), error.is_passing());
        }
    };
    // Not knowing which groups are gone costs a few calls and nothing else.
    let marks = marks.unwrap_or_default();
    let total = records.len();
    let mut present: Vec<(GroupAddress, Value)> = Vec::new();
    for (name, item) in records {
        let group = name.parse::<GroupId>().map(|id| GroupAddress {
            scope: scope.clone(),
            id,
        });
        match group {
            Ok(group) if marks.orphaned.contains(&group.id) => tally.add(gone(trigger, group)),
            Ok(group) => present.push((group, item)),
            Err(error) => {
                let reason = format!("the desired-state record cannot be understood: sk: {error}");
                let mut report = Report::bare(trigger.clone(), None, GroupOutcome::Failed, reason);
                report.unreadable = true;
                tally.add(report);
            }
        }
    }
    progress(tally.groups(), total);
    let mut chunks: VecDeque<Vec<(GroupAddress, Value)>> = VecDeque::new();
    while !present.is_empty() {
        let rest = present.split_off(present.len().min(GROUPS_PER_READ));
        chunks.push_back(std::mem::replace(&mut present, rest));
    }
    while let Some(mut chunk) = chunks.pop_front() {
        if !budget.allows(Duration::ZERO) {
            return out_of_time(tally, total);
        }
        let ids: Vec<GroupId> = chunk.iter().map(|(group, _)| group.id.clone()).collect();
        let mut live = match world.ec2.ingress_rules(&ids).await {
            Ok(live) => live,
            Err(error) if error.is_passing() => {
                let reason = format!("the groups' rules could not be read: {error}");
                return tally.finish(Some(reason), true);
            }
            // One id that EC2 cannot make sense of refuses the read of all: halve until it stands alone.
            Err(_) if chunk.len() > 1 => {
                let second = chunk.split_off(chunk.len() / 2);
                chunks.extend([chunk, second]);
                continue;
            }
            Err(error) => {
                let reason = format!("the group's rules could not be read: {error}");
                let group = chunk.into_iter().next().map(|(group, _)| group);
                let mut report = Report::bare(trigger.clone(), group, GroupOutcome::Failed, reason);
                report.unread = true;
                tally.add(report);
                progress(tally.groups(), total);
                continue;
            }
        };
        for (group, item) in chunk {
            if !budget.allows(Duration::ZERO) {
                return out_of_time(tally, total);
            }
            let actual = live.remove(&group.id).unwrap_or_default();
            if !marks.open.contains(&group.id) && is_as_recorded(&item, &actual, scope) {
                tally.count(GroupOutcome::Converged);
            } else {
                let lookup = Lookup {
                    scope: scope.clone(),
                    group: GroupLocator::Id(group.id),
                    trigger: trigger.clone(),
                    call: None,
                    evidence: Evidence::default(),
                };
                // Each report counts the calls for its own group, so the shared counter is read around it.
                let before = world.calls.counted();
                let mut report = reconcile(world, &lookup, budget).await;
                report.calls = made_since(&before, world.calls);
                tally.add(report);
            }
            progress(tally.groups(), total);
        }
    }
    tally.finish(None, false)
}

/// Whether nothing at all is to be said of a group: its record can be read, is not paused, and nothing is missing.
fn is_as_recorded(item: &Value, actual: &ActualRules, scope: &Scope) -> bool {
    DesiredRecord::from_json(item, &scope.account).is_ok_and(|reading| {
        let plan = plan(&reading.record, actual, &BTreeSet::new());
        reading.record.pause.is_none() && plan.missing.is_empty() && plan.superseded.is_empty()
    })
}

fn gone(trigger: &Trigger, group: GroupAddress) -> Report {
    let reason = format!(
        "the security group {} was found not to exist; writing its record again has it looked for again",
        group.id
    );
    Report::bare(trigger.clone(), Some(group), GroupOutcome::Orphaned, reason)
}

fn out_of_time(tally: Tally, total: usize) -> SweepReport {
    let left = total.saturating_sub(tally.groups());
    tally.finish(
        Some(format!(
            "the invocation's time ran out with {left} of {total} groups not looked at"
        )),
        true,
    )
}

fn made_since(before: &BTreeMap<&'static str, u64>, calls: &Calls) -> BTreeMap<&'static str, u64> {
    let now = calls.counted().into_iter();
    let made = now.map(|(operation, count)| {
        (
            operation,
            count - before.get(operation).copied().unwrap_or(0),
        )
    });
    made.filter(|(_, count)| *count > 0).collect()
}

#[derive(Default)]
struct Tally {
    outcomes: BTreeMap<GroupOutcome, u64>,
    reports: Vec<Report>,
    remarks: Vec<Report>,
}

impl Tally {
    fn count(&mut self, outcome: GroupOutcome) {
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    fn add(&mut self, report: Report) {
        self.count(report.outcome);
        match report.outcome {
            GroupOutcome::Converged if report.tells() => self.remarks.push(report),
            GroupOutcome::Converged => {}
            _ => self.reports.push(report),
        }
    }

    fn groups(&self) -> usize {
        usize::try_from(self.outcomes.values().sum::<u64>()).unwrap_or(usize::MAX)
    }

    fn finish(self, reason: Option<String>, passing: bool) -> SweepReport {
        let mut sweep = BTreeMap::from([
            ("groups".to_owned(), self.outcomes.values().sum()),
            (GroupOutcome::Converged.name().to_owned(), 0),
        ]);
        sweep.extend(
            self.outcomes
                .iter()
                .map(|(outcome, count)| (outcome.name().to_owned(), *count)),
        );
        SweepReport {
            sweep,
            reports: self.reports,
            remarks: self.remarks,
            reason,
            passing,
        }
    }
}

#[cfg(test)]
mod tests;
