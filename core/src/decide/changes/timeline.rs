//! What happened to one rule, in order.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{GroupState, KnownCall, KnownId, second};
use crate::desired::DesiredRecord;
use crate::event::Call;
use crate::model::{ActualRules, RuleId, RuleKey};

/// Something that happened to a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// When, to the second.
    pub(super) at: Timestamp,
    pub(super) what: What<'a>,
    /// The id that it took away or gave, as far as known.
    pub(super) id: Option<&'a RuleId>,
}

/// What happened to a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What<'a> {
    /// A call took it away.
    Taken(&'a KnownCall),
    /// A call authorized it, or made it of another rule.
    Given(&'a KnownCall),
    /// A call changed its description.
    Described(&'a KnownCall),
    /// It came back: we restored it, or a read showed it.
    Returned { ours: bool },
}

/// What happened to every rule of a group that a call or we touched.
#[derive(Debug, Default)]
pub(super) struct Timelines<'a> {
    of_rules: BTreeMap<RuleKey, Vec<Entry<'a>>>,
    /// Calls that took away what nobody can tell.
    pub(super) untold: Vec<&'a KnownCall>,
}

impl<'a> Timelines<'a> {
    /// What counts of a rule of the record is what happened after a person decided on it. One that left and is recorded
    /// was put back by somebody who wrote the item.
    pub(super) fn of(
        record: &DesiredRecord,
        state: &'a GroupState,
        actual: &'a ActualRules,
    ) -> Self {
        let contents = Contents::of(state, actual);
        let mut timelines = Self::default();
        for call in &state.calls {
            timelines.add_call(call, &contents);
        }
        for (rule, returns) in &state.returned {
            for back in returns {
                let entry = Entry {
                    at: second(back.at),
                    what: What::Returned { ours: back.ours },
                    id: back.id.as_ref(),
                };
                timelines.add(rule.clone(), entry);
            }
        }
        for (rule, entries) in &mut timelines.of_rules {
            let decided = state.decided.get(rule).map(|at| second(*at));
            entries.retain(|entry| decided.is_none_or(|decided| !entry.is_before(decided)));
            let removed = state.removed.get(rule);
            let removed = removed.filter(|_| record.rules.contains_key(rule));
            entries.retain(|entry| removed.is_none_or(|removed| removed.at < entry.at));
            // A read showed what a call is known to have given by now.
            let given = entries
                .iter()
                .filter(|it| matches!(it.what, What::Given(_)));
            let given: BTreeSet<RuleId> = given.filter_map(|it| it.id.cloned()).collect();
            entries.retain(|it| {
                let is_seen = it.what == What::Returned { ours: false };
                !(is_seen && it.id.is_some_and(|id| given.contains(id)))
            });
            let live = actual.get(rule);
            let id = live.and_then(|live| live.id.as_ref());
            in_order(entries, &state.ids, live.is_some(), id);
        }
        timelines
    }

    fn add(&mut self, rule: RuleKey, entry: Entry<'a>) {
        self.of_rules.entry(rule).or_default().push(entry);
    }

    fn add_call(&mut self, call: &'a KnownCall, contents: &Contents<'a>) {
        let at = call.at;
        let evidence = &call.evidence;
        let mut is_untold = call.takes() && evidence.untold;
        let taken = What::Taken(call);
        let mut paired = BTreeSet::new();
        for (rule, id) in &evidence.revoked {
            let id = id.as_ref();
            paired.extend(id);
            let what = taken;
            self.add(rule.clone(), Entry { at, what, id });
        }
        for id in evidence
            .revoked_ids
            .iter()
            .filter(|id| !paired.contains(id))
        {
            match contents.before(id, at, None) {
                Some(rule) => {
                    let id = Some(id);
                    let what = taken;
                    self.add(rule, Entry { at, what, id });
                }
                None => is_untold |= evidence.revoked.is_empty(),
            }
        }
        for (id, new) in &evidence.modified {
            let id = Some(id);
            let new = contents.after(call, id, new.as_ref());
            let old = id.and_then(|id| contents.before(id, at, new.as_ref()));
            is_untold |= old.is_none();
            if old == new {
                let what = What::Described(call);
                self.of_optional(old, Entry { at, what, id });
                continue;
            }
            let what = taken;
            let old = old.filter(|_| !fault!(ForgetsWhatModifiesTook));
            self.of_optional(old, Entry { at, what, id });
            let what = What::Given(call);
            let new = new.filter(|_| !fault!(ForgetsWhatModifiesGave));
            self.of_optional(new, Entry { at, what, id });
        }
        for (rule, id) in &evidence.authorized {
            let what = What::Given(call);
            let id = id.as_ref();
            self.add(rule.clone(), Entry { at, what, id });
        }
        let described = evidence.described_ids.keys();
        let described = described.filter_map(|id| contents.before(id, at, None));
        for rule in described.chain(evidence.described.keys().cloned()) {
            let what = What::Described(call);
            self.add(rule, Entry { at, what, id: None });
        }
        if is_untold {
            self.untold.push(call);
        }
    }

    fn of_optional(&mut self, rule: Option<RuleKey>, entry: Entry<'a>) {
        if let Some(rule) = rule {
            self.add(rule, entry);
        }
    }

    /// What happened to a rule since an operator last decided on it.
    pub(super) fn of_rule(&self, rule: &RuleKey) -> &[Entry<'a>] {
        self.of_rules.get(rule).map_or(&[], Vec::as_slice)
    }

    /// What last gave a rule or took it away. Descriptions do neither.
    pub(super) fn last(&self, rule: &RuleKey) -> Option<&Entry<'a>> {
        let mut entries = self.of_rule(rule).iter().rev();
        entries.find(|entry| !matches!(entry.what, What::Described(_)))
    }

    /// What happened to a rule before an entry of it, the latest first.
    pub(super) fn before<'t>(
        &'t self,
        rule: &RuleKey,
        entry: &'t Entry<'a>,
    ) -> impl Iterator<Item = &'t Entry<'a>> {
        let entries = self.of_rule(rule).iter().rev();
        entries.skip_while(move |it| *it != entry).skip(1)
    }

    pub(super) fn rules(&self) -> impl Iterator<Item = &RuleKey> {
        self.of_rules.keys()
    }
}

