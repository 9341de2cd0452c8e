//! ModifySecurityGroupRules and UpdateSecurityGroupRuleDescriptionsIngress: rules that keep their ids.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::permission::{self, Kind};
use super::revoke::{check_rule_id, rule_not_found};
use super::rule::{Rule, RuleKey, Source};
use super::{Answer, Ctx, Ec2Error, Params, answer, authorize, paging, quota};

/// Replaces the content of rules; id and tags stay (moto's tests against AWS).
///
/// A rule can't change the kind of its source or become equal to another rule.
pub(crate) fn modify(ctx: &mut Ctx<'_>, params: &Params) -> Result<Answer, Ec2Error> {
    params.only(&["GroupId", "SecurityGroupRule"])?;
    params.require("GroupId", "groupId")?;
    let group = ctx.target_group(params)?;
    let updates = params.list("SecurityGroupRule");
    if updates.is_empty() {
        return Err(Ec2Error::missing("securityGroupRules"));
    }
    let mut rules: Vec<Rule> = group.rules.clone();
    for update in updates {
        update.only(&["SecurityGroupRuleId", "SecurityGroupRule"])?;
        let id = update.require("SecurityGroupRuleId", "securityGroupRuleId")?;
        check_rule_id(id)?;
        let old = rules
            .iter_mut()
            .find(|rule| rule.id == id)
            .ok_or_else(|| rule_not_found(id))?;
        let wanted = update
            .child("SecurityGroupRule")
            .ok_or_else(|| Ec2Error::missing("securityGroupRule"))?;
        let (source, kind) = one_source(ctx, wanted)?;
        let traffic = permission::traffic(wanted)?;
        if !source.same_kind(&old.key.source) {
            let given = match &source {
                Source::Ipv4(_) => "CidrIpv4",
                Source::Ipv6(_) => "CidrIpv6",
                Source::PrefixList(_) => "PrefixListId",
                Source::Group { .. } => "ReferencedGroupId",
            };
            return Err(Ec2Error::value(format!(
                "Invalid rule type for security group rule '{id}'. You may not specify {given} for this rule."
            )));
        }
        old.link = authorize::reference(ctx, &group.vpc_id, &source)?;
        old.stale = false;
        old.description = permission::description(wanted.get("Description"), kind)?;
        old.key = RuleKey {
            egress: old.key.egress,
            traffic,
            source,
        };
    }
    for (index, rule) in rules.iter().enumerate() {
        if rules[..index].iter().any(|earlier| earlier.key == rule.key) {
            return Err(rule.key.duplicate());
        }
    }
    quota::check(
        ctx.world,
        ctx.account,
        ctx.region,
        ctx.dials.quota,
        rules.iter().map(|rule| &rule.key),
    )?;
    ctx.change(|state| {
        if let Some(group) = state.group_mut(&group.id) {
            group.rules = rules;
        }
    });
    Ok(answer([("return", json!(true))]))
}

/// The one source of a `SecurityGroupRuleRequest`; the messages for none and for several are from moto's tests against AWS.
fn one_source(ctx: &mut Ctx<'_>, wanted: &Params) -> Result<(Source, Kind), Ec2Error> {
    const SOURCES: [&str; 4] = ["CidrIpv4", "CidrIpv6", "PrefixListId", "ReferencedGroupId"];
    wanted.only(&[
        "IpProtocol",
        "FromPort",
        "ToPort",
        "Description",
        "CidrIpv4",
        "CidrIpv6",
        "PrefixListId",
        "ReferencedGroupId",
    ])?;
    let given: Vec<_> = SOURCES
        .into_iter()
        .filter_map(|name| wanted.text(name).map(|value| (name, value)))
        .collect();
    match given[..] {
        [] => Err(Ec2Error::new(
            "MissingParameter",
            "The request must contain exactly one of: cidrIp, cidrIpv6, prefixListId, or referencedGroupId",
        )),
        [("CidrIpv4", cidr)] => Ok((Source::ipv4(cidr)?, Kind::Cidr)),
        [("CidrIpv6", cidr)] => Ok((Source::ipv6(cidr)?, Kind::Cidr)),
        [("PrefixListId", id)] => Ok((permission::prefix_list(id)?, Kind::Other)),
        [(_, id)] => {
            let id = permission::group_id(id)?;
            let owner = ctx.owner_of(id).unwrap_or_else(|| ctx.account.to_owned());
            Ok((
                Source::Group {
                    id: id.to_owned(),
                    owner,
                },
                Kind::Other,
            ))
        }
        _ => Err(Ec2Error::combination(
            "Only one of cidrIp, cidrIpv6, prefixListId, or referencedGroupId can be specified",
        )),
    }
}

