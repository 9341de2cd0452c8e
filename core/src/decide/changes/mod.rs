//! Changes that are meant: what a principal's calls do to the record. No I/O, no clock.
//!
//! Events are only ever turned into facts ([`GroupState`]): who revoked, authorized or was refused what, and when. What
//! follows is judged from all facts known, the record and a read of the group, by whichever invocation looks next. So it
//! does not matter in which order events come, how often, or which instance handles them, and a revoke whose handler
//! died is judged by the next one.
//!
//! - `accept`: a rule that the principal revoked and that is gone leaves the record, until it authorizes it again.
//! - `follow`: a rule that the principal authorized and that is live enters it. One that it revoked and that is gone is
//!   judged when its `settle_seconds` are over: made up for by other live rules, it leaves (the change *committed*);
//!   revoked once more after we put it back, it leaves too (*asked twice*); else it is put back. While an authorize of
//!   the principal was refused in the same change or up to 15 minutes before (the change *aborted*), nothing leaves, and
//!   what had left by then comes back.
//!
//! Where anybody is listed, a missing rule whose [`cause`] is not known yet waits for the event that says who took it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, Unit};

use crate::desired::{DesiredRecord, Principals};
use crate::model::{ActualRules, IngressRule, RuleKey};

mod cause;
mod contest;
mod judge;
mod observed;
mod state;

pub use cause::{Cause, cause};
pub use contest::{Backoff, CONTEST_WINDOW, RESTORES_IN_WINDOW_MAX, backoff_of};
pub use judge::judge;
pub use observed::{ObservedCall, dropped_by};
pub use state::{Authorization, Contest, GroupState, ObservedCalls, REMEMBERED_FOR, Removed};

/// For how long after a refused authorize no revoke of the same principal counts as meant, and how long before a revoke
/// an authorize may have been to belong to the same change.
pub const ABORTED_FOR: SignedDuration = SignedDuration::from_mins(15);

/// What is judged.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The record as it stands.
    pub record: &'a DesiredRecord,
    /// Whose changes are meant.
    pub principals: Principals<'a>,
    /// The live rules, without those that are known to be revoked.
    pub actual: &'a ActualRules,
    /// The event at hand, whose facts are in the state already.
    pub observed: Option<&'a ObservedCall>,
    /// The present time, or when the read was begun if that took long: what happened since it may not show.
    pub now: Timestamp,
}

/// What follows from the facts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Judgement {
    /// The next generation of the record, if there is to be one. Judge again when it is written: others may follow.
    pub revision: Option<Revision>,
    /// The state to be written with it, or by itself when it differs from the one that was judged.
    pub state: GroupState,
    /// Missing rules whose change is still under way.
    pub settling: BTreeMap<RuleKey, Settling>,
}

/// A revoke that waits for its authorize.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settling {
    /// Whose.
    pub by: String,
    /// When it is judged.
    pub until: Timestamp,
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
    /// Rules that are back because the change which took them out was aborted.
    pub reinstated: Vec<RuleKey>,
    /// Rules that left, and why.
    pub removed: Vec<(RuleKey, RemovalReason)>,
}

/// Why a rule left the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemovalReason {
    /// The principal's revokes are accepted.
    Accepted,
    /// The principal is followed, and these live rules allow the same.
    Committed(Vec<RuleKey>),
    /// The principal is followed, and revoked it again after it was put back.
    AskedTwice,
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
            let removed = self.removed.iter().filter(move |(_, why)| wanted(why));
            removed.map(|(rule, _)| rule).collect::<Vec<_>>()
        };
        part("authorized", self.entered.iter().collect());
        part(
            "followed, replaced by live rules",
            leaving(|why| matches!(why, RemovalReason::Committed(_))),
        );
        part(
            "followed, revoked again after it was put back",
            leaving(|why| *why == RemovalReason::AskedTwice),
        );
        part(
            "accepted, revoked",
            leaving(|why| *why == RemovalReason::Accepted),
        );
        part(
            "taken back, because the change it belonged to was aborted",
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
