//! EventBridge's patterns, as far as ours need them (EventBridge User Guide, "Creating Amazon EventBridge event patterns"): equal values, `exists`, `$or`, at any depth. Other operators are refused by name.

use serde_json::{Map, Value};

/// Whether an event matches; the error says which part of the pattern is not understood.
pub(crate) fn matches(pattern: &Value, event: &Value) -> Result<bool, String> {
    let Value::Object(fields) = pattern else {
        return Err("Event pattern is not valid. Reason: Filter is not an object".to_owned());
    };
    object(fields, event)
}

fn object(fields: &Map<String, Value>, event: &Value) -> Result<bool, String> {
    let mut all = true;
    for (name, wanted) in fields {
        // Checks every part even after a mismatch, so that an unknown operator is always refused.
        all &= match (name.as_str(), wanted) {
            ("$or", Value::Array(branches)) => any_branch(branches, event)?,
            (_, Value::Object(deeper)) => object(deeper, &event[name])?,
            (_, Value::Array(values)) => any_value(values, event.get(name))?,
            _ => {
                return Err(format!(
                    "Event pattern is not valid. Reason: \"{name}\" must be an object or an array"
                ));
            }
        };
    }
    Ok(all)
}

fn any_branch(branches: &[Value], event: &Value) -> Result<bool, String> {
    let mut any = false;
    for branch in branches {
        any |= matches(branch, event)?;
    }
    Ok(any)
}

/// One of the values must match. A field that holds a list matches with any of its entries.
fn any_value(values: &[Value], there: Option<&Value>) -> Result<bool, String> {
    let mut any = false;
    for wanted in values {
        any |= match wanted {
            Value::Object(operator) => match (operator.len(), operator.get("exists")) {
                (1, Some(Value::Bool(exists))) => *exists == there.is_some(),
                _ => {
                    let names: Vec<_> = operator.keys().map(String::as_str).collect();
                    return Err(format!(
                        "rulekeeper-local does not imitate the operator {} of event patterns",
                        names.join(", ")
                    ));
                }
            },
            Value::Array(_) => {
                return Err("Event pattern is not valid. Reason: an array in an array".to_owned());
            }
            plain => match there {
                Some(Value::Array(list)) => list.contains(plain),
                there => there == Some(plain),
            },
        };
    }
    Ok(any)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_templates_pattern_lets_drops_through_and_refused_authorizes() {
        let pattern = crate::estate::Rule::ingress_dropped()
            .event_pattern
            .expect("it has one");
        let event = |name: &str, code: Option<&str>| {
            let mut detail = json!({"eventSource": "ec2.amazonaws.com", "eventName": name});
            if let Some(code) = code {
                detail["errorCode"] = code.into();
            }
            json!({"source": "aws.ec2", "detail-type": "AWS API Call via CloudTrail", "detail": detail})
        };
        let cases = [
            ("RevokeSecurityGroupIngress", None, true),
            (
                "RevokeSecurityGroupIngress",
                Some("Client.UnauthorizedOperation"),
                false,
            ),
            ("AuthorizeSecurityGroupIngress", None, true),
            (
                "AuthorizeSecurityGroupIngress",
                Some("Client.InvalidGroup.NotFound"),
                true,
            ),
            ("RevokeSecurityGroupEgress", None, false),
        ];
        for (name, code, expected) in cases {
            assert_eq!(
                matches(&pattern, &event(name, code)),
                Ok(expected),
                "{name} {code:?}"
            );
        }
        let mut elsewhere = event("RevokeSecurityGroupIngress", None);
        elsewhere["source"] = "aws.s3".into();
        assert_eq!(matches(&pattern, &elsewhere), Ok(false));
    }

    #[test]
    fn unknown_operators_are_refused_by_name_for_every_event() {
        let refused = matches(&json!({"a": ["x"], "b": [{"prefix": "y"}]}), &json!({}));
        assert!(
            refused.is_err_and(|why| why.contains("rulekeeper-local") && why.contains("prefix"))
        );
        assert!(matches(&json!([]), &json!({})).is_err());
        assert!(matches(&json!({"a": "x"}), &json!({})).is_err());
        assert_eq!(
            matches(&json!({"a": [1, "x"]}), &json!({"a": ["x", "z"]})),
            Ok(true)
        );
    }
}
