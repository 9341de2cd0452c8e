//! The outcome of a group and of each dropped rule. One value becomes the answer, the log line, the metrics and the
//! CLI's output.

use std::collections::BTreeMap;

use crate::desired::DesiredRecord;
use crate::event::{Trigger, TriggerKind};
use crate::model::{GroupAddress, RuleId, RuleKey, shortened};
use jiff::Timestamp;
use serde::Serialize;

mod capped;
mod chat;
pub mod incident;
pub mod plan;
mod sweep;
mod watch;

pub use capped::REPORT_BYTES_MAX;
pub use chat::ChatNotice;
pub use sweep::{HandedOver, Permission, SweepReport, Swept};
pub use watch::WatchReport;

/// The longest reason, in characters. It may repeat what somebody else wrote, in any length.
const REASON_MAX: usize = 1_000;

/// The outcome of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupOutcome {
    /// No rule that should be restored is missing.
    Converged,
    /// All missing rules are back.
    Restored,
    /// Some missing rules are back.
    Partial,
    /// Missing rules stay missing for now: the group is paused, a change is settling, or a cause is awaited.
    Held,
    /// Rules are missing, and observe mode left them missing.
    Observed,
    /// Somebody drops rules as often as we restore them, so they stay missing for a time.
    Contested,
    /// There is no record of this group.
    Unmanaged,
    /// The group does not exist.
    Orphaned,
    /// The event asks for nothing.
    Ignored,
    /// No rule could be restored, or the rules could not be found out.
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

/// The outcome of a dropped rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleOutcome {
    /// We authorized it.
    Restored,
    /// The event names it, and it was live when we first looked.
    AlreadyPresent,
    /// It was missing when we first looked, and somebody else restored it.
    RestoredElsewhere,
    /// Other live rules allow the same, or the rule left the record because its revoke was intended.
    Superseded,
    /// It is missing and not restored now: a change is settling, its cause is awaited, or the group is paused or only
    /// observed.
    Held,
    /// It is missing, and stays missing for a time, because somebody drops it as often as we restore it.
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

    /// The name in sentences.
    fn in_words(self) -> &'static str {
        match self {
            Self::AlreadyPresent | Self::RestoredElsewhere => "back already",
            other => other.name(),
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

/// Whose call took a rule away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DroppedBy {
    /// That of the event at hand.
    ThisEvent,
    /// Nobody's that is known.
    #[default]
    Unknown,
    /// Another one that is known.
    #[serde(untagged)]
    Call {
        /// Who called.
        principal: String,
        /// The session of a person.
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<String>,
        /// When, in whole seconds.
        at: Timestamp,
    },
}

/// One dropped rule's line in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleReport {
    /// The rule.
    pub rule: RuleKey,
    /// The outcome.
    pub outcome: RuleOutcome,
    /// Its present id, if it is live and the id is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_id: Option<RuleId>,
    /// EC2's error code, if EC2 refused something about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// The reason, or other details.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whose call took it away.
    pub dropped_by: DroppedBy,
}

impl RuleReport {
    /// A line without id, code or reason, of which nobody knows who dropped the rule.
    pub fn new(rule: RuleKey, outcome: RuleOutcome) -> Self {
        Self {
            rule,
            outcome,
            rule_id: None,
            error_code: None,
            reason: None,
            dropped_by: DroppedBy::Unknown,
        }
    }

    /// Whether the call of the event at hand took it away.
    pub fn is_of_event(&self) -> bool {
        self.dropped_by == DroppedBy::ThisEvent
    }

    /// The same as dropped by the event at hand.
    #[must_use]
    pub fn dropped_by_this_event(mut self) -> Self {
        self.dropped_by = DroppedBy::ThisEvent;
        self
    }

    /// The same with a reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        let reason: String = reason.into();
        self.reason = Some(shortened(&reason, REASON_MAX).into_owned());
        self
    }

    /// The same with an id, if the id is known.
    #[must_use]
    pub fn with_id(mut self, id: Option<RuleId>) -> Self {
        self.rule_id = id;
        self
    }
}

/// How long things took, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Timing {
    /// From the event's `eventTime` (in whole seconds) until we began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_age_ms: Option<u64>,
    /// From our start until EC2 confirmed the last rule that we restored; of an event, the last that its call took, if any of
    /// them is back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored_ms: Option<u64>,
    /// From our start until the report.
    pub total_ms: u64,
}

/// A generation of the record that the function wrote for a principal's change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordChange {
    /// Its number.
    pub generation: u64,
    /// The principal.
    pub author: String,
    /// Why.
    pub reason: String,
    /// Rules that entered the record, or whose description or tags changed.
    pub added: Vec<RuleKey>,
    /// Rules that left the record.
    pub removed: Vec<RuleKey>,
}

/// The outcome of one group, with its details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[must_use]
pub struct Report {
    /// The group, if the event names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupAddress>,
    /// The group's name, if the record has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who owns the group, by the tag that the function is told to look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What triggered this.
    pub trigger: Trigger,
    /// The outcome.
    pub outcome: GroupOutcome,
    /// The outcome in a sentence.
    pub reason: String,
    /// The record's generation, if the record could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Every dropped rule, in the order of restoring. Rules that were live and are not named by the event are not
    /// listed.
    pub rules: Vec<RuleReport>,
    /// Live rules that the record does not hold. They are never changed.
    pub unexpected: Vec<String>,
    /// Problems that did not stop the work and that somebody may want to fix.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Generations of the record that the function wrote for principals' changes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<RecordChange>,
    /// Messages for people, each told once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// Live rules that somebody listed had closed and that were put back before that was known. A person has to close
    /// them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reopened: Vec<RuleKey>,
    /// Missing rules that stay closed and recorded until a person decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<RuleKey>,
    /// Missing rules that cannot come back, because what they refer to is gone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unrestorable: Vec<RuleKey>,
    /// What was left out, because the report would have been too long to travel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
    /// How long the work took.
    pub timing: Timing,
    /// API calls by operation, including repeated attempts.
    pub calls: BTreeMap<&'static str, u64>,
}

