//! What differs between two generations, in rule notation.

use rulekeeper_cli::operator::{Difference, FromTo};
use serde_json::Value;

use super::plain;

/// A line for each rule that came (`+`), left (`-`) or changed (`~`), and for each attribute.
pub(crate) fn difference(difference: &Difference, indent: &str) -> String {
    let Difference {
        added,
        removed,
        changed,
        attributes,
    } = difference;
    let came = added.iter().map(|rule| format!("+ {rule}"));
    let left = removed.iter().map(|rule| format!("- {rule}"));
    let changed = changed.iter().map(|change| {
        let attributes = change.attributes.iter();
        let attributes: Vec<String> = attributes
            .map(|(name, change)| format!("{name} {}", from_to(change)))
            .collect();
        format!("~ {}: {}", change.rule, attributes.join("; "))
    });
    let attributes = attributes.iter().flat_map(|(name, change)| match *name {
        "principals" => principals(change),
        _ => vec![format!("{name}: {}", from_to(change))],
    });
    let lines = came.chain(left).chain(changed).chain(attributes);
    lines
        .map(|line| format!("{indent}{}\n", plain(&line)))
        .collect()
}

fn from_to(change: &FromTo) -> String {
    format!("{} → {}", text(&change.from), text(&change.to))
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => format!("{text:?}"),
        Value::Object(tags) if tags.is_empty() => "-".to_owned(),
        Value::Object(tags) => {
            let tags = tags.iter().map(|(key, value)| match value {
                Value::String(value) => format!("{key}={value}"),
                other => format!("{key}={other}"),
            });
            tags.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// Entries that came and left; if it is neither, their order changed.
fn principals(change: &FromTo) -> Vec<String> {
    let entries = |value: &Value| -> Vec<String> {
        let entries = value.as_array().into_iter().flatten();
        entries.map(principal).collect()
    };
    let (from, to) = (entries(&change.from), entries(&change.to));
    let left = from.iter().filter(|entry| !to.contains(entry));
    let came = to.iter().filter(|entry| !from.contains(entry));
    let mut lines: Vec<String> = left.map(|entry| format!("- principal {entry}")).collect();
    lines.extend(came.map(|entry| format!("+ principal {entry}")));
    if lines.is_empty() {
        lines.push(format!("principals, in their new order: {}", to.join(", ")));
    }
    lines
}

fn principal(entry: &Value) -> String {
    let text = |name: &str| entry[name].as_str().unwrap_or_default();
    let settle = entry["settle_seconds"]
        .as_u64()
        .map(|seconds| format!(", settles {seconds} s"));
    format!(
        "{} {}{}",
        text("policy"),
        text("arn"),
        settle.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use rulekeeper_cli::operator::RuleChange;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_change_has_its_line() {
        let rule = |text: &str| text.parse().expect("rule notation");
        let from_to = |from: Value, to: Value| FromTo { from, to };
        let shown = Difference {
            added: vec![rule("tcp 443 from 10.0.0.0/8")],
            removed: vec![rule("tcp 80 from 10.0.0.0/8")],
            changed: vec![RuleChange {
                rule: rule("tcp 22 from 10.0.0.0/8"),
                attributes: [
                    ("description", from_to(Value::Null, json!("ssh\u{1b}"))),
                    ("priority", from_to(json!(0), json!(5))),
                    ("tags", from_to(json!({}), json!({"team": "a"}))),
                ]
                .into(),
            }],
            attributes: [
                ("mode", from_to(json!("enforce"), json!("observe"))),
                (
                    "principals",
                    from_to(
                        json!([{"arn": "a", "policy": "follow", "settle_seconds": 5}, {"arn": "b", "policy": "accept"}]),
                        json!([{"arn": "b", "policy": "accept"}, {"arn": "c", "policy": "restore"}]),
                    ),
                ),
            ]
            .into(),
        };
        let expected = "  + tcp 443 from 10.0.0.0/8
  - tcp 80 from 10.0.0.0/8
  ~ tcp 22 from 10.0.0.0/8: description - → \"ssh\\u{1b}\"; priority 0 → 5; tags - → team=a
  mode: \"enforce\" → \"observe\"
  - principal follow a, settles 5 s
  + principal restore c
";
        assert_eq!(difference(&shown, "  "), expected);
        let turned = from_to(
            json!([{"arn": "a", "policy": "accept"}, {"arn": "b", "policy": "accept"}]),
            json!([{"arn": "b", "policy": "accept"}, {"arn": "a", "policy": "accept"}]),
        );
        assert_eq!(
            principals(&turned),
            ["principals, in their new order: accept b, accept a"]
        );
    }
}
