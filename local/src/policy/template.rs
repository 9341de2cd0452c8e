//! The policies of a role in a CloudFormation template, with the values that a stack has (CloudFormation User Guide,
//! "Intrinsic function reference").

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A template cannot be read, or does not have what is asked for.
#[derive(Debug, thiserror::Error)]
#[error("template: {0}")]
pub struct TemplateError(String);

type Resolved<T> = Result<T, TemplateError>;

fn error<T>(message: impl Into<String>) -> Resolved<T> {
    Err(TemplateError(message.into()))
}

/// A template.
#[derive(Debug, Clone)]
pub struct Template {
    content: Value,
}

/// What the names of a template stand for: its parameters (`OrganizationId`), pseudo parameters (`AWS::Region`) and
/// attributes of resources (`Table.Arn`).
pub type Given = BTreeMap<String, String>;

impl Template {
    /// Reads a template in YAML.
    ///
    /// # Errors
    /// When it is not YAML.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let yaml = yaml_serde::from_str(text).or_else(|fault| error(fault.to_string()))?;
        Ok(Self {
            content: from_yaml(yaml)?,
        })
    }

    /// The statements of a role's policies, and those of its trust policy. Parameters that are not given have their
    /// defaults.
    ///
    /// # Errors
    /// When there is no such role, or when one of its values is not known.
    pub fn role(
        &self,
        name: &str,
        given: &Given,
    ) -> Result<(Vec<Value>, Vec<Value>), TemplateError> {
        let role = &self.content["Resources"][name];
        if role["Type"] != "AWS::IAM::Role" {
            return error(format!("it has no role {name}"));
        }
        let stack = Stack {
            content: &self.content,
            given,
        };
        let role = stack.resolve(&role["Properties"])?.unwrap_or_default();
        let statements = |document: &Value| match &document["Statement"] {
            Value::Array(statements) => statements.clone(),
            one => vec![one.clone()],
        };
        let policies = role["Policies"].as_array().into_iter().flatten();
        let permissions = policies.flat_map(|policy| statements(&policy["PolicyDocument"]));
        Ok((
            permissions.collect(),
            statements(&role["AssumeRolePolicyDocument"]),
        ))
    }
}

/// A template and the values of a stack.
struct Stack<'a> {
    content: &'a Value,
    given: &'a Given,
}

impl Stack<'_> {
    /// A value without functions; `None` for `AWS::NoValue`.
    fn resolve(&self, value: &Value) -> Resolved<Option<Value>> {
        Ok(Some(match value {
            Value::Array(list) => {
                let list = list.iter().map(|value| self.resolve(value).transpose());
                list.flatten().collect::<Resolved<_>>()?
            }
            Value::Object(fields) => match function_in(fields) {
                Some((name, argument)) => return self.call(name, argument),
                None => {
                    let fields = fields.iter().map(|(name, value)| {
                        let value = self.resolve(value).transpose();
                        value.map(|value| Ok((name.clone(), value?)))
                    });
                    Value::Object(fields.flatten().collect::<Resolved<_>>()?)
                }
            },
            other => other.clone(),
        }))
    }

    fn call(&self, function: &str, argument: &Value) -> Resolved<Option<Value>> {
        let text = argument.as_str().unwrap_or_default();
        match (function, argument) {
            ("Ref", _) if text == "AWS::NoValue" => Ok(None),
            ("Ref" | "Fn::GetAtt", Value::String(name)) => Ok(Some(self.value(name)?.into())),
            ("Fn::Sub", Value::String(text)) => Ok(Some(self.substituted(text)?.into())),
            ("Fn::If", Value::Array(branches)) => match &branches[..] {
                [Value::String(condition), then, otherwise] => {
                    let condition = &self.content["Conditions"][condition];
                    let branch = if self.holds(condition)? {
                        then
                    } else {
                        otherwise
                    };
                    self.resolve(branch)
                }
                _ => error(format!("{argument} are no branches")),
            },
            _ => error(format!("{function} of {argument} is not worked out")),
        }
    }

    fn value(&self, name: &str) -> Resolved<String> {
        let default = &self.content["Parameters"][name]["Default"];
        let default = match default {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let value = self.given.get(name).cloned().or(default);
        value.map_or_else(|| error(format!("{name} is not given")), Ok)
    }

    /// A text with `${Name}` replaced.
    fn substituted(&self, text: &str) -> Resolved<String> {
        let mut parts = text.split("${");
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let Some((name, rest)) = part.split_once('}') else {
                return error(format!("{text} has no end"));
            };
            out += &self.value(name)?;
            out += rest;
        }
        Ok(out)
    }

    fn holds(&self, condition: &Value) -> Resolved<bool> {
        let function = condition.as_object().and_then(function_in);
        match function {
            Some(("Fn::Not", Value::Array(one))) if one.len() == 1 => Ok(!self.holds(&one[0])?),
            Some(("Fn::Equals", Value::Array(two))) if two.len() == 2 => {
                let text = |value: &Value| match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                let sides = [self.resolve(&two[0])?, self.resolve(&two[1])?];
                let [one, other] = sides.map(|side| text(&side.unwrap_or_default()));
                Ok(one == other)
            }
            _ => error(format!("the condition {condition} is not worked out")),
        }
    }
}

