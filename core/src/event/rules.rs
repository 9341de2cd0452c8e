//! Reads the group and the rules that a CloudTrail record names, in every form that EC2 callers produce.
//!
//! A revoke has four known forms: nested `ipPermissions`, flat fields beside an empty `ipPermissions`, rule ids, and a
//! group name instead of its id. A list is `{"items": […]}`, `{}` when empty, or absent. Newer responses contain the
//! revoked rules (`revokedSecurityGroupRuleSet`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Call, Evidence, GroupLocator, is_omitted};
use crate::model::{AccountId, GroupId, Protocol, RuleId, RuleKey, Source};

const MODIFY_REQUEST: &str = "ModifySecurityGroupRulesRequest";

/// No published record shows how this call's parameters are written, so they are read with and without this member, and
/// in both spellings.
const DESCRIBE_REQUEST: &str = "UpdateSecurityGroupRuleDescriptionsIngressRequest";

/// The group of a record: by id in the request, by id in the response's rules, or by name.
pub(super) fn group(request: &Value, response: &Value) -> Option<GroupLocator> {
    let members = [
        Some(request),
        request.get(MODIFY_REQUEST),
        request.get(DESCRIBE_REQUEST),
    ];
    let in_request = |names: [&str; 2]| {
        let members = members.into_iter().flatten();
        let fields = members.flat_map(|member| names.map(|name| member.get(name)));
        fields.flatten().collect::<Vec<_>>()
    };
    let in_response = revoked_rule_set(response)
        .into_iter()
        .chain(items(response.get("securityGroupRuleSet")))
        .filter_map(|rule| rule.get("groupId"));
    let id = in_request(["groupId", "GroupId"])
        .into_iter()
        .chain(in_response)
        .find_map(parsed::<GroupId>);
    let name = || {
        let mut names = in_request(["groupName", "GroupName"])
            .into_iter()
            .filter_map(Value::as_str);
        names.find(|name| !name.is_empty())
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
    let evidence = match call {
        Call::Delete | Call::RefusedDelete => return Evidence::default(),
        Call::Describe => return described(request, owner),
        Call::RefusedAuthorize | Call::TriedAuthorize => asked(request, owner),
        Call::Modify => modified(request, owner),
        Call::Authorize => authorized(request, response, owner),
        Call::Revoke => revoked(request, response, owner),
    };
    Evidence {
        untold: evidence.untold || is_omitted(request),
        ..evidence
    }
}

fn revoked(request: &Value, response: &Value, owner: &AccountId) -> Evidence {
    // A set that is present and empty means that nothing was revoked.
    let is_told = response
        .get("revokedSecurityGroupRuleSet")
        .is_some_and(|set| !set.is_null());
    let mut evidence = Evidence::default();
    if is_told {
        for rule in revoked_rule_set(response) {
            let id: Option<RuleId> = rule.get("securityGroupRuleId").and_then(parsed);
            let key = flat_rule(rule, request, owner);
            evidence.untold |= id.is_none() && key.is_none();
            evidence.revoked_ids.extend(id.clone());
            evidence.revoked.extend(key.map(|key| (key, id)));
        }
        return evidence;
    }
    let ids: Vec<_> = items(request.get("securityGroupRuleIds"))
        .into_iter()
        .map(rule_id)
        .collect();
    let named = requested(request, owner);
    // In a default VPC, EC2 accepts a revoke of a rule that does not exist, and lists the rule here.
    let unknown = permissions(response.get("unknownIpPermissionSet"), owner).rules;
    evidence.untold = match ids.is_empty() {
        true => named.is_untold(),
        false => named.unread || ids.contains(&None),
    };
    evidence.revoked_ids = ids.into_iter().flatten().collect();
    let rules = named.rules.into_iter();
    evidence.revoked = rules
        .filter(|key| !unknown.contains(key))
        .map(|key| (key, None))
        .collect();
    evidence
}

/// The rules that an authorize made. Older responses do not list them; the rules of the request are used then.
fn authorized(request: &Value, response: &Value, owner: &AccountId) -> Evidence {
    let rule_set = items(response.get("securityGroupRuleSet"));
    if rule_set.is_empty() {
        let named = requested(request, owner);
        return Evidence {
            untold: named.is_untold(),
            authorized: named.rules.into_iter().map(|key| (key, None)).collect(),
            ..Evidence::default()
        };
    }
    let mut evidence = Evidence::default();
    for rule in rule_set.into_iter().filter(|rule| !is_egress(rule)) {
        match flat_rule(rule, request, owner) {
            Some(key) => {
                let id = rule.get("securityGroupRuleId").and_then(parsed);
                evidence.authorized.insert(key, id);
            }
            None => evidence.untold = true,
        }
    }
    evidence
}

fn asked(request: &Value, owner: &AccountId) -> Evidence {
    let named = requested(request, owner);
    Evidence {
        untold: named.is_untold(),
        asked: named.rules,
        ..Evidence::default()
    }
}

/// The rules whose descriptions were updated, by key or by id.
fn described(request: &Value, owner: &AccountId) -> Evidence {
    let request = camel_case(request.get(DESCRIBE_REQUEST).unwrap_or(request));
    let lists = [
        "securityGroupRuleDescriptions",
        "securityGroupRuleDescription",
    ];
    let entries = lists.into_iter().flat_map(|list| items(request.get(list)));
    let by_id = entries.filter_map(|entry| Some((rule_id(entry)?, description(entry))));
    Evidence {
        described: rules_of(request.get("ipPermissions"), owner)
            .flatten()
            .collect(),
        described_ids: by_id.collect(),
        ..Evidence::default()
    }
}

/// The rules that a request names, as far as they could be read.
#[derive(Default)]
struct Named {
    rules: BTreeSet<RuleKey>,
    /// Whether an entry could not be read.
    unread: bool,
}

impl Named {
    fn add(&mut self, rule: Option<RuleKey>) {
        self.unread |= rule.is_none();
        self.rules.extend(rule);
    }

    /// Whether some rule is not known. A call that is about rules names at least one.
    fn is_untold(&self) -> bool {
        self.unread || self.rules.is_empty()
    }
}

/// The rules that a request names, in the nested form and in the flat form.
fn requested(request: &Value, owner: &AccountId) -> Named {
    let mut named = permissions(request.get("ipPermissions"), owner);
    let sources = ["cidrIp", "sourceSecurityGroupId", "sourceSecurityGroupName"];
    let has = |name: &str| request.get(name).is_some_and(|value| !value.is_null());
    if sources.into_iter().any(has) {
        named.add(flat_request(request, owner));
    }
    named
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

/// Every rule of a nested list of permissions.
fn permissions(list: Option<&Value>, owner: &AccountId) -> Named {
    let mut named = Named::default();
    for rule in rules_of(list, owner) {
        named.add(rule.map(|(key, _)| key));
    }
    named
}

/// Every rule of a nested list of permissions with its description; `None` for one that cannot be read. A permission
/// holds one protocol and any number of sources.
fn rules_of(
    list: Option<&Value>,
    owner: &AccountId,
) -> impl Iterator<Item = Option<(RuleKey, Option<String>)>> {
    items(list).into_iter().flat_map(|permission| {
        let field = |name: &str| permission.get(name);
        let protocol = protocol(field("ipProtocol"), field("fromPort"), field("toPort"));
        let sources = sources(permission, owner).into_iter();
        sources.map(move |(source, description)| {
            let (protocol, source) = protocol.zip(source)?;
            Some((RuleKey { protocol, source }, description))
        })
    })
}

/// The sources of a permission with their descriptions; `None` for a source that cannot be read.
fn sources(permission: &Value, owner: &AccountId) -> Vec<(Option<Source>, Option<String>)> {
    let list = |name: &str, read: &dyn Fn(&Value) -> Option<Source>| {
        let entries = items(permission.get(name)).into_iter();
        let read = entries.map(|entry| (read(entry), description(entry)));
        read.collect::<Vec<_>>()
    };
    [
        list("ipRanges", &|it| cidr(it.get("cidrIp"), Source::ipv4)),
        list("ipv6Ranges", &|it| cidr(it.get("cidrIpv6"), Source::ipv6)),
        list("prefixListIds", &|it| {
            cidr(it.get("prefixListId"), Source::prefix_list)
        }),
        list("groups", &|it| reference(it, owner)),
    ]
    .concat()
}

fn description(entry: &Value) -> Option<String> {
    let text = entry.get("description").and_then(Value::as_str);
    text.filter(|text| !text.is_empty()).map(str::to_owned)
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
            let account = request
                .get("sourceSecurityGroupOwnerId")
                .and_then(Value::as_str);
            Source::referenced_group(id, account, owner).ok()?
        }
    };
    let protocol = protocol(
        request.get("ipProtocol"),
        request.get("fromPort"),
        request.get("toPort"),
    )?;
    Some(RuleKey { protocol, source })
}

