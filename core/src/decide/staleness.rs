//! Telling a stale read from a fresh one by what the event says.

use std::collections::BTreeSet;

use crate::event::Evidence;
use crate::model::{ActualRules, RuleKey};

/// How far a read can be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Staleness {
    /// The event contradicts nothing in it.
    Fresh,
    /// It shows rules whose id the event says was revoked. Ids are never given out again, so the read is stale; these
    /// rules are gone.
    Stale(BTreeSet<RuleKey>),
    /// It shows rules that the event says were revoked or changed, without ids to prove it: stale, or put back since.
    Unproven,
}

/// Holds what a read shows of some rules against the event.
///
/// A modified rule contradicts the event under any content but the new one, also when the new content could not be read.
pub fn staleness<'k>(
    evidence: &Evidence,
    actual: &ActualRules,
    rules: impl IntoIterator<Item = &'k RuleKey>,
) -> Staleness {
    let shown: Vec<_> = rules
        .into_iter()
        .filter_map(|key| actual.get(key).map(|live| (key, live)))
        .collect();
    let shown_under_revoked_id: BTreeSet<RuleKey> = shown
        .iter()
        .filter(|(_, live)| {
            let id = live.id.as_ref();
            id.is_some_and(|id| evidence.revoked_ids.contains(id))
        })
        .map(|(key, _)| (*key).clone())
        .collect();
    if !shown_under_revoked_id.is_empty() {
        return Staleness::Stale(shown_under_revoked_id);
    }
    let without_ids = evidence.revoked_ids.is_empty();
    let contradicts = shown.iter().any(|(key, live)| {
        let modified = live.id.as_ref().and_then(|id| evidence.modified.get(id));
        without_ids && evidence.revoked.contains(*key)
            || modified.is_some_and(|new| new.as_ref() != Some(&live.key))
    });
    match contradicts {
        true => Staleness::Unproven,
        false => Staleness::Fresh,
    }
}

/// Whether a read shows everything that the event says: nothing revoked, and all that was authorized.
pub fn shows_event(evidence: &Evidence, actual: &ActualRules) -> bool {
    let live = actual.iter().map(|live| &live.key);
    let mut authorized = evidence.authorized.keys();
    staleness(evidence, actual, live.chain(&evidence.revoked)) == Staleness::Fresh
        && authorized.all(|rule| actual.contains(rule))
}
