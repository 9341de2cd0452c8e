//! Rules are withheld while their caller deletes a group that they hold back.

use jiff::{SignedDuration, Timestamp};

use super::KnownCall;
use super::facts::Facts;
use super::timeline::What;
use super::verdict::{Verdict, WaitReason};
use crate::event::Call;
use crate::model::{GroupId, RuleKey};

/// How long a deletion of a group may be before or after a revoke to belong to it, and how long the rule is withheld.
pub const WITHHELD_FOR: SignedDuration = SignedDuration::from_mins(15);

impl Facts<'_> {
    /// The deletion that the last known revoke of a rule makes room for.
    pub(super) fn last_deletion(&self, rule: &RuleKey) -> Option<Deletion> {
        let entries = self.timelines.of_rule(rule).iter().rev();
        let mut taken = entries.filter_map(|entry| match entry.what {
            What::Taken(call) => Some(call),
            _ => None,
        });
        self.deletion(rule, taken.next()?)
    }

    /// The deletion that a revoke makes room for: of the group to which the rule refers, or of the group itself, by the
    /// same caller, within 15 minutes.
    pub(super) fn deletion(&self, rule: &RuleKey, taken: &KnownCall) -> Option<Deletion> {
        let referenced = rule.referenced_group().map(|group| &group.group_id);
        let mut deletions = self.state.calls.iter().filter(|call| {
            let concerns = call.reference.is_none() || call.reference.as_ref() == referenced;
            call.call.is_deletion() && concerns
        });
        let is_gone = deletions
            .clone()
            .any(|call| call.call == Call::Delete && call.reference.is_some());
        let tried = deletions.find(|call| {
            let apart = call.at.duration_since(taken.at).abs();
            call.by == taken.by && apart <= WITHHELD_FOR
        })?;
        let until = taken.at.checked_add(WITHHELD_FOR).unwrap_or(taken.at);
        Some(Deletion {
            by: taken.by.clone(),
            group: tried.reference.clone(),
            until,
            is_gone: is_gone || self.state.unrestorable.contains_key(rule),
        })
    }
}

/// A deletion of a group that a revoke makes room for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deletion {
    pub(super) by: String,
    /// The referenced group; `None` for the group that holds the rule.
    pub(super) group: Option<GroupId>,
    pub(super) until: Timestamp,
    pub(super) is_gone: bool,
}

impl Deletion {
    /// The wait that it is worth, if it is not over.
    pub(super) fn wait(&self, now: Timestamp) -> Option<Verdict> {
        (now < self.until && !self.is_gone).then(|| Verdict::Wait {
            until: self.until,
            why: WaitReason::Deletion {
                by: self.by.clone(),
                group: self.group.clone(),
            },
        })
    }
}
