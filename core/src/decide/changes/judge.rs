//! What follows from the facts.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{
    ABORTED_FOR, Authorization, GroupState, Judgement, ObservedCall, RemovalReason, Removed,
    Revision, Settling, Situation, second,
};
use crate::decide::cover::covering;
use crate::desired::{Policy, Superseding};
use crate::model::{IngressRule, RuleKey, settable_tags};

/// A call's time may be this much ahead of our clock.
const CLOCKS_DIFFER_MAX: SignedDuration = SignedDuration::from_secs(60);

/// Judges what the facts make of the record.
pub fn judge(situation: Situation<'_>, state: GroupState) -> Judgement {
    let mut judge = Judge {
        situation,
        state,
        settling: BTreeMap::new(),
    };
    judge.confirm_decisions();
    let reinstating = judge.reinstating();
    let entering = judge.entering();
    let leaving = judge.removals();
    // A generation has one author.
    let author = [
        reinstating.first().map(|(by, _)| by),
        entering.first().map(|(by, _)| by),
        leaving.first().map(|(by, ..)| by),
    ];
    let author = author.into_iter().flatten().next().cloned();
    let revision = author.map(|by| judge.revise(&by, &reinstating, &entering, &leaving));
    Judgement {
        revision,
        state: judge.state,
        settling: judge.settling,
    }
}

struct Judge<'a> {
    situation: Situation<'a>,
    state: GroupState,
    settling: BTreeMap<RuleKey, Settling>,
}

