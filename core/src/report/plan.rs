//! What a restore of a group would do now with each missing rule, and why. Nothing has happened: a report tells that.

use jiff::Timestamp;
use serde::Serialize;

use crate::model::{GroupAddress, RuleKey};

/// What a restore of one group would do now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[must_use]
pub struct GroupPlan {
    /// The group.
    pub group: GroupAddress,
    /// Its name, if the record has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The record's generation.
    pub generation: u64,
    /// Every missing rule of the record, in the order of restoring.
    pub rules: Vec<PlannedRule>,
    /// Live rules that were put back before it was known that somebody had decided to close them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reopened: Vec<ReopenedRule>,
    /// Live rules that the record does not hold. They are never changed.
    pub unexpected: Vec<String>,
    /// Problems that somebody may want to fix.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl GroupPlan {
    /// How many missing rules are kept. Those that leave the record and those that live rules replace do not count.
    pub fn missing(&self) -> usize {
        let kept = self.rules.iter().filter(|line| line.action.keeps());
        kept.count()
    }
}

/// What a restore would do with a missing rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedRule {
    /// The rule.
    pub rule: RuleKey,
    /// What would be done.
    pub action: PlannedAction,
    /// Why.
    pub reason: String,
    /// Whose change it is about, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Until when it is left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// What would be done with a missing rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedAction {
    /// It would be authorized.
    Restore,
    /// It waits: for the event that took it, or for the rest of a change.
    Wait,
    /// It would leave the record.
    Leave,
    /// It stays closed until a person decides. A restore by a person is such a decision.
    Pending,
    /// Live rules outside the record allow the same.
    Superseded,
    /// Somebody drops it as often as we restore it.
    Contested,
    /// What it refers to does not exist.
    Unrestorable,
    /// The group has no room for it.
    NoRoom,
    /// The group is paused.
    Paused,
    /// The record only observes.
    Observe,
}

impl PlannedAction {
    /// The name in documents and on the screen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Restore => "restore",
            Self::Wait => "wait",
            Self::Leave => "leave",
            Self::Pending => "pending",
            Self::Superseded => "superseded",
            Self::Contested => "contested",
            Self::Unrestorable => "unrestorable",
            Self::NoRoom => "no_room",
            Self::Paused => "paused",
            Self::Observe => "observe",
        }
    }

    /// Whether the rule is missing and meant to be there.
    pub fn keeps(self) -> bool {
        !matches!(self, Self::Leave | Self::Superseded)
    }
}

/// A live rule that somebody had decided to close.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReopenedRule {
    /// The rule.
    pub rule: RuleKey,
    /// Who had closed it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The command that closes it.
    pub close: String,
}
