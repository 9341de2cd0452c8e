//! The schema against the reader of record files, by a validator of the keywords that it uses.

use std::collections::BTreeSet;

use rulekeeper_core::desired::{
    PRINCIPAL_ATTRIBUTES, RECORD_ATTRIBUTES, REFERENCE_ATTRIBUTES, RULE_ATTRIBUTES, RecordFile,
};

use super::*;

/// Whether a value fits a schema. A keyword that this does not know is a fault of the test.
fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    let Value::Object(keywords) = schema else {
        return schema == &Value::Bool(true);
    };
    let all = |list: &Value| -> Vec<bool> {
        let schemas = list.as_array().expect("a list").iter();
        schemas.map(|schema| fits(root, schema, value)).collect()
    };
    keywords
        .iter()
        .all(|(keyword, wanted)| match keyword.as_str() {
            "$schema" | "title" | "description" | "$defs" | "format" | "then" => true,
            "$ref" => {
                let pointer = wanted.as_str().expect("a text").trim_start_matches('#');
                fits(root, root.pointer(pointer).expect("a definition"), value)
            }
            "type" => match wanted.as_str().expect("a text") {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_i64() || value.is_u64(),
                other => panic!("type {other}"),
            },
            "const" => value == wanted,
            "enum" => wanted.as_array().expect("a list").contains(value),
            "minimum" => value.as_i64().is_none_or(|it| Some(it) >= wanted.as_i64()),
            "maximum" => value.as_i64().is_none_or(|it| Some(it) <= wanted.as_i64()),
            "maxLength" => value
                .as_str()
                .is_none_or(|text| Some(text.chars().count() as u64) <= wanted.as_u64()),
            "pattern" => value
                .as_str()
                .is_none_or(|text| matches(wanted.as_str().expect("a text"), text)),
            "required" => value.as_object().is_none_or(|fields| {
                let names = wanted.as_array().expect("a list").iter();
                names
                    .flat_map(Value::as_str)
                    .all(|name| fields.contains_key(name))
            }),
            "properties" => value.as_object().is_none_or(|fields| {
                fields
                    .iter()
                    .all(|(name, value)| wanted.get(name).is_none_or(|it| fits(root, it, value)))
            }),
            "additionalProperties" => value.as_object().is_none_or(|fields| {
                let known = |name: &String| schema["properties"].get(name).is_some();
                let others = fields.iter().filter(|(name, _)| !known(name));
                others
                    .map(|(_, value)| value)
                    .all(|value| fits(root, wanted, value))
            }),
            "items" => {
                let entries = value.as_array().map(Vec::as_slice).unwrap_or_default();
                entries.iter().all(|entry| fits(root, wanted, entry))
            }
            "anyOf" => all(wanted).contains(&true),
            "oneOf" => all(wanted).iter().filter(|fits| **fits).count() == 1,
            "allOf" => !all(wanted).contains(&false),
            "not" => !fits(root, wanted, value),
            "if" => !fits(root, wanted, value) || fits(root, &schema["then"], value),
            other => panic!("keyword {other}"),
        })
}

/// The patterns in use, in other words.
fn matches(pattern: &str, text: &str) -> bool {
    let after = |prefix: &str| text.strip_prefix(prefix).unwrap_or_default();
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    match pattern {
        "^[0-9]{12}$" => text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()),
        "^[a-z0-9-]+$" => !text.is_empty(),
        "^sg-[0-9a-f]+$" => hex(after("sg-")),
        "^pl-[0-9a-f]+$" => hex(after("pl-")),
        "^[0-9.]+/[0-9]{1,2}$" => text.contains('/') && !text.contains(':'),
        "^[0-9a-fA-F:.]+/[0-9]{1,3}$" => text.contains('/'),
        "^([0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])$" => text.parse::<u8>().is_ok(),
        "^." => !text.is_empty(),
        other => panic!("pattern {other}"),
    }
}

fn passes(record: &Value) -> bool {
    let schema = schema();
    fits(&schema, &schema, record)
}

fn names(of: &Value) -> BTreeSet<String> {
    of["properties"]
        .as_object()
        .expect("properties")
        .keys()
        .cloned()
        .collect()
}

