//! CloudFormation templates, as written or as processed (`aws cloudformation get-template --template-stage Processed`).
//!
//! A template names its groups by logical ids; the stack's list of resources says what they became, and its parameters what
//! their rules are.

use std::collections::{BTreeMap, BTreeSet};

use rulekeeper_core::model::{GroupAddress, GroupId, Scope};
use serde_json::{Map, Value, json};

use super::{Drafts, Import, Place, Standing, Stated, reference, scope_of_arn};
use crate::failure::Failure;
use crate::strict::Strict;

mod functions;

use functions::Known;
pub use functions::{Parameters, parameters};

const GROUP: &str = "AWS::EC2::SecurityGroup";
const INGRESS: &str = "AWS::EC2::SecurityGroupIngress";

/// The properties that name a rule's source, and what a record calls them.
const SOURCES: [(&str, &str); 5] = [
    ("CidrIp", "cidr_ipv4"),
    ("CidrIpv6", "cidr_ipv6"),
    ("SourcePrefixListId", "prefix_list_id"),
    ("SourceSecurityGroupId", "referenced_group"),
    ("SourceSecurityGroupName", "referenced_group"),
];

/// Reads a template's text as JSON or YAML; CloudFormation's short tags become its long functions.
///
/// # Errors
/// When it is neither.
pub fn parse(text: &str) -> Result<Value, String> {
    let hint = "`aws cloudformation get-template --template-stage Processed` gives a deployed template; YAML is also \
                turned into JSON by cfn-flip";
    let content = if text.trim_start().starts_with('{') {
        let Strict(content) = serde_json::from_str(text).map_err(|error| error.to_string())?;
        content
    } else {
        let mut yaml: yaml_serde::Value =
            yaml_serde::from_str(text).map_err(|error| format!("{error} ({hint})"))?;
        yaml.apply_merge()
            .map_err(|error| format!("{error} ({hint})"))?;
        from_yaml(yaml)?
    };
    // What `get-template` prints holds the template, and a YAML one as a text.
    match content.get("TemplateBody") {
        Some(Value::String(body)) => parse(body),
        Some(body) => Ok(body.clone()),
        None => Ok(content),
    }
}

fn from_yaml(value: yaml_serde::Value) -> Result<Value, String> {
    use yaml_serde::Value as Yaml;
    Ok(match value {
        Yaml::Sequence(list) => {
            Value::Array(list.into_iter().map(from_yaml).collect::<Result<_, _>>()?)
        }
        Yaml::Mapping(map) => {
            let mut fields = Map::new();
            for (name, value) in map {
                let name = match name {
                    Yaml::String(name) => name,
                    Yaml::Number(number) => number.to_string(),
                    Yaml::Bool(truth) => truth.to_string(),
                    other => return Err(format!("{other:?} is no name")),
                };
                let value = from_yaml(value)?;
                // YAML tells 1 from "1" and true from "true", and JSON does not.
                if fields.contains_key(&name) {
                    return Err(format!("{name:?} is given twice in one map"));
                }
                fields.insert(name, value);
            }
            Value::Object(fields)
        }
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let value = from_yaml(tagged.value)?;
            match tag.trim_start_matches('!') {
                name @ ("Ref" | "Condition") => json!({ name: value }),
                name => json!({ format!("Fn::{name}"): value }),
            }
        }
        Yaml::Null => Value::Null,
        Yaml::Bool(truth) => truth.into(),
        Yaml::String(text) => text.into(),
        Yaml::Number(number) => serde_json::to_value(number).map_err(|error| error.to_string())?,
    })
}

/// The physical ids of a stack, and where it is.
#[derive(Debug, Default)]
pub struct Stack {
    physical: BTreeMap<String, String>,
    id: Option<String>,
}

/// Reads what `aws cloudformation describe-stack-resources` prints, or `list-stack-resources`.
///
/// # Errors
/// When it is neither.
pub fn stack(content: &Value) -> Result<Stack, Failure> {
    let list = content
        .get("StackResources")
        .or(content.get("StackResourceSummaries"))
        .and_then(Value::as_array);
    let Some(list) = list else {
        return Err(Failure::failed("--resources holds no list of stack resources").hint(
            "Give what `aws cloudformation describe-stack-resources --stack-name NAME --output json` prints.",
        ));
    };
    let mut stack = Stack::default();
    for resource in list {
        let field = |name: &str| resource[name].as_str().unwrap_or_default();
        stack.id = stack
            .id
            .or_else(|| resource["StackId"].as_str().map(str::to_owned));
        if field("ResourceStatus") != "DELETE_COMPLETE" && !field("PhysicalResourceId").is_empty() {
            let (logical, physical) = (field("LogicalResourceId"), field("PhysicalResourceId"));
            stack.physical.insert(logical.into(), physical.into());
        }
    }
    Ok(stack)
}

