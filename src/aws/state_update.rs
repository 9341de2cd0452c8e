//! The expression that writes a group's run-time state.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::attributes::from_json;
use rulekeeper_core::decide::changes::{GroupState, REMEMBERED_FOR};

/// The update of the state item. The item expires, unless it holds what has to stay as long as the record.
pub(super) struct StateUpdate {
    pub(super) update: String,
    pub(super) condition: &'static str,
    pub(super) names: HashMap<String, String>,
    pub(super) values: HashMap<String, AttributeValue>,
}

impl StateUpdate {
    pub(super) fn of(state: &GroupState) -> Self {
        let mut written = state.to_json();
        written.insert("revision".to_owned(), state.revision.wrapping_add(1).into());
        if !state.outlives_the_day() {
            let expires_at = jiff::Timestamp::now() + REMEMBERED_FOR * 2;
            written.insert("expires_at".to_owned(), expires_at.as_second().into());
        }
        let absent = GroupState::ATTRIBUTES
            .into_iter()
            .chain(["expires_at"])
            .filter(|name| !written.contains_key(*name));
        let remove: Vec<String> = absent.map(|name| format!("#{name}")).collect();
        let set: Vec<String> = written
            .keys()
            .map(|name| format!("#{name} = :{name}"))
            .collect();
        let mut update = format!("SET {}", set.join(", "));
        if !remove.is_empty() {
            update = format!("{update} REMOVE {}", remove.join(", "));
        }
        let named = GroupState::ATTRIBUTES
            .into_iter()
            .chain(["revision", "expires_at"]);
        let mut values: HashMap<_, _> = from_json(&written)
            .into_iter()
            .map(|(name, value)| (format!(":{name}"), value))
            .collect();
        let condition = if state.revision == 0 {
            "attribute_not_exists(#revision)"
        } else {
            let revision = AttributeValue::N(state.revision.to_string());
            values.insert(":read".to_owned(), revision);
            "#revision = :read"
        };
        Self {
            update,
            condition,
            names: named
                .map(|name| (format!("#{name}"), name.to_owned()))
                .collect(),
            values,
        }
    }
}
