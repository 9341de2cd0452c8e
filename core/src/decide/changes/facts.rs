//! What becomes of one rule: a pure function of what happened to it, the changes it is part of, the policies, the live
//! rules and the time. The table of all rows is in `docs/design/meant-or-lost.md`.

use jiff::{SignedDuration, Timestamp};

use super::change::{CHANGE_MAX, Change, Changes, GAP_MAX, Standing, is_less_public, is_narrower};
use super::timeline::{Entry, Timelines, What};
use super::verdict::{Leaving, RemovalReason, RestoreReason, Verdict, WaitReason};
use super::{Entered, GroupState, KnownCall, Pending, PendingReason, Situation, Taker};
use crate::decide::cover::covering;
use crate::desired::{Policy, Superseding};
use crate::event::Call;
use crate::model::{IngressRule, RuleKey, settable_tags};

/// How long a rule counts as new after a person put it into the record.
const NEW_FOR: SignedDuration = SignedDuration::from_mins(15);

/// How long after the end of a wait the look that ends it may take to come: sweeps are to run at least hourly. A rule
/// that is missing later than that came back meanwhile, and waits anew.
const LOOKED_AT_WITHIN: SignedDuration = SignedDuration::from_hours(2);

/// The longest wait for the rest of a followed principal's change, from its revoke on.
const OPEN_FOR_MAX: SignedDuration = SignedDuration::from_mins(5);

/// A person who revokes a rule again this soon after its return means it.
const INSISTS_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// For how long a rule that a person insists on closing stays closed.
const INSISTED_FOR: SignedDuration = SignedDuration::from_hours(1);

/// All that a verdict depends on.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) situation: Situation<'a>,
    pub(super) state: &'a GroupState,
    pub(super) timelines: Timelines<'a>,
    pub(super) changes: Changes<'a>,
    /// The call of the event at hand, as the state holds it.
    at_hand: Option<&'a KnownCall>,
}

impl<'a> Facts<'a> {
    pub(super) fn of(situation: Situation<'a>, state: &'a GroupState) -> Self {
        Self {
            situation,
            state,
            timelines: Timelines::of(situation.record, state, situation.actual),
            changes: Changes::of(&state.calls),
            at_hand: situation.call.and_then(|call| state.known(call)),
        }
    }

    /// What becomes of a rule. Large changes and deletions of groups are for [`super::judge()`] to see.
    pub(super) fn verdict(&self, rule: &RuleKey) -> Verdict {
        if let Some(wish) = self.wish(rule) {
            return wish;
        }
        if !self.is_recorded(rule) || self.is_live(rule) {
            return Verdict::Keep;
        }
        match self.timelines.last(rule) {
            Some(
                entry @ Entry {
                    what: What::Taken(call),
                    ..
                },
            ) => self.after_revoke(rule, entry, call),
            _ => self.of_unknown_cause(rule),
        }
    }

    /// What the last listed principal who decided about a rule wants. Our own restores and unlisted callers do not count.
    fn wish(&self, rule: &RuleKey) -> Option<Verdict> {
        let entries = self.timelines.of_rule(rule);
        let mut was_taken = false;
        // A change that waits or is undone leaves what was decided before it.
        let mut undecided = None;
        for (place, entry) in entries.iter().enumerate().rev() {
            match entry.what {
                What::Given(call) if self.policy(call).enters() => {
                    if undecided.is_some() {
                        return undecided;
                    }
                    let is_last = place + 1 == entries.len();
                    let is_new = !self.is_recorded(rule) && !was_taken;
                    let entering = self.entering(rule, entry, call);
                    let entering = entering.filter(|_| is_last || is_new);
                    return entering.or_else(|| self.entering_lost(rule, call, was_taken));
                }
                What::Described(call)
                    if self.policy(call).enters() && place + 1 == entries.len() =>
                {
                    let described = self.entering(rule, entry, call);
                    if described.is_some() {
                        return described;
                    }
                }
                What::Taken(call) => {
                    let took_effect = self.took_effect(rule, entries, place);
                    was_taken |= took_effect;
                    let is_listed = self.policy(call) != Policy::Restore;
                    if is_listed && took_effect {
                        match self.decided(rule, entry, call) {
                            Some(Verdict::Leave(leaving)) => return Some(Verdict::Leave(leaving)),
                            Some(Verdict::Keep) => return Some(Verdict::Keep),
                            waits => undecided = undecided.or(waits),
                        }
                    }
                }
                What::Given(_) | What::Described(_) | What::Returned { .. } => {}
            }
        }
        undecided
    }