impl<'a> Entry<'a> {
    fn is_back(&self) -> bool {
        matches!(self.what, What::Given(_) | What::Returned { .. })
    }

    /// Whether an operator's decision in this second came after it. A revoke of the same second may be later.
    fn is_before(&self, decided: Timestamp) -> bool {
        match self.what {
            What::Taken(_) => self.at < decided,
            _ => self.at <= decided,
        }
    }
}

/// Sorts what happened to one rule. Times are whole seconds, so ids and what is live now say what came first within one.
///
/// EC2 gives each incarnation of a rule a new id and uses none twice. So what gave the live id came last, and what took
/// an id came after what gave it. Without ids, a live rule was given last, and a missing one was taken last.
fn in_order(
    entries: &mut Vec<Entry<'_>>,
    seen: &BTreeMap<RuleId, KnownId>,
    is_live: bool,
    live_id: Option<&RuleId>,
) {
    let taken: BTreeSet<RuleId> = entries
        .iter()
        .filter(|it| matches!(it.what, What::Taken(_)))
        .filter_map(|it| it.id.cloned())
        .collect();
    // Somebody saw what was given in this second, so a revoke without an id was before it.
    let outlived: BTreeSet<Timestamp> = entries
        .iter()
        .filter(|it| matches!(it.what, What::Given(_)))
        .filter(|it| {
            it.id
                .is_some_and(|id| seen.contains_key(id) || taken.contains(id))
        })
        .map(|it| it.at)
        .collect();
    // What came back in a later second was missing at the end of this one.
    let came_back = entries.iter().filter(|it| it.is_back()).map(|it| it.at);
    let last_back = came_back.max();
    let lives_on = |at: Timestamp| is_live && last_back.is_none_or(|back| back <= at);
    let rank = |it: &Entry<'_>| -> u8 {
        match it.what {
            What::Taken(_) if it.id.is_some() || lives_on(it.at) || outlived.contains(&it.at) => 0,
            What::Returned { .. } => 1,
            What::Given(_) if it.id.is_some_and(|id| taken.contains(id)) => 1,
            What::Given(_) => 2,
            What::Taken(_) => 3,
            What::Described(_) => 4,
        }
    };
    let is_live_id = |it: &Entry<'_>| live_id.is_some_and(|id| it.id == Some(id));
    let lives_since = entries.iter().filter(|it| is_live_id(it));
    let lives_since = lives_since.map(|it| it.at).min();
    let is_of_live = |it: &Entry<'_>| match it.what {
        // A description need not name the id, and is of what was live then.
        What::Described(_) => lives_since.is_some_and(|since| since <= it.at),
        _ => is_live_id(it),
    };
    entries.sort_by_key(|it| (is_of_live(it), it.at, rank(it)));
    // What took an id came after what gave it, within a second and also where our clock and CloudTrail's differ.
    let mut place = 0;
    while place < entries.len() {
        let (it, later) = (entries[place], &entries[place + 1..]);
        let gave_it = |other: &Entry<'_>| other.is_back() && it.id.is_some() && other.id == it.id;
        if matches!(it.what, What::Taken(_))
            && let Some(between) = later.iter().rposition(gave_it)
        {
            entries[place..][..between + 2].rotate_left(1);
        } else {
            place += 1;
        }
    }
}

