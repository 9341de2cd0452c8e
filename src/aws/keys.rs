//! The keys of the table's items.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use rulekeeper_core::model::{GroupAddress, Scope};

/// An item of the table.
pub type Item = HashMap<String, AttributeValue>;

/// Both keys of the item for all groups.
pub const SETTINGS: &str = "settings";

/// The partition key of the records of an account and Region.
pub fn desired_key(scope: &Scope) -> String {
    format!("desired#{}#{}", scope.account, scope.region)
}

/// The partition key of the run-time states of an account and Region.
pub fn state_key(scope: &Scope) -> String {
    format!("state#{}#{}", scope.account, scope.region)
}

/// The partition key of a group's earlier generations.
pub fn history_key(group: &GroupAddress) -> String {
    format!(
        "history#{}#{}#{}",
        group.scope.account, group.scope.region, group.id
    )
}

/// The partition key of a group's incidents.
pub fn incident_key(group: &GroupAddress) -> String {
    format!(
        "incident#{}#{}#{}",
        group.scope.account, group.scope.region, group.id
    )
}

/// A text as an attribute.
pub fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// An item from its keys and its other attributes.
pub fn item(pk: String, sk: &str, mut item: Item) -> Item {
    item.insert("pk".to_owned(), text(pk));
    item.insert("sk".to_owned(), text(sk));
    item
}
