//! What we ask of EC2: reads and one authorize. Nothing here can revoke, modify or delete.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use super::ApiError;
use crate::decide::guardrail::Entries;
use crate::decide::plan::Batch;
use crate::model::{ActualRules, GroupId, PrefixListId, RuleId, RuleKey};

/// EC2's security groups, in one account and Region.
pub trait SecurityGroups {
    /// The live ingress rules of each group, for at most [`GROUPS_PER_READ`] groups. A group without rules in the
    /// answer may be empty, or may not exist.
    fn ingress_rules(
        &self,
        groups: &[GroupId],
    ) -> impl Future<Output = Result<BTreeMap<GroupId, ActualRules>, ApiError>>;

    /// The live ingress rules of one group. No rules may also mean that the group does not exist.
    fn rules_of(&self, group: &GroupId) -> impl Future<Output = Result<ActualRules, ApiError>> {
        async move {
            let mut rules = self.ingress_rules(std::slice::from_ref(group)).await?;
            Ok(rules.remove(group).unwrap_or_default())
        }
    }

    /// The live ingress rules of each of at most [`GROUPS_PER_READ`] groups, as descriptions of groups show them: without
    /// ids, and all in one page. Groups that do not exist are not in the answer. Nothing is repeated if EC2 refuses it.
    fn described_rules(
        &self,
        groups: &[GroupId],
    ) -> impl Future<Output = Result<BTreeMap<GroupId, BTreeSet<RuleKey>>, ApiError>>;

    /// Authorizes all rules of the batch or, if EC2's documentation is right, none of them.
    fn authorize_ingress(
        &self,
        group: &GroupId,
        batch: &Batch,
    ) -> impl Future<Output = Result<Vec<Authorized>, ApiError>>;

    /// Which of these groups exist and are visible to us, each with the id of its VPC.
    fn existing_groups(
        &self,
        groups: &BTreeSet<GroupId>,
    ) -> impl Future<Output = Result<BTreeMap<GroupId, String>, ApiError>>;

    /// The value of a tag of a group, if the group exists and has it. Only who is told to look for owners asks.
    fn group_tag(
        &self,
        _group: &GroupId,
        _key: &str,
    ) -> impl Future<Output = Result<Option<String>, ApiError>> {
        std::future::ready(Ok(None))
    }

    /// The groups with a live ingress rule that refers to this group.
    fn groups_referring_to(
        &self,
        group: &GroupId,
    ) -> impl Future<Output = Result<BTreeSet<GroupId>, ApiError>>;

    /// Which of these prefix lists exist and are visible to us, each with the weight that a rule for it counts towards
    /// the quota.
    fn prefix_lists(
        &self,
        lists: &BTreeSet<PrefixListId>,
    ) -> impl Future<Output = Result<BTreeMap<PrefixListId, u32>, ApiError>>;

    /// The CIDRs of these prefix lists, as far as the lists exist and are visible to us.
    fn prefix_list_entries(
        &self,
        lists: &BTreeSet<PrefixListId>,
    ) -> impl Future<Output = Result<Entries, ApiError>>;

    /// The group with this name in the default VPC. Case is ignored.
    fn default_vpc_group(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Option<GroupId>, ApiError>>;
}

/// The most groups of one [`SecurityGroups::ingress_rules`] call. EC2 accepts 200 values per filter and answers
/// `FilterLimitExceeded` to more.
pub const GROUPS_PER_READ: usize = 200;

/// A rule that EC2 says it has created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorized {
    /// Its identity.
    pub key: RuleKey,
    /// Its new id.
    pub id: Option<RuleId>,
}
