//! CreateSecurityGroup, DescribeSecurityGroups, DeleteSecurityGroup.

use std::sync::Arc;

use serde_json::{Value, json};

use super::rule::Source;
use super::world::Group;
use super::{Answer, Ctx, Ec2Error, Params, answer, paging, permission, rule, tags};
use crate::ids;

/// Makes a group, in the default VPC unless another is named; names are unique within a VPC.
pub(crate) fn create(ctx: &mut Ctx<'_>, params: &Params) -> Result<Answer, Ec2Error> {
    params.only(&["GroupName", "GroupDescription", "VpcId", "TagSpecification"])?;
    let name = params.require("GroupName", "groupName")?;
    let description = params.require("GroupDescription", "groupDescription")?;
    if name.starts_with("sg-") || name == "default" {
        let code = if name == "default" {
            "InvalidGroup.Reserved"
        } else {
            "InvalidParameterValue"
        };
        return Err(Ec2Error::new(
            code,
            format!("Cannot use reserved security group name: {name}"),
        ));
    }
    let tags = tags::on_create(params, "security-group", &ctx.dials.refused_tag_keys)?;
    let state = ctx.state();
    let vpc_id = match params.text("VpcId") {
        Some(id) if state.vpcs.contains_key(id) => id.to_owned(),
        Some(id) => return Err(super::vpcs::not_found(id)),
        None => state
            .default_vpc()
            .map(str::to_owned)
            .ok_or_else(no_default_vpc)?,
    };
    if state.groups.has_name(&vpc_id, name) {
        return Err(Ec2Error::new(
            "InvalidGroup.Duplicate",
            format!("The security group '{name}' already exists for VPC '{vpc_id}'"),
        ));
    }
    drop(state);
    let group = Group::new(name, description, &vpc_id, tags);
    let mut answer = answer([
        ("return", json!(true)),
        ("groupId", json!(group.id)),
        ("securityGroupArn", json!(arn(ctx, &group.id))),
    ]);
    if !group.tags.is_empty() {
        answer.insert("tagSet".into(), tags::set(&group.tags));
    }
    ctx.change(|state| state.groups.insert(Arc::new(group)));
    Ok(answer)
}

fn no_default_vpc() -> Ec2Error {
    Ec2Error::new("VPCIdNotSpecified", "No default VPC for this user")
}

fn arn(ctx: &Ctx<'_>, id: &str) -> String {
    let resource = format!("security-group/{id}");
    ids::arn("ec2", ctx.region, ctx.account, &resource)
}

/// Deletes a group that no other group of its VPC refers to.
///
/// Rules of groups in peered VPCs stay as stale rules, without the owner's account id (EC2 API Reference, `UserIdGroupPair`; VPC Peering Guide).
pub(crate) fn delete(ctx: &mut Ctx<'_>, params: &Params) -> Result<Answer, Ec2Error> {
    params.only(&["GroupId", "GroupName"])?;
    let group = ctx.target_group(params)?;
    if group.name == "default" {
        return Err(Ec2Error::new(
            "CannotDelete",
            format!(
                "the specified group: \"{}\" name: \"default\" cannot be deleted by a user",
                group.id
            ),
        ));
    }
    let refers = |other: &Group| {
        other
            .rules
            .iter()
            .any(|rule| matches!(&rule.key.source, Source::Group { id, .. } if *id == group.id))
    };
    let region = ctx.region.to_owned();
    let mut holders = Vec::new();
    for (account, shard) in ctx.world.shards_in(&region) {
        for other in shard
            .now
            .groups
            .values()
            .filter(|other| other.id != group.id && refers(other))
        {
            if other.vpc_id == group.vpc_id {
                return Err(Ec2Error::new(
                    "DependencyViolation",
                    format!("resource {} has a dependent object", group.id),
                ));
            }
            holders.push((account.to_owned(), other.id.clone()));
        }
    }
    let staleness = ctx.dials.staleness();
    for (account, holder) in holders {
        ctx.world
            .shard(&account, &region)
            .change(staleness, |state| {
                let Some(holder) = state.group_mut(&holder) else {
                    return;
                };
                for rule in &mut holder.rules {
                    if matches!(&rule.key.source, Source::Group { id, .. } if *id == group.id) {
                        rule.stale = true;
                    }
                }
            });
    }
    ctx.change(|state| state.groups.remove(&group.id));
    Ok(answer([
        ("return", json!(true)),
        ("groupId", json!(group.id)),
    ]))
}

/// Groups by id, by name (default VPC only) or by filter; an unknown id or name fails the whole call.
pub(crate) fn describe(ctx: &mut Ctx<'_>, params: &Params) -> Result<Answer, Ec2Error> {
    params.only(&["GroupId", "GroupName", "Filter", "MaxResults", "NextToken"])?;
    let ids = params.values("GroupId");
    let names = params.values("GroupName");
    let filters = paging::filters(params)?;
    let view = ctx.view(params);
    for id in &ids {
        if !view.groups.contains_key(permission::group_id(id)?) {
            return Err(Ec2Error::group_not_found(id));
        }
    }
    let default_vpc = view.default_vpc();
    let named = |group: &Group, name: &str| {
        Some(group.vpc_id.as_str()) == default_vpc && group.name == name
    };
    if let Some(unknown) = names
        .iter()
        .find(|name| !view.groups.values().any(|group| named(group, name)))
    {
        return Err(super::not_in_default_vpc(unknown, default_vpc));
    }
    let mut found: Vec<(String, Value)> = Vec::new();
    for group in view.groups.values() {
        let asked_for = (ids.is_empty() && names.is_empty())
            || ids.contains(&group.id)
            || names.iter().any(|name| named(group, name));
        let fits = filters.all("DescribeSecurityGroups", |filter| {
            let value = match filter.name.as_str() {
                "group-id" => &group.id,
                "group-name" => &group.name,
                "vpc-id" => &group.vpc_id,
                "owner-id" => ctx.account,
                "description" => &group.description,
                "ip-permission.group-id" => {
                    let ingress = group.rules.iter().filter(|rule| !rule.key.egress);
                    let mut references = ingress.filter_map(|rule| match &rule.key.source {
                        Source::Group { id, .. } => Some(id),
                        _ => None,
                    });
                    return Some(references.any(|id| filter.matches(id)));
                }
                _ => return filter.matches_tags(&group.tags),
            };
            Some(filter.matches(value))
        })?;
        if fits && asked_for {
            found.push((group.id.clone(), entry(ctx, group)));
        }
    }
    paging::page(
        "securityGroupInfo",
        found,
        params,
        (5, 1000),
        ctx.dials.page_limit,
    )
}

fn entry(ctx: &Ctx<'_>, group: &Group) -> Value {
    let side = |egress: bool| {
        rule::permissions(group.rules.iter().filter(|rule| rule.key.egress == egress))
    };
    json!({
        "ownerId": ctx.account, "groupId": group.id, "groupName": group.name, "groupDescription": group.description,
        "vpcId": group.vpc_id, "securityGroupArn": arn(ctx, &group.id),
        "ipPermissions": side(false), "ipPermissionsEgress": side(true), "tagSet": tags::set(&group.tags),
    })
}
