//! What follows from the facts for a whole group: the verdicts of its rules, and the next generation of its record.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{CHANGE_MAX, Change};
use super::facts::Facts;
use super::verdict::{Leaving, RestoreReason, Verdict, WaitReason};
use super::{
    Entered, GroupState, Judgement, Pending, PendingReason, Removed, Reopened, Return, Revision,
    Situation,
};
use crate::desired::Policy;
use crate::model::{IngressRule, RuleKey};

/// The least number of rules in a record of which a change may be too large.
const LARGE_FROM: usize = 4;

/// A read that began this many seconds after a revoke shows what came back, and not what was there before.
const READS_LAG_SECONDS: i64 = 10;

/// Judges what the facts make of a record.
///
/// Every rule is judged by itself. Two things need all of them: a change that would leave less than half of a record of
/// four or more rules takes nothing out of it, and rules are withheld while their caller deletes a group.
pub fn judge(situation: Situation<'_>, mut state: GroupState) -> Judgement {
    let facts = Facts::of(situation, &state);
    let recorded = situation.record.rules.keys();
    let rules = recorded
        .chain(state.removed.keys())
        .chain(facts.timelines.rules());
    let rules: BTreeSet<RuleKey> = rules.cloned().collect();
    let mut verdicts: BTreeMap<RuleKey, Verdict> = rules
        .into_iter()
        .map(|rule| {
            let verdict = facts.verdict(&rule);
            (rule, verdict)
        })
        .collect();
    let large: Vec<(RuleKey, Verdict)> = facts
        .changes
        .iter()
        .flat_map(|change| too_large(&facts, change, &verdicts))
        .collect();
    verdicts.extend(large);
    for (rule, verdict) in &mut verdicts {
        withhold(&facts, rule, verdict);
    }
    #[cfg(any(test, feature = "fakes"))]
    crate::probe::reached(&verdicts);
    let recorded = situation.record.rules.keys();
    let missing = recorded.filter(|rule| !situation.actual.contains(rule));
    let taken_by = missing.filter_map(|rule| Some((rule.clone(), facts.taken_by(rule)?)));
    let taken_by = taken_by.collect();
    let came_back = came_back(&facts, &verdicts);
    let given = facts.timelines.rules().filter(|rule| facts.is_given(rule));
    let given: Vec<RuleKey> = given.cloned().collect();
    for (rule, back) in came_back {
        state.note_returned(&rule, back);
    }
    let notices = note_verdicts(situation, &mut state, &verdicts);
    let revision = revise(situation, &mut state, &verdicts);
    let recorded = revision
        .as_ref()
        .map_or(&situation.record.rules, |it| &it.rules);
    state.unapplied = given
        .iter()
        .filter(|rule| !recorded.contains_key(*rule))
        .count();
    verdicts.retain(|rule, _| situation.record.rules.contains_key(rule));
    Judgement {
        revision,
        state,
        verdicts,
        taken_by,
        notices,
    }
}

