//! The condition that an item is still the one that was read. It compares each attribute.
//!
//! People who change items by hand do not raise the generation, so the generation alone is not enough.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::keys::Item;

/// The most attributes that are compared. DynamoDB allows 300 operators and functions in an expression ("Quotas",
/// Amazon DynamoDB Developer Guide), and each attribute needs two. Our items have less than a tenth of this. If an item
/// has more, its known attributes and the first others are compared.
const ATTRIBUTES_MAX: usize = 140;

/// A condition, and the meaning of its placeholders.
pub struct Unchanged {
    /// The condition expression.
    pub expression: String,
    /// Its names, by placeholder.
    pub names: Option<HashMap<String, String>>,
    /// Its values, by placeholder.
    pub values: Option<HashMap<String, AttributeValue>>,
}

impl Unchanged {
    /// The condition since a read. If there was no item, there still is none. Otherwise every attribute is unchanged,
    /// and no known attribute was added. A new attribute with an unknown name is not noticed, because DynamoDB cannot
    /// express "nothing else".
    pub fn since(read: Option<&Item>, known: &[&str]) -> Self {
        let Some(read) = read else {
            return Self {
                expression: "attribute_not_exists(pk)".to_owned(),
                names: None,
                values: None,
            };
        };
        let mut others: Vec<&str> = read
            .keys()
            .map(String::as_str)
            .filter(|name| !known.contains(name))
            .collect();
        others.sort_unstable();
        let compared = known
            .iter()
            .copied()
            .chain(others)
            .filter(|name| !["pk", "sk"].contains(name));
        let mut parts = vec!["attribute_exists(pk)".to_owned()];
        let (mut names, mut values) = (HashMap::new(), HashMap::new());
        for (index, name) in compared.take(ATTRIBUTES_MAX).enumerate() {
            names.insert(format!("#c{index}"), name.to_owned());
            match read.get(name) {
                None => parts.push(format!("attribute_not_exists(#c{index})")),
                Some(value) => {
                    parts.push(format!("#c{index} = :c{index}"));
                    values.insert(format!(":c{index}"), value.clone());
                }
            }
        }
        Self {
            expression: parts.join(" AND "),
            names: Some(names).filter(|names| !names.is_empty()),
            values: Some(values).filter(|values| !values.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attribute_is_compared_and_known_ones_must_not_come() {
        let value = |text: &str| AttributeValue::S(text.to_owned());
        let read = [("pk", "p"), ("mode", "observe"), ("mine", "x")];
        let read: Item = read
            .map(|(name, text)| (name.to_owned(), value(text)))
            .into();
        let condition = Unchanged::since(Some(&read), &["pk", "sk", "mode", "rules"]);
        assert_eq!(
            condition.expression,
            "attribute_exists(pk) AND #c0 = :c0 AND attribute_not_exists(#c1) AND #c2 = :c2"
        );
        let names = condition.names.expect("names");
        assert_eq!(
            (&names["#c0"][..], &names["#c1"][..], &names["#c2"][..]),
            ("mode", "rules", "mine")
        );
        let values = condition.values.expect("values");
        assert_eq!(values[":c2"], value("x"));
        assert_eq!(values.len(), 2);
    }

    #[test]
    fn an_expression_stays_within_dynamodbs_limits() {
        let value = AttributeValue::Bool(true);
        let read: Item = (0..1_000)
            .map(|number| (format!("a{number}"), value.clone()))
            .collect();
        let expression = Unchanged::since(Some(&read), &["generation"]).expression;
        let operators = expression.matches(" AND ").count()
            + expression.matches(" = ").count()
            + expression.matches('(').count();
        assert!(operators <= 300 && expression.len() <= 4_096, "{operators}");
    }
}
