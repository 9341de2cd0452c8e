//! What the run-time state says of a group's rules: what waits, and what needs a person.

use std::collections::BTreeMap;

use rulekeeper_core::decide::changes::GroupState;
use rulekeeper_core::desired::DesiredRecord;
use rulekeeper_core::model::{GroupAddress, GroupId, RuleKey, Scope};
use rulekeeper_core::reconcile::close_command;
use rulekeeper_core::report::plan::ReopenedRule;
use serde::Serialize;
use serde_json::Value;

use super::{Archive, OperatorError};

/// Rules of a group that need a person, or that wait. As the function last saw them: EC2 is not asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Live rules that were put back before it was known that somebody had decided to close them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reopened: Vec<ReopenedRule>,
    /// Missing rules that stay closed until a person decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<RuleKey>,
    /// Rules that cannot come back, and live ones that could not if they were dropped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unrestorable: Vec<RuleKey>,
    /// Missing rules that wait for the event that took them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<RuleKey>,
}

impl Standing {
    /// What a state item says of the rules of a record.
    pub(super) fn of(group: &GroupId, record: &DesiredRecord, state: Option<&Value>) -> Self {
        let state = GroupState::of_item(state);
        Self {
            reopened: reopened_rules(group, &state),
            pending: recorded(record, &state.pending),
            unrestorable: {
                let mut rules = recorded(record, &state.unrestorable);
                rules.extend(recorded(record, &state.foreseen));
                rules
            },
            waiting: recorded(record, &state.missing_since),
        }
    }

    /// How many rules each has, in words; `None` where there is nothing to say.
    pub fn in_words(&self) -> Option<String> {
        let counts = [
            (self.reopened.len(), "reopened"),
            (self.pending.len(), "pending"),
            (self.unrestorable.len(), "unrestorable"),
            (self.waiting.len(), "waiting"),
        ];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let words: Vec<String> = counts
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

/// The groups of a scope with rules that were put back too early. A sweep does not tell of groups with nothing missing.
///
/// # Errors
/// When the table cannot be read.
pub async fn reopened(
    table: &impl Archive,
    scope: &Scope,
) -> Result<Vec<GroupAddress>, OperatorError> {
    let states = table.all_states(scope).await?.into_iter();
    let groups = states.filter_map(|(group, item)| {
        let id: GroupId = group.parse().ok()?;
        let state = GroupState::of_item(Some(&item));
        let scope = scope.clone();
        (!state.reopened.is_empty()).then_some(GroupAddress { scope, id })
    });
    Ok(groups.collect())
}

pub(super) fn reopened_rules(group: &GroupId, state: &GroupState) -> Vec<ReopenedRule> {
    let rules = state.reopened.iter().map(|(rule, reopened)| ReopenedRule {
        rule: rule.clone(),
        by: reopened.by.clone(),
        at: reopened.at,
        close: close_command(group, rule),
    });
    rules.collect()
}

fn recorded<V>(record: &DesiredRecord, known: &BTreeMap<RuleKey, V>) -> Vec<RuleKey> {
    let rules = known.keys().filter(|rule| record.rules.contains_key(*rule));
    rules.cloned().collect()
}
