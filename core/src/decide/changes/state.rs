//! What is remembered of a group between invocations: who did what, what we did, and what rules' ids stand for.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::KnownCall;
use super::change::{Change, Changes};
use crate::decide::restorable::Obstacle;
use crate::model::{ActualRules, IngressRule, RuleId, RuleKey};

/// How long facts matter. Lambda may hand an event over six hours late, EventBridge twenty-four.
pub const REMEMBERED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// How many returns of one rule are remembered.
pub(super) const RETURNS_MAX: usize = 8;

/// How many contents of one id are remembered.
pub(super) const CONTENTS_MAX: usize = 4;

/// The most bytes of the state as JSON. An item of the table holds 400 KB, attribute names and marks included (Amazon
/// DynamoDB Developer Guide, "Constraints in Amazon DynamoDB").
const BYTES_MAX: usize = 300_000;

/// The run-time state of a group.
///
/// The facts of a day (calls, returns, decisions, what left and entered the record) expire. What is known of rules (ids,
/// what waits for a person) stays as long as the record. Adding facts is commutative and idempotent, but for what the
/// limit of bytes cuts off. Times of calls are CloudTrail's, in whole seconds; times of returns are our clock's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupState {
    /// Counts the writes. Each write is conditional on the number that was read.
    pub revision: u64,
    /// The calls of others.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub calls: BTreeSet<KnownCall>,
    /// When rules came back: we restored them, or a read showed them again.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub returned: BTreeMap<RuleKey, Vec<Return>>,
    /// Rules that somebody keeps dropping.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub contested: BTreeMap<RuleKey, Contest>,
    /// When an operator put a rule into the record or took it out. What happened to it before does not matter any more.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub decided: BTreeMap<RuleKey, Timestamp>,
    /// Rules that left the record because of a call.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub removed: BTreeMap<RuleKey, Removed>,
    /// Rules that entered the record because of a call.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub entered: BTreeMap<RuleKey, Entered>,
    /// Missing rules of unknown cause, and when each was first seen missing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub missing_since: BTreeMap<RuleKey, Timestamp>,
    /// What each rule id stood for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ids: BTreeMap<RuleId, KnownId>,
    /// Missing rules that stay in the record and stay closed until a person decides.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pending: BTreeMap<RuleKey, Pending>,
    /// Live rules that were put back before it was known that somebody listed had decided to close them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub reopened: BTreeMap<RuleKey, Reopened>,
    /// Missing rules that cannot come back, because what they refer to is gone, and since when this is known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unrestorable: BTreeMap<RuleKey, Timestamp>,
    /// Live rules that could not come back if they were dropped, since when this is known, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub foreseen: BTreeMap<RuleKey, Foreseen>,
    /// How many rules a listed principal authorized that have not entered the record. A sweep looks at such a group even
    /// if nothing is missing.
    #[serde(skip_serializing_if = "is_zero")]
    pub unapplied: usize,
    /// Live rules outside the record of which a sweep has told.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub told: BTreeSet<RuleKey>,
    /// When a look found that the group does not exist. A look that sees the group removes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphaned_at: Option<String>,
}

/// What a rule id stood for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KnownId {
    /// Its contents, the oldest first. A modify changes the content and keeps the id.
    pub contents: Vec<RuleKey>,
    /// The first look that did not show it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_since: Option<Timestamp>,
}

/// A rule came back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Return {
    /// When we restored it, or when the read that shows it began.
    pub at: Timestamp,
    /// Its new id, as far as known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RuleId>,
    /// Whether we put it back.
    pub ours: bool,
}

/// A rule that left the record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Removed {
    /// When it was revoked or modified.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// The rule as it was recorded, should it turn out that it has to return.
    pub rule: IngressRule,
    /// Whether nothing took its place.
    #[serde(default)]
    pub lost: bool,
}

/// A rule that entered the record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entered {
    /// When it was authorized, or another one modified into it.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
}

/// A missing rule that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pending {
    /// When it was revoked.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Why a person has to decide.
    pub why: PendingReason,
}

/// Why a person has to decide about a missing rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PendingReason {
    /// The change would have left less than half of the record.
    LargeChange,
    /// The rule is open to public addresses, and the authorize that was to narrow it was refused.
    NarrowingRefused,
}

/// A live rule that somebody listed had decided to close.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reopened {
    /// When it was revoked.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
}

/// A live rule that could not come back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Foreseen {
    /// Since when this is known.
    pub since: Timestamp,
    /// Why.
    pub why: Obstacle,
}