/// The verdicts to replace, because a change would leave less than half of a record of four or more rules. What entered
/// since it began is no part of that record; what it authorizes itself is part of what it leaves.
fn too_large(
    facts: &Facts<'_>,
    change: &Change<'_>,
    verdicts: &BTreeMap<RuleKey, Verdict>,
) -> Vec<(RuleKey, Verdict)> {
    let Situation {
        record,
        principals,
        now,
        ..
    } = facts.situation;
    let by = change.by();
    let policy = principals.policy(by);
    if policy == Policy::Restore {
        return Vec::new();
    }
    let is_its = |author: &str, at| author == by && change.holds(at);
    let entered = |rule: &RuleKey| {
        let entered = facts.state.entered.get(rule);
        entered.filter(|entered| change.begin() <= entered.at)
    };
    let leaving = verdicts.iter().filter_map(|(rule, verdict)| match verdict {
        Verdict::Leave(leaving) if is_its(&leaving.by, leaving.at) => Some((rule, leaving)),
        _ => None,
    });
    let leaving: BTreeMap<&RuleKey, &Leaving> = leaving.collect();
    let left = facts.state.removed.iter().filter(|(rule, removed)| {
        let returns = matches!(
            verdicts.get(*rule),
            Some(Verdict::Reinstate { .. } | Verdict::Enter { .. })
        );
        let is_out = !record.rules.contains_key(*rule) && entered(rule).is_none();
        removed.lost && is_its(&removed.by, removed.at) && is_out && !returns
    });
    let left = left.map(|(rule, _)| rule);
    let left: Vec<&RuleKey> = left.filter(|rule| facts.lost_in(rule, change)).collect();
    let lost = leaving
        .iter()
        .filter(|(rule, leaving)| leaving.why.loses() && entered(rule).is_none());
    let lost: Vec<(&RuleKey, &Leaving)> = lost.map(|(rule, leaving)| (*rule, *leaving)).collect();
    let recorded = || record.rules.keys();
    let decided = recorded().filter(|rule| facts.decided_since(rule, change));
    let gone = lost.len() + left.len() + decided.count();
    let before = recorded().filter(|rule| entered(rule).is_none()).count() + left.len();
    let stays = |rule: &&RuleKey| {
        let its = entered(rule).is_some_and(|entered| is_its(&entered.by, entered.at));
        its && !leaving.contains_key(*rule)
    };
    let entering = verdicts.iter().filter(|(rule, verdict)| match verdict {
        Verdict::Enter { by, at, .. } => is_its(by, *at) && !record.rules.contains_key(*rule),
        _ => false,
    });
    let gained = recorded().filter(stays).count() + entering.count();
    let after = before.saturating_sub(gone) + gained;
    let is_large = before >= LARGE_FROM && after * 2 < before && !fault!(LetsLargeChangesThrough);
    // What waits for a person because the change was large goes on waiting, whatever is known later of other rules.
    let is_over = now.duration_since(change.end()) > CHANGE_MAX;
    let pending = |rule: &RuleKey| facts.state.pending.get(rule).map(|it| it.why);
    let waits = |rule: &RuleKey| is_over && pending(rule) == Some(PendingReason::LargeChange);
    let kept = lost.into_iter().filter(|(rule, _)| is_large || waits(rule));
    let kept = kept.map(|(rule, leaving)| {
        let by = by.to_owned();
        let verdict = match policy {
            Policy::Follow if leaving.is_live => Verdict::Keep,
            _ if leaving.is_live && !leaving.is_reopened => Verdict::Keep,
            Policy::Follow => Verdict::Restore(RestoreReason::LargeChange { by }),
            _ => Verdict::Pend(Pending {
                at: leaving.at,
                by,
                why: PendingReason::LargeChange,
            }),
        };
        (rule.clone(), verdict)
    });
    let back = left.into_iter().filter(|_| is_large);
    let back = back.map(|rule| {
        let by = by.to_owned();
        (rule.clone(), Verdict::Reinstate { by })
    });
    kept.chain(back).collect()
}

/// Withholds a rule while the caller who took it away tries to delete a group that it holds back.
fn withhold(facts: &Facts<'_>, rule: &RuleKey, verdict: &mut Verdict) {
    let is_kept = matches!(verdict, Verdict::Restore(_) | Verdict::Wait { .. });
    if !is_kept || fault!(IgnoresDeletions) {
        return;
    }
    let Some(deletion) = facts.last_deletion(rule) else {
        return;
    };
    match deletion.wait(facts.situation.now) {
        Some(wait) => *verdict = wait,
        None if matches!(verdict, Verdict::Restore(_)) => {
            let by = deletion.by;
            *verdict = Verdict::Restore(RestoreReason::Withheld { by });
        }
        None => {}
    }
}

/// Rules of the record that are live although the last known call took them: somebody put them back, and no event told
/// who.
fn came_back(facts: &Facts<'_>, verdicts: &BTreeMap<RuleKey, Verdict>) -> Vec<(RuleKey, Return)> {
    let Situation {
        record,
        actual,
        now,
        ..
    } = facts.situation;
    let kept = verdicts
        .iter()
        .filter(|(_, verdict)| **verdict == Verdict::Keep);
    let live = kept.filter_map(|(rule, _)| Some((rule, actual.get(rule)?)));
    let recorded = live.filter(|(rule, _)| record.rules.contains_key(*rule));
    let back = recorded.filter_map(|(rule, live)| {
        let taken = facts.taken_last(rule)?;
        let is_fresh = now.duration_since(taken).as_secs() >= READS_LAG_SECONDS;
        is_fresh.then(|| {
            let back = Return {
                at: now,
                id: live.id.clone(),
                ours: false,
            };
            (rule.clone(), back)
        })
    });
    back.collect()
}