fn known(attributes: &[&str]) -> BTreeSet<String> {
    attributes.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_schema_knows_the_attributes_that_the_reader_knows_and_no_others() {
    let schema = schema();
    // The keys of the table are no part of a file, whose address stands in front.
    let of_file = RECORD_ATTRIBUTES
        .iter()
        .filter(|name| !["pk", "sk"].contains(name));
    let of_file: Vec<&str> = ["account", "region", "group"]
        .iter()
        .chain(of_file)
        .copied()
        .collect();
    assert_eq!(names(&schema), known(&of_file));
    let defined = &schema["$defs"];
    assert_eq!(names(&defined["rule"]), known(&RULE_ATTRIBUTES));
    assert_eq!(names(&defined["principal"]), known(&PRINCIPAL_ATTRIBUTES));
    assert_eq!(
        names(&defined["referenced_group"]),
        known(&REFERENCE_ATTRIBUTES)
    );
}

/// A record with one rule, which has `change` in place of its own attributes; null takes one out.
fn with(change: &Value) -> Value {
    let mut rule =
        json!({"protocol": "tcp", "from_port": 1, "to_port": 2, "cidr_ipv4": "10.0.0.0/8"});
    merge(&mut rule, change);
    json!({"account": "111122223333", "region": "eu-west-1", "group": "sg-0a", "rules": [rule]})
}

fn merge(into: &mut Value, change: &Value) {
    for (name, value) in change.as_object().expect("an object") {
        match value {
            Value::Null => into.as_object_mut().and_then(|it| it.remove(name)),
            value => into
                .as_object_mut()
                .and_then(|it| it.insert(name.clone(), value.clone())),
        };
    }
}

#[test]
fn rules_pass_the_schema_if_and_only_if_the_reader_takes_them() {
    let none = json!({"from_port": null, "to_port": null});
    let mut cases = vec![
        json!({}),
        json!({"fromPort": 1}),
        json!({"cidr_ipv6": "::/0"}),
        json!({"cidr_ipv4": null}),
        json!({"cidr_ipv4": null, "prefix_list_id": "pl-0a"}),
        json!({"cidr_ipv4": null, "prefix_list_id": "0a"}),
        json!({"cidr_ipv4": null, "cidr_ipv6": "2001:db8::/32"}),
        json!({"cidr_ipv4": null, "referenced_group": {"group_id": "sg-0a", "account_id": "444455556666"}}),
        json!({"cidr_ipv4": null, "referenced_group": {"group_id": "sg-0a", "account": "444455556666"}}),
        json!({"cidr_ipv4": null, "referenced_group": {"account_id": "444455556666"}}),
        json!({"cidr_ipv4": "10.0.0.0"}),
        json!({"protocol": null}),
        json!({"protocol": "TPC"}),
        json!({"from_port": null}),
        json!({"to_port": null}),
        json!({"to_port": 65536}),
        json!({"from_port": -1}),
        json!({"from_port": "x"}),
        json!({"description": "web", "tags": {"a": "b"}, "priority": -3}),
        json!({"description": "x".repeat(256)}),
        json!({"tags": {"a": 1}}),
        json!({"tags": ["a"]}),
        json!({"priority": 0.5}),
    ];
    for protocol in [
        "tcp", "6", "udp", "icmp", "1", "icmpv6", "58", "-1", "all", "50", "256",
    ] {
        let named = json!(protocol);
        let number = protocol.parse::<i64>().ok().map(Value::from);
        for protocol in std::iter::once(named).chain(number) {
            for (from, to) in [(-1, -1), (0, 0), (8, -1), (80, 90), (300, 300)] {
                cases.push(json!({"protocol": protocol, "from_port": from, "to_port": to}));
            }
            let mut bare = none.clone();
            bare["protocol"] = protocol.clone();
            cases.push(bare);
            cases.push(json!({"protocol": protocol, "from_port": null}));
        }
    }
    let mut taken = 0;
    for case in &cases {
        let record = with(case);
        let read = RecordFile::from_json(&record, false);
        assert_eq!(passes(&record), read.is_ok(), "{case}: {read:?}");
        taken += usize::from(read.is_ok());
    }
    assert!(
        taken > 20 && cases.len() - taken > 20,
        "{taken} of {}",
        cases.len()
    );
}

#[test]
fn records_pass_the_schema_if_and_only_if_the_reader_takes_them() {
    let arn = "arn:aws:iam::111122223333:role/lbc";
    for (change, fine) in [
        (
            json!({"mode": "observe", "superseding": "ignore", "watch": true, "note": "n", "schema": 1, "generation": 3}),
            true,
        ),
        (
            json!({"paused_until": "2026-11-22T09:30:00Z", "pause_reason": "p", "name": "web", "reason": "r"}),
            true,
        ),
        (
            json!({"settle_seconds": 60, "cause_wait_seconds": 900, "updated_by": "u"}),
            true,
        ),
        (
            json!({"principals": [{"arn": arn, "policy": "follow", "settle_seconds": 4}]}),
            true,
        ),
        (
            json!({"principals": [{"arn": arn, "policy": "allow"}]}),
            false,
        ),
        (json!({"principals": [{"arn": arn}]}), false),
        (
            json!({"principals": [{"arn": arn, "policy": "accept", "x": 1}]}),
            false,
        ),
        (json!({"rules": []}), true),
        (json!({"rules": null}), false),
        (json!({"rules": {}}), false),
        (json!({"group": null}), false),
        (json!({"group": "web"}), false),
        (json!({"account": "1"}), false),
        (json!({"account": 111_122_223_333_u64}), false),
        (json!({"schema": 2}), false),
        (json!({"generation": -1}), false),
        (json!({"mode": "watch"}), false),
        (json!({"superseding": "no"}), false),
        (json!({"settle_seconds": 61}), false),
        (json!({"cause_wait_seconds": 901}), false),
        (json!({"watch": "yes"}), false),
        (json!({"modes": "observe"}), false),
        (json!({"expires_at": 1}), false),
    ] {
        let mut record = with(&json!({}));
        merge(&mut record, &change);
        let read = RecordFile::from_json(&record, false);
        assert_eq!(
            (passes(&record), read.is_ok()),
            (fine, fine),
            "{change}: {read:?}"
        );
    }
}

#[test]
fn what_is_exported_and_the_example_pass() {
    let example: Value =
        yaml_serde::from_str(include_str!("../../../examples/record.yaml")).expect("YAML");
    assert!(passes(&example));
    let mut record = RecordFile::from_json(&example, false).expect("a record");
    record.record.generation = 3;
    record.record.name = Some("web".to_owned());
    record.record.updated_at = "2026-11-22T09:30:00Z".parse().ok();
    assert!(passes(&Value::Object(record.to_json())));
}
