//! Compares the record with the live rules. No I/O, no clock, no randomness.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::decide::cover::covering;
use crate::desired::{DesiredRecord, Mode, SharedSettings, Superseding};
use crate::model::{ActualRules, IngressRule, RuleKey, Tags};
use crate::report::{RuleOutcome, RuleReport};

/// What to do about a group. Executing a plan leaves nothing to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Plan {
    /// Missing rules to authorize, in order of restoring.
    pub missing: Vec<IngressRule>,
    /// Missing rules that may stay missing.
    pub superseded: Vec<Superseded>,
    /// Live rules that the record does not hold, and live rules that could not be read.
    pub unexpected: Vec<String>,
}

/// A missing rule that other live rules replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superseded {
    /// The missing rule.
    pub rule: RuleKey,
    /// The live rules that together allow the same. None of them is in the record.
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

/// Why no rule of a group is restored for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// The record only observes.
    Observe,
    /// The function observes, or this run only plans. It changes nothing, even if the record says enforce.
    DryRun,
    /// Somebody paused the group.
    Paused {
        /// When the pause ends.
        until: Timestamp,
        /// The reason, if one was given.
        reason: Option<String>,
    },
}

impl Hold {
    /// The hold of a group at a given time. A pause comes before observe mode, because a pause ends by itself; of the
    /// group's own and that of all groups the longer one counts.
    pub fn of(
        record: &DesiredRecord,
        shared: &SharedSettings,
        function_mode: Mode,
        now: Timestamp,
    ) -> Option<Self> {
        let of_all = shared.paused_at(now);
        let pauses = record.paused_at(now).into_iter().chain(of_all);
        if let Some(pause) = pauses.max_by_key(|pause| pause.until) {
            let reason = pause.reason.clone();
            let reason = match of_all == Some(pause) {
                true => Some(format!(
                    "every group is paused: {}",
                    reason.unwrap_or_default()
                )),
                false => reason,
            };
            return Some(Self::Paused {
                until: pause.until,
                reason,
            });
        }
        match (record.mode, function_mode) {
            (Mode::Observe, _) => Some(Self::Observe),
            (Mode::Enforce, Mode::Observe) => Some(Self::DryRun),
            (Mode::Enforce, Mode::Enforce) => None,
        }
    }

    /// The hold as text.
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

/// Compares a record with the live rules.
///
/// `presumed_absent` are rules that a stale read shows although they no longer exist.
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

/// Rules to authorize in one call. They share their tags, and no rule is listed twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The rules, in order of restoring.
    pub rules: Vec<IngressRule>,
    /// The tags of every rule of the call. EC2 tags per call, not per rule.
    pub tags: Tags,
}

#[cfg(test)]
mod tests;