/// Reads a template, with the stack's resources and parameters if they are known.
///
/// # Errors
/// When it is no template, when account and Region of the stack are not known, or when resources and parameters are not of
/// one stack.
pub fn read(
    content: &Value,
    stack: Option<&Stack>,
    parameters: Option<&Parameters>,
    stated: &Stated,
) -> Result<Import, Failure> {
    let Some(resources) = content["Resources"].as_object() else {
        return Err(Failure::failed(
            "this is no CloudFormation template: it has no Resources",
        ));
    };
    let mut drafts = Drafts::default();
    // A macro may change any of the groups.
    let expand = "is expanded by CloudFormation; give the processed template";
    if !content["Transform"].is_null() || resources.contains_key("Fn::Transform") {
        drafts.unresolved(None, Place::new("Transform", ""), expand);
        return Ok(drafts.finish(stated.mode));
    }
    for name in resources.keys().filter(|name| name.starts_with("Fn::")) {
        drafts.unresolved(None, Place::new(name, ""), expand);
    }
    let of_kind = |kind: &'static str| {
        resources
            .iter()
            .filter(move |(_, resource)| resource["Type"] == kind)
    };
    if of_kind(GROUP).next().is_none() && of_kind(INGRESS).next().is_none() {
        return Ok(drafts.finish(stated.mode));
    }
    let of_resources = stack.and_then(|stack| stack.id.as_deref());
    let of_parameters = parameters.and_then(|given| given.stack_id.as_deref());
    if let (Some(one), Some(other)) = (of_resources, of_parameters)
        && one != other
    {
        let message = format!("--resources are of {one}, and --parameters of {other}");
        return Err(Failure::failed(message));
    }
    let stack_id = of_resources.or(of_parameters);
    let arn = stack_id.and_then(scope_of_arn);
    if let Some(reason) = arn.as_ref().and_then(|arn| stated.contradiction(arn)) {
        return Err(Failure::failed(format_args!("the stack {reason}")));
    }
    let mut template = Template {
        resources,
        stack,
        stack_id,
        scope: stated.scope(arn.as_ref(), "the stack")?,
        parameters: Parameters::of_template(parameters, &content["Parameters"]),
        mappings: &content["Mappings"],
        conditions: Known::new(),
    };
    template.work_out_conditions(&content["Conditions"]);
    for (name, group) in of_kind(GROUP) {
        template.read_group(name, group, &mut drafts);
    }
    for (name, rule) in of_kind(INGRESS) {
        template.read_rule(name, rule, &mut drafts);
    }
    Ok(drafts.finish(stated.mode))
}

struct Template<'v> {
    resources: &'v Map<String, Value>,
    stack: Option<&'v Stack>,
    stack_id: Option<&'v str>,
    scope: Scope,
    parameters: Known<Value>,
    mappings: &'v Value,
    conditions: Known<bool>,
}

