//! What `terraform show -json` prints of a state or a plan (Terraform, "JSON Output Format"; OpenTofu's is the same).
//!
//! A state's group lists in `ingress` the rules that were live at the last refresh, whether they were written there or are
//! resources of their own. So the two overlap, and the resource of its own is the better witness: it has the tags, and an
//! apply changes it while the group's list stays as it was. A rule that only the list has may be one that Terraform closed.

use std::collections::{BTreeMap, BTreeSet};

use rulekeeper_core::model::{GroupAddress, GroupId};
use serde_json::{Map, Value, json};

use super::{Drafts, Import, Place, Standing, Stated, reference, scope_of_arn};
use crate::failure::Failure;

const UNKNOWN: &str = "is unknown until the plan is applied";

const GROUPS: [&str; 2] = ["aws_security_group", "aws_default_security_group"];
const RULE: &str = "aws_security_group_rule";
const INGRESS_RULE: &str = "aws_vpc_security_group_ingress_rule";

/// Resources whose group is not written with its rules in line (AWS provider, "Resource: aws_security_group").
const BESIDE_GROUPS: [&str; 4] = [
    RULE,
    INGRESS_RULE,
    "aws_vpc_security_group_egress_rule",
    "aws_vpc_security_group_rules_exclusive",
];

/// Resources that say what a group lets in, and that are not read.
const UNSUPPORTED: [&str; 2] = [
    "awscc_ec2_security_group",
    "awscc_ec2_security_group_ingress",
];

/// The attributes of all three kinds that hold sources, one or a list, and what a record calls them.
const SOURCES: [(&str, &str); 9] = [
    ("cidr_blocks", "cidr_ipv4"),
    ("cidr_ipv4", "cidr_ipv4"),
    ("ipv6_cidr_blocks", "cidr_ipv6"),
    ("cidr_ipv6", "cidr_ipv6"),
    ("prefix_list_ids", "prefix_list_id"),
    ("prefix_list_id", "prefix_list_id"),
    ("security_groups", "referenced_group"),
    ("source_security_group_id", "referenced_group"),
    ("referenced_security_group_id", "referenced_group"),
];

/// What else of a rule must be known.
const PROPERTIES: [&str; 9] = [
    "security_group_id",
    "protocol",
    "ip_protocol",
    "from_port",
    "to_port",
    "self",
    "description",
    "tags",
    "tags_all",
];

struct Resource<'v> {
    address: &'v str,
    kind: &'v str,
    values: &'v Value,
    /// True wherever a plan does not know the value yet.
    unknown: &'v Value,
}

/// Reads a state or a plan.
///
/// # Errors
/// When it is neither, or does not tell the account or Region of a group.
pub fn read(content: &Value, stated: &Stated) -> Result<Import, Failure> {
    let resources = resources(content)?;
    let mut drafts = Drafts::default();
    for group in resources.iter().filter(|it| GROUPS.contains(&it.kind)) {
        read_group(group, stated, &mut drafts)?;
    }
    for resource in &resources {
        match resource.kind {
            RULE if resource.values["type"] == "egress" => {}
            RULE | INGRESS_RULE if resource.unknown["security_group_id"] == true => {
                let possible = possible_groups(resource, content, &resources);
                refuse_groups_of(resource, possible, &mut drafts);
            }
            RULE | INGRESS_RULE => read_rule(resource, &mut drafts),
            kind if UNSUPPORTED.contains(&kind) => {
                let reason = format!("{kind} is not supported; `rulekeeper pin` records its group");
                drafts.unresolved(None, Place::new(resource.address, ""), reason);
            }
            _ => {}
        }
    }
    refuse_rules_that_only_groups_list(content, &resources, &mut drafts);
    Ok(drafts.finish(stated.mode))
}

fn resources(content: &Value) -> Result<Vec<Resource<'_>>, Failure> {
    let hint =
        "Run `terraform show -json`, or `terraform show -json PLANFILE`, and give what it prints.";
    if content.get("lineage").is_some() || content["resources"].is_array() {
        let message = "this is Terraform's state file itself, whose format is Terraform's own";
        return Err(Failure::failed(message).hint(hint));
    }
    if content["errored"] == true {
        let message = "this plan ended with an error and is not complete";
        return Err(Failure::failed(message));
    }
    let values = content.get("planned_values").or(content.get("values"));
    let root = match values {
        Some(values) => &values["root_module"],
        None if content.get("format_version").is_some() => &Value::Null,
        None => {
            let message = "this is neither a state nor a plan in Terraform's JSON";
            return Err(Failure::failed(message).hint(hint));
        }
    };
    let mut unknown = BTreeMap::new();
    for change in list(&content["resource_changes"]) {
        if change.get("deposed").is_none() {
            unknown.insert(text(&change["address"]), &change["change"]["after_unknown"]);
        }
    }
    let mut found = Vec::new();
    collect(root, &unknown, &mut found);
    Ok(found)
}