impl Report {
    /// Whether the report says more than that the group converged.
    pub fn tells(&self) -> bool {
        self.outcome != GroupOutcome::Converged
            || !self.rules.is_empty()
            || !self.changes.is_empty()
            || !self.notices.is_empty()
            || !self.reopened.is_empty()
            || !self.unrestorable.is_empty()
            || !self.warnings.is_empty()
    }

    /// A report with an outcome and no details.
    pub fn bare(
        trigger: Trigger,
        group: Option<GroupAddress>,
        outcome: GroupOutcome,
        reason: String,
    ) -> Self {
        Self {
            group,
            name: None,
            owner: None,
            trigger,
            outcome,
            reason: shortened(&reason, REASON_MAX).into_owned(),
            generation: None,
            rules: Vec::new(),
            unexpected: Vec::new(),
            warnings: Vec::new(),
            changes: Vec::new(),
            notices: Vec::new(),
            reopened: Vec::new(),
            pending: Vec::new(),
            unrestorable: Vec::new(),
            cut: None,
            timing: Timing::default(),
            calls: BTreeMap::new(),
        }
    }

    /// Says which generation of which group's record this is about.
    pub(crate) fn of_record(&mut self, record: &DesiredRecord) {
        self.generation = Some(record.generation);
        self.name.clone_from(&record.name);
    }

    /// How many rules have this outcome.
    pub fn count(&self, outcome: RuleOutcome) -> usize {
        count(&self.rules, outcome)
    }

    /// The rules that this is about: those that the event's call took. Of a sweep, all.
    pub fn own(&self) -> impl Iterator<Item = &RuleReport> {
        let all = self.trigger.kind != TriggerKind::Event;
        self.rules
            .iter()
            .filter(move |line| all || line.is_of_event())
    }

    /// The rules that the metrics count: those that this is about, and all that came back. What else is missing is counted
    /// with its own event.
    pub fn counted(&self) -> impl Iterator<Item = &RuleReport> {
        let all = self.trigger.kind != TriggerKind::Event;
        self.rules
            .iter()
            .filter(move |line| all || line.is_of_event() || line.outcome == RuleOutcome::Restored)
    }

    /// Whether a rule left the record.
    pub fn removes_rules(&self) -> bool {
        self.changes.iter().any(|change| !change.removed.is_empty())
    }

    /// Whether rules of the record are missing now, whether or not on purpose.
    pub fn leaves_rules_missing(&self) -> bool {
        self.count(RuleOutcome::Failed)
            + self.count(RuleOutcome::Held)
            + self.count(RuleOutcome::Contested)
            > 0
            || matches!(self.outcome, GroupOutcome::Failed | GroupOutcome::Orphaned)
    }

    /// From the event until the last rule that its call took was restored, in milliseconds. `None` without an event that has
    /// a time, or when none of them was restored. A sweep does not know since when a rule is missing.
    pub fn drift_open_ms(&self) -> Option<u64> {
        let is_back = |line: &RuleReport| line.outcome == RuleOutcome::Restored;
        if self.trigger.kind != TriggerKind::Event || !self.own().any(is_back) {
            return None;
        }
        Some(self.timing.event_age_ms? + self.timing.restored_ms?)
    }
}

/// The outcome of a group whose record was read, from the outcomes of its rules, with a sentence for it.
///
/// Both are about what the call of the event took, if it took anything. What else is missing is told apart.
pub fn conclude(rules: &[RuleReport]) -> (GroupOutcome, String) {
    let (its, others): (Vec<_>, Vec<_>) = rules.iter().partition(|line| line.is_of_event());
    if its.is_empty() || others.is_empty() {
        return conclude_all(rules);
    }
    let (its_outcome, reason) = conclude_all(its);
    let outcome = match its_outcome {
        // Other rules are missing, so this would say too much.
        GroupOutcome::Converged => conclude_all(others.iter().copied()).0,
        outcome => outcome,
    };
    let mut counts: BTreeMap<RuleOutcome, usize> = BTreeMap::new();
    for line in others {
        *counts.entry(line.outcome).or_default() += 1;
    }
    let counts = counts.iter();
    let counts = counts.map(|(outcome, count)| format!("{count} {}", outcome.in_words()));
    let counts: Vec<String> = counts.collect();
    let reason = format!("{reason}; also missing: {}", counts.join(", "));
    (outcome, reason)
}

fn count<'a>(rules: impl IntoIterator<Item = &'a RuleReport>, outcome: RuleOutcome) -> usize {
    let of_it = |rule: &&RuleReport| rule.outcome == outcome;
    rules.into_iter().filter(of_it).count()
}

fn conclude_all<'a>(
    rules: impl IntoIterator<Item = &'a RuleReport, IntoIter: Clone>,
) -> (GroupOutcome, String) {
    let rules = rules.into_iter();
    let count = |outcome| count(rules.clone(), outcome);
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