/// Changes descriptions only, by properties or by rule ids (EC2 API Reference).
pub(crate) fn update_descriptions(
    ctx: &mut Ctx<'_>,
    params: &Params,
    egress: bool,
) -> Result<Answer, Ec2Error> {
    params.only(&[
        "GroupId",
        "GroupName",
        "IpPermissions",
        "SecurityGroupRuleDescription",
    ])?;
    let group = ctx.target_group(params)?;
    let by_id = params.list("SecurityGroupRuleDescription");
    let mut changes: Vec<(String, Option<String>)> = Vec::new();
    if by_id.is_empty() {
        for wanted in permission::wanted(ctx, params, egress)? {
            let rule = group
                .rules
                .iter()
                .find(|rule| rule.key == wanted.key)
                .ok_or_else(Ec2Error::permission_not_found)?;
            changes.push((rule.id.clone(), wanted.description));
        }
    } else if params.has("IpPermissions") {
        return Err(Ec2Error::combination(
            "The parameter securityGroupRuleDescriptions cannot be used with the parameter ipPermissions",
        ));
    } else {
        for change in by_id {
            let id = change.require("SecurityGroupRuleId", "securityGroupRuleId")?;
            check_rule_id(id)?;
            let rule = group
                .rules
                .iter()
                .find(|rule| rule.id == id && rule.key.egress == egress);
            let rule = rule.ok_or_else(|| rule_not_found(id))?;
            let kind = match rule.key.source {
                Source::Ipv4(_) | Source::Ipv6(_) => Kind::Cidr,
                Source::PrefixList(_) | Source::Group { .. } => Kind::Other,
            };
            changes.push((
                id.to_owned(),
                permission::description(change.get("Description"), kind)?,
            ));
        }
    }
    ctx.change(|state| {
        let Some(group) = state.group_mut(&group.id) else {
            return;
        };
        for (id, description) in changes {
            if let Some(rule) = group.rules.iter_mut().find(|rule| rule.id == id) {
                rule.description = description;
            }
        }
    });
    Ok(answer([("return", json!(true))]))
}

/// CreateTags on groups and rules.
pub(crate) fn create_tags(ctx: &mut Ctx<'_>, params: &Params) -> Result<Answer, Ec2Error> {
    params.only(&["ResourceId", "Tag"])?;
    let resources = params.values("ResourceId");
    let listed = super::tags::listed(params)?;
    if resources.is_empty() || listed.is_empty() {
        return Err(Ec2Error::missing(if listed.is_empty() {
            "tag"
        } else {
            "resourceIdSet"
        }));
    }
    let state = ctx.state();
    for id in &resources {
        let now = match state.groups.get(id) {
            Some(group) => &group.tags,
            None if id.starts_with("sgr-") => {
                &state.rule(id).ok_or_else(|| rule_not_found(id))?.1.tags
            }
            None if id.starts_with("sg-") => return Err(Ec2Error::group_not_found(id)),
            None => return Err(Ec2Error::unsupported(format!("CreateTags on '{id}'"))),
        };
        let mut after = now.clone();
        after.extend(listed.iter().cloned());
        super::tags::check(&after, &ctx.dials.refused_tag_keys)?;
    }
    ctx.change(|state| {
        for id in &resources {
            let owner = state
                .rule(id)
                .map(|(group, _)| group.id.clone())
                .unwrap_or_else(|| id.clone());
            let Some(group) = state.group_mut(&owner) else {
                continue;
            };
            if owner == *id {
                group.tags.extend(listed.iter().cloned());
            } else if let Some(rule) = group.rules.iter_mut().find(|rule| rule.id == *id) {
                rule.tags.extend(listed.iter().cloned());
            }
        }
    });
    Ok(answer([("return", json!(true))]))
}

/// The rules as `DescribeSecurityGroupRules` answers them.
pub(crate) fn describe_rules(ctx: &mut Ctx<'_>, params: &Params) -> Result<Answer, Ec2Error> {
    params.only(&["SecurityGroupRuleId", "Filter", "MaxResults", "NextToken"])?;
    let filters = paging::filters(params)?;
    let mut by_group = filters.0.iter().filter(|filter| filter.name == "group-id");
    for id in by_group.clone().flat_map(|filter| &filter.values) {
        permission::group_id(id)?;
    }
    let ids = params.values("SecurityGroupRuleId");
    ids.iter().try_for_each(|id| check_rule_id(id))?;
    let view = ctx.view(params);
    if let Some(unknown) = ids.iter().find(|id| view.rule(id).is_none()) {
        return Err(rule_not_found(unknown));
    }
    let mut found: Vec<(String, Value)> = Vec::new();
    let groups: Vec<_> = match by_group.next() {
        Some(filter) => {
            let named: BTreeSet<&String> = filter.values.iter().collect();
            named
                .into_iter()
                .filter_map(|id| view.groups.get(id))
                .collect()
        }
        None => view.groups.values().collect(),
    };
    for group in groups {
        for rule in &group.rules {
            let fits = filters.all("DescribeSecurityGroupRules", |filter| {
                match filter.name.as_str() {
                    "group-id" => Some(filter.values.contains(&group.id)),
                    "security-group-rule-id" => Some(filter.matches(&rule.id)),
                    "tag-key" => None,
                    _ => filter.matches_tags(&rule.tags),
                }
            })?;
            if fits && (ids.is_empty() || ids.contains(&rule.id)) {
                let entry = rule.entry(&group.id, ctx.account, ctx.region);
                found.push((rule.id.clone(), entry));
            }
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    paging::page(
        "securityGroupRuleSet",
        found,
        params,
        (5, 1000),
        ctx.dials.page_limit,
    )
}
