//! What came of a sweep.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Report;
use crate::model::{AccountId, GroupRange, Region, Scope};

/// What a sweep looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// The account.
    pub account: AccountId,
    /// The Region.
    pub region: Region,
    /// Which of its groups.
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

/// What a sweep left to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HandedOver {
    /// How many sweeps were asked for.
    pub sweeps: usize,
    /// Why.
    pub reason: String,
}

/// What a sweep answers: how many groups ended how, and the reports of those that were not converged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SweepReport {
    /// Counts: `groups`, and one per outcome that occurred.
    pub sweep: BTreeMap<String, u64>,
    /// What was looked at, when that is not all groups of the account and Region.
    #[serde(skip_serializing_if = "is_everything")]
    pub of: Option<Swept>,
    /// The groups that were not converged.
    pub reports: Vec<Report>,
    /// The converged groups of which there is something to tell all the same: a superseded rule, a change of the record,
    /// a warning.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<Report>,
    /// What others were asked to look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handed_over: Option<HandedOver>,
    /// Why the sweep could not be finished, when it could not and nobody else was asked to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

fn is_everything(of: &Option<Swept>) -> bool {
    of.as_ref().is_none_or(|of| of.range.is_all())
}