/// What ids stood for.
struct Contents<'a> {
    state: &'a GroupState,
    actual: &'a ActualRules,
    given: BTreeMap<&'a RuleId, &'a RuleKey>,
    /// What each id was modified into, and when.
    modified: BTreeMap<&'a RuleId, Vec<(Timestamp, &'a RuleKey)>>,
}

impl<'a> Contents<'a> {
    fn of(state: &'a GroupState, actual: &'a ActualRules) -> Contents<'a> {
        let mut given = BTreeMap::new();
        let mut modified: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for call in &state.calls {
            let evidence = &call.evidence;
            let pairs = evidence.authorized.iter();
            given.extend(pairs.filter_map(|(rule, id)| Some((id.as_ref()?, rule))));
            for (id, new) in &evidence.modified {
                if let Some(new) = new {
                    modified.entry(id).or_default().push((call.at, new));
                }
            }
        }
        for (rule, returns) in &state.returned {
            // A read may have shown what a modify made of it.
            for id in returns.iter().filter_map(|back| back.id.as_ref()) {
                given.entry(id).or_insert(rule);
            }
        }
        Contents {
            state,
            actual,
            given,
            modified,
        }
    }

    /// What an id stood for before a call at this time, which made it `new` if it is a modify.
    fn before(&self, id: &RuleId, at: Timestamp, new: Option<&RuleKey>) -> Option<RuleKey> {
        let modified = self.modified.get(id).into_iter().flatten();
        let earlier = modified.filter(|(time, content)| *time < at && Some(*content) != new);
        if let Some((_, content)) = earlier.max() {
            return Some((*content).clone());
        }
        let seen = self.seen(id);
        let place = new.and_then(|new| seen.iter().position(|content| content == new));
        let given = self.given.get(id).copied();
        let given = given.filter(|given| Some(*given) != new);
        let seen = match (place, new) {
            // Of an update of the description alone, the content stays.
            (Some(0), _) => given.or(seen.first()),
            (Some(place), _) => seen.get(place - 1),
            (None, Some(_)) => seen.first(),
            (None, None) => seen.last(),
        };
        seen.or(given).cloned()
    }

    fn seen(&self, id: &RuleId) -> &'a [RuleKey] {
        let known = self.state.ids.get(id);
        known.map_or(&[][..], |known| &known.contents)
    }

    /// What a modify made of an id. The request does not name another account's group fully, and CloudTrail may have cut
    /// the content out, so the live rule of that id goes first.
    fn after(
        &self,
        call: &KnownCall,
        id: Option<&RuleId>,
        told: Option<&RuleKey>,
    ) -> Option<RuleKey> {
        let id = id?;
        let mut others = self.modified.get(id).into_iter().flatten();
        let is_last = others.all(|(time, _)| *time <= call.at);
        let live = self.actual.iter().find(|live| live.id.as_ref() == Some(id));
        let live = live.map(|live| &live.key);
        let is_same = |live: &&RuleKey| match told {
            None => is_last,
            Some(told) => {
                let (told_group, live_group) = (told.referenced_group(), live.referenced_group());
                let ids = told_group.zip(live_group);
                told.protocol == live.protocol
                    && ids.is_some_and(|(told, live)| told.group_id == live.group_id)
            }
        };
        live.filter(is_same).or(told).cloned()
    }
}

impl KnownCall {
    /// The rules that an authorize asked for, and whether it names them all.
    pub(super) fn wanted(&self) -> Option<Wanted<'_>> {
        let evidence = &self.evidence;
        let asked = || evidence.asked.iter().collect();
        let (outcome, rules): (_, Vec<&RuleKey>) = match self.call {
            Call::Authorize => (Try::Done, evidence.authorized.keys().collect()),
            Call::Modify => {
                let made = evidence.modified.values().flatten();
                (Try::Done, made.collect())
            }
            Call::RefusedAuthorize => (Try::Refused, asked()),
            Call::TriedAuthorize if fault!(TakesThrottlesForRefusals) => (Try::Refused, asked()),
            Call::TriedAuthorize => (Try::Passing, asked()),
            _ => return None,
        };
        Some(Wanted { outcome, rules })
    }
}

/// How an attempt to authorize ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Try {
    /// It failed for a passing reason.
    Passing,
    /// It succeeded.
    Done,
    /// It was refused for good.
    Refused,
}

/// An attempt to authorize.
pub(super) struct Wanted<'a> {
    pub(super) outcome: Try,
    pub(super) rules: Vec<&'a RuleKey>,
}
