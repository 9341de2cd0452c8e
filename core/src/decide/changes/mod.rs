//! Meant or lost: what others' calls make of the record and of missing rules. No I/O, no clock.
//!
//! Events are only ever turned into facts ([`GroupState`]). What follows is judged from all facts known, the record, a
//! read of the group and the time, by whichever invocation looks next. So it does not matter in which order events come,
//! how often, or which instance handles them, and a revoke whose handler died is judged by the next one.
//!
//! [`Verdict`] says what becomes of one rule. `docs/design/meant-or-lost.md` has the table.

use std::collections::BTreeMap;

use jiff::{Timestamp, Unit};

use crate::desired::{DesiredRecord, Principals};
use crate::model::{ActualRules, IngressRule, RuleKey};

mod call;
mod change;
mod contest;
mod deletion;
mod facts;
mod judge;
mod state;
mod timeline;
mod verdict;

pub use call::KnownCall;
pub use contest::{Backoff, CONTEST_WINDOW, RESTORES_IN_WINDOW_MAX, backoff_of};
pub use deletion::WITHHELD_FOR;
pub use judge::judge;
pub use state::{
    Contest, Entered, Foreseen, GroupState, KnownId, Pending, PendingReason, REMEMBERED_FOR,
    Removed, Reopened, Return,
};
pub use verdict::{Leaving, RemovalReason, RestoreReason, Verdict, WaitReason};

/// What is judged, besides the facts.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The record as it stands.
    pub record: &'a DesiredRecord,
    /// Whose changes are meant.
    pub principals: Principals<'a>,
    /// The live rules, without those that are known to be revoked.
    pub actual: &'a ActualRules,
    /// The present time, or when the read was begun if that took long: what happened since it may not show.
    pub now: Timestamp,
    /// The call of the event at hand, which is among the known ones.
    pub call: Option<&'a KnownCall>,
}

/// A call that took a rule away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taker {
    /// When, in whole seconds.
    pub at: Timestamp,
    /// Who, as principals are matched.
    pub by: String,
    /// The session of a person.
    pub session: Option<String>,
    /// Whether it is the call of the event at hand.
    pub at_hand: bool,
}

/// What follows from the facts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Judgement {
    /// The next generation of the record, if there is to be one. Judge again when it is written: others may follow.
    pub revision: Option<Revision>,
    /// The state to be written with it, or by itself when it differs from the one that was judged.
    pub state: GroupState,
    /// What becomes of each rule of the record.
    pub verdicts: BTreeMap<RuleKey, Verdict>,
    /// The last known call that took each missing rule of the record away.
    pub taken_by: BTreeMap<RuleKey, Taker>,
    /// What a person should know.
    pub notices: Vec<String>,
}

/// A change of the record on behalf of a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The author.
    pub by: String,
    /// The rules after it.
    pub rules: BTreeMap<RuleKey, IngressRule>,
    /// Rules that entered, or that changed their description or tags.
    pub entered: Vec<RuleKey>,
    /// Rules that are back because the change which took them out was no decision.
    pub reinstated: Vec<RuleKey>,
    /// Rules that left, and why.
    pub removed: Vec<(RuleKey, Leaving)>,
}

impl Revision {
    fn by(by: &str, record: &DesiredRecord) -> Self {
        Self {
            by: by.to_owned(),
            rules: record.rules.clone(),
            entered: Vec::new(),
            reinstated: Vec::new(),
            removed: Vec::new(),
        }
    }

    /// What it does, in a sentence that history shows.
    pub fn reason(&self) -> String {
        let mut parts = Vec::new();
        let mut part = |what: &str, rules: Vec<&RuleKey>| {
            if !rules.is_empty() {
                let names: Vec<String> = rules.into_iter().map(ToString::to_string).collect();
                parts.push(format!("{what}: {}", names.join(", ")));
            }
        };
        let leaving = |wanted: fn(&RemovalReason) -> bool| {
            let removed = self.removed.iter();
            let removed = removed.filter(move |(_, leaving)| wanted(&leaving.why));
            removed.map(|(rule, _)| rule).collect::<Vec<_>>()
        };
        part("authorized", self.entered.iter().collect());
        part("revoked", leaving(|why| *why == RemovalReason::Accepted));
        part("modified", leaving(|why| *why == RemovalReason::Modified));
        part(
            "replaced by live rules",
            leaving(|why| matches!(why, RemovalReason::Committed(_))),
        );
        part(
            "narrowed",
            leaving(|why| matches!(why, RemovalReason::Narrowed(_))),
        );
        part(
            "revoked again after it was put back",
            leaving(|why| *why == RemovalReason::AskedTwice),
        );
        part(
            "rolled back",
            leaving(|why| *why == RemovalReason::RolledBack),
        );
        part(
            "revoked, and the group that it refers to is gone",
            leaving(|why| *why == RemovalReason::ReferenceGone),
        );
        part(
            "returned, because the change that took it out was no decision",
            self.reinstated.iter().collect(),
        );
        parts.join("; ")
    }
}

/// The whole second of a time: events are told to the second, so within one it is not known what came first.
fn second(time: Timestamp) -> Timestamp {
    let floor = jiff::TimestampRound::new()
        .smallest(Unit::Second)
        .mode(jiff::RoundMode::Floor);
    time.round(floor).unwrap_or(time)
}

#[cfg(test)]
mod tests;
