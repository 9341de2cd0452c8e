//! What a template's functions stand for (CloudFormation User Guide, "Intrinsic function reference"), as far as the
//! template, the stack's parameters and its resources tell.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Template, attribute, function_in, not_worked_out};
use crate::failure::Failure;

/// What a name of the template stands for, or why that is not known.
pub(super) type Known<T> = BTreeMap<String, Result<T, String>>;

/// The values of a stack's parameters, and the stack's ARN if the file has it.
#[derive(Debug, Default)]
pub struct Parameters {
    entries: BTreeMap<String, Value>,
    pub(super) stack_id: Option<String>,
}

/// Reads what `aws cloudformation describe-stacks` prints of one stack, or a list of parameters alone.
///
/// # Errors
/// When it is neither.
pub fn parameters(content: &Value) -> Result<Parameters, Failure> {
    let (list, stack_id) = match (&content["Stacks"], content) {
        (Value::Array(stacks), _) if stacks.len() == 1 => {
            (&stacks[0]["Parameters"], stacks[0]["StackId"].as_str())
        }
        (Value::Null, Value::Array(_)) => (content, None),
        _ => {
            let message = "--parameters holds neither one stack nor a list of parameters";
            return Err(Failure::failed(message).hint(
                "Give what `aws cloudformation describe-stacks --stack-name NAME --output json` prints.",
            ));
        }
    };
    let entries = list.as_array().into_iter().flatten();
    let named = entries.filter_map(|entry| {
        let name = entry["ParameterKey"].as_str()?;
        Some((name.to_owned(), entry.clone()))
    });
    Ok(Parameters {
        entries: named.collect(),
        stack_id: stack_id.map(str::to_owned),
    })
}

impl Parameters {
    /// The value of each parameter that a template declares. Without the stack's own parameters a default is no value: the
    /// stack may have been given another.
    pub(super) fn of_template(given: Option<&Self>, declared: &Value) -> Known<Value> {
        let declared = declared.as_object().into_iter().flatten();
        let values = declared.map(|(name, declared)| {
            let value = match given {
                Some(given) => given.value(name, declared),
                None => Err(format!(
                    "{name} is a parameter; give the stack's parameters with --parameters"
                )),
            };
            (name.clone(), value)
        });
        values.collect()
    }

    fn value(&self, name: &str, declared: &Value) -> Result<Value, String> {
        let kind = declared["Type"].as_str().unwrap_or_default();
        let is_looked_up = kind.starts_with("AWS::SSM::Parameter::Value<");
        let value = match self.entries.get(name) {
            Some(entry) if is_looked_up => scalar(&entry["ResolvedValue"]),
            Some(entry) => scalar(&entry["ParameterValue"]),
            None if is_looked_up => None,
            None => scalar(&declared["Default"]),
        };
        let value = value.filter(|text| text != "****").ok_or_else(|| {
            format!("{name} is a parameter whose value --parameters does not tell")
        })?;
        Ok(
            match kind.contains("List<") || kind.contains("CommaDelimitedList") {
                true => value
                    .split(',')
                    .map(|item| item.trim().to_owned())
                    .collect(),
                false => value.into(),
            },
        )
    }
}

