//! Answers as XML: objects become elements, arrays become `<item>` lists (EC2 query protocol) of one element per entry.

use serde_json::{Map, Value};

/// Escapes text for an XML element.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#xD;"),
            c => out.push(c),
        }
    }
    out
}

/// Renders the members of an object, one element each; `null` members are left out.
pub(crate) fn members(fields: &Map<String, Value>) -> String {
    let mut out = String::new();
    for (name, value) in fields {
        element(&mut out, name, value);
    }
    out
}

fn element(out: &mut String, name: &str, value: &Value) {
    if value.is_null() {
        return;
    }
    out.push_str(&format!("<{name}>"));
    match value {
        Value::Null => {}
        Value::String(text) => out.push_str(&escape(text)),
        Value::Array(items) => items.iter().for_each(|item| element(out, "item", item)),
        Value::Object(fields) => out.push_str(&members(fields)),
        Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
    out.push_str(&format!("</{name}>"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_nest_items_and_text_is_escaped() {
        let tree =
            json!({"set": [{"a": 1, "b": "x<&>\"y"}], "empty": [], "none": null, "return": true});
        let Value::Object(fields) = tree else {
            panic!("an object")
        };
        assert_eq!(
            members(&fields),
            "<empty></empty><return>true</return><set><item><a>1</a><b>x&lt;&amp;&gt;&quot;y</b></item></set>"
        );
    }
}
