//! The few verbs we need from the outside world.
//!
//! The port to EC2 can read and it can authorize. There is no way to revoke, modify or delete: nothing behind this
//! module could ask for it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::actual::ActualRules;
use crate::error::ApiError;
use crate::incident::Incident;
use crate::model::{
    GroupAddress, GroupId, IngressRule, PrefixListId, RuleId, RuleKey, Scope, Tags,
};

/// EC2's security groups, in one account and Region.
pub trait SecurityGroups {
    /// The live ingress rules of each group asked for. A group that EC2 has nothing to say about has no rules here,
    /// which proves neither that it is empty nor that it exists. At most [`GROUPS_PER_READ`] groups.
    fn ingress_rules(
        &self,
        groups: &[GroupId],
    ) -> impl Future<Output = Result<BTreeMap<GroupId, ActualRules>, ApiError>>;

    /// The live ingress rules of one group, with the same reservation.
    fn rules_of(&self, group: &GroupId) -> impl Future<Output = Result<ActualRules, ApiError>> {
        async move {
            let mut rules = self.ingress_rules(std::slice::from_ref(group)).await?;
            Ok(rules.remove(group).unwrap_or_default())
        }
    }

    /// Authorizes all rules of the batch, or, as far as EC2's documentation can be relied on, none of them.
    fn authorize_ingress(
        &self,
        group: &GroupId,
        batch: &Batch,
    ) -> impl Future<Output = Result<Vec<Authorized>, ApiError>>;

    /// Which of these groups exist and are visible to us.
    fn existing_groups(
        &self,
        groups: &BTreeSet<GroupId>,
    ) -> impl Future<Output = Result<BTreeSet<GroupId>, ApiError>>;

    /// Which of these prefix lists exist and are visible to us, each with what a rule naming it counts towards the
    /// quota.
    fn prefix_lists(
        &self,
        lists: &BTreeSet<PrefixListId>,
    ) -> impl Future<Output = Result<BTreeMap<PrefixListId, u32>, ApiError>>;

    /// The group of this name, whatever its case, in the default VPC.
    fn default_vpc_group(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Option<GroupId>, ApiError>>;
}

/// The most groups of one [`SecurityGroups::ingress_rules`] call: EC2 takes 200 values per filter and answers
/// `FilterLimitExceeded` to more.
pub const GROUPS_PER_READ: usize = 200;

/// The table.
pub trait Table {
    /// The desired-state item of a group as JSON, read consistently.
    fn desired(
        &self,
        group: &GroupAddress,
    ) -> impl Future<Output = Result<Option<Value>, ApiError>>;

    /// Every desired-state item of an account and Region, by group id.
    fn all_desired(
        &self,
        scope: &Scope,
    ) -> impl Future<Output = Result<Vec<(String, Value)>, ApiError>>;

    /// The groups of an account and Region that are known to be gone.
    fn orphaned(&self, scope: &Scope) -> impl Future<Output = Result<BTreeSet<GroupId>, ApiError>>;

    /// Notes that a group is gone. Doing it again changes nothing.
    fn mark_orphaned(
        &self,
        group: &GroupAddress,
        at: &str,
    ) -> impl Future<Output = Result<(), ApiError>>;

    /// Writes an incident, or merges it with what an earlier or concurrent handling of the same event wrote.
    fn record_incident(&self, incident: &Incident) -> impl Future<Output = Result<(), ApiError>>;
}

/// Rules to authorize in one call: they share their tags, and no rule is listed twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The rules, in the order in which they matter.
    pub rules: Vec<IngressRule>,
    /// The tags of every rule of this call; EC2 tags per call, not per rule.
    pub tags: Tags,
}

/// A rule that EC2 says it has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorized {
    /// Its identity.
    pub key: RuleKey,
    /// Its new id.
    pub id: Option<RuleId>,
}

/// Counts API calls, attempts that were repeated included, by operation. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Calls {
    /// Counts one call.
    pub fn count(&self, operation: &'static str) {
        *self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(operation)
            .or_default() += 1;
    }

    /// The counts so far.
    pub fn counted(&self) -> BTreeMap<&'static str, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