impl Judge<'_> {
    /// Notes that removed rules were revoked again by an accepted principal: what was done to them in between is
    /// overtaken, even if we learn of it later.
    fn confirm_decisions(&mut self) {
        let removed = self.state.removed.keys();
        let out = removed.filter(|rule| !self.situation.record.rules.contains_key(*rule));
        let revoked = out.filter_map(|rule| {
            let (at, by) = self.last_revoked(rule, Policy::Accept)?;
            Some((rule.clone(), at, by.to_owned()))
        });
        for (rule, at, by) in revoked.collect::<Vec<_>>() {
            if let Some(removed) = self
                .state
                .removed
                .get_mut(&rule)
                .filter(|removed| removed.at < at)
            {
                (removed.at, removed.by) = (at, by);
            }
        }
    }

    /// Rules that were removed because of a change of which we have learnt since that it was aborted.
    fn reinstating(&self) -> Vec<(String, RuleKey)> {
        let record = self.situation.record;
        let back = self.state.removed.iter().filter(|(rule, removed)| {
            !record.rules.contains_key(rule)
                && self.situation.principals.policy(&removed.by) == Policy::Follow
                && self.is_aborted(&removed.by, removed.at)
        });
        back.map(|(rule, removed)| (removed.by.clone(), rule.clone()))
            .collect()
    }

    /// Live rules that a followed principal authorized. An authorize that can have no effect any more is marked so.
    fn entering(&mut self) -> Vec<(String, IngressRule)> {
        let Situation {
            record,
            principals,
            actual,
            ..
        } = self.situation;
        let (mut entering, mut applied) = (Vec::new(), Vec::new());
        for (by, calls) in &self.state.calls {
            let policy = principals.policy(by);
            for (rule, it) in calls.authorized.iter().filter(|(_, it)| !it.applied) {
                let removed = self
                    .state
                    .removed
                    .get(rule)
                    .filter(|removed| removed.at <= it.at);
                match policy {
                    Policy::Follow => {}
                    // An accepted principal that puts a rule back takes its decision back.
                    Policy::Accept if removed.is_some_and(|removed| removed.by == *by) => {}
                    _ => continue,
                }
                if self.is_overtaken(rule, it.at, removed.is_some()) {
                    applied.push((by.clone(), rule.clone()));
                    continue;
                }
                let live = actual.get(rule).filter(|live| {
                    let ids = live.id.as_ref().filter(|_| !it.ids.is_empty());
                    ids.is_none_or(|live| it.ids.contains(live))
                });
                let Some(live) = live else {
                    // It came back and is gone once more. Whether that is meant is judged next.
                    let back = removed.map(|removed| (by.clone(), removed.rule.clone()));
                    entering.extend(back);
                    continue;
                };
                let recorded = record.rules.get(rule);
                let wanted = IngressRule {
                    key: rule.clone(),
                    description: live.description.clone(),
                    tags: settable_tags(&live.tags),
                    priority: recorded.map_or(0, |rule| rule.priority),
                };
                if recorded == Some(&wanted) {
                    applied.push((by.clone(), rule.clone()));
                } else {
                    entering.push((by.clone(), wanted));
                }
            }
        }
        for (by, rule) in applied {
            self.mark_applied(&by, &rule);
        }
        entering
    }

    /// Whether something that was done to a rule after `at` makes an authorize of that time meaningless. A later revoke of
    /// a rule that was removed before is judged by itself, when the rule is back in the record.
    fn is_overtaken(&self, rule: &RuleKey, at: Timestamp, was_removed: bool) -> bool {
        let state = &self.state;
        let by_operator = state
            .decided
            .get(rule)
            .is_some_and(|time| at <= second(*time));
        let by_removal = state
            .removed
            .get(rule)
            .is_some_and(|removed| at < removed.at);
        let by_calls = state.calls.values().any(|calls| {
            let revoked = calls.revoked.get(rule).and_then(BTreeSet::last);
            let authorized = calls.authorized.get(rule).map(|it| it.at);
            !was_removed && revoked.is_some_and(|time| at < *time)
                || authorized.is_some_and(|time| at < time)
        });
        by_operator || by_removal || by_calls
    }

    /// Rules that leave the record. Those whose change is still under way are noted on the side.
    fn removals(&mut self) -> Vec<(String, Timestamp, RuleKey, RemovalReason)> {
        let mut leaving = Vec::new();
        for rule in self.situation.record.rules.keys() {
            let Some((by, at)) = self.cause(rule) else {
                continue;
            };
            let why = match self.situation.principals.policy(&by) {
                Policy::Restore => None,
                Policy::Accept => Some(RemovalReason::Accepted),
                Policy::Follow => self.followed(rule, &by, at),
            };
            leaving.extend(why.map(|why| (by, at, rule.clone(), why)));
        }
        leaving
    }

    /// The revoke because of which a rule may leave: the last one, unless the rule was put back since. A decision goes
    /// before a change that may or may not be complete.
    fn cause(&self, rule: &RuleKey) -> Option<(String, Timestamp)> {
        [Policy::Accept, Policy::Follow]
            .into_iter()
            .find_map(|policy| {
                let (at, by) = self.last_revoked(rule, policy)?;
                let at_hand = self.situation.observed.filter(|observed| {
                    observed.by == by && observed.at == at && observed.revoked.contains(rule)
                });
                let is_open = match policy {
                    Policy::Accept => self.is_undecided(rule, at, at_hand),
                    _ => self.is_unfinished(rule, at, at_hand),
                };
                is_open.then(|| (by.to_owned(), at))
            })
    }

    /// Whether a decision of an accepted principal still stands.
    ///
    /// We may have put the rule back before we learnt of the decision. We could not take it away again, but while its
    /// event is at hand the record can be right, however late that is. Whoever put it back may have died before saying
    /// so: an event that proves that the rule was taken away counts all the same, unless somebody else is known to have
    /// authorized it since.
    fn is_undecided(&self, rule: &RuleKey, at: Timestamp, at_hand: Option<&ObservedCall>) -> bool {
        let restored = self.state.last_restored(rule);
        let authorized = self.state.last_authorized(rule);
        let by_us = restored.is_some_and(|time| at <= time);
        match (at_hand, self.situation.actual.contains(rule)) {
            (Some(_), false) => self.nothing_since(rule, at, None),
            (Some(_), true) if by_us => self.nothing_since(rule, at, None),
            (Some(observed), true)
                if observed.proven && authorized.is_none_or(|time| time < at) =>
            {
                self.nothing_since(rule, at, None)
            }
            (_, true) => false,
            (None, false) => self.nothing_since(rule, at, restored),
        }
    }

    /// Whether a revoke of a followed principal is still to be judged.
    ///
    /// A rule that we put back before we learnt of its revoke counts as gone while that event is at hand for the first
    /// time: a change that is complete by now commits.
    fn is_unfinished(&self, rule: &RuleKey, at: Timestamp, at_hand: Option<&ObservedCall>) -> bool {
        let restored = self.state.last_restored(rule);
        if !self.situation.actual.contains(rule) {
            return self.nothing_since(rule, at, restored);
        }
        let is_news = at_hand.is_some_and(|observed| observed.news.contains(rule));
        let by_us = restored.is_some_and(|time| at <= time);
        let is_late = self.situation.now.duration_since(at) > ABORTED_FOR;
        is_news && by_us && !is_late && self.nothing_since(rule, at, None)
    }

    /// Whether neither an operator's decision, nor an authorize, nor `put_back` came after a revoke, and it is not the
    /// one because of which the rule was removed before.
    fn nothing_since(&self, rule: &RuleKey, at: Timestamp, put_back: Option<Timestamp>) -> bool {
        let decided = self.state.decided.get(rule).copied();
        let mut since = [decided, put_back, self.state.last_authorized(rule)]
            .into_iter()
            .flatten();
        let removed = self.state.removed.get(rule);
        since.all(|time| second(time) <= at) && removed.is_none_or(|removed| removed.at < at)
    }

    /// When and by whom a rule was last revoked, of those whose changes are taken in this way.
    fn last_revoked(&self, rule: &RuleKey, policy: Policy) -> Option<(Timestamp, &str)> {
        let revokes = self.state.calls.iter().filter_map(|(by, calls)| {
            let last = calls.revoked.get(rule)?.last()?;
            (self.situation.principals.policy(by) == policy).then_some((*last, by.as_str()))
        });
        revokes.max()
    }

    /// What becomes of a rule that a followed principal revoked.
    fn followed(&mut self, rule: &RuleKey, by: &str, at: Timestamp) -> Option<RemovalReason> {
        if self.is_aborted(by, at) {
            return None;
        }
        let until = at.checked_add(self.settle(by)).unwrap_or(at);
        // Nothing waits for a time that only a wrong clock can have given.
        let is_wrong = at.duration_since(self.situation.now) > CLOCKS_DIFFER_MAX;
        if self.situation.now < until && !is_wrong && !fault!(JudgesBeforeSettling) {
            let by = by.to_owned();
            self.settling.insert(rule.clone(), Settling { by, until });
            return None;
        }
        if let Some(live) = self.substitutes(rule, by, at) {
            return Some(RemovalReason::Committed(live));
        }
        self.asked_twice(rule, by, at)
            .then_some(RemovalReason::AskedTwice)
    }

    fn settle(&self, by: &str) -> SignedDuration {
        SignedDuration::from_secs(self.situation.principals.settle_seconds(by).into())
    }

    /// Whether a revoke belongs to a change of which an authorize was refused, or came shortly after one.
    fn is_aborted(&self, by: &str, at: Timestamp) -> bool {
        let settle = self.settle(by);
        let refused = self.state.calls.get(by).map(|calls| &calls.refused);
        let mut refused = refused.into_iter().flatten();
        !fault!(ForgetsAborts)
            && refused.any(|(first, last)| {
                first.duration_since(at) <= settle && at.duration_since(*last) <= ABORTED_FOR
            })
    }

    /// Whether an authorize of a principal was refused between two times.
    fn was_refused(&self, by: &str, from: Timestamp, to: Timestamp) -> bool {
        let refused = self.state.calls.get(by).map(|calls| &calls.refused);
        let mut refused = refused.into_iter().flatten();
        refused.any(|(first, last)| from <= *last && *first <= to)
    }

    /// The live rules that make up for a rule in a change at this time: rules that the record does not hold and did not
    /// hold lately, or did not hold until the principal authorized them in the same change.
    fn substitutes(&self, rule: &RuleKey, by: &str, at: Timestamp) -> Option<Vec<RuleKey>> {
        let Situation { record, actual, .. } = self.situation;
        if record.superseding == Superseding::Ignore {
            return None;
        }
        let candidates = actual.iter().map(|live| &live.key);
        let candidates = candidates.filter(|key| *key != rule).filter(|key| {
            let is_known = record.rules.contains_key(key) || self.state.removed.contains_key(key);
            !is_known || self.entered(key, by, at).is_some()
        });
        let live = covering(rule, candidates)?;
        Some(live.into_iter().cloned().collect())
    }

    /// When a principal authorized, in a change at this time, a rule that the record did not hold.
    fn entered(&self, rule: &RuleKey, by: &str, at: Timestamp) -> Option<Timestamp> {
        let authorized = self.state.calls.get(by)?.authorized.get(rule)?;
        let is_lately = at.duration_since(authorized.at) <= ABORTED_FOR;
        let is_new = authorized.entered || !self.situation.record.rules.contains_key(rule);
        (is_lately && is_new).then_some(authorized.at)
    }

    /// Whether the principal revoked a rule, we put it back, and it revoked it again.
    fn asked_twice(&self, rule: &RuleKey, by: &str, at: Timestamp) -> bool {
        let state = &self.state;
        let since = [
            state.decided.get(rule).map(|time| second(*time)),
            state
                .removed
                .get(rule)
                .and_then(|removed| removed.at.checked_add(SignedDuration::from_secs(1)).ok()),
        ];
        let since = since.into_iter().flatten().max();
        let revoked = state
            .calls
            .get(by)
            .and_then(|calls| calls.revoked.get(rule));
        let mut before = revoked.into_iter().flatten().copied().filter(|first| {
            *first < at
                && since.is_none_or(|since| since <= *first)
                && !self.is_aborted(by, *first)
                && !self.was_refused(by, *first, at)
        });
        let restored = state.restored.get(rule);
        before.any(|first| {
            let mut restored = restored.into_iter().flatten();
            restored.any(|restored| first <= *restored && second(*restored) <= at)
        })
    }

    fn mark_applied(&mut self, by: &str, rule: &RuleKey) -> Option<&mut Authorization> {
        let it = self.state.calls.get_mut(by)?.authorized.get_mut(rule)?;
        it.applied = true;
        Some(it)
    }

    /// Everything that one author changes.
    fn revise(
        &mut self,
        by: &str,
        reinstating: &[(String, RuleKey)],
        entering: &[(String, IngressRule)],
        leaving: &[(String, Timestamp, RuleKey, RemovalReason)],
    ) -> Revision {
        let mut revision = Revision::by(by, self.situation.record);
        for (_, rule) in reinstating.iter().filter(|(author, _)| author == by) {
            if let Some(removed) = self.state.removed.remove(rule) {
                revision.rules.insert(rule.clone(), removed.rule);
                revision.reinstated.push(rule.clone());
            }
        }
        for (_, rule) in entering.iter().filter(|(author, _)| author == by) {
            let is_new = !revision.rules.contains_key(&rule.key);
            if let Some(it) = self.mark_applied(by, &rule.key) {
                it.entered |= is_new;
            }
            revision.rules.insert(rule.key.clone(), rule.clone());
            revision.entered.push(rule.key.clone());
        }
        for (_, at, key, why) in leaving.iter().filter(|(author, ..)| author == by) {
            let Some(rule) = revision.rules.remove(key) else {
                continue;
            };
            let (at, by) = (*at, by.to_owned());
            self.state
                .removed
                .insert(key.clone(), Removed { at, by, rule });
            self.state.contested.remove(key);
            revision.removed.push((key.clone(), why.clone()));
        }
        revision
    }
}
