//! Deciding: what the record holds, what the group holds, what follows. No I/O, no clock, no randomness.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::decide::cover::covering;
use crate::desired::{DesiredRecord, Mode, Superseding};
use crate::model::{ActualRules, IngressRule, RuleKey, Tags};
use crate::report::{RuleOutcome, RuleReport};

/// What is to be done about a group, in full: executing it leaves nothing to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Plan {
    /// The rules that are missing and are to be there, in the order in which they matter.
    pub missing: Vec<IngressRule>,
    /// The rules that are missing and may stay away.
    pub superseded: Vec<Superseded>,
    /// Live rules that the record does not hold, and live rules that could not be read.
    pub unexpected: Vec<String>,
}

/// A missing rule that other live rules make up for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superseded {
    /// The missing rule.
    pub rule: RuleKey,
    /// The live rules, none of them in the record, that together allow the same.
    pub by: Vec<RuleKey>,
}

impl Superseded {
    /// The rule's line in a report.
    pub fn report(&self) -> RuleReport {
        let by: Vec<String> = self.by.iter().map(ToString::to_string).collect();
        RuleReport::new(self.rule.clone(), RuleOutcome::Superseded)
            .because(format!("live rules allow the same: {}", by.join(", ")))
    }
}

/// Why nothing of a group is put back for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// The record only observes.
    Observe,
    /// Nothing is changed by this run, whatever records say: the function observes, or this is a plan.
    DryRun,
    /// Somebody paused the group.
    Paused {
        /// Until when.
        until: Timestamp,
        /// Why, if they said so.
        reason: Option<String>,
    },
}

impl Hold {
    /// What holds a group at a given time. A pause is named before observing, because it ends by itself.
    pub fn of(record: &DesiredRecord, function_mode: Mode, now: Timestamp) -> Option<Self> {
        if let Some(pause) = record.paused_at(now) {
            return Some(Self::Paused {
                until: pause.until,
                reason: pause.reason.clone(),
            });
        }
        match (record.mode, function_mode) {
            (Mode::Observe, _) => Some(Self::Observe),
            (Mode::Enforce, Mode::Observe) => Some(Self::DryRun),
            (Mode::Enforce, Mode::Enforce) => None,
        }
    }

    /// The hold in words.
    pub fn reason(&self) -> String {
        match self {
            Self::Observe => "the record only observes".to_owned(),
            Self::DryRun => "would be authorized; nothing is changed in observe mode".to_owned(),
            Self::Paused {
                until,
                reason: None,
            } => format!("paused until {until}"),
            Self::Paused {
                until,
                reason: Some(reason),
            } => format!("paused until {until}: {reason}"),
        }
    }
}

/// Compares a record with what is live.
///
/// `presumed_absent` are rules that the read shows and that are known to be gone, because the read is stale.
pub fn plan(
    record: &DesiredRecord,
    actual: &ActualRules,
    presumed_absent: &BTreeSet<RuleKey>,
) -> Plan {
    let is_live = |key: &RuleKey| !presumed_absent.contains(key) && actual.contains(key);
    let kept: BTreeSet<&RuleKey> = record
        .rules
        .keys()
        .filter_map(|key| actual.get(key))
        .map(|live| &live.key)
        .collect();
    let outside: Vec<&RuleKey> = actual
        .iter()
        .map(|live| &live.key)
        .filter(|key| !kept.contains(key) || fault!(RecordedRulesStandIn))
        .filter(|key| !presumed_absent.contains(*key))
        .collect();

    let mut plan = Plan {
        missing: Vec::new(),
        superseded: Vec::new(),
        unexpected: Vec::new(),
    };
    for rule in record
        .rules_in_order()
        .into_iter()
        .filter(|rule| !is_live(&rule.key))
    {
        let stands_in = match record.superseding {
            Superseding::Honor => covering(&rule.key, outside.iter().copied()),
            Superseding::Ignore => None,
        };
        match stands_in {
            Some(by) => plan.superseded.push(Superseded {
                rule: rule.key.clone(),
                by: by.into_iter().cloned().collect(),
            }),
            None => plan.missing.push(rule.clone()),
        }
    }
    plan.unexpected = outside.iter().map(ToString::to_string).collect();
    plan.unexpected.extend(actual.unrecognised.iter().cloned());
    plan
}

/// Rules to authorize in one call: they share their tags, and no rule is listed twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The rules, in the order in which they matter.
    pub rules: Vec<IngressRule>,
    /// The tags of every rule of this call; EC2 tags per call, not per rule.
    pub tags: Tags,
}

#[cfg(test)]
mod tests;
