//! RevokeSecurityGroupIngress and -Egress: by properties or by rule ids.

use serde_json::json;

use super::permission::{self, Wanted};
use super::rule::{self, Rule, Source};
use super::{Answer, Ctx, Ec2Error, Params, answer};
use crate::ids;

/// Removes rules.
///
/// Properties must match exactly, except descriptions. In a default VPC, rules without a match are no error and come back as `unknownIpPermissionSet`. Elsewhere they are an error, and nothing is removed (EC2 API Reference, RevokeSecurityGroupIngress).
pub(crate) fn revoke(ctx: &mut Ctx<'_>, params: &Params, egress: bool) -> Result<Answer, Ec2Error> {
    let mut known = vec![
        "GroupId",
        "GroupName",
        "IpPermissions",
        "SecurityGroupRuleId",
    ];
    known.extend(permission::FLAT);
    params.only(&known)?;
    let group = ctx.target_group(params)?;
    let by_id = params.values("SecurityGroupRuleId");
    let mut revoked_rules: Vec<&Rule> = Vec::new();
    let mut unknown = Vec::new();
    if by_id.is_empty() {
        let in_default_vpc = ctx.state().is_default_vpc(&group.vpc_id);
        for wanted in permission::wanted(ctx, params, egress)? {
            match group
                .rules
                .iter()
                .find(|rule| matches(&wanted, rule, ctx.account))
            {
                Some(rule) => revoked_rules.push(rule),
                None if in_default_vpc => {
                    unknown.push(rule::permissions([&Rule::new(wanted.key)])[0].take());
                }
                None => return Err(Ec2Error::permission_not_found()),
            }
        }
    } else {
        if params.has("IpPermissions") || permission::FLAT.iter().any(|name| params.has(name)) {
            return Err(Ec2Error::combination(
                "The parameter securityGroupRuleIds cannot be used with the parameter ipPermissions",
            ));
        }
        for id in &by_id {
            check_rule_id(id)?;
            let rule = group
                .rules
                .iter()
                .find(|rule| rule.id == *id && rule.key.egress == egress);
            let rule = rule.ok_or_else(|| rule_not_found(id))?;
            if !revoked_rules.iter().any(|there| there.id == rule.id) {
                revoked_rules.push(rule);
            }
        }
    }

    let entries: Vec<_> = revoked_rules
        .iter()
        .map(|rule| rule.revoked_entry(&group.id))
        .collect();
    ctx.change(|state| {
        if let Some(now) = state
            .group_mut(&group.id)
            .filter(|_| !revoked_rules.is_empty())
        {
            now.rules
                .retain(|rule| !revoked_rules.iter().any(|revoked| revoked.id == rule.id));
        }
    });
    let mut answer = answer([("return", json!(true))]);
    if !ctx.dials.omit_revoked_rule_set {
        answer.insert("revokedSecurityGroupRuleSet".into(), json!(entries));
    }
    if !unknown.is_empty() {
        answer.insert("unknownIpPermissionSet".into(), json!(unknown));
    }
    Ok(answer)
}

/// Whether a rule matches the request. A stale group reference does not show its owner, so the request need not give it.
fn matches(wanted: &Wanted, rule: &Rule, account: &str) -> bool {
    if wanted.key == rule.key {
        return true;
    }
    let (Source::Group { id: meant, .. }, Source::Group { id, owner }) =
        (&wanted.key.source, &rule.key.source)
    else {
        return false;
    };
    let without_owner = rule.stale && !wanted.owner_given && owner != account;
    without_owner
        && meant == id
        && wanted.key.egress == rule.key.egress
        && wanted.key.traffic == rule.key.traffic
}

pub(crate) fn check_rule_id(id: &str) -> Result<(), Ec2Error> {
    if ids::is_well_formed(id, "sgr") {
        return Ok(());
    }
    Err(Ec2Error::new(
        "InvalidSecurityGroupRuleId.Malformed",
        format!("The security group rule ID '{id}' is malformed"),
    ))
}

pub(crate) fn rule_not_found(id: &str) -> Ec2Error {
    Ec2Error::new(
        "InvalidSecurityGroupRuleId.NotFound",
        format!("The security group rule ID '{id}' does not exist"),
    )
}
