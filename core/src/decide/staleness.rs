//! Tells a stale read from a fresh one by what the event says.

use std::collections::BTreeSet;

use crate::event::Evidence;
use crate::model::{ActualRules, RuleKey};

/// How far a read can be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Staleness {
    /// The event contradicts nothing in the read.
    Fresh,
    /// The read shows rules under ids that the event says were revoked. EC2 does not reuse ids, so the read is stale
    /// and these rules are gone.
    Stale(BTreeSet<RuleKey>),
    /// The read shows rules that the event says were revoked or changed, and no ids prove it. The read is stale, or the
    /// rules were restored since.
    Unproven,
}

/// Compares what a read shows of some rules with the event.
///
/// A modified rule that still has other content than the new one contradicts the event, even if the new content could
/// not be read.
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
        without_ids && evidence.revoked.contains_key(*key)
            || modified.is_some_and(|new| new.as_ref() != Some(&live.key))
    });
    match contradicts {
        true => Staleness::Unproven,
        false => Staleness::Fresh,
    }
}

/// Whether a read shows everything that the event says: no revoked rule, and every authorized rule.
pub fn shows_event(evidence: &Evidence, actual: &ActualRules) -> bool {
    let live = actual.iter().map(|live| &live.key);
    let mut authorized = evidence.authorized.keys();
    staleness(evidence, actual, live.chain(evidence.revoked.keys())) == Staleness::Fresh
        && authorized.all(|rule| actual.contains(rule))
}
