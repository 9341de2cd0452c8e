//! Reads the group and the rules that a CloudTrail record names, in every form that EC2 callers produce.
//!
//! A revoke has four known forms: nested `ipPermissions`, flat fields beside an empty `ipPermissions`, rule ids, and a
//! group name instead of its id. A list is `{"items": […]}`, `{}` when empty, or absent. Newer responses contain the
//! revoked rules (`revokedSecurityGroupRuleSet`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Call, Evidence, GroupLocator};
use crate::model::{AccountId, GroupId, Protocol, RuleId, RuleKey, Source};

const MODIFY_REQUEST: &str = "ModifySecurityGroupRulesRequest";

/// The group of a record: by id in the request, by id in the response's rules, or by name.
pub(super) fn group(request: &Value, response: &Value) -> Option<GroupLocator> {
    let in_request = [
        request.get("groupId"),
        request
            .get(MODIFY_REQUEST)
            .and_then(|modify| modify.get("GroupId")),
    ];
    let in_response = revoked_rule_set(response)
        .into_iter()
        .chain(items(response.get("securityGroupRuleSet")))
        .map(|rule| rule.get("groupId"));
    let id = in_request
        .into_iter()
        .chain(in_response)
        .flatten()
        .find_map(parsed::<GroupId>);
    let name = || {
        request
            .get("groupName")
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty())
    };
    id.map(GroupLocator::Id)
        .or_else(|| name().map(|name| GroupLocator::DefaultVpcName(name.to_owned())))
}

/// What the record says about rules. A rule that cannot be read is left out; the reconcile reads the group anyway.
pub(super) fn evidence(
    call: Call,
    request: &Value,
    response: &Value,
    owner: &AccountId,
) -> Evidence {
    let none = Evidence::default();
    match call {
        Call::RefusedAuthorize | Call::Delete => none,
        Call::Modify => Evidence {
            modified: modified(request, owner),
            ..none
        },
        Call::Authorize => Evidence {
            authorized: authorized(request, response, owner),
            ..none
        },
        Call::Revoke => revoked(request, response, owner),
    }
}

fn revoked(request: &Value, response: &Value, owner: &AccountId) -> Evidence {
    let rule_set = revoked_rule_set(response);
    // A set that is present and empty means that nothing was revoked.
    let is_told = response
        .get("revokedSecurityGroupRuleSet")
        .is_some_and(|set| !set.is_null());
    if is_told {
        return Evidence {
            revoked_ids: rule_set
                .iter()
                .filter_map(|rule| rule.get("securityGroupRuleId"))
                .filter_map(parsed)
                .collect(),
            revoked: rule_set
                .iter()
                .filter_map(|rule| flat_rule(rule, owner))
                .collect(),
            ..Evidence::default()
        };
    }
    let ids = items(request.get("securityGroupRuleIds"));
    // In a default VPC, EC2 accepts a revoke of a rule that does not exist, and lists the rule here.
    let unknown = permissions(response.get("unknownIpPermissionSet"), owner);
    let named = requested(request, owner).into_iter();
    Evidence {
        revoked_ids: ids.into_iter().filter_map(rule_id).collect(),
        revoked: named.filter(|key| !unknown.contains(key)).collect(),
        ..Evidence::default()
    }
}

/// The rules that an authorize made. Older responses do not list them; the rules of the request are used then.
fn authorized(
    request: &Value,
    response: &Value,
    owner: &AccountId,
) -> BTreeMap<RuleKey, Option<RuleId>> {
    let rule_set = items(response.get("securityGroupRuleSet"));
    if rule_set.is_empty() {
        let named = requested(request, owner).into_iter();
        return named.map(|key| (key, None)).collect();
    }
    let made = rule_set.into_iter().filter(|rule| !is_egress(rule));
    let made = made.filter_map(|rule| {
        let id = rule.get("securityGroupRuleId").and_then(parsed);
        Some((flat_rule(rule, owner)?, id))
    });
    made.collect()
}

/// The rules that a request names, in the nested form and in the flat form.
fn requested(request: &Value, owner: &AccountId) -> BTreeSet<RuleKey> {
    let mut rules = permissions(request.get("ipPermissions"), owner);
    rules.extend(flat_request(request, owner));
    rules
}

/// Whether a request names exactly one rule, readable or not.
pub(super) fn asks_for_one(request: &Value) -> bool {
    let permissions = items(request.get("ipPermissions"));
    if permissions.is_empty() {
        return request.get("cidrIp").is_some() || request.get("sourceSecurityGroupId").is_some();
    }
    let sources = permissions.into_iter().flat_map(|permission| {
        let lists = ["ipRanges", "ipv6Ranges", "prefixListIds", "groups"];
        lists
            .into_iter()
            .flat_map(|list| items(permission.get(list)))
    });
    sources.count() == 1
}

fn is_egress(rule: &Value) -> bool {
    rule.get("isEgress") == Some(&Value::Bool(true))
}

fn revoked_rule_set(response: &Value) -> Vec<&Value> {
    let mut rules = items(response.get("revokedSecurityGroupRuleSet"));
    rules.retain(|rule| !is_egress(rule));
    rules
}

/// The entries of a list in any form: `{"items": […]}`, a bare list, one bare value, `{}`, null or absent.
fn items(list: Option<&Value>) -> Vec<&Value> {
    match list {
        Some(Value::Array(values)) => values.iter().collect(),
        Some(Value::Object(fields)) if fields.contains_key("items") => items(fields.get("items")),
        Some(Value::Object(fields)) if fields.is_empty() => Vec::new(),
        None | Some(Value::Null) => Vec::new(),
        Some(value) => vec![value],
    }
}