/// A rule with flat fields and one source, as in a response's rule set. If it does not say whose a referenced group is,
/// the request may.
fn flat_rule(rule: &Value, request: &Value, owner: &AccountId) -> Option<RuleKey> {
    let text = |name: &str| rule.get(name).and_then(Value::as_str);
    let source = if let Some(range) = text("cidrIpv4") {
        Source::ipv4(range).ok()?
    } else if let Some(range) = text("cidrIpv6") {
        Source::ipv6(range).ok()?
    } else if let Some(list) = text("prefixListId") {
        Source::prefix_list(list).ok()?
    } else {
        let group = rule.get("referencedGroupInfo");
        let field = |name: &str| group.and_then(|group| group.get(name)?.as_str());
        let id = text("referencedGroupId").or_else(|| field("groupId"))?;
        let account = field("userId").or_else(|| account_in(request, id));
        Source::referenced_group(id, account, owner).ok()?
    };
    let protocol = protocol(
        rule.get("ipProtocol"),
        rule.get("fromPort"),
        rule.get("toPort"),
    )?;
    Some(RuleKey { protocol, source })
}

/// The account that a request gives for a referenced group.
fn account_in<'r>(request: &'r Value, group_id: &str) -> Option<&'r str> {
    let permissions = items(request.get("ipPermissions")).into_iter();
    let mut groups = permissions.flat_map(|permission| items(permission.get("groups")));
    groups.find_map(|group| {
        let is_it = group.get("groupId")?.as_str()?.trim() == group_id.trim();
        let account = group.get("userId").and_then(Value::as_str);
        account.filter(|_| is_it)
    })
}

/// The rules of a `ModifySecurityGroupRules` request. Its field names are in Pascal case, and its list may be a single
/// value.
fn modified(request: &Value, owner: &AccountId) -> Evidence {
    let request = request.get(MODIFY_REQUEST).map(camel_case);
    let request = request.unwrap_or_default();
    let entries = items(request.get("securityGroupRule"));
    let mut evidence = Evidence {
        untold: entries.is_empty(),
        ..Evidence::default()
    };
    for entry in entries {
        let new = entry
            .get("securityGroupRule")
            .and_then(|rule| flat_rule(rule, &Value::Null, owner));
        match entry.get("securityGroupRuleId").and_then(parsed) {
            Some(id) => {
                evidence.modified.insert(id, new);
            }
            None => evidence.untold = true,
        }
    }
    evidence
}

/// The same value with every field name in camel case.
fn camel_case(value: &Value) -> Value {
    match value {
        Value::Array(values) => values.iter().map(camel_case).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (camel_name(name), camel_case(value)))
            .collect(),
        other => other.clone(),
    }
}

fn camel_name(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}
