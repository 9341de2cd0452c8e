//! Events that the table alone answers, so that EC2 is not asked.

use jiff::SignedDuration;

use super::snapshot::Snapshot;
use crate::desired::Policy;
use crate::event::{Call, Lookup};
use crate::report::{RuleOutcome, RuleReport};

/// Why a call needs no look at the group: it drops no rule, and its caller's changes do not enter the record.
pub(super) fn unlisted(snapshot: &Snapshot, lookup: &Lookup) -> Option<String> {
    let what = match lookup.call? {
        Call::Authorize => "an authorize drops no rule",
        Call::RefusedAuthorize => "an authorize was refused",
        Call::TriedAuthorize => "an authorize failed for a passing reason",
        Call::Describe => "a description drops no rule",
        Call::Revoke | Call::Modify | Call::Delete | Call::RefusedDelete => return None,
    };
    let by = lookup.trigger.principal.as_deref().unwrap_or("nobody");
    let principals = snapshot.principals();
    match principals.policy(by) {
        Policy::Accept | Policy::Follow => None,
        // What others authorized says since when a rule is missing.
        _ if lookup.call == Some(Call::Authorize) && principals.any_meant() => None,
        _ => Some(format!(
            "{what}, and the changes of {by} do not enter the record"
        )),
    }
}

/// Rules that were restored after the revoke at hand.
pub(super) struct Answered {
    pub(super) reason: String,
    pub(super) rules: Vec<RuleReport>,
}

/// Our authorize came after an event if it is this much later than the event's second: a second for the rest of that
/// second, and one for clocks that differ.
const SURELY_AFTER: SignedDuration = SignedDuration::from_secs(2);

/// Whether we restored every rule that the event names since it was revoked. A rule that is gone again has a later event.
/// Not where the event names a rule outside the record, which may have superseded a recorded one; not for contested
/// rules; not where principals are listed, because each of their events is judged.
pub(super) fn answered(snapshot: &Snapshot, lookup: &Lookup) -> Option<Answered> {
    let named = &lookup.evidence.revoked;
    let all_are_named = lookup.evidence.revoked_ids.len() <= named.len() && !named.is_empty();
    if lookup.call != Some(Call::Revoke) || !all_are_named || snapshot.principals().any_meant() {
        return None;
    }
    let after = lookup.trigger.event_time?.checked_add(SURELY_AFTER).ok()?;
    let mut rules = Vec::new();
    for rule in named.keys() {
        let is_kept = snapshot.record.rules.contains_key(rule);
        if !is_kept || snapshot.state.contested.contains_key(rule) {
            return None;
        }
        let at = snapshot
            .state
            .last_restored(rule)
            .filter(|at| *at >= after)?;
        let why = format!("rulekeeper put it back after this event, at {at}");
        let line = RuleReport::new(rule.clone(), RuleOutcome::AlreadyPresent);
        rules.push(line.because(why));
    }
    let reason = "what the event tells of has been put back since; EC2 throttles calls, so the group was not read again";
    Some(Answered {
        reason: reason.to_owned(),
        rules,
    })
}
