//! EC2's security-group part, API version 2016-11-15, as plain functions over [`world::World`], without I/O. Of the dials they read only those that change answers.

mod authorize;
mod error;
mod groups;
mod modify;
mod paging;
mod params;
mod permission;
mod prefix_lists;
mod quota;
mod revoke;
mod rule;
mod tags;
mod vpcs;
pub(crate) mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

pub use error::Ec2Error;
pub use params::Params;
use world::{Group, RegionState, World};

use crate::dials::Dials;

/// The members of an answer under their names on the wire; lists are arrays.
pub type Answer = Map<String, Value>;

/// An answer of these members.
pub(crate) fn answer<const N: usize>(members: [(&str, Value); N]) -> Answer {
    let members = members.into_iter();
    members
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The state and settings that one call works on.
pub(crate) struct Ctx<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) dials: &'a Dials,
    /// By group: how many of its next describes answer with its state before its last change.
    pub(crate) stale_describes: &'a mut BTreeMap<String, u32>,
}

impl Ctx<'_> {
    fn state(&mut self) -> Arc<RegionState> {
        Arc::clone(&self.world.shard(self.account, self.region).now)
    }

    fn change<T>(&mut self, apply: impl FnOnce(&mut RegionState) -> T) -> T {
        let staleness = self.dials.staleness();
        self.world
            .shard(self.account, self.region)
            .change(staleness, apply)
    }

    /// The state that a describe call sees, which may be an old one.
    fn view(&mut self, params: &Params) -> Arc<RegionState> {
        let shard = self.world.shard(self.account, self.region);
        let mut view = shard.as_of(self.dials.staleness());
        let named =
            params.has("GroupId") || params.has("SecurityGroupRuleId") || params.has("Filter");
        for (group, left) in self.stale_describes.iter_mut() {
            if *left > 0
                && shard.has_previous(group)
                && (!named || params.mentions(group) || params.has("SecurityGroupRuleId"))
            {
                *left -= 1;
                shard.restore_previous(&mut view, group);
            }
        }
        self.stale_describes.retain(|_, left| *left > 0);
        view
    }

    /// The group of a changing call, by id or, in the default VPC, by name.
    fn target_group(&mut self, params: &Params) -> Result<Arc<Group>, Ec2Error> {
        let id = match (params.text("GroupId"), params.text("GroupName")) {
            (Some(id), _) => permission::group_id(id)?.to_owned(),
            (None, Some(name)) => self.default_vpc_group(name)?,
            (None, None) => return Err(Ec2Error::missing("groupId")),
        };
        self.state()
            .groups
            .get(&id)
            .cloned()
            .ok_or_else(|| Ec2Error::group_not_found(&id))
    }

    /// The id of a group of the default VPC; that names ignore case is inferred.
    fn default_vpc_group(&mut self, name: &str) -> Result<String, Ec2Error> {
        let state = self.state();
        let vpc = state.default_vpc();
        let found = state.groups.values().find(|group| {
            Some(group.vpc_id.as_str()) == vpc && group.name.eq_ignore_ascii_case(name)
        });
        found
            .map(|group| group.id.clone())
            .ok_or_else(|| not_in_default_vpc(name, vpc))
    }

    /// The account that owns a group of this Region.
    fn owner_of(&mut self, group: &str) -> Option<String> {
        let region = self.region.to_owned();
        self.world
            .shards_in(&region)
            .find(|(_, shard)| shard.now.groups.contains_key(group))
            .map(|(account, _)| account.to_owned())
    }
}

fn not_in_default_vpc(name: &str, vpc: Option<&str>) -> Ec2Error {
    let vpc = vpc.unwrap_or("none");
    Ec2Error::new(
        "InvalidGroup.NotFound",
        format!("The security group '{name}' does not exist in default VPC '{vpc}'"),
    )
}

/// Whether an action is a write, so that CloudTrail records it.
pub(crate) fn is_mutating(action: &str) -> bool {
    !action.starts_with("Describe")
}

/// Carries out one action.
pub(crate) fn call(ctx: &mut Ctx<'_>, action: &str, params: &Params) -> Result<Answer, Ec2Error> {
    match action {
        "AuthorizeSecurityGroupIngress" => authorize::authorize(ctx, params, false),
        "AuthorizeSecurityGroupEgress" => authorize::authorize(ctx, params, true),
        "RevokeSecurityGroupIngress" => revoke::revoke(ctx, params, false),
        "RevokeSecurityGroupEgress" => revoke::revoke(ctx, params, true),
        "ModifySecurityGroupRules" => modify::modify(ctx, params),
        "UpdateSecurityGroupRuleDescriptionsIngress" => {
            modify::update_descriptions(ctx, params, false)
        }
        "UpdateSecurityGroupRuleDescriptionsEgress" => {
            modify::update_descriptions(ctx, params, true)
        }
        "DescribeSecurityGroupRules" => modify::describe_rules(ctx, params),
        "CreateSecurityGroup" => groups::create(ctx, params),
        "DescribeSecurityGroups" => groups::describe(ctx, params),
        "DeleteSecurityGroup" => groups::delete(ctx, params),
        "CreateTags" => modify::create_tags(ctx, params),
        "CreateManagedPrefixList" => prefix_lists::create(ctx, params),
        "ModifyManagedPrefixList" => prefix_lists::modify(ctx, params),
        "DeleteManagedPrefixList" => prefix_lists::delete(ctx, params),
        "DescribeManagedPrefixLists" => prefix_lists::describe(ctx, params),
        "GetManagedPrefixListEntries" => prefix_lists::get_entries(ctx, params),
        "CreateVpc" => vpcs::create(ctx, params),
        "CreateDefaultVpc" => vpcs::create_default(ctx, params),
        "DescribeVpcs" => vpcs::describe(ctx, params),
        other => Err(Ec2Error::new(
            "InvalidAction",
            format!(
                "The action {other} is not valid for this web service (rulekeeper-local does not imitate it)"
            ),
        )),
    }
}
