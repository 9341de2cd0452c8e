//! Telling a stale read from a fresh one by what the event says.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::DesiredRecord;
use crate::event::Evidence;
use crate::model::{ActualRules, RuleKey};
use crate::report::RuleReport;

/// How far a read can be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The event contradicts nothing in it.
    None,
    /// It shows rules whose id the event says was revoked. Ids are never given out again, so the read is stale; these
    /// rules of the record are gone.
    Stale(BTreeSet<RuleKey>),
    /// It shows rules that the event says were revoked or changed, without ids to prove it: stale, or put back since.
    Unsure,
}

/// Holds a read against the event. What matters are rules of the record, unless they are settled already, and live rules
/// that stand in for rules of the record.
pub fn doubt(
    evidence: &Evidence,
    record: &DesiredRecord,
    actual: &ActualRules,
    settled: &BTreeMap<RuleKey, RuleReport>,
    standing_in: &BTreeSet<RuleKey>,
) -> Doubt {
    let open = |key: &&RuleKey| !settled.contains_key(*key) || standing_in.contains(*key);
    let recorded: Vec<_> = record
        .rules
        .keys()
        .chain(standing_in)
        .filter(open)
        .filter_map(|key| actual.get(key).map(|live| (key, live)))
        .collect();
    let shows_revoked_id: BTreeSet<RuleKey> = recorded
        .iter()
        .filter(|(_, live)| {
            live.id
                .as_ref()
                .is_some_and(|id| evidence.revoked_ids.contains(id))
        })
        .map(|(key, _)| (*key).clone())
        .collect();
    if !shows_revoked_id.is_empty() {
        return Doubt::Stale(shows_revoked_id);
    }
    let without_ids = evidence.revoked_ids.is_empty();
    let shows_revoked = without_ids
        && recorded
            .iter()
            .any(|(key, _)| evidence.revoked.contains(*key));
    let shows_old_content = recorded.iter().any(|(_, live)| {
        let modified = live.id.as_ref().and_then(|id| evidence.modified.get(id));
        modified.is_some_and(|now| now.as_ref() != Some(&live.key))
    });
    if shows_revoked || shows_old_content {
        Doubt::Unsure
    } else {
        Doubt::None
    }
}
