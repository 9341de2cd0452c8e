//! What a restore would do now with each missing rule, from what a look at the group found.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::deferred::{contest_text, wait_text};
use super::snapshot::Snapshot;
use super::{Forbidden, close_command};
use crate::decide::changes::{Backoff, GroupState, RestoreReason, Verdict, WaitReason, backoff_of};
use crate::decide::plan::{Hold, Plan, Superseded};
use crate::decide::quota::Room;
use crate::desired::Mode;
use crate::model::{ActualRules, IngressRule, PrefixListId, RuleKey, in_words};
use crate::report::plan::{GroupPlan, PlannedAction, PlannedRule, ReopenedRule};

/// What a look at a group found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) snapshot: &'a Snapshot,
    /// What becomes of each rule of the record.
    pub(super) verdicts: &'a BTreeMap<RuleKey, Verdict>,
    /// Which rules are missing.
    pub(super) plan: &'a Plan,
    /// What guardrails forbid.
    pub(super) forbidden: Option<&'a Forbidden>,
    pub(super) actual: &'a ActualRules,
    /// The weights of prefix lists, as far as known.
    pub(super) weights: &'a BTreeMap<PrefixListId, u32>,
    /// The account's quota of ingress rules per group.
    pub(super) quota: u32,
    pub(super) now: Timestamp,
}

/// What a restore would do. A prefix list of unknown weight counts once.
pub(super) fn planned(found: Found<'_>) -> GroupPlan {
    let Found { snapshot, plan, .. } = found;
    let superseded: BTreeMap<&RuleKey, &Superseded> =
        plan.superseded.iter().map(|it| (&it.rule, it)).collect();
    let missing: BTreeSet<&RuleKey> = plan.missing.iter().map(|rule| &rule.key).collect();
    let state = snapshot.state.clone().without_ended_contests(found.now);
    let in_order = snapshot.record.rules_in_order().into_iter();
    let in_order = in_order.map(|rule| &rule.key);
    let mut rules: Vec<PlannedRule> = in_order
        .filter(|rule| missing.contains(rule) || superseded.contains_key(rule))
        .map(|rule| line(found, &state, rule, superseded.get(rule).copied()))
        .collect();
    match snapshot.hold(Mode::Enforce, found.now) {
        Some(hold) => rules.iter_mut().for_each(|rule| held(rule, &hold)),
        None => count_room(found, &mut rules),
    }
    GroupPlan {
        group: snapshot.group.clone(),
        name: snapshot.record.name.clone(),
        generation: snapshot.record.generation,
        rules,
        reopened: reopened(found),
        unexpected: plan.unexpected.clone(),
        warnings: Vec::new(),
    }
}

fn line(
    found: Found<'_>,
    state: &GroupState,
    rule: &RuleKey,
    superseded: Option<&Superseded>,
) -> PlannedRule {
    let verdict = found.verdicts.get(rule);
    if let Some(Verdict::Leave(leaving)) = verdict {
        return of_rule(rule, PlannedAction::Leave, leaving.reason()).by(&leaving.by);
    }
    if let Some(superseded) = superseded {
        let live = in_words(&superseded.by);
        let reason = format!("live rules allow the same: {live}");
        return of_rule(rule, PlannedAction::Superseded, reason);
    }
    match verdict {
        Some(Verdict::Wait { until, why }) => {
            let action = match why {
                WaitReason::Insists { .. } => PlannedAction::Contested,
                _ => PlannedAction::Wait,
            };
            let mut line = of_rule(rule, action, wait_text(why, *until)).until(*until);
            line.by = why.by().cloned();
            return line;
        }
        Some(Verdict::Pend(pending)) => {
            return of_rule(rule, PlannedAction::Pending, pending.reason()).by(&pending.by);
        }
        _ => {}
    }
    let forbidden = found.forbidden.and_then(|it| it.rules.get(rule));
    if let Some(reason) = forbidden {
        return of_rule(rule, PlannedAction::Unrestorable, reason.clone());
    }
    if state.unrestorable.contains_key(rule) {
        let reason = format!("{} does not exist", rule.source);
        return of_rule(rule, PlannedAction::Unrestorable, reason);
    }
    match backoff_of(state, rule, None, found.now) {
        Backoff::Waiting(contest) | Backoff::Begins(contest) => {
            let reason = contest_text(&contest);
            let mut line = of_rule(rule, PlannedAction::Contested, reason).until(contest.until);
            line.by = contest.by;
            return line;
        }
        Backoff::None => {}
    }
    match verdict {
        Some(Verdict::Restore(why)) => {
            let mut line = of_rule(rule, PlannedAction::Restore, why.reason());
            line.by = why.by().cloned();
            line
        }
        _ if found.snapshot.principals().any_meant() => {
            let reason = "what became of it could not be judged".to_owned();
            of_rule(rule, PlannedAction::Wait, reason)
        }
        _ => {
            let reason = RestoreReason::NobodyListed.reason();
            of_rule(rule, PlannedAction::Restore, reason)
        }
    }
}

