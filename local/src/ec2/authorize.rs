//! AuthorizeSecurityGroupIngress and -Egress: all rules of a call or none.

use serde_json::json;

use super::permission::{self, Wanted};
use super::rule::{PeerLink, Rule, Source};
use super::{Answer, Ctx, Ec2Error, Params, answer, quota, tags};

/// Adds rules. The checks are in this order: form, repeats within the request, references, existing rules, quota.
///
/// AWS documents neither its order nor whether a refused call adds some rules; here it adds none.
pub(crate) fn authorize(
    ctx: &mut Ctx<'_>,
    params: &Params,
    egress: bool,
) -> Result<Answer, Ec2Error> {
    let mut known = vec!["GroupId", "GroupName", "IpPermissions", "TagSpecification"];
    known.extend(permission::FLAT);
    params.only(&known)?;
    let group = ctx.target_group(params)?;
    let wanted = permission::wanted(ctx, params, egress)?;
    let tags = tags::on_create(params, "security-group-rule", &ctx.dials.refused_tag_keys)?;
    let mut rules = Vec::with_capacity(wanted.len());
    for Wanted {
        key, description, ..
    } in wanted
    {
        let link = reference(ctx, &group.vpc_id, &key.source)?;
        rules.push(Rule {
            description,
            tags: tags.clone(),
            link,
            ..Rule::new(key)
        });
    }
    if let Some(there) = rules
        .iter()
        .find(|new| group.rules.iter().any(|old| old.key == new.key))
    {
        return Err(there.key.duplicate());
    }
    let keys = group.rules.iter().chain(&rules).map(|rule| &rule.key);
    quota::check(ctx.world, ctx.account, ctx.region, ctx.dials.quota, keys)?;

    let entries: Vec<_> = rules
        .iter()
        .map(|rule| rule.entry(&group.id, ctx.account, ctx.region))
        .collect();
    ctx.change(|state| {
        if let Some(group) = state.group_mut(&group.id) {
            group.rules.extend(rules);
        }
    });
    Ok(answer([
        ("return", json!(true)),
        ("securityGroupRuleSet", json!(entries)),
    ]))
}

/// Checks that a referenced group or prefix list exists and is reachable; returns the peering connection that is needed.
///
/// Groups: the same VPC, or a peered one in the same Region, with the owner's id if it is another account's (VPC Peering Guide, "Update your security groups to reference peer security groups").
pub(crate) fn reference(
    ctx: &mut Ctx<'_>,
    vpc_id: &str,
    source: &Source,
) -> Result<Option<PeerLink>, Ec2Error> {
    match source {
        Source::Ipv4(_) | Source::Ipv6(_) => Ok(None),
        Source::PrefixList(id) if ctx.state().prefix_lists.contains_key(id) => Ok(None),
        Source::PrefixList(id) => Err(Ec2Error::prefix_list_not_found(id)),
        Source::Group { id, owner } => {
            let other = ctx
                .world
                .group(owner, ctx.region, id)
                .ok_or_else(|| Ec2Error::group_not_found(id))?;
            if other.vpc_id == vpc_id {
                return Ok(None);
            }
            let peering = ctx.world.peering(&other.vpc_id, vpc_id).ok_or_else(|| {
                Ec2Error::new(
                    "InvalidGroup.NotFound",
                    "You have specified two resources that belong to different networks.",
                )
            })?;
            Ok(Some(PeerLink {
                vpc_id: other.vpc_id.clone(),
                peering_id: peering.id.clone(),
            }))
        }
    }
}
