//! The outcome of a sweep.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::Report;
use crate::model::{AccountId, GroupRange, Region, Scope};

/// What a sweep looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// The account.
    pub account: AccountId,
    /// The Region.
    pub region: Region,
    /// The range of its groups.
    #[serde(flatten)]
    pub range: GroupRange,
}

impl Swept {
    /// A range of the groups of a scope.
    pub fn new(scope: &Scope, range: GroupRange) -> Self {
        Self {
            account: scope.account.clone(),
            region: scope.region.clone(),
            range,
        }
    }
}

/// Sweeps that were handed over to other invocations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HandedOver {
    /// How many sweeps were handed over.
    pub sweeps: usize,
    /// Why.
    pub reason: String,
}

/// What dry runs of an authorize have shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Permission {
    /// Whether the role may authorize. If not, no rule could come back.
    pub authorize: bool,
    /// Whether it may tag what it authorizes. If not, rules come back without their tags.
    pub tag: bool,
    /// Whether EC2 said otherwise when it was tried before.
    pub changed: bool,
    /// The same in a sentence.
    pub found: String,
}

/// A sweep's answer: the number of groups by outcome, and the reports of groups that did not converge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SweepReport {
    /// Counts: `groups`, and one per outcome that occurred.
    pub sweep: BTreeMap<String, u64>,
    /// What was swept, if it was not all groups of the account and Region.
    #[serde(skip_serializing_if = "is_everything")]
    pub of: Option<Swept>,
    /// The groups that were not converged.
    #[serde(serialize_with = "capped")]
    pub reports: Vec<Report>,
    /// Converged groups whose report still has something to say: a superseded rule, a change of the record, a warning.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "capped")]
    pub remarks: Vec<Report>,
    /// Whether the role may authorize there, if that was tried and it may not, or may again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission: Option<Permission>,
    /// What was handed over to other invocations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handed_over: Option<HandedOver>,
    /// Why the sweep ended early, if the rest was not handed over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

fn capped<S: Serializer>(reports: &[Report], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(reports.iter().map(Report::capped))
}

fn is_everything(of: &Option<Swept>) -> bool {
    of.as_ref().is_none_or(|of| of.range.is_all())
}
