//! What came of it: an outcome for the group and one for every dropped rule, in one value that becomes the answer, the
//! log line, the metrics and the CLI's output.

use std::collections::BTreeMap;

use crate::event::{Trigger, TriggerKind};
use crate::model::{GroupAddress, RuleId, RuleKey};
use serde::Serialize;

pub mod incident;
mod sweep;

pub use sweep::{HandedOver, SweepReport, Swept};

/// What came of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupOutcome {
    /// No rule that should be restored is missing.
    Converged,
    /// Everything that was missing is back.
    Restored,
    /// Some of it is back.
    Partial,
    /// Missing rules are left alone: the group is paused, a change is settling, or a cause is awaited.
    Held,
    /// Observe mode: rules are missing and were left missing.
    Observed,
    /// Somebody keeps dropping rules that we put back, and they are left alone for a time.
    Contested,
    /// There is no record of this group.
    Unmanaged,
    /// The group is gone.
    Orphaned,
    /// The event asks for nothing.
    Ignored,
    /// Nothing could be put back, or nothing could be found out.
    Failed,
}

impl GroupOutcome {
    /// The name in reports and on the screen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::Restored => "restored",
            Self::Partial => "partial",
            Self::Held => "held",
            Self::Observed => "observed",
            Self::Contested => "contested",
            Self::Unmanaged => "unmanaged",
            Self::Orphaned => "orphaned",
            Self::Ignored => "ignored",
            Self::Failed => "failed",
        }
    }
}

/// What came of a dropped rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleOutcome {
    /// We authorized it.
    Restored,
    /// The event names it, and it was there when we first looked.
    AlreadyPresent,
    /// It was missing when we first looked, and somebody else put it back.
    RestoredElsewhere,
    /// Other live rules allow the same, or the rule left the record because its revoke was meant.
    Superseded,
    /// Left alone on purpose, until a change has settled, or until its cause is known.
    Held,
    /// Left alone for a time, because somebody drops it as often as we put it back.
    Contested,
    /// Still missing.
    Failed,
}

impl RuleOutcome {
    /// The name in reports and in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Restored => "restored",
            Self::AlreadyPresent => "already_present",
            Self::RestoredElsewhere => "restored_elsewhere",
            Self::Superseded => "superseded",
            Self::Held => "held",
            Self::Contested => "contested",
            Self::Failed => "failed",
        }
    }

    /// The outcome of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        let all = [
            Self::Restored,
            Self::AlreadyPresent,
            Self::RestoredElsewhere,
            Self::Superseded,
            Self::Held,
            Self::Contested,
            Self::Failed,
        ];
        all.into_iter().find(|outcome| outcome.name() == name)
    }
}

/// One dropped rule's line in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleReport {
    /// The rule.
    pub rule: RuleKey,
    /// What came of it.
    pub outcome: RuleOutcome,
    /// Its present id, when it is live and known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_id: Option<RuleId>,
    /// EC2's code, when EC2 refused something about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Why, or what else there is to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl RuleReport {
    /// A line without id, code or reason.
    pub fn new(rule: RuleKey, outcome: RuleOutcome) -> Self {
        Self {
            rule,
            outcome,
            rule_id: None,
            error_code: None,
            reason: None,
        }
    }

    /// The same with a reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// The same with an id, if one is known.
    #[must_use]
    pub fn with_id(mut self, id: Option<RuleId>) -> Self {
        self.rule_id = id;
        self
    }
}

/// How long things took, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Timing {
    /// From the event's `eventTime`, which is given to the second, until we began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_age_ms: Option<u64>,
    /// From our beginning until EC2 confirmed the last rule we restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored_ms: Option<u64>,
    /// From our beginning until the report.
    pub total_ms: u64,
}

/// A generation of the record that was written on behalf of a principal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordChange {
    /// Its number.
    pub generation: u64,
    /// The principal.
    pub author: String,
    /// Why.
    pub reason: String,
    /// Rules that entered, or that changed their description or tags.
    pub added: Vec<RuleKey>,
    /// Rules that left.
    pub removed: Vec<RuleKey>,
}

