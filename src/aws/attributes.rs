//! Converts between DynamoDB attributes and JSON. Numbers keep their digits. Sets become lists.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Map, Value};

/// An item as a JSON object.
pub fn to_json(item: HashMap<String, AttributeValue>) -> Value {
    let fields = item.into_iter();
    Value::Object(
        fields
            .map(|(name, value)| (name, value_to_json(value)))
            .collect(),
    )
}

fn value_to_json(value: AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => text.into(),
        AttributeValue::N(number) => number_to_json(number),
        AttributeValue::Bool(truth) => truth.into(),
        AttributeValue::L(list) => list.into_iter().map(value_to_json).collect(),
        AttributeValue::M(map) => to_json(map),
        AttributeValue::Ss(texts) => sorted(texts).into_iter().map(Value::from).collect(),
        AttributeValue::Ns(numbers) => sorted(numbers).into_iter().map(number_to_json).collect(),
        AttributeValue::B(_) | AttributeValue::Bs(_) => "(binary)".into(),
        AttributeValue::Null(_) => Value::Null,
        _ => "(unknown)".into(),
    }
}

/// Sets have no order, but lists are compared in order.
fn sorted(mut set: Vec<String>) -> Vec<String> {
    set.sort_unstable();
    set
}

/// A number that JSON cannot hold stays text, so that the reader can report it.
fn number_to_json(number: String) -> Value {
    serde_json::from_str(&number).map_or_else(|_| number.into(), Value::Number)
}

/// A JSON object as an item.
pub fn from_json(fields: &Map<String, Value>) -> HashMap<String, AttributeValue> {
    fields
        .iter()
        .map(|(name, value)| (name.clone(), value_from_json(value)))
        .collect()
}

fn value_from_json(value: &Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(truth) => AttributeValue::Bool(*truth),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => AttributeValue::S(text.clone()),
        Value::Array(list) => AttributeValue::L(list.iter().map(value_from_json).collect()),
        Value::Object(fields) => AttributeValue::M(from_json(fields)),
    }
}

/// The size of an item in bytes, as DynamoDB counts it ("DynamoDB item sizes and formats", Amazon DynamoDB Developer
/// Guide). Of a number DynamoDB tells it roughly; the larger size counts.
pub fn bytes_of(item: &HashMap<String, AttributeValue>) -> usize {
    let sizes = item
        .iter()
        .map(|(name, value)| name.len() + value_bytes(value));
    sizes.sum()
}

fn value_bytes(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => number.len().div_ceil(2) + 2,
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::Ss(texts) | AttributeValue::Ns(texts) => {
            texts.iter().map(String::len).sum()
        }
        AttributeValue::Bs(list) => list.iter().map(|bytes| bytes.as_ref().len()).sum(),
        AttributeValue::L(list) => {
            3 + list
                .iter()
                .map(|value| 1 + value_bytes(value))
                .sum::<usize>()
        }
        AttributeValue::M(map) => 3 + map.len() + bytes_of(map),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn items_come_back_as_they_were() {
        let fields = json!({
            "schema": 1, "mode": "enforce", "negative": -1, "fraction": 0.5, "truth": true, "none": null,
            "rules": [{"protocol": "tcp", "from_port": 443, "tags": {"team": "web"}}],
        });
        let Value::Object(fields) = fields else {
            panic!("an object")
        };
        assert_eq!(to_json(from_json(&fields)), Value::Object(fields));
    }

    #[test]
    fn an_item_has_the_size_that_dynamodb_counts() {
        let Value::Object(fields) = json!({"a": "xyz", "no": 443, "l": [{"t": true}]}) else {
            panic!("an object")
        };
        // Names and text; a number of two bytes and one more, rounded up; a list, its map, and an entry of each.
        assert_eq!(
            bytes_of(&from_json(&fields)),
            (1 + 3) + (2 + 4) + (1 + 3 + 1 + 3 + 1 + 1 + 1)
        );
    }

    #[test]
    fn a_set_is_the_same_list_in_whatever_order_it_comes() {
        let item = |texts: &[&str]| {
            let texts = texts.iter().map(|text| (*text).to_owned()).collect();
            to_json(HashMap::from([(
                "set".to_owned(),
                AttributeValue::Ss(texts),
            )]))
        };
        assert_eq!(item(&["b", "a"]), item(&["a", "b"]));
        assert_eq!(item(&["b", "a"]), json!({"set": ["a", "b"]}));
    }
}
