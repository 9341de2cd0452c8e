//! A call of somebody, as an event tells of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::GroupState;
use crate::desired::DesiredRecord;
use crate::event::{Call, Evidence, Lookup};
use crate::model::{ActualRules, RuleId, RuleKey};

/// What an event says that somebody did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedCall {
    /// Who, as principals are matched.
    pub by: String,
    /// The event's time, in whole seconds.
    pub at: Timestamp,
    /// The rules that it revoked, or changed into others.
    pub revoked: BTreeSet<RuleKey>,
    /// Whether the event names ids of revoked rules, so that it is certain that there was something to revoke.
    pub proven: bool,
    /// The rules that it authorized, or made of others, with their ids as far as the event tells.
    pub authorized: BTreeMap<RuleKey, Option<RuleId>>,
    /// Whether it was an authorize that EC2 refused.
    pub refused: bool,
    /// The revoked rules whose revoke was not known when the event was begun with.
    pub news: BTreeSet<RuleKey>,
}

impl ObservedCall {
    /// What an event says that somebody did, in terms of rules. Ids are told apart by what they are known to stand for.
    pub fn of(lookup: &Lookup, state: &GroupState) -> Option<Self> {
        let call = lookup.call?;
        let Evidence {
            revoked_ids,
            revoked,
            modified,
            authorized,
        } = &lookup.evidence;
        let mut observed = Self {
            by: lookup.trigger.principal.clone()?,
            at: lookup.trigger.event_time?,
            revoked: revoked.clone(),
            proven: !revoked_ids.is_empty(),
            authorized: authorized.clone(),
            refused: call == Call::RefusedAuthorize,
            news: BTreeSet::new(),
        };
        let known = revoked_ids.iter().filter_map(|id| state.ids.get(id));
        observed.revoked.extend(known.cloned());
        for (id, new) in modified {
            let old = state.ids.get(id).filter(|old| new.as_ref() != Some(*old));
            observed.revoked.extend(old.cloned());
            let new = new.clone().map(|new| (new, Some(id.clone())));
            observed.authorized.extend(new);
        }
        Some(observed)
    }

    /// The revoked rules of whose revoke the state does not know.
    pub fn news_to(&self, state: &GroupState) -> BTreeSet<RuleKey> {
        let known = state.calls.get(&self.by).map(|calls| &calls.revoked);
        let is_known = |rule: &RuleKey| {
            let times = known.and_then(|revoked| revoked.get(rule));
            times.is_some_and(|times| times.contains(&self.at))
        };
        let revoked = self.revoked.iter().filter(|rule| !is_known(rule));
        revoked.cloned().collect()
    }

    /// Adds the facts to what is known. In a default VPC a revoke succeeds also when there was nothing to revoke. So one
    /// of a rule that a read since shows counts only if the event proves it, or if it was us who put the rule back.
    pub fn note_in(&self, state: &mut GroupState, actual: &ActualRules) {
        let took_effect = |rule: &&RuleKey| {
            let put_back = state.last_restored(rule);
            self.proven || !actual.contains(rule) || put_back.is_some_and(|time| self.at <= time)
        };
        let revoked: Vec<&RuleKey> = self.revoked.iter().filter(took_effect).collect();
        state.note_revoked(&self.by, revoked, self.at);
        let authorized = self.authorized.iter();
        state.note_authorized(
            &self.by,
            authorized.map(|(rule, id)| (rule, id.clone())),
            self.at,
        );
        if self.refused {
            state.note_refused(&self.by, self.at);
        }
    }
}

/// Who dropped which rules of the record, as far as an event tells. One that names only ids of which we know none is
/// taken to be about every rule that is missing.
pub fn dropped_by(
    observed: &ObservedCall,
    evidence: &Evidence,
    record: &DesiredRecord,
) -> BTreeMap<RuleKey, String> {
    let Evidence {
        revoked_ids,
        modified,
        ..
    } = evidence;
    let names_ids_only =
        observed.revoked.is_empty() && !(revoked_ids.is_empty() && modified.is_empty());
    let rules = record.rules.keys();
    let dropped = rules.filter(|rule| names_ids_only || observed.revoked.contains(*rule));
    dropped
        .map(|rule| (rule.clone(), observed.by.clone()))
        .collect()
}