/// What came of one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[must_use]
pub struct Report {
    /// The group, when the event names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupAddress>,
    /// What set this off.
    pub trigger: Trigger,
    /// What came of it.
    pub outcome: GroupOutcome,
    /// The same in a sentence.
    pub reason: String,
    /// The record's generation, when there is a record that could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Every dropped rule, in the order of restoring. Rules that were never missing are not listed.
    pub rules: Vec<RuleReport>,
    /// Live rules that the record does not hold. Never touched.
    pub unexpected: Vec<String>,
    /// Problems that did not stop the work, and that somebody may want to fix.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Generations of the record that were written on behalf of principals.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<RecordChange>,
    /// What somebody should hear of, told once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// How long it took.
    pub timing: Timing,
    /// API calls by operation, repeated attempts included.
    pub calls: BTreeMap<&'static str, u64>,
}

impl Report {
    /// Whether it tells anything but that all is well.
    pub fn tells(&self) -> bool {
        self.outcome != GroupOutcome::Converged
            || !self.rules.is_empty()
            || !self.changes.is_empty()
            || !self.notices.is_empty()
            || !self.warnings.is_empty()
    }

    /// A report with nothing in it but its outcome.
    pub fn bare(
        trigger: Trigger,
        group: Option<GroupAddress>,
        outcome: GroupOutcome,
        reason: String,
    ) -> Self {
        Self {
            group,
            trigger,
            outcome,
            reason,
            generation: None,
            rules: Vec::new(),
            unexpected: Vec::new(),
            warnings: Vec::new(),
            changes: Vec::new(),
            notices: Vec::new(),
            timing: Timing::default(),
            calls: BTreeMap::new(),
        }
    }

    /// How many rules ended this way.
    pub fn count(&self, outcome: RuleOutcome) -> usize {
        self.rules
            .iter()
            .filter(|rule| rule.outcome == outcome)
            .count()
    }

    /// Whether rules of the record are missing now, on purpose or not.
    pub fn leaves_rules_missing(&self) -> bool {
        self.count(RuleOutcome::Failed)
            + self.count(RuleOutcome::Held)
            + self.count(RuleOutcome::Contested)
            > 0
            || matches!(self.outcome, GroupOutcome::Failed | GroupOutcome::Orphaned)
    }

    /// From the event until the last rule was restored, in milliseconds; when there is an event with a time, and a rule
    /// was restored. A sweep does not know since when a rule is missing.
    pub fn drift_open_ms(&self) -> Option<u64> {
        if self.trigger.kind != TriggerKind::Event {
            return None;
        }
        Some(self.timing.event_age_ms? + self.timing.restored_ms?)
    }
}

/// The outcome of a group whose record was read and whose rules ended as listed, with the sentence that says so.
pub fn conclude(rules: &[RuleReport]) -> (GroupOutcome, String) {
    let count = |outcome| rules.iter().filter(|rule| rule.outcome == outcome).count();
    let (restored, failed) = (count(RuleOutcome::Restored), count(RuleOutcome::Failed));
    let elsewhere = count(RuleOutcome::RestoredElsewhere) + count(RuleOutcome::AlreadyPresent);
    let superseded = count(RuleOutcome::Superseded);
    let (contested, held) = (count(RuleOutcome::Contested), count(RuleOutcome::Held));
    let outcome = match (restored, failed) {
        (_, 0) if contested > 0 => GroupOutcome::Contested,
        (0, 0) if held > 0 => GroupOutcome::Held,
        (0, 0) => GroupOutcome::Converged,
        (_, 0) => GroupOutcome::Restored,
        (0, _) if elsewhere == 0 => GroupOutcome::Failed,
        (_, _) => GroupOutcome::Partial,
    };
    let mut parts = Vec::new();
    if restored + failed > 0 {
        let (total, noun) = plural(restored + failed, "dropped rule");
        parts.push(format!("{restored} of {total} {noun} restored"));
    }
    if elsewhere > 0 {
        let (n, noun) = plural(elsewhere, "rule");
        parts.push(format!("{n} {noun} back already"));
    }
    if superseded > 0 {
        let (n, noun) = plural(superseded, "rule");
        parts.push(format!("{n} {noun} superseded"));
    }
    if contested > 0 {
        let (n, noun) = plural(contested, "rule");
        parts.push(format!("{n} {noun} contested"));
    }
    if held > 0 {
        let (n, noun) = plural(held, "rule");
        parts.push(format!("{n} {noun} held for now"));
    }
    if parts.is_empty() {
        parts.push("no rule is missing".to_owned());
    }
    (outcome, parts.join(", "))
}

fn plural(count: usize, noun: &str) -> (usize, String) {
    (
        count,
        if count == 1 {
            noun.to_owned()
        } else {
            format!("{noun}s")
        },
    )
}