fn parsed<T: std::str::FromStr>(value: &Value) -> Option<T> {
    value.as_str()?.trim().parse().ok()
}

/// A rule id, bare or as `{"securityGroupRuleId": …}`.
fn rule_id(entry: &Value) -> Option<RuleId> {
    parsed(entry.get("securityGroupRuleId").unwrap_or(entry))
}

/// A port as a number or as text. Any other value counts as absent.
fn port(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn protocol(name: Option<&Value>, from: Option<&Value>, to: Option<&Value>) -> Option<Protocol> {
    let name = match name? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Protocol::from_fields(&name, port(from), port(to)).ok()
}

/// Every rule of a nested list of permissions. A permission holds one protocol and any number of sources.
fn permissions(list: Option<&Value>, owner: &AccountId) -> BTreeSet<RuleKey> {
    let mut rules = BTreeSet::new();
    for permission in items(list) {
        let field = |name: &str| permission.get(name);
        let Some(protocol) = protocol(field("ipProtocol"), field("fromPort"), field("toPort"))
        else {
            continue;
        };
        let sources = items(field("ipRanges"))
            .into_iter()
            .filter_map(|range| cidr(range.get("cidrIp"), Source::ipv4));
        let sources = sources
            .chain(
                items(field("ipv6Ranges"))
                    .into_iter()
                    .filter_map(|range| cidr(range.get("cidrIpv6"), Source::ipv6)),
            )
            .chain(
                items(field("prefixListIds"))
                    .into_iter()
                    .filter_map(|list| cidr(list.get("prefixListId"), Source::prefix_list)),
            )
            .chain(
                items(field("groups"))
                    .into_iter()
                    .filter_map(|group| reference(group, owner)),
            );
        rules.extend(sources.map(|source| RuleKey { protocol, source }));
    }
    rules
}

fn cidr<E>(value: Option<&Value>, parse: fn(&str) -> Result<Source, E>) -> Option<Source> {
    parse(value?.as_str()?).ok()
}

fn reference(group: &Value, owner: &AccountId) -> Option<Source> {
    let id = group.get("groupId")?.as_str()?;
    let account = group.get("userId").and_then(Value::as_str);
    Source::referenced_group(id, account, owner).ok()
}

/// The old form: one rule in the request's own fields. Its source is an IPv4 range or a group. A group given by name is
/// left out, because reads show ids only.
fn flat_request(request: &Value, owner: &AccountId) -> Option<RuleKey> {
    let source = match request.get("cidrIp") {
        Some(range) => cidr(Some(range), Source::ipv4)?,
        None => {
            let id = request.get("sourceSecurityGroupId")?.as_str()?;
            Source::referenced_group(id, None, owner).ok()?
        }
    };
    let protocol = protocol(
        request.get("ipProtocol"),
        request.get("fromPort"),
        request.get("toPort"),
    )?;
    Some(RuleKey { protocol, source })
}

/// A rule of a response's rule set: all fields are flat, and it has one source.
fn flat_rule(rule: &Value, owner: &AccountId) -> Option<RuleKey> {
    let text = |name: &str| rule.get(name).and_then(Value::as_str);
    let source = if let Some(range) = text("cidrIpv4") {
        Source::ipv4(range).ok()?
    } else if let Some(range) = text("cidrIpv6") {
        Source::ipv6(range).ok()?
    } else if let Some(list) = text("prefixListId") {
        Source::prefix_list(list).ok()?
    } else if let Some(group) = text("referencedGroupId") {
        Source::referenced_group(group, None, owner).ok()?
    } else {
        reference(rule.get("referencedGroupInfo")?, owner)?
    };
    let protocol = protocol(
        rule.get("ipProtocol"),
        rule.get("fromPort"),
        rule.get("toPort"),
    )?;
    Some(RuleKey { protocol, source })
}

/// The rules of a `ModifySecurityGroupRules` request. Its field names are in Pascal case, and its list may be a single
/// value.
fn modified(request: &Value, owner: &AccountId) -> BTreeMap<RuleId, Option<RuleKey>> {
    let rules = request
        .get(MODIFY_REQUEST)
        .and_then(|modify| modify.get("SecurityGroupRule"));
    let entries = items(rules).into_iter().filter_map(|entry| {
        let id = entry.get("SecurityGroupRuleId").and_then(parsed)?;
        Some((
            id,
            entry
                .get("SecurityGroupRule")
                .and_then(|rule| pascal_rule(rule, owner)),
        ))
    });
    entries.collect()
}

fn pascal_rule(rule: &Value, owner: &AccountId) -> Option<RuleKey> {
    let text = |name: &str| rule.get(name).and_then(Value::as_str);
    let source = if let Some(range) = text("CidrIpv4") {
        Source::ipv4(range).ok()?
    } else if let Some(range) = text("CidrIpv6") {
        Source::ipv6(range).ok()?
    } else if let Some(list) = text("PrefixListId") {
        Source::prefix_list(list).ok()?
    } else {
        Source::referenced_group(text("ReferencedGroupId")?, None, owner).ok()?
    };
    let protocol = protocol(
        rule.get("IpProtocol"),
        rule.get("FromPort"),
        rule.get("ToPort"),
    )?;
    Some(RuleKey { protocol, source })
}