fn collect<'v>(
    module: &'v Value,
    unknown: &BTreeMap<&'v str, &'v Value>,
    found: &mut Vec<Resource<'v>>,
) {
    // A deposed object is one that Terraform has replaced and is yet to delete.
    let current = list(&module["resources"])
        .iter()
        .filter(|it| it["mode"] != "data" && it.get("deposed_key").is_none());
    found.extend(current.map(|resource| {
        let address = text(&resource["address"]);
        Resource {
            address,
            kind: text(&resource["type"]),
            values: &resource["values"],
            unknown: unknown.get(address).copied().unwrap_or(&Value::Null),
        }
    }));
    for child in list(&module["child_modules"]) {
        collect(child, unknown, found);
    }
}

fn read_group(group: &Resource<'_>, stated: &Stated, drafts: &mut Drafts) -> Result<(), Failure> {
    let Resource {
        address, values, ..
    } = group;
    let Some(id) = id(group, "id", drafts) else {
        return Ok(());
    };
    let arn = scope_of_arn(text(&values["arn"]));
    let scope = stated.scope(arn.as_ref(), address)?;
    drafts.open(GroupAddress {
        scope,
        id: id.clone(),
    });
    if let Some(reason) = arn.as_ref().and_then(|arn| stated.contradiction(arn)) {
        drafts.unresolved(Some(&id), Place::new(address, "arn"), reason);
        return Ok(());
    }
    if let Some(path) = first_unknown(&group.unknown["ingress"], "ingress") {
        drafts.unresolved(Some(&id), Place::new(address, path), UNKNOWN);
        return Ok(());
    }
    for (index, block) in list(&values["ingress"]).iter().enumerate() {
        let at = format!("ingress[{index}]");
        add_rules(
            block,
            &id,
            Standing::Found,
            &Place::new(address, at),
            drafts,
        );
    }
    Ok(())
}

fn read_rule(rule: &Resource<'_>, drafts: &mut Drafts) {
    let place = |attribute: &str| Place::new(rule.address, attribute);
    let Some(group) = id(rule, "security_group_id", drafts) else {
        return;
    };
    if !drafts.has(&group, place("security_group_id")) {
        return;
    }
    let sources = SOURCES.iter().map(|(name, _)| *name);
    let mut paths = PROPERTIES
        .into_iter()
        .chain(["type"])
        .chain(sources)
        .filter_map(|name| first_unknown(&rule.unknown[name], name))
        .peekable();
    if paths.peek().is_some() {
        for path in paths {
            drafts.unresolved(Some(&group), place(&path), UNKNOWN);
        }
        return;
    }
    add_rules(rule.values, &group, Standing::Declared, &place(""), drafts);
}

/// The groups of which a rule may be whose group is unknown: those that its configuration names, or else all.
fn possible_groups<'v>(
    rule: &Resource<'_>,
    content: &'v Value,
    resources: &'v [Resource<'v>],
) -> Vec<&'v Resource<'v>> {
    let address = without_keys(rule.address);
    let mut module = &content["configuration"]["root_module"];
    let (mut path, mut rest) = (String::new(), address.as_str());
    while let Some((name, inner)) = rest
        .strip_prefix("module.")
        .and_then(|rest| rest.split_once('.'))
    {
        path += &format!("module.{name}.");
        rest = inner;
        module = &module["module_calls"][name]["module"];
    }
    let written = list(&module["resources"])
        .iter()
        .find(|it| it["address"] == rest);
    let references = written.map(|it| &it["expressions"]["security_group_id"]["references"]);
    let named: Vec<String> = references
        .map(list)
        .unwrap_or_default()
        .iter()
        .map(|reference| format!("{path}{}", without_keys(text(reference))))
        .collect();
    let groups = resources.iter().filter(|it| GROUPS.contains(&it.kind));
    let all: Vec<&Resource<'_>> = groups.collect();
    let meant: Vec<&Resource<'_>> = all
        .iter()
        .filter(|group| named.contains(&without_keys(group.address)))
        .copied()
        .collect();
    if meant.is_empty() { all } else { meant }
}

/// An address without the keys of instances, such as `[0]` and `["a.b"]`.
fn without_keys(address: &str) -> String {
    let (mut kept, mut rest) = (String::new(), address);
    while let Some((before, key)) = rest.split_once('[') {
        kept += before;
        let end = if key.starts_with('"') { "\"]" } else { "]" };
        rest = key.split_once(end).map_or("", |(_, after)| after);
    }
    kept + rest
}

fn refuse_groups_of(rule: &Resource<'_>, possible: Vec<&Resource<'_>>, drafts: &mut Drafts) {
    let place = Place::new(rule.address, "security_group_id");
    drafts.unresolved(None, place.clone(), UNKNOWN);
    for group in possible {
        let id = text(&group.values["id"]).parse::<GroupId>().ok();
        if let Some(id) = id.filter(|id| drafts.groups.contains_key(id)) {
            let reason = format!("may turn out to be {id} ({})", group.address);
            drafts.unresolved(Some(&id), place.clone(), reason);
        }
    }
}