impl Template<'_> {
    /// Whether a condition kept a resource from being made, which only the stack's list can tell.
    fn was_not_made(&self, name: &str, resource: &Value) -> bool {
        let listed = self.stack.map(|stack| stack.physical.contains_key(name));
        resource.get("Condition").is_some() && listed == Some(false)
    }

    fn read_group(&self, name: &str, group: &Value, drafts: &mut Drafts) {
        if self.was_not_made(name, group) {
            return;
        }
        let id = self
            .physical(name)
            .and_then(|id| id.parse::<GroupId>().map_err(|error| error.to_string()));
        let id = match id {
            Ok(id) => id,
            Err(reason) => return drafts.unresolved(None, Place::new(name, ""), reason),
        };
        drafts.open(GroupAddress {
            scope: self.scope.clone(),
            id: id.clone(),
        });
        if let Some(function) = function_in(group).or(function_in(&group["Properties"])) {
            return drafts.unresolved(Some(&id), Place::new(name, ""), not_worked_out(function));
        }
        let at = "SecurityGroupIngress";
        match self.value(&group["Properties"][at]) {
            Err(reason) => drafts.unresolved(Some(&id), Place::new(name, at), reason),
            Ok(Value::Array(list)) => {
                for (index, rule) in list.iter().enumerate() {
                    self.add(rule, &id, name, &format!("{at}[{index}]"), drafts);
                }
            }
            // CloudFormation takes a single one without a list.
            Ok(rule) => self.add(&rule, &id, name, at, drafts),
        }
    }

    fn read_rule(&self, name: &str, rule: &Value, drafts: &mut Drafts) {
        if self.was_not_made(name, rule) {
            return;
        }
        let properties = &rule["Properties"];
        let place = Place::new(name, "GroupId");
        let id = match &properties["GroupId"] {
            Value::Null => {
                Err("is missing; a group's name does not tell which one is meant".into())
            }
            value => self
                .text(value)
                .and_then(|id| id.parse::<GroupId>().map_err(|error| error.to_string())),
        };
        let id = match id {
            Ok(id) => id,
            Err(reason) => {
                // It may be any of the groups that the expression speaks of.
                let mut names = BTreeSet::new();
                mentioned(&properties["GroupId"], &mut names);
                mentioned(&properties["GroupName"], &mut names);
                let namesakes = self.resources.iter().filter(|(_, group)| {
                    let theirs = &group["Properties"]["GroupName"];
                    !theirs.is_null() && *theirs == properties["GroupName"]
                });
                names.extend(namesakes.map(|(name, _)| name.clone()));
                drafts.unresolved(None, place.clone(), &reason);
                for name in names {
                    let id = self.physical(&name).ok().and_then(|id| id.parse().ok());
                    if let Some(id) = id.filter(|id| drafts.groups.contains_key(id)) {
                        let reason = format!("{id} may be the group of this rule");
                        drafts.unresolved(Some(&id), place.clone(), reason);
                    }
                }
                return;
            }
        };
        if !drafts.has(&id, place) {
            return;
        }
        // A rule that the stack does not list was not made, or is not of this stack.
        if let Err(reason) = self.physical(name) {
            return drafts.unresolved(Some(&id), Place::new(name, ""), reason);
        }
        self.add(properties, &id, name, "", drafts);
    }

    fn add(&self, block: &Value, group: &GroupId, name: &str, at: &str, drafts: &mut Drafts) {
        let place = |inner: &str| match (at, inner) {
            ("", inner) => Place::new(name, inner),
            (at, "") => Place::new(name, at),
            (at, inner) => Place::new(name, format!("{at}.{inner}")),
        };
        let block = match self.value(block) {
            Ok(Value::Null) => return,
            Ok(block) => block,
            Err(reason) => return drafts.unresolved(Some(group), place(""), reason),
        };
        let (mut rule, mut known) = (Map::new(), true);
        let mut resolve = |property: &str| match self.value(&block[property]) {
            Ok(Value::Null) => Value::Null,
            value => match value.and_then(|value| self.text(&value)) {
                Ok(text) => text.into(),
                Err(reason) => {
                    drafts.unresolved(Some(group), place(property), reason);
                    known = false;
                    Value::Null
                }
            },
        };
        rule.insert("protocol".into(), resolve("IpProtocol"));
        rule.insert("from_port".into(), resolve("FromPort"));
        rule.insert("to_port".into(), resolve("ToPort"));
        rule.insert("description".into(), resolve("Description"));
        let owner = resolve("SourceSecurityGroupOwnerId");
        let mut sources = Vec::new();
        for (property, kind) in SOURCES {
            match resolve(property) {
                Value::Null => {}
                value => sources.push((property, kind, value)),
            }
        }
        if !known {
            return;
        }
        let [(property, kind, source)] = &sources[..] else {
            let reason = match sources.len() {
                0 => "names no source",
                _ => "names more than one source",
            };
            return drafts.unresolved(Some(group), place(""), reason);
        };
        let source = match *kind {
            "referenced_group" => match reference(source.as_str().unwrap_or_default()) {
                Ok(mut reference) => {
                    reference["account_id"] = owner;
                    reference
                }
                Err(reason) => return drafts.unresolved(Some(group), place(property), reason),
            },
            _ => source.clone(),
        };
        rule.insert((*kind).into(), source);
        drafts.add(
            group,
            Value::Object(rule),
            Standing::Declared,
            place(property),
        );
    }

    /// The physical id of a resource of the template.
    fn physical(&self, name: &str) -> Result<&str, String> {
        let Some(stack) = self.stack else {
            return Err(format!(
                "the physical id of {name} is not known; give the stack's resources with --resources"
            ));
        };
        let physical = stack.physical.get(name).map(String::as_str);
        physical.ok_or_else(|| format!("the stack's resources list no {name}"))
    }
}

/// Resource and attribute of a GetAtt, as a list or with a dot.
fn attribute(target: &Value) -> Option<(&str, &str)> {
    match target {
        Value::String(text) => text.split_once('.'),
        Value::Array(list) => match &list[..] {
            [resource, attribute] => Some((resource.as_str()?, attribute.as_str()?)),
            _ => None,
        },
        _ => None,
    }
}

/// The logical ids that an expression speaks of.
fn mentioned(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (function, target) in fields {
                match (function.as_str(), target) {
                    ("Ref", Value::String(name)) => {
                        names.insert(name.clone());
                    }
                    ("Fn::GetAtt", target) => {
                        names.extend(attribute(target).map(|(name, _)| name.to_owned()));
                    }
                    ("Fn::Sub", Value::String(text)) => names.extend(substituted(text)),
                    ("Fn::Sub", Value::Array(list)) => {
                        names.extend(list.iter().filter_map(Value::as_str).flat_map(substituted));
                        list.iter().for_each(|value| mentioned(value, names));
                    }
                    (_, inner) => mentioned(inner, names),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| mentioned(value, names)),
        _ => {}
    }
}

/// The names in `${…}` of a Sub, without their attributes.
fn substituted(text: &str) -> impl Iterator<Item = String> {
    text.split("${").skip(1).filter_map(|part| {
        let (inner, _) = part.split_once('}')?;
        inner.trim().split('.').next().map(str::to_owned)
    })
}

/// The function that stands for a map or for a part of it.
fn function_in(value: &Value) -> Option<&String> {
    let mut names = value.as_object()?.keys();
    names.find(|name| *name == "Ref" || name.starts_with("Fn::"))
}

fn not_worked_out(function: &str) -> String {
    format!("only CloudFormation can evaluate {function}")
}

#[cfg(test)]
mod tests;
