//! What differs between two generations.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use rulekeeper_core::desired::{
    DesiredRecord, RECORD_ATTRIBUTES, SETTINGS_ATTRIBUTES, SharedSettings,
};
use rulekeeper_core::model::RuleKey;

/// An attribute before and after; null where it was, or is, absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FromTo {
    /// Before.
    pub from: Value,
    /// After.
    pub to: Value,
}

/// A rule that stayed with other attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleChange {
    /// The rule.
    pub rule: RuleKey,
    /// What changed: `description`, `tags`, `priority`.
    #[serde(flatten)]
    pub attributes: BTreeMap<&'static str, FromTo>,
}

/// What differs between two generations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Rules that entered.
    pub added: Vec<RuleKey>,
    /// Rules that left.
    pub removed: Vec<RuleKey>,
    /// Rules that stayed, and what changed about them.
    pub changed: Vec<RuleChange>,
    /// Attributes besides the rules that changed, such as `mode` and `principals`.
    pub attributes: BTreeMap<&'static str, FromTo>,
}

/// Attributes that differ between any two generations, and the rules, which are compared one by one.
const NOT_COMPARED: [&str; 5] = ["generation", "updated_at", "updated_by", "reason", "rules"];

impl Difference {
    /// From one record to another.
    pub fn of_records(from: &DesiredRecord, to: &DesiredRecord) -> Self {
        let beyond = |one: &DesiredRecord, other: &DesiredRecord| -> Vec<RuleKey> {
            let rules = one.rules.keys();
            rules
                .filter(|key| !other.rules.contains_key(key))
                .cloned()
                .collect()
        };
        let changed = to.rules.iter().filter_map(|(key, now)| {
            let before = from.rules.get(key)?;
            let pairs = [
                (
                    "description",
                    before.description.clone().into(),
                    now.description.clone().into(),
                ),
                ("tags", tags(&before.tags), tags(&now.tags)),
                ("priority", before.priority.into(), now.priority.into()),
            ];
            let attributes: BTreeMap<_, _> = pairs.into_iter().filter_map(differing).collect();
            (!attributes.is_empty()).then(|| RuleChange {
                rule: key.clone(),
                attributes,
            })
        });
        Self {
            added: beyond(to, from),
            removed: beyond(from, to),
            changed: changed.collect(),
            attributes: attributes(&RECORD_ATTRIBUTES, &from.to_json(), &to.to_json()),
        }
    }

    /// From one settings item to another.
    pub fn of_settings(from: &SharedSettings, to: &SharedSettings) -> Self {
        let mut attributes = attributes(&SETTINGS_ATTRIBUTES, &from.to_json(), &to.to_json());
        // Without an item the list is empty.
        attributes.retain(|_, change| !(is_empty(&change.from) && is_empty(&change.to)));
        Self {
            attributes,
            ..Self::default()
        }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn tags(tags: &BTreeMap<String, String>) -> Value {
    let tags = tags.iter();
    tags.map(|(key, value)| (key.clone(), Value::from(value.as_str())))
        .collect::<Map<_, _>>()
        .into()
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn differing((name, from, to): (&'static str, Value, Value)) -> Option<(&'static str, FromTo)> {
    (from != to).then_some((name, FromTo { from, to }))
}

fn attributes(
    names: &[&'static str],
    from: &Map<String, Value>,
    to: &Map<String, Value>,
) -> BTreeMap<&'static str, FromTo> {
    let value =
        |record: &Map<String, Value>, name: &str| record.get(name).cloned().unwrap_or(Value::Null);
    let compared = names.iter().filter(|name| !NOT_COMPARED.contains(name));
    let pairs = compared.map(|name| (*name, value(from, name), value(to, name)));
    pairs.filter_map(differing).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use rulekeeper_core::desired::Mode;
    use rulekeeper_core::fakes::{key, record};

    #[test]
    fn rules_that_came_went_and_changed_are_told_apart() {
        let from = record(&["tcp 443 from 10.0.0.0/8", "tcp 80 from 10.0.0.0/8"]);
        let mut to = record(&["tcp 443 from 10.0.0.0/8 #team", "tcp 22 from 10.0.0.0/8"]);
        to.mode = Mode::Observe;
        to.generation = 99;
        if let Some(rule) = to.rules.get_mut(&key("tcp 443 from 10.0.0.0/8")) {
            rule.description = Some("web".to_owned());
            rule.priority = 5;
        }
        let difference = serde_json::to_value(Difference::of_records(&from, &to));
        assert_eq!(
            difference.expect("JSON"),
            json!({
                "added": ["tcp 22 from 10.0.0.0/8"], "removed": ["tcp 80 from 10.0.0.0/8"],
                "changed": [{"rule": "tcp 443 from 10.0.0.0/8", "description": {"from": null, "to": "web"},
                    "tags": {"from": {}, "to": {"team": "x"}}, "priority": {"from": 0, "to": 5}}],
                "attributes": {"mode": {"from": "enforce", "to": "observe"}},
            })
        );
        assert!(Difference::of_records(&from, &from).is_empty());
    }
}