fn id(resource: &Resource<'_>, name: &str, drafts: &mut Drafts) -> Option<GroupId> {
    let place = Place::new(resource.address, name);
    let value = &resource.values[name];
    if resource.unknown[name] == true {
        drafts.unresolved(None, place, UNKNOWN);
        return None;
    }
    let Some(text) = value.as_str() else {
        drafts.unresolved(None, place, "is missing");
        return None;
    };
    text.parse()
        .map_err(|error| drafts.unresolved(None, place, error))
        .ok()
}

/// Adds every rule of a block: one for each of its sources.
fn add_rules(block: &Value, group: &GroupId, standing: Standing, at: &Place, drafts: &mut Drafts) {
    let (rules, troubles) = rules(block, group);
    for (attribute, reason) in troubles {
        drafts.unresolved(Some(group), within(at, &attribute), reason);
    }
    for (attribute, rule) in rules {
        drafts.add(group, rule, standing, within(at, &attribute));
    }
}

type Named<T> = Vec<(String, T)>;

/// The rules of a block with a record's attribute names, and what is no rule; each with the attribute that it is from.
fn rules(block: &Value, group: &GroupId) -> (Named<Value>, Named<String>) {
    let (mut rules, mut troubles) = (Vec::new(), Vec::new());
    let mut properties = Map::new();
    let name = ["protocol", "ip_protocol"]
        .into_iter()
        .find(|name| !block[*name].is_null());
    properties.insert("protocol".into(), block[name.unwrap_or_default()].clone());
    // With the provider's default tags, where there are any: that is what the live rule carries.
    let tags = Some(&block["tags_all"]).filter(|tags| tags.is_object());
    properties.insert("tags".into(), tags.unwrap_or(&block["tags"]).clone());
    for name in ["from_port", "to_port", "description"] {
        properties.insert(name.into(), block[name].clone());
    }
    let mut push = |attribute: String, kind: &str, source: Value| {
        let mut rule = properties.clone();
        rule.insert(kind.into(), source);
        rules.push((attribute, Value::Object(rule)));
    };
    for (name, kind) in SOURCES {
        let values = match &block[name] {
            Value::Null => continue,
            Value::String(text) if text.is_empty() => continue,
            Value::Array(values) => values
                .iter()
                .enumerate()
                .map(|(index, value)| (format!("{name}[{index}]"), value))
                .collect(),
            value => vec![(name.to_owned(), value)],
        };
        for (attribute, value) in values {
            match value.as_str() {
                None => troubles.push((attribute, format!("{value} is not text"))),
                Some(text) if kind == "referenced_group" => match reference(text) {
                    Ok(source) => push(attribute, kind, source),
                    Err(reason) => troubles.push((attribute, reason)),
                },
                Some(text) => push(attribute, kind, text.into()),
            }
        }
    }
    if block["self"] == true {
        push(
            "self".to_owned(),
            "referenced_group",
            json!({"group_id": group}),
        );
    }
    if rules.is_empty() && troubles.is_empty() {
        troubles.push((String::new(), "names no source".to_owned()));
    }
    (rules, troubles)
}

/// Leaves out each group whose rules are resources of their own, now or before a plan, and that lists another rule.
fn refuse_rules_that_only_groups_list(
    content: &Value,
    resources: &[Resource<'_>],
    drafts: &mut Drafts,
) {
    let present = resources.iter().map(|it| (it.kind, it.values));
    let before = list(&content["resource_changes"])
        .iter()
        .map(|change| (text(&change["type"]), &change["change"]["before"]));
    let groups: BTreeSet<GroupId> = present
        .chain(before)
        .filter(|(kind, _)| BESIDE_GROUPS.contains(kind))
        .filter_map(|(_, values)| text(&values["security_group_id"]).parse().ok())
        .collect();
    for group in groups {
        let draft = drafts.groups.get(&group).filter(|it| it.known_in_full);
        let listed = draft.into_iter().flat_map(|draft| &draft.rules);
        let doubtful: Vec<_> = listed
            .filter(|(_, (_, standing, _))| *standing == Standing::Found)
            .map(|(rule, (_, _, by))| (rule.clone(), by.clone()))
            .collect();
        for (rule, by) in doubtful {
            let reason = format!(
                "lists {rule}, and no rule resource has it, so Terraform may have closed it since the last refresh; after \
                 any apply run `terraform apply -refresh-only`, show the state and import it again; if {group} still \
                 lists the rule, it is live, and `rulekeeper pin {group}` records it"
            );
            drafts.unresolved(Some(&group), Place::new(&by, "ingress"), reason);
        }
    }
}

/// The path of the first value that is marked as unknown.
fn first_unknown(marks: &Value, path: &str) -> Option<String> {
    match marks {
        Value::Bool(true) => Some(path.to_owned()),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .find_map(|(index, marks)| first_unknown(marks, &format!("{path}[{index}]"))),
        Value::Object(fields) => fields
            .iter()
            .find_map(|(name, marks)| first_unknown(marks, &format!("{path}.{name}"))),
        _ => None,
    }
}

fn within(place: &Place, attribute: &str) -> Place {
    let joined = match (place.attribute.as_str(), attribute) {
        ("", inner) => inner.to_owned(),
        (outer, "") => outer.to_owned(),
        (outer, inner) => format!("{outer}.{inner}"),
    };
    Place::new(&place.address, joined)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests;