/// The function that an object stands for.
fn function_in(fields: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, argument) = fields.iter().next()?;
    let is_function = name == "Ref" || name.starts_with("Fn::");
    (fields.len() == 1 && is_function).then_some((name, argument))
}

/// Short tags become the long functions.
fn from_yaml(value: yaml_serde::Value) -> Resolved<Value> {
    use yaml_serde::Value as Yaml;
    Ok(match value {
        Yaml::Sequence(list) => list.into_iter().map(from_yaml).collect::<Resolved<_>>()?,
        Yaml::Mapping(map) => {
            let mut fields = Map::new();
            for (name, value) in map {
                let Yaml::String(name) = name else {
                    return error(format!("{name:?} is no name"));
                };
                fields.insert(name, from_yaml(value)?);
            }
            Value::Object(fields)
        }
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let argument = from_yaml(tagged.value)?;
            match tag.trim_start_matches('!') {
                "Ref" => json!({ "Ref": argument }),
                name => json!({ format!("Fn::{name}"): argument }),
            }
        }
        scalar => serde_json::to_value(scalar).or_else(|fault| error(fault.to_string()))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "
Parameters:
  Organization: {Type: String, Default: ''}
  Count: {Type: Number, Default: -1}
Conditions:
  HasOrganization: !Not [!Equals [!Ref Organization, '']]
  Counts: !Not [!Equals [!Ref Count, -1]]
Resources:
  Table: {Type: AWS::DynamoDB::Table}
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement: {Effect: Allow, Principal: {AWS: !Ref Hub}, Action: sts:AssumeRole}
      Policies:
        - PolicyDocument:
            Statement:
              - Resource: [!Sub 'arn:${AWS::Partition}:x', !GetAtt Table.Arn]
                Condition: !If [HasOrganization, {StringEquals: {k: !Ref Organization}}, !Ref AWS::NoValue]
        - !If [Counts, {PolicyDocument: {Statement: [{Sid: Counted}]}}, !Ref AWS::NoValue]
";

    fn given(pairs: &[(&str, &str)]) -> Given {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_role_has_what_the_stack_makes_of_it() {
        let template = Template::parse(TEMPLATE).expect("YAML");
        let known = [("Hub", "h"), ("AWS::Partition", "aws"), ("Table.Arn", "t")];
        let (permissions, trust) = template.role("Role", &given(&known)).expect("a role");
        assert_eq!(permissions, [json!({"Resource": ["arn:aws:x", "t"]})]);
        assert_eq!(trust[0]["Principal"], json!({"AWS": "h"}));
        let more = [&known[..], &[("Organization", "o-1"), ("Count", "2")]].concat();
        let (permissions, _) = template.role("Role", &given(&more)).expect("a role");
        assert_eq!(
            permissions[0]["Condition"],
            json!({"StringEquals": {"k": "o-1"}})
        );
        assert_eq!(permissions[1], json!({"Sid": "Counted"}));
    }

    #[test]
    fn what_is_not_known_is_an_error_and_no_guess() {
        let template = Template::parse(TEMPLATE).expect("YAML");
        let refused = |name, given: &Given| {
            let refused = template.role(name, given).expect_err("not known");
            refused.to_string()
        };
        let missing = given(&[("Hub", "h"), ("AWS::Partition", "aws")]);
        assert_eq!(
            refused("Role", &missing),
            "template: Table.Arn is not given"
        );
        assert_eq!(refused("Table", &missing), "template: it has no role Table");
        let joined = TEMPLATE.replace("!Ref Hub", "!Join ['', [a]]");
        let joined = Template::parse(&joined)
            .expect("YAML")
            .role("Role", &missing);
        assert!(joined.is_err_and(|error| error.to_string().contains("Fn::Join")));
    }
}