/// A rule that somebody drops as often as we restore it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Contest {
    /// Counts the waits from 1.
    pub step: u32,
    /// The end of the present wait.
    pub until: Timestamp,
    /// The other side, as far as known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl GroupState {
    /// Every attribute of the item but its keys, `revision` and `expires_at`. One that is not written is removed.
    pub const ATTRIBUTES: [&'static str; 15] = [
        "calls",
        "returned",
        "contested",
        "decided",
        "removed",
        "entered",
        "missing_since",
        "ids",
        "pending",
        "reopened",
        "unrestorable",
        "foreseen",
        "unapplied",
        "told",
        "orphaned_at",
    ];

    /// Reads the item. Attributes of another kind are no concern of this.
    ///
    /// # Errors
    /// What could not be understood; the revision is kept all the same, so that the item can be replaced.
    pub fn from_json(item: &Value) -> Result<Self, Box<(Self, serde_json::Error)>> {
        serde_json::from_value(item.clone()).map_err(|error| {
            let revision = item.get("revision").and_then(Value::as_u64).unwrap_or(0);
            let empty = Self {
                revision,
                ..Self::default()
            };
            Box::new((empty, error))
        })
    }

    /// The item in JSON: what is empty is left out.
    pub fn to_json(&self) -> Map<String, Value> {
        // Keys are texts and numbers are whole, so there is nothing that JSON could not hold.
        match serde_json::to_value(self) {
            Ok(Value::Object(item)) => item,
            _ => Map::new(),
        }
    }

    /// The state of an item, as far as it can be understood; the default where there is none.
    pub fn of_item(item: Option<&Value>) -> Self {
        item.map_or_else(Self::default, |item| {
            Self::from_json(item).unwrap_or_else(|unreadable| unreadable.0)
        })
    }

    /// Whether anything here has to stay longer than a day.
    pub fn outlives_the_day(&self) -> bool {
        !(self.ids.is_empty()
            && self.pending.is_empty()
            && self.reopened.is_empty()
            && self.unrestorable.is_empty()
            && self.foreseen.is_empty()
            && self.told.is_empty()
            && self.orphaned_at.is_none())
    }

    /// A call as it was noted. One from the future was noted with the time of its noting.
    pub(super) fn known(&self, call: &KnownCall) -> Option<&KnownCall> {
        let mut latest_first = self.calls.iter().rev();
        latest_first.find(|known| known.at <= call.at && known.is_but_for_time(call))
    }

    /// Notes a call of somebody. A time ahead of our clock by more than clocks differ counts as now.
    pub fn note_call(&mut self, mut call: KnownCall, now: Timestamp) {
        if call.at.duration_since(now) > CLOCKS_DIFFER_MAX {
            call.at = super::second(now);
            if self.calls.iter().any(|known| known.is_but_for_time(&call)) {
                return;
            }
        }
        self.calls.insert(call);
    }

    /// Notes that a rule came back.
    pub fn note_returned(&mut self, rule: &RuleKey, back: Return) {
        let known = self.returned.entry(rule.clone()).or_default();
        if known.contains(&back) {
            return;
        }
        known.push(back);
        known.sort();
        if known.len() > RETURNS_MAX {
            known.remove(0);
        }
        self.missing_since.remove(rule);
    }

    /// Notes that we restored a rule.
    pub fn note_restored(&mut self, rule: &RuleKey, at: Timestamp, id: Option<RuleId>) {
        self.note_returned(rule, Return { at, id, ours: true });
    }

    /// Notes that an operator decided on rules, which ends what was going on about them.
    pub fn note_decided<'k>(
        &mut self,
        rules: impl IntoIterator<Item = &'k RuleKey>,
        at: Timestamp,
    ) {
        for rule in rules {
            // What it was known by does not matter any more. A live rule's id is noted again.
            self.ids.retain(|_, known| {
                known.contents.retain(|content| content != rule);
                !known.contents.is_empty()
            });
            self.decided.insert(rule.clone(), at);
            self.contested.remove(rule);
            self.returned.remove(rule);
            self.removed.remove(rule);
            self.entered.remove(rule);
            self.missing_since.remove(rule);
            self.pending.remove(rule);
            self.reopened.remove(rule);
            self.unrestorable.remove(rule);
            self.foreseen.remove(rule);
        }
    }

    /// Notes what the ids of live rules stand for. What an id stood for before stays known, and so does an id that is gone
    /// for a day or while one of its rules is missing: the event that took it may still come.
    pub fn note_ids(
        &mut self,
        rules: &BTreeMap<RuleKey, IngressRule>,
        actual: &ActualRules,
        now: Timestamp,
    ) {
        let mut live = BTreeSet::new();
        for rule in actual.iter() {
            let Some(id) = &rule.id else { continue };
            live.insert(id);
            if !self.ids.contains_key(id) && !rules.contains_key(&rule.key) {
                continue;
            }
            let known = self.ids.entry(id.clone()).or_default();
            known.gone_since = None;
            if known.contents.last() != Some(&rule.key) {
                let stays = |content: &RuleKey| *content != rule.key && !fault!(LooksOverwriteIds);
                known.contents.retain(stays);
                known.contents.push(rule.key.clone());
            }
            if known.contents.len() > CONTENTS_MAX {
                known.contents.remove(1);
            }
        }
        let modified = self
            .calls
            .iter()
            .flat_map(|call| call.evidence.modified.keys());
        let modified: BTreeSet<&RuleId> = modified.collect();
        let is_missing = |rule: &RuleKey| rules.contains_key(rule) && !actual.contains(rule);
        self.ids.retain(|id, known| {
            if live.contains(id) {
                let mut contents = known.contents.iter();
                return modified.contains(id) || contents.any(|rule| rules.contains_key(rule));
            }
            let gone_since = *known.gone_since.get_or_insert(now);
            let lately = now.duration_since(gone_since) < REMEMBERED_FOR;
            lately || known.contents.iter().any(is_missing)
        });
    }

    /// The ids that calls are known to have revoked. EC2 never reuses one, so a read that shows one is stale.
    pub fn revoked_ids(&self) -> BTreeSet<RuleId> {
        let ids = self.calls.iter().flat_map(|call| {
            let paired = call.evidence.revoked.values().flatten();
            call.evidence.revoked_ids.iter().chain(paired)
        });
        ids.cloned().collect()
    }

    /// Whether a call is known that authorized the rule, or made it of another.
    pub fn knows_who_gave(&self, rule: &RuleKey) -> bool {
        self.calls.iter().any(|call| {
            let mut modified = call.evidence.modified.values().flatten();
            call.evidence.authorized.contains_key(rule) || modified.any(|made| made == rule)
        })
    }

    /// When we last restored a rule.
    pub fn last_restored(&self, rule: &RuleKey) -> Option<Timestamp> {
        let ours = self.restores(rule);
        ours.last()
    }

    /// When we restored a rule, the earliest first.
    pub fn restores(&self, rule: &RuleKey) -> impl Iterator<Item = Timestamp> {
        let returns = self.returned.get(rule).into_iter().flatten();
        returns.filter(|back| back.ours).map(|back| back.at)
    }

    /// Forgets the facts that do not matter any more, and what `rules` do not hold any more.
    #[must_use]
    pub fn pruned(mut self, now: Timestamp) -> Self {
        let matters = |at: &Timestamp| now.duration_since(*at) < REMEMBERED_FOR;
        self.forget_changes(|change| !matters(&change.end()));
        self.calls
            .retain(|call| call.is_about_rules() || matters(&call.at));
        self.returned.retain(|_, returns| {
            returns.retain(|back| matters(&back.at));
            !returns.is_empty()
        });
        self.contested.retain(|_, contest| matters(&contest.until));
        self.decided.retain(|_, at| matters(at));
        self.removed.retain(|_, removed| matters(&removed.at));
        self.entered.retain(|_, entered| matters(&entered.at));
        self.missing_since.retain(|_, at| matters(at));
        self
    }

    /// Forgets changes as a whole. What is left of a change would be judged as if the rest had not been.
    fn forget_changes(&mut self, is_forgotten: impl Fn(&Change<'_>) -> bool) {
        let changes = Changes::of(&self.calls);
        let forgotten = changes.iter().filter(|change| is_forgotten(change));
        let calls = forgotten.flat_map(|change| change.calls.iter().copied().cloned());
        for call in calls.collect::<Vec<_>>() {
            self.calls.remove(&call);
        }
    }

    /// Forgets the older eighth of the changes, or of the deletions where there is no change.
    fn forget_oldest_changes(&mut self) {
        let changes = Changes::of(&self.calls);
        let mut ends: Vec<Timestamp> = changes.iter().map(Change::end).collect();
        ends.sort();
        match ends.get(ends.len() / 8) {
            Some(end) => self.forget_changes(|change| change.end() <= *end),
            None => drop(self.calls.pop_first()),
        }
    }

    /// Forgets the least important facts until the state fits into an item. Returns what was forgotten, in words.
    pub fn fit(&mut self) -> Option<String> {
        let mut forgotten = None;
        while self.bytes() > BYTES_MAX {
            let by_eighths = |len: usize| (len / 8).max(1);
            let what = if let Some(first) = self.calls.first().cloned() {
                self.forget_oldest_changes();
                format!("calls from {} on", first.at)
            } else if !self.returned.is_empty() {
                for _ in 0..by_eighths(self.returned.len()) {
                    self.returned.pop_first();
                }
                "when rules came back".to_owned()
            } else if !self.removed.is_empty() {
                for _ in 0..by_eighths(self.removed.len()) {
                    self.removed.pop_first();
                }
                "rules that left the record".to_owned()
            } else if !self.decided.is_empty() || !self.entered.is_empty() {
                self.decided.clear();
                self.entered.clear();
                "which rules a person decided on".to_owned()
            } else if !self.told.is_empty() {
                self.told.clear();
                "which rules outside the record were told of".to_owned()
            } else {
                for _ in 0..by_eighths(self.ids.len()) {
                    self.ids.pop_first();
                }
                if self.ids.is_empty() {
                    break;
                }
                "rule ids".to_owned()
            };
            forgotten.get_or_insert(what);
        }
        forgotten.map(|what| {
            format!("the run-time state had no room for everything, so it forgot {what}")
        })
    }

    fn bytes(&self) -> usize {
        serde_json::to_vec(self).map_or(0, |text| text.len())
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A call's time may be this much ahead of our clock.
const CLOCKS_DIFFER_MAX: SignedDuration = SignedDuration::from_secs(60);
