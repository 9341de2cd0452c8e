//! What `plan`, and `replay` of what is not executed, show.

use std::collections::BTreeMap;

use rulekeeper_core::event::{Trigger, TriggerKind};
use rulekeeper_core::function::Answer;
use rulekeeper_core::model::{GroupAddress, GroupId};
use rulekeeper_core::reconcile::GroupResult;
use rulekeeper_core::report::GroupOutcome;
use rulekeeper_core::report::plan::{GroupPlan, PlannedRule, ReopenedRule};
use serde::Serialize;

use crate::failure::Status;

/// The outcome of a group of which rules are missing.
const DRIFTED: &str = "drifted";

/// What a restore would do now.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Planned {
    /// With one group.
    Group(Box<PlannedGroup>),
    /// With all groups.
    Groups(PlannedGroups),
    /// An answer that is about no group.
    Other(Box<Answer>),
}

/// What a restore of a group would do now, or why that is not known.
#[derive(Debug, Serialize)]
pub(crate) struct PlannedGroup {
    /// The event, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<Trigger>,
    /// The group, if an event names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<GroupAddress>,
    /// Its name, if the record has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// `converged`, `drifted`, or the outcome of the look that found no plan.
    pub(crate) outcome: &'static str,
    /// The same in a sentence.
    pub(crate) reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) generation: Option<u64>,
    pub(crate) rules: Vec<PlannedRule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) reopened: Vec<ReopenedRule>,
    pub(crate) unexpected: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
    #[serde(skip)]
    status: Status,
}

/// What a restore of all groups of an account and Region would do now.
#[derive(Debug, Serialize)]
pub(crate) struct PlannedGroups {
    /// The number of groups, and of those with each outcome.
    pub(crate) sweep: BTreeMap<String, u64>,
    /// The groups about which there is something to say.
    pub(crate) plans: Vec<PlannedGroup>,
    /// Why not all groups were looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// An item of a document about plans.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum PlannedItem<'a> {
    /// A group.
    Group(&'a PlannedGroup),
    /// An answer that is about no group.
    Other(&'a Answer),
}

/// A sweep's counts. In a plan a group that differs is observed, which says nothing about it.
fn drifted(mut counts: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    if let Some(count) = counts.remove(GroupOutcome::Observed.name()) {
        *counts.entry(DRIFTED.to_owned()).or_default() += count;
    }
    counts
}

impl From<GroupResult> for PlannedGroup {
    fn from(result: GroupResult) -> Self {
        let status = Status::of_report(&result.report);
        let trigger = Some(result.report.trigger);
        let trigger = trigger.filter(|trigger| trigger.kind == TriggerKind::Event);
        match result.plan {
            Some(plan) => Self {
                trigger,
                ..Self::of_plan(plan)
            },
            None => Self {
                trigger,
                group: result.report.group,
                name: result.report.name,
                outcome: result.report.outcome.name(),
                reason: result.report.reason,
                generation: result.report.generation,
                rules: Vec::new(),
                reopened: Vec::new(),
                unexpected: result.report.unexpected,
                warnings: result.report.warnings,
                status,
            },
        }
    }
}

impl PlannedGroup {
    /// The group's id.
    pub(crate) fn id(&self) -> Option<GroupId> {
        self.group.as_ref().map(|group| group.id.clone())
    }

    pub(crate) fn of_plan(plan: GroupPlan) -> Self {
        let missing = plan.missing();
        let (outcome, reason, status) = match missing {
            0 => (
                GroupOutcome::Converged.name(),
                "no rule is missing".to_owned(),
                Status::Done,
            ),
            1 => (DRIFTED, "1 rule is missing".to_owned(), Status::Drift),
            _ => (
                DRIFTED,
                format!("{missing} rules are missing"),
                Status::Drift,
            ),
        };
        Self {
            trigger: None,
            group: Some(plan.group),
            name: plan.name,
            outcome,
            reason,
            generation: Some(plan.generation),
            rules: plan.rules,
            reopened: plan.reopened,
            unexpected: plan.unexpected,
            warnings: plan.warnings,
            status,
        }
    }
}

impl PlannedGroup {
    /// Whether there is more to say than that nothing is missing. A record may have gone meanwhile.
    pub(crate) fn tells(&self) -> bool {
        let silent = self.rules.is_empty() && self.reopened.is_empty() && self.warnings.is_empty();
        !silent || self.status != Status::Done
    }
}

impl PlannedGroups {
    pub(crate) fn new(
        counts: BTreeMap<String, u64>,
        plans: Vec<PlannedGroup>,
        reason: Option<String>,
    ) -> Self {
        Self {
            sweep: drifted(counts),
            plans,
            reason,
        }
    }
}

impl Planned {
    /// The items of its document.
    pub(crate) fn items(&self) -> Vec<PlannedItem<'_>> {
        match self {
            Self::Other(answer) => vec![PlannedItem::Other(answer)],
            _ => self.groups().iter().map(PlannedItem::Group).collect(),
        }
    }

    /// The groups that it is about.
    pub(crate) fn groups(&self) -> &[PlannedGroup] {
        match self {
            Self::Group(one) => std::slice::from_ref(&**one),
            Self::Groups(all) => &all.plans,
            Self::Other(_) => &[],
        }
    }

    /// How many rules are missing.
    pub(crate) fn missing(&self) -> usize {
        let rules = self.groups().iter().flat_map(|group| &group.rules);
        rules.filter(|line| line.action.keeps()).count()
    }

    /// The sweep, if it is one.
    pub(crate) fn swept(&self) -> Option<&PlannedGroups> {
        match self {
            Self::Groups(all) => Some(all),
            _ => None,
        }
    }

    /// How a command ends that shows it.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Group(one) => one.status,
            Self::Groups(all) => {
                let own = match all.reason {
                    Some(_) => Status::Failed,
                    None => Status::Done,
                };
                let each = all.plans.iter().map(|one| one.status);
                each.fold(own, Status::max)
            }
            Self::Other(answer) => Status::of_answer(answer),
        }
    }
}
