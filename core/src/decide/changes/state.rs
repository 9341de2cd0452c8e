//! What is remembered of a group between invocations: who did what, what we did, and who fights.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::{ActualRules, IngressRule, RuleId, RuleKey};

/// How long anything here matters. Lambda may hand an event over six hours late, EventBridge twenty-four.
pub const REMEMBERED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// How many revokes of one rule by one principal are remembered, and how many of our restores of it.
const REVOKES_MAX: usize = 4;
const RESTORES_MAX: usize = 6;

/// How many rules of anything are remembered, the latest first to stay: an item of the table holds 400 KB.
const RULES_MAX: usize = 500;

/// The run-time state of a group: facts, whoever learns of them and in whatever order.
///
/// Adding facts is commutative and idempotent, but for what the limits cut off. Times of calls are those of CloudTrail,
/// whole seconds; times of our restores are our clock's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupState {
    /// Counts the writes; every write is on condition that it is still the one that was read.
    pub revision: u64,
    /// When we restored a rule.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub restored: BTreeMap<RuleKey, Vec<Timestamp>>,
    /// Who last dropped a rule that we restored, as far as known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped_by: BTreeMap<RuleKey, String>,
    /// Rules that somebody keeps dropping.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub contested: BTreeMap<RuleKey, Contest>,
    /// When an operator put a rule into the record or took it out: what happened to it before does not matter any more.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub decided: BTreeMap<RuleKey, Timestamp>,
    /// The id under which a rule of the record was last seen, for events that name rules by id only.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ids: BTreeMap<RuleId, RuleKey>,
    /// Rules that left the record because their revoke was meant.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub removed: BTreeMap<RuleKey, Removed>,
    /// Rules of the record whose cause is not known, and when each was first seen missing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub missing_since: BTreeMap<RuleKey, Timestamp>,
    /// What each principal did.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub calls: BTreeMap<String, ObservedCalls>,
}

/// What one principal did to the group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct ObservedCalls {
    /// When it revoked a rule, or changed it into another.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub revoked: BTreeMap<RuleKey, BTreeSet<Timestamp>>,
    /// When it last authorized a rule, or made it of another.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub authorized: BTreeMap<RuleKey, Authorization>,
    /// When its authorizes were refused: first and last of each series.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub refused: BTreeSet<(Timestamp, Timestamp)>,
}

/// An authorize that succeeded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Authorization {
    /// When.
    pub at: Timestamp,
    /// The ids that the rule was given in that second, when events tell.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ids: BTreeSet<RuleId>,
    /// Whether it has had its effect on the record. It has one once.
    #[serde(default)]
    pub applied: bool,
    /// Whether that effect was that the rule entered the record, which did not hold it.
    #[serde(default)]
    pub entered: bool,
}