/// YAML 1.1 has several words for true and for false, and a template does not tell which of them are meant as text.
fn equal(one: &str, other: &str) -> Result<bool, String> {
    let truth = |text: &str| match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => Some(true),
        "false" | "no" | "off" | "n" => Some(false),
        _ => None,
    };
    match (one == other, truth(one)) {
        (false, Some(means)) if truth(other) == Some(means) => Err(format!(
            "only CloudFormation knows whether {one} is {other}"
        )),
        (same, _) => Ok(same),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

impl Template<'_> {
    /// Works out the template's conditions. One may name another, so this goes on while more become known.
    pub(super) fn work_out_conditions(&mut self, conditions: &Value) {
        let Value::Object(conditions) = conditions else {
            return;
        };
        loop {
            let before = self.conditions.values().filter(|it| it.is_ok()).count();
            for (name, condition) in conditions {
                let holds = self.holds(condition);
                self.conditions.insert(name.clone(), holds);
            }
            if before == self.conditions.values().filter(|it| it.is_ok()).count() {
                return;
            }
        }
    }

    fn condition(&self, name: &str) -> Result<bool, String> {
        let known = self.conditions.get(name).cloned();
        known.unwrap_or_else(|| Err(format!("the condition {name} is not known")))
    }

    fn holds(&self, condition: &Value) -> Result<bool, String> {
        let fields = condition.as_object().filter(|fields| fields.len() == 1);
        let function = fields.and_then(|fields| fields.iter().next());
        let (name, argument) = function.ok_or_else(|| format!("{condition} is no condition"))?;
        match (name.as_str(), argument) {
            ("Condition", Value::String(name)) => self.condition(name),
            ("Fn::Equals", Value::Array(list)) if list.len() == 2 => {
                equal(&self.text(&list[0])?, &self.text(&list[1])?)
            }
            ("Fn::Not", Value::Array(list)) if list.len() == 1 => Ok(!self.holds(&list[0])?),
            ("Fn::And" | "Fn::Or", Value::Array(list)) => {
                // One part may decide, whatever the others are.
                let deciding = name == "Fn::Or";
                let parts: Vec<_> = list.iter().map(|part| self.holds(part)).collect();
                match parts.contains(&Ok(deciding)) {
                    true => Ok(deciding),
                    false => parts
                        .into_iter()
                        .collect::<Result<Vec<_>, _>>()
                        .map(|_| !deciding),
                }
            }
            _ => Err(not_worked_out(name)),
        }
    }

    /// A value, worked out if it is a function; functions inside a list or a map stay. Null stands for AWS::NoValue.
    pub(super) fn value(&self, value: &Value) -> Result<Value, String> {
        let found = match function_in(value) {
            Some(name) => self.call(name, &value[name])?,
            None => value.clone(),
        };
        match found.as_str() {
            Some(text) if text.contains("{{resolve:") => {
                Err(format!("only CloudFormation can look up {text:?}"))
            }
            _ => Ok(found),
        }
    }

    /// A value that is text, or may stand for text.
    pub(super) fn text(&self, value: &Value) -> Result<String, String> {
        let value = self.value(value)?;
        scalar(&value).ok_or_else(|| format!("{value} is neither text nor a number"))
    }

    fn list(&self, value: &Value) -> Result<Vec<Value>, String> {
        match self.value(value)? {
            Value::Array(list) => Ok(list),
            other => Err(format!("{other} is no list")),
        }
    }

    fn call(&self, name: &str, argument: &Value) -> Result<Value, String> {
        let arguments = argument.as_array().map(Vec::as_slice).unwrap_or_default();
        match (name, arguments, argument) {
            ("Ref", _, Value::String(name)) => self.referred(name),
            ("Fn::GetAtt", ..) => self.attribute(argument).map(Value::from),
            ("Fn::If", [Value::String(condition), yes, no], _) => {
                self.value(if self.condition(condition)? { yes } else { no })
            }
            ("Fn::FindInMap", [map, first, second], _) => {
                let path = [self.text(map)?, self.text(first)?, self.text(second)?];
                let found = path.iter().try_fold(self.mappings, |at, name| at.get(name));
                let found = found.ok_or_else(|| format!("Mappings has no {}", path.join(".")))?;
                Ok(found.clone())
            }
            ("Fn::Select", [index, list], _) => {
                let (index, list) = (self.text(index)?, self.list(list)?);
                let item = index.parse().ok().and_then(|index: usize| list.get(index));
                self.value(item.ok_or_else(|| format!("the list has no item {index}"))?)
            }
            ("Fn::Split", [delimiter, text], _) => {
                let (delimiter, text) = (self.text(delimiter)?, self.text(text)?);
                Ok(text.split(&delimiter).map(str::to_owned).collect())
            }
            ("Fn::Join", [delimiter, list], _) => {
                let texts = self.list(list)?;
                let texts: Result<Vec<_>, _> = texts.iter().map(|it| self.text(it)).collect();
                Ok(texts?.join(&self.text(delimiter)?).into())
            }
            ("Fn::Sub", _, Value::String(text)) => self.substitute(text, &Map::new()),
            ("Fn::Sub", [Value::String(text), Value::Object(variables)], _) => {
                self.substitute(text, variables)
            }
            _ => Err(not_worked_out(name)),
        }
    }

    fn referred(&self, name: &str) -> Result<Value, String> {
        let of_arn = |index| {
            let part = self
                .stack_id
                .and_then(|arn: &str| arn.split(':').nth(index));
            part.ok_or_else(|| format!("{name} is known with --resources only"))
        };
        Ok(match name {
            "AWS::NoValue" => Value::Null,
            "AWS::AccountId" => self.scope.account.as_str().into(),
            "AWS::Region" => self.scope.region.as_str().into(),
            "AWS::StackId" => of_arn(0).map(|_| self.stack_id.into())?,
            "AWS::StackName" => of_arn(5)?.split('/').nth(1).into(),
            "AWS::Partition" => of_arn(1)?.into(),
            "AWS::URLSuffix" => match of_arn(1)? {
                "aws" | "aws-us-gov" => "amazonaws.com".into(),
                "aws-cn" => "amazonaws.com.cn".into(),
                _ => return Err(not_worked_out(name)),
            },
            _ => match self.parameters.get(name) {
                Some(value) => value.clone()?,
                None if self.resources.contains_key(name) => self.physical(name)?.into(),
                None => return Err(format!("the template has no {name}")),
            },
        })
    }

    fn attribute(&self, argument: &Value) -> Result<&str, String> {
        let (resource, attribute) = attribute(argument).ok_or("is no Fn::GetAtt")?;
        let prefix = match attribute {
            "GroupId" => "sg-",
            "PrefixListId" => "pl-",
            _ => {
                return Err(format!(
                    "only CloudFormation knows {attribute} of {resource}"
                ));
            }
        };
        let physical = self.physical(resource)?;
        if physical.starts_with(prefix) {
            return Ok(physical);
        }
        Err(format!(
            "the physical id of {resource} is {physical:?}, which is not its {attribute}"
        ))
    }

    fn substitute(&self, text: &str, variables: &Map<String, Value>) -> Result<Value, String> {
        let (mut done, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("${") {
            let (name, behind) = after.split_once('}').ok_or("has no } behind ${")?;
            done += before;
            done += &match (name.strip_prefix('!'), variables.get(name.trim())) {
                (Some(literal), _) => format!("${{{literal}}}"),
                (None, Some(variable)) => self.text(variable)?,
                (None, None) => {
                    let function = if name.contains('.') {
                        "Fn::GetAtt"
                    } else {
                        "Ref"
                    };
                    self.text(&json!({ function: name.trim() }))?
                }
            };
            rest = behind;
        }
        Ok((done + rest).into())
    }
}