    /// What a listed principal decided by taking a rule away; `None` where it decided nothing.
    fn decided(&self, rule: &RuleKey, entry: &Entry<'_>, call: &KnownCall) -> Option<Verdict> {
        let verdict = self.after_revoke(rule, entry, call);
        if !self.is_recorded(rule) {
            let is_undone = matches!(
                verdict,
                Verdict::Restore(RestoreReason::Aborted { .. }) | Verdict::Pend(_)
            );
            return match (verdict, self.has_left(rule, call)) {
                (_, true) if is_undone => Some(Verdict::Reinstate {
                    by: call.by.clone(),
                }),
                // It may have left for what was live then.
                (Verdict::Leave(_), _) | (_, true) => Some(Verdict::Keep),
                _ => None,
            };
        }
        match verdict {
            Verdict::Leave(_) => Some(verdict),
            Verdict::Pend(_) | Verdict::Wait { .. } if !self.is_live(rule) => Some(verdict),
            // It came back before this was known. That has to be told.
            Verdict::Pend(_) if self.is_reopened(rule, entry) => Some(verdict),
            _ => None,
        }
    }

    fn is_recorded(&self, rule: &RuleKey) -> bool {
        self.situation.record.rules.contains_key(rule)
    }

    /// Whether a rule is live although this call took it away, and nobody is known to have authorized it since but us.
    fn is_reopened(&self, rule: &RuleKey, taken: &Entry<'_>) -> bool {
        let entries = self.timelines.of_rule(rule).iter().rev();
        let mut since = entries.take_while(|it| *it != taken);
        self.is_live(rule) && !since.any(|it| matches!(it.what, What::Given(_)))
    }

    fn policy(&self, call: &KnownCall) -> Policy {
        self.situation.principals.policy(&call.by)
    }

    fn is_live(&self, rule: &RuleKey) -> bool {
        self.situation.actual.contains(rule)
    }

    /// Whether a rule that is not recorded left the record because of this call.
    fn has_left(&self, rule: &RuleKey, call: &KnownCall) -> bool {
        let removed = self.state.removed.get(rule);
        removed.is_some_and(|removed| removed.by == call.by && removed.at == call.at)
    }