/// A rule that left the record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Removed {
    /// When it was revoked.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// The rule as it was recorded, should it turn out that its revoke was not meant.
    pub rule: IngressRule,
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
    pub const ATTRIBUTES: [&'static str; 9] = [
        "restored",
        "dropped_by",
        "contested",
        "decided",
        "ids",
        "removed",
        "calls",
        "unapplied",
        "missing_since",
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
        let mut item = match serde_json::to_value(self) {
            Ok(Value::Object(item)) => item,
            _ => Map::new(),
        };
        // For sweeps, which look at such a group even when nothing is missing.
        let authorized = self
            .calls
            .values()
            .flat_map(|calls| calls.authorized.values());
        let unapplied = authorized.filter(|it| !it.applied).count();
        if unapplied > 0 {
            item.insert("unapplied".to_owned(), unapplied.into());
        }
        item
    }

    /// Notes that a principal revoked rules.
    pub fn note_revoked<'k>(
        &mut self,
        by: &str,
        rules: impl IntoIterator<Item = &'k RuleKey>,
        at: Timestamp,
    ) {
        for rule in rules {
            let calls = self.calls.entry(by.to_owned()).or_default();
            let times = calls.revoked.entry(rule.clone()).or_default();
            times.insert(at);
            while times.len() > REVOKES_MAX {
                times.pop_first();
            }
        }
    }

    /// Notes that a principal authorized rules. Of two authorizes of one rule the later counts; of two in one second,
    /// both.
    pub fn note_authorized<'k>(
        &mut self,
        by: &str,
        rules: impl IntoIterator<Item = (&'k RuleKey, Option<RuleId>)>,
        at: Timestamp,
    ) {
        for (rule, id) in rules {
            let calls = self.calls.entry(by.to_owned()).or_default();
            let known = calls.authorized.entry(rule.clone()).or_default();
            if known.at < at {
                *known = Authorization {
                    at,
                    ..Authorization::default()
                };
            }
            let is_new = known.at == at && id.is_some_and(|id| known.ids.insert(id));
            known.applied &= !is_new;
        }
    }

    /// Notes that a principal's authorize was refused.
    pub fn note_refused(&mut self, by: &str, at: Timestamp) {
        let calls = self.calls.entry(by.to_owned()).or_default();
        let (mut first, mut last) = (at, at);
        calls.refused.retain(|(from, to)| {
            let apart = from.duration_since(last) > super::ABORTED_FOR
                || first.duration_since(*to) > super::ABORTED_FOR;
            if !apart {
                first = first.min(*from);
                last = last.max(*to);
            }
            apart
        });
        calls.refused.insert((first, last));
    }

    /// Notes that we restored rules.
    pub fn note_restored<'k>(
        &mut self,
        rules: impl IntoIterator<Item = &'k RuleKey>,
        at: Timestamp,
    ) {
        for rule in rules {
            let times = self.restored.entry(rule.clone()).or_default();
            times.push(at);
            times.sort();
            times.dedup();
            if times.len() > RESTORES_MAX {
                times.remove(0);
            }
        }
    }

    /// Notes that an operator decided on rules, which ends what was going on about them.
    pub fn note_decided<'k>(
        &mut self,
        rules: impl IntoIterator<Item = &'k RuleKey>,
        at: Timestamp,
    ) {
        for rule in rules {
            self.decided.insert(rule.clone(), at);
            self.contested.remove(rule);
            self.restored.remove(rule);
            self.removed.remove(rule);
            self.missing_since.remove(rule);
        }
    }

    /// Notes under which ids rules of the record are live.
    pub fn note_ids(&mut self, rules: &BTreeMap<RuleKey, IngressRule>, actual: &ActualRules) {
        for rule in rules.keys() {
            let id = actual.get(rule).and_then(|live| live.id.clone());
            if let Some(id) = id.filter(|id| self.ids.get(id) != Some(rule)) {
                self.ids.retain(|_, known| known != rule);
                self.ids.insert(id, rule.clone());
            }
        }
        self.ids.retain(|_, rule| rules.contains_key(rule));
    }

    /// The state of an item, as far as it can be understood; the default where there is none.
    pub fn of_item(item: Option<&Value>) -> Self {
        item.map_or_else(Self::default, |item| {
            Self::from_json(item).unwrap_or_else(|unreadable| unreadable.0)
        })
    }

    /// When a rule was last authorized, as far as known.
    pub fn last_authorized(&self, rule: &RuleKey) -> Option<Timestamp> {
        let calls = self.calls.values();
        let authorized = calls.filter_map(|calls| Some(calls.authorized.get(rule)?.at));
        authorized.max()
    }

    /// When we last restored a rule.
    pub fn last_restored(&self, rule: &RuleKey) -> Option<Timestamp> {
        self.restored.get(rule)?.last().copied()
    }

    /// Forgets what does not matter any more, and the oldest when there is too much.
    #[must_use]
    pub fn pruned(mut self, now: Timestamp) -> Self {
        let matters = |at: &Timestamp| now.duration_since(*at) < REMEMBERED_FOR;
        for calls in self.calls.values_mut() {
            calls.revoked.retain(|_, times| {
                times.retain(matters);
                !times.is_empty()
            });
            calls.authorized.retain(|_, it| matters(&it.at));
            calls.refused.retain(|(_, last)| matters(last));
            keep_latest(&mut calls.revoked, |times| times.last().copied());
            keep_latest(&mut calls.authorized, |it| Some(it.at));
        }
        self.calls
            .retain(|_, calls| *calls != ObservedCalls::default());
        self.restored.retain(|_, times| {
            times.retain(matters);
            !times.is_empty()
        });
        let restored = &self.restored;
        self.dropped_by
            .retain(|rule, _| restored.contains_key(rule));
        self.contested.retain(|_, contest| matters(&contest.until));
        self.decided.retain(|_, at| matters(at));
        self.missing_since.retain(|_, at| matters(at));
        self.removed.retain(|_, removed| matters(&removed.at));
        keep_latest(&mut self.restored, |times| times.last().copied());
        keep_latest(&mut self.removed, |removed| Some(removed.at));
        keep_latest(&mut self.decided, |at| Some(*at));
        self
    }
}

fn keep_latest<T>(map: &mut BTreeMap<RuleKey, T>, time: impl Fn(&T) -> Option<Timestamp>) {
    if map.len() <= RULES_MAX {
        return;
    }
    let mut times: Vec<_> = map.values().map(&time).collect();
    times.sort();
    let oldest = times[times.len() - RULES_MAX];
    map.retain(|_, value| time(value) >= oldest);
}