/// A paused group restores nothing; one that observes changes its record neither.
fn held(line: &mut PlannedRule, hold: &Hold) {
    let (action, until) = match hold {
        Hold::Paused { until, .. } => (PlannedAction::Paused, Some(*until)),
        Hold::Observe | Hold::DryRun => (PlannedAction::Observe, None),
    };
    let otherwise = match (line.action, action) {
        (PlannedAction::Restore, _) => "it would be restored",
        (PlannedAction::Leave, PlannedAction::Observe) => "it would leave the record",
        _ => return,
    };
    line.reason = format!("{}; otherwise {otherwise}: {}", hold.reason(), line.reason);
    line.action = action;
    line.until = until;
}

/// A restore fills the room that is left in the order of the record. Rules that wait for a person are among them, because
/// a restore by a person opens them.
fn count_room(found: Found<'_>, lines: &mut [PlannedRule]) {
    let opens = |line: &&PlannedRule| {
        matches!(line.action, PlannedAction::Restore | PlannedAction::Pending)
    };
    let recorded = &found.snapshot.record.rules;
    let wanted = lines.iter().filter(opens);
    let wanted: Vec<IngressRule> = wanted
        .filter_map(|line| recorded.get(&line.rule).cloned())
        .collect();
    let room = Room::count(found.actual, found.quota, found.weights);
    let (_, over, room) = room.fill(wanted, found.weights);
    let over: BTreeSet<&RuleKey> = over.iter().map(|rule| &rule.key).collect();
    for line in lines.iter_mut() {
        if !over.contains(&line.rule) {
            continue;
        }
        line.action = PlannedAction::NoRoom;
        line.reason = format!("no room: {room}");
    }
}

/// Live rules that were put back too early: those that are known, and those that this look found out.
fn reopened(found: Found<'_>) -> Vec<ReopenedRule> {
    let Found {
        snapshot, actual, ..
    } = found;
    let known = snapshot
        .state
        .reopened
        .iter()
        .filter(|(rule, _)| actual.contains(rule));
    let known = known.map(|(rule, reopened)| (rule, &reopened.by, reopened.at));
    let is_new = |rule: &RuleKey| !snapshot.state.reopened.contains_key(rule);
    let new = found.verdicts.iter().filter(|(rule, _)| is_new(rule));
    let new = new.filter_map(|(rule, verdict)| match verdict {
        Verdict::Leave(leaving) if leaving.is_reopened => Some((rule, &leaving.by, leaving.at)),
        Verdict::Pend(pending) if actual.contains(rule) => Some((rule, &pending.by, pending.at)),
        _ => None,
    });
    let all = known.chain(new);
    let all = all.map(|(rule, by, at)| ReopenedRule {
        rule: rule.clone(),
        by: by.clone(),
        at,
        close: close_command(&snapshot.group.id, rule),
    });
    all.collect()
}

fn of_rule(rule: &RuleKey, action: PlannedAction, reason: String) -> PlannedRule {
    PlannedRule {
        rule: rule.clone(),
        action,
        reason,
        by: None,
        until: None,
    }
}

impl PlannedRule {
    fn by(mut self, by: &str) -> Self {
        self.by = Some(by.to_owned());
        self
    }

    fn until(mut self, until: Timestamp) -> Self {
        self.until = Some(until);
        self
    }
}

#[cfg(test)]
mod tests;