/// Notes what the verdicts say of the state, and returns what a person should know.
fn note_verdicts(
    situation: Situation<'_>,
    state: &mut GroupState,
    verdicts: &BTreeMap<RuleKey, Verdict>,
) -> Vec<String> {
    let Situation { record, actual, .. } = situation;
    let mut notices = Vec::new();
    let mut missing_since = BTreeMap::new();
    let mut pending = BTreeMap::new();
    let mut open = BTreeMap::new();
    let is_missing = |rule: &RuleKey| record.rules.contains_key(rule) && !actual.contains(rule);
    for (rule, verdict) in verdicts.iter().filter(|(rule, _)| is_missing(rule)) {
        match verdict {
            Verdict::Wait {
                why: WaitReason::UnknownCause { since },
                ..
            }
            | Verdict::Restore(RestoreReason::NeverTold { since }) => {
                missing_since.insert(rule.clone(), *since);
            }
            Verdict::Pend(waiting) => {
                if !state.pending.contains_key(rule) {
                    notices.push(waiting.notice(rule));
                }
                pending.insert(rule.clone(), waiting.clone());
            }
            _ => {}
        }
    }
    for (rule, verdict) in verdicts.iter().filter(|(rule, _)| actual.contains(rule)) {
        if let Verdict::Pend(Pending { at, by, .. }) = verdict {
            let (at, by) = (*at, by.clone());
            if !state.reopened.contains_key(rule) {
                notices.push(format!(
                    "{rule} was put back before it was known that {by} had closed it, in a change that waits for a \
                     person; close it and `rulekeeper release` it if that was meant"
                ));
            }
            open.insert(rule.clone(), Reopened { at, by });
        }
    }
    state.missing_since = missing_since;
    state.pending = pending;
    state
        .contested
        .retain(|rule, _| record.rules.contains_key(rule));
    state
        .reopened
        .retain(|rule, _| actual.contains(rule) && !record.rules.contains_key(rule));
    state.reopened.extend(open);
    state.unrestorable.retain(|rule, _| is_missing(rule));
    state
        .told
        .retain(|rule| actual.contains(rule) && !record.rules.contains_key(rule));
    notices
}

/// The next generation of the record, if there is to be one. A generation has one author.
fn revise(
    situation: Situation<'_>,
    state: &mut GroupState,
    verdicts: &BTreeMap<RuleKey, Verdict>,
) -> Option<Revision> {
    let record = situation.record;
    let author = |verdict: &Verdict| match verdict {
        Verdict::Reinstate { by } | Verdict::Enter { by, .. } => Some(by.clone()),
        Verdict::Leave(leaving) => Some(leaving.by.clone()),
        _ => None,
    };
    let by = verdicts.values().find_map(author)?;
    let mut revision = Revision::by(&by, record);
    let its = verdicts
        .iter()
        .filter(|(_, verdict)| author(verdict).as_deref() == Some(&by));
    for (rule, verdict) in its {
        match verdict {
            Verdict::Reinstate { .. } => {
                if let Some(removed) = state.removed.remove(rule) {
                    revision.rules.insert(rule.clone(), removed.rule);
                    revision.reinstated.push(rule.clone());
                }
            }
            Verdict::Enter {
                at, rule: entering, ..
            } => {
                if !revision.rules.contains_key(rule) {
                    let entered = Entered {
                        at: *at,
                        by: by.clone(),
                    };
                    state.entered.insert(rule.clone(), entered);
                }
                state.removed.remove(rule);
                revision
                    .rules
                    .insert(rule.clone(), IngressRule::clone(entering));
                revision.entered.push(rule.clone());
            }
            Verdict::Leave(leaving) => {
                let Some(recorded) = revision.rules.remove(rule) else {
                    continue;
                };
                let (at, by) = (leaving.at, leaving.by.clone());
                if leaving.is_reopened {
                    let reopened = Reopened { at, by: by.clone() };
                    state.reopened.insert(rule.clone(), reopened);
                }
                let removed = Removed {
                    at,
                    by,
                    rule: recorded,
                    lost: leaving.why.loses(),
                };
                state.removed.insert(rule.clone(), removed);
                state.contested.remove(rule);
                state.pending.remove(rule);
                state.missing_since.remove(rule);
                revision.removed.push((rule.clone(), leaving.clone()));
            }
            _ => {}
        }
    }
    Some(revision)
}

impl Pending {
    /// What a person should know, once.
    fn notice(&self, rule: &RuleKey) -> String {
        format!("{rule} stays closed and recorded: {}", self.reason())
    }

    /// Why it waits for a person, and what ends that.
    pub fn reason(&self) -> String {
        let by = &self.by;
        match self.why {
            PendingReason::LargeChange => format!(
                "pending: the change by {by} would leave less than half of the record; `rulekeeper confirm` lets its rules go, `rulekeeper restore` brings them back"
            ),
            PendingReason::NarrowingRefused => format!(
                "{by} revoked it to narrow it, and the narrower authorize was refused; `rulekeeper restore` opens it again, `rulekeeper confirm` lets it go"
            ),
        }
    }
}