    /// Whether a revoke took something away. In a default VPC a revoke succeeds also when there was nothing to revoke, so
    /// one without ids counts only if the rule was seen missing or came back since.
    fn took_effect(&self, rule: &RuleKey, entries: &[Entry<'_>], place: usize) -> bool {
        let since = &entries[place + 1..];
        let first = since.first().map(|it| it.what);
        let was_there = first == Some(What::Returned { ours: false });
        let came_back =
            |it: &Entry<'_>| matches!(it.what, What::Returned { ours: true } | What::Given(_));
        let was_missing = !self.is_live(rule) || since.iter().any(came_back);
        entries[place].id.is_some() || !was_there && was_missing
    }

    /// A rule that a listed principal authorized and that an unlisted caller took before it was seen live. It enters the
    /// record all the same, or returns to it: what was lost comes back.
    fn entering_lost(&self, rule: &RuleKey, call: &KnownCall, was_taken: bool) -> Option<Verdict> {
        if self.is_recorded(rule) {
            return None;
        }
        let by = call.by.clone();
        let removed = self.state.removed.get(rule);
        if removed.is_some_and(|removed| removed.at <= call.at) {
            return Some(Verdict::Reinstate { by });
        }
        was_taken.then(|| Verdict::Enter {
            by,
            at: call.at,
            rule: IngressRule::bare(rule.clone()),
        })
    }

    /// A live rule as a listed principal authorized or described it; `None` where nothing is to be recorded.
    fn entering(&self, rule: &RuleKey, entry: &Entry<'_>, call: &KnownCall) -> Option<Verdict> {
        let live = self.situation.actual.get(rule)?;
        if let (Some(given), Some(live)) = (entry.id, &live.id)
            && given != live
        {
            return None;
        }
        let recorded = self.situation.record.rules.get(rule);
        let enters = recorded.is_some() && !fault!(IgnoresDescriptions);
        if !enters && matches!(entry.what, What::Described(_)) {
            return None;
        }
        let told = match entry.what {
            What::Described(call) => {
                let by_id = |id| call.evidence.described_ids.get(id);
                let by_id = live.id.as_ref().and_then(by_id);
                by_id.or_else(|| call.evidence.described.get(rule))
            }
            _ => None,
        };
        let wanted = IngressRule {
            key: rule.clone(),
            // A read may still show the old one.
            description: told.unwrap_or(&live.description).clone(),
            tags: settable_tags(&live.tags),
            priority: recorded.map_or(0, |rule| rule.priority),
        };
        if recorded == Some(&wanted) {
            return Some(Verdict::Keep);
        }
        Some(Verdict::Enter {
            by: call.by.clone(),
            at: call.at,
            rule: wanted,
        })
    }

    /// What follows from a revoke or a modify.
    fn after_revoke(&self, rule: &RuleKey, entry: &Entry<'_>, call: &KnownCall) -> Verdict {
        let verdict = self.after_revoke_alone(rule, entry, call);
        let is_kept = matches!(verdict, Verdict::Restore(_) | Verdict::Wait { .. });
        let is_gone = is_kept
            && self.policy(call) != Policy::Restore
            && self.deletion(rule, call).is_some_and(|it| it.is_gone);
        match is_gone {
            true => self.leave(rule, entry, call, RemovalReason::ReferenceGone),
            false => verdict,
        }
    }

    fn leave(
        &self,
        rule: &RuleKey,
        entry: &Entry<'_>,
        call: &KnownCall,
        why: RemovalReason,
    ) -> Verdict {
        Verdict::Leave(Leaving {
            by: call.by.clone(),
            at: call.at,
            why,
            is_live: self.is_live(rule),
            is_reopened: self.is_reopened(rule, entry),
        })
    }

    /// The same without a look at deletions of groups.
    fn after_revoke_alone(&self, rule: &RuleKey, entry: &Entry<'_>, call: &KnownCall) -> Verdict {
        let by = || call.by.clone();
        let leave = |why| self.leave(rule, entry, call, why);
        let policy = self.policy(call);
        match policy {
            Policy::Restore if self.insists(rule, entry, call) => {
                let until = call.at.checked_add(INSISTED_FOR).unwrap_or(call.at);
                return match self.situation.now < until {
                    true => Verdict::Wait {
                        until,
                        why: WaitReason::Insists { by: by() },
                    },
                    false => Verdict::Restore(RestoreReason::Unlisted { by: by() }),
                };
            }
            Policy::Restore if !self.situation.principals.any_meant() => {
                return Verdict::Restore(RestoreReason::NobodyListed);
            }
            Policy::Restore => return Verdict::Restore(RestoreReason::Unlisted { by: by() }),
            Policy::Release => return leave(RemovalReason::Accepted),
            _ if call.call == Call::Modify => return leave(RemovalReason::Modified),
            Policy::Accept | Policy::Follow => {}
        }
        if self.state.unrestorable.contains_key(rule) {
            return leave(RemovalReason::ReferenceGone);
        }
        let now = self.situation.now;
        let after = |time: Timestamp, wait: SignedDuration| time.checked_add(wait).unwrap_or(time);
        let standing = self.standing(rule, call);
        if let Standing::Open(tried)
        | Standing::Aborted {
            tried: Some(tried), ..
        } = standing
            && policy == Policy::Follow
        {
            let until = after(tried, GAP_MAX).min(after(call.at, OPEN_FOR_MAX));
            if now < until {
                let why = WaitReason::TriesAgain { by: by() };
                return Verdict::Wait { until, why };
            }
        }
        if let Standing::Aborted { narrows, .. } = standing {
            if narrows && rule.source.is_public() {
                return Verdict::Pend(Pending {
                    at: call.at,
                    by: by(),
                    why: PendingReason::NarrowingRefused,
                });
            }
            let entered = self.state.entered.get(rule);
            let in_it = |entered: &Entered| {
                let change = self.changes.with(call);
                let holds = change.is_some_and(|change| change.holds(entered.at));
                holds && entered.at <= call.at && entered.by == call.by
            };
            return match entered.is_some_and(in_it) || self.is_taken_back(rule, entry, call) {
                true => leave(RemovalReason::RolledBack),
                false => Verdict::Restore(RestoreReason::Aborted { by: by() }),
            };
        }
        let made_up = self.made_up_for(rule, call);
        if policy == Policy::Accept {
            return leave(made_up.unwrap_or(RemovalReason::Accepted));
        }
        let settled = after(call.at, self.settle(&call.by));
        if now < settled && !fault!(JudgesBeforeSettling) {
            let why = WaitReason::Settles { by: by() };
            return Verdict::Wait {
                until: settled,
                why,
            };
        }
        if let Some(why) = made_up {
            return leave(why);
        }
        match self.asked_twice(rule, entry, call) {
            true => leave(RemovalReason::AskedTwice),
            false => Verdict::Restore(RestoreReason::Half { by: by() }),
        }
    }

    /// Whether the caller had authorized a rule in the same change, and the record never held it.
    fn is_taken_back(&self, rule: &RuleKey, entry: &Entry<'_>, call: &KnownCall) -> bool {
        let change = self.changes.with(call);
        let mut before = self.timelines.before(rule, entry);
        !self.is_recorded(rule)
            && !self.state.removed.contains_key(rule)
            && before.any(|it| match it.what {
                What::Given(given) => change.is_some_and(|change| change.calls.contains(&given)),
                _ => false,
            })
    }

    /// How the change that a call belongs to stands towards a rule.
    fn standing(&self, rule: &RuleKey, call: &KnownCall) -> Standing {
        let change = self.changes.with(call);
        change.map_or(Standing::Fine, |change| change.standing(rule))
    }

    fn settle(&self, by: &str) -> SignedDuration {
        SignedDuration::from_secs(self.situation.principals.settle_seconds(by).into())
    }

    /// The live rules that a principal authorized itself in this change, or shortly before, and that allow what the rule
    /// allowed, or are what it was narrowed to. Rules that the record held before do not count.
    fn made_up_for(&self, rule: &RuleKey, call: &KnownCall) -> Option<RemovalReason> {
        let record = self.situation.record;
        let live = self.situation.actual.iter().map(|live| &live.key);
        let made: Vec<&RuleKey> = live
            .filter(|key| *key != rule && self.gave(key, call))
            .collect();
        if record.superseding != Superseding::Ignore
            && let Some(covering) = covering(rule, made.iter().copied())
        {
            let covering = covering.into_iter().cloned().collect();
            return Some(RemovalReason::Committed(covering));
        }
        let change = self.changes.with(call);
        let in_it = |made: &RuleKey| {
            let given = self.timelines.of_rule(made).iter().rev();
            let mut given = given.filter(|it| matches!(it.what, What::Given(_)));
            let last = given.next();
            change.is_some_and(|change| last.is_some_and(|given| change.holds(given.at)))
        };
        let narrower = made
            .into_iter()
            .filter(|made| is_narrower(made, rule) || is_less_public(made, rule) && in_it(made));
        let narrower: Vec<RuleKey> = narrower.cloned().collect();
        (!narrower.is_empty()).then_some(RemovalReason::Narrowed(narrower))
    }

    /// Whether the caller of a revoke gave the group a live rule around that time which the record did not hold, or which
    /// a listed principal had taken away before.
    fn gave(&self, rule: &RuleKey, call: &KnownCall) -> bool {
        let Some(
            entry @ Entry {
                what: What::Given(given),
                ..
            },
        ) = self.timelines.last(rule)
        else {
            return false;
        };
        let live = self.situation.actual.get(rule);
        let live_id = live.and_then(|live| live.id.as_ref());
        if live_id.is_some_and(|live| entry.id.is_some_and(|given| given != live)) {
            return false;
        }
        let mut before = self.timelines.before(rule, entry);
        let was_taken = before.any(|entry| match entry.what {
            What::Taken(taken) => self.policy(taken) != Policy::Restore,
            _ => false,
        });
        let is_near = |at: Timestamp| at.duration_since(call.at).abs() <= CHANGE_MAX;
        let entered = self.state.entered.get(rule);
        let entered = entered.is_some_and(|it| it.by == call.by && is_near(it.at));
        let is_own = given.by == call.by || fault!(CountsRulesOfOthers);
        is_own && is_near(given.at) && (!self.is_recorded(rule) || entered || was_taken)
    }

    /// Whether a principal revoked a rule, we put it back, and it revoked it again, while no other listed principal
    /// authorized it.
    fn asked_twice(&self, rule: &RuleKey, entry: &Entry<'_>, call: &KnownCall) -> bool {
        let mut put_back = false;
        for it in self.timelines.before(rule, entry) {
            match it.what {
                What::Returned { ours } => put_back |= ours,
                What::Given(other) if other.by != call.by && self.policy(other).enters() => {
                    return false;
                }
                What::Taken(first) if first.by == call.by => {
                    let is_aborted = matches!(self.standing(rule, first), Standing::Aborted { .. });
                    return put_back && !is_aborted;
                }
                _ => {}
            }
        }
        false
    }

    /// Whether a person who is not listed revokes a rule again soon after it was put back.
    fn insists(&self, rule: &RuleKey, entry: &Entry<'_>, call: &KnownCall) -> bool {
        if call.person.is_none() {
            return false;
        }
        let mut put_back = false;
        for it in self.timelines.before(rule, entry) {
            match it.what {
                What::Returned { ours: true } => {
                    put_back |= call.at.duration_since(it.at) <= INSISTS_WITHIN;
                }
                What::Taken(first) if first.by == call.by && first.person == call.person => {
                    return put_back;
                }
                _ => {}
            }
        }
        false
    }

    /// What becomes of a missing rule of the record when no call is known to have taken it.
    fn of_unknown_cause(&self, rule: &RuleKey) -> Verdict {
        let principals = self.situation.principals;
        if let Some(pending) = self.state.pending.get(rule) {
            return Verdict::Pend(pending.clone());
        }
        if !principals.any_meant() {
            return Verdict::Restore(RestoreReason::NobodyListed);
        }
        if self.is_new(rule) || fault!(CausesAreNotAwaited) {
            return Verdict::Restore(RestoreReason::Recorded);
        }
        if let Some(by) = self.taken_by_the_untold(rule) {
            return Verdict::Restore(RestoreReason::Unlisted { by });
        }
        let now = self.situation.now;
        let wait = principals.cause_wait();
        let since = self.state.missing_since.get(rule).copied();
        let since = since.filter(|since| now.duration_since(*since) < wait + LOOKED_AT_WITHIN);
        let since = since.unwrap_or(now);
        let until = since.checked_add(wait).unwrap_or(now);
        match now < until {
            true => Verdict::Wait {
                until,
                why: WaitReason::UnknownCause { since },
            },
            false => Verdict::Restore(RestoreReason::NeverTold { since }),
        }
    }

    /// Whether a person put the rule into the record lately and it was not live since: nobody took it.
    fn is_new(&self, rule: &RuleKey) -> bool {
        // It left, and somebody put it back into the item.
        if self.state.removed.contains_key(rule) {
            return self.timelines.of_rule(rule).is_empty();
        }
        let was_live = self
            .state
            .ids
            .values()
            .any(|known| known.contents.contains(rule));
        let decided = self.state.decided.get(rule);
        let lately = decided.is_some_and(|at| self.situation.now.duration_since(*at) < NEW_FOR);
        lately && !was_live && !self.state.returned.contains_key(rule)
    }

    /// An unlisted caller who certainly took something of which nobody can tell what it was, after the rule last came
    /// back.
    fn taken_by_the_untold(&self, rule: &RuleKey) -> Option<String> {
        let back = self.timelines.of_rule(rule).last().map(|entry| entry.at);
        let decided = self.state.decided.get(rule).copied();
        let since = back.max(decided);
        let mut untold = self.timelines.untold.iter();
        let call = untold.find(|call| {
            let lately = self.situation.now.duration_since(call.at) <= CHANGE_MAX;
            lately
                && since.is_none_or(|since| since <= call.at)
                && self.policy(call) == Policy::Restore
        })?;
        Some(call.by.clone())
    }

    /// The last known call that took a missing rule away. One that took what nobody can tell counts where no other does,
    /// unless the rule was missing before it.
    pub(super) fn taken_by(&self, rule: &RuleKey) -> Option<Taker> {
        let call = match self.timelines.last(rule) {
            Some(Entry {
                what: What::Taken(call),
                ..
            }) => *call,
            last => {
                let back = last.map(|entry| entry.at);
                let missing = self.state.missing_since.get(rule);
                let missing = missing.or_else(|| self.state.unrestorable.get(rule));
                let untold = self.timelines.untold.iter().rev();
                let mut untold = untold.filter(|call| {
                    back.is_none_or(|back| back <= call.at)
                        && missing.is_none_or(|missing| call.at <= *missing)
                });
                untold.next()?
            }
        };
        Some(Taker {
            at: call.at,
            by: call.by.clone(),
            session: call.person.clone().filter(|session| !session.is_empty()),
            at_hand: self.at_hand.is_some_and(|it| std::ptr::eq(it, call)),
        })
    }

    /// Whether a listed principal authorized a rule that is to enter the record, and nothing is known to have taken it.
    pub(super) fn is_given(&self, rule: &RuleKey) -> bool {
        let last = self.timelines.last(rule);
        matches!(last, Some(Entry { what: What::Given(call), .. }) if self.policy(call).enters())
    }

    /// Whether an operator decided on a rule that this change had taken away.
    pub(super) fn decided_since(&self, rule: &RuleKey, change: &Change<'_>) -> bool {
        let decided = self.state.decided.get(rule);
        let mut calls = change.calls.iter();
        decided.is_some_and(|at| change.begin() <= *at)
            && calls.any(|call| call.evidence.revoked.contains_key(rule))
    }

    /// When the last known call took a rule away, if nothing is known to have put it back.
    pub(super) fn taken_last(&self, rule: &RuleKey) -> Option<Timestamp> {
        let last = self.timelines.last(rule)?;
        matches!(last.what, What::Taken(_)).then_some(last.at)
    }

    /// Whether a rule that left the record in this change is lost without anything in its place.
    pub(super) fn lost_in(&self, rule: &RuleKey, change: &Change<'_>) -> bool {
        let entries = self.timelines.of_rule(rule).iter().rev();
        let mut taken = entries.filter_map(|entry| match entry.what {
            What::Taken(call) if change.calls.contains(&call) => Some((entry, call)),
            _ => None,
        });
        taken.next().is_some_and(|(entry, call)| {
            let verdict = self.after_revoke(rule, entry, call);
            matches!(verdict, Verdict::Leave(leaving) if leaving.why.loses())
        })
    }
}
