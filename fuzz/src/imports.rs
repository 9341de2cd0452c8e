//! Records from Terraform's JSON and from CloudFormation templates.

use rulekeeper_cli::import::{Import, Stated, cloudformation, terraform};
use rulekeeper_cli::records;
use rulekeeper_core::desired::{Mode, RecordFile};
use rulekeeper_core::model::{Protocol, RuleKey, Source};
use serde_json::{Map, Value, json};

fn stated() -> Stated {
    Stated {
        account: "111122223333".parse().ok(),
        region: "eu-west-1".parse().ok(),
        mode: Mode::Enforce,
    }
}

pub(crate) fn terraform(input: &[u8]) {
    let Ok(content) = serde_json::from_slice::<Value>(input) else {
        return;
    };
    for stated in [stated(), Stated::default()] {
        match terraform::read(&content, &stated) {
            Ok(import) => check(&import, &content),
            Err(failure) => assert!(!failure.to_string().is_empty()),
        }
    }
}

/// The template may hold the stack's resources and parameters under names of its own: `Stack` and `Values`.
pub(crate) fn cloudformation(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let content = match cloudformation::parse(text) {
        Ok(content) => content,
        Err(error) => return assert!(!error.is_empty()),
    };
    let made = content.get("Stack").cloned().unwrap_or_else(|| {
        let resources = content["Resources"].as_object().into_iter().flatten();
        let made = resources.enumerate().map(|(index, (name, _))| {
            json!({"LogicalResourceId": name, "PhysicalResourceId": format!("sg-0{index}"), "ResourceStatus": "CREATE_COMPLETE",
                "StackId": "arn:aws:cloudformation:eu-west-1:111122223333:stack/web/1"})
        });
        json!({"StackResources": made.collect::<Vec<_>>()})
    });
    let stack = cloudformation::stack(&made).ok();
    let values = content.get("Values").map(cloudformation::parameters);
    let values = values.and_then(Result::ok);
    match cloudformation::read(&content, stack.as_ref(), values.as_ref(), &stated()) {
        Ok(import) => check(&import, &content),
        Err(failure) => assert!(!failure.to_string().is_empty()),
    }
}

/// An import writes no rule that its source does not hold, is read back the same, and names the places that it left out.
fn check(import: &Import, content: &Value) {
    for unresolved in &import.unresolved {
        assert!(
            !unresolved.address.is_empty() && !unresolved.reason.is_empty(),
            "{unresolved:?}"
        );
    }
    for record in &import.records {
        let text = records::new_text(record).expect("it can be written");
        let read = records::read("f", false, &text).expect("it can be read");
        let [submitted] = &read[..] else {
            panic!("{} documents were written: {text}", read.len());
        };
        let again = RecordFile::from_json(&submitted.content, false);
        assert_eq!(again.as_ref(), Ok(record), "{text}");
        for rule in record.record.rules.keys() {
            assert!(
                any_object(content, &|it| means(it, rule)),
                "nothing in the source means {rule}"
            );
        }
    }
}

fn any_object(value: &Value, holds: &dyn Fn(&Map<String, Value>) -> bool) -> bool {
    match value {
        Value::Object(fields) => holds(fields) || fields.values().any(|it| any_object(it, holds)),
        Value::Array(list) => list.iter().any(|it| any_object(it, holds)),
        Value::String(text) => {
            serde_json::from_str(text).is_ok_and(|it| is_nested(&it) && any_object(&it, holds))
        }
        _ => false,
    }
}

fn is_nested(value: &Value) -> bool {
    value.is_object()
}

/// Whether a part of the source may mean just this rule, by a reading of its own. What a template's function stands for is
/// left open.
fn means(entry: &Map<String, Value>, rule: &RuleKey) -> bool {
    let scalar = |names: [&str; 3]| {
        let value = names
            .iter()
            .find_map(|name| entry.get(*name))
            .unwrap_or(&Value::Null);
        match value {
            Value::String(text) => Some(text.trim().to_lowercase()),
            Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
            Value::Null => Some(String::new()),
            Value::Array(_) | Value::Object(_) => None,
        }
    };
    let Some(protocol) = scalar(["protocol", "ip_protocol", "IpProtocol"]) else {
        return source_fits(entry, rule);
    };
    let names = |protocol: &str| -> String {
        match protocol {
            "6" => "tcp".to_owned(),
            "17" => "udp".to_owned(),
            "1" => "icmp".to_owned(),
            "58" => "icmpv6".to_owned(),
            "all" => "-1".to_owned(),
            other => other.to_owned(),
        }
    };
    let number = |text: &str| match text.parse::<u8>() {
        Ok(number) => number.to_string(),
        Err(_) => text.to_owned(),
    };
    let protocol_fits = names(&number(&protocol)) == rule.protocol.name();
    let fits = |given: Option<String>, port: i32| match given {
        None => true,
        Some(text) if text.is_empty() => port == -1 && matches!(rule.protocol, Protocol::Icmpv6(_)),
        Some(text) => text.parse() == Ok(port),
    };
    let ports_fit = rule.protocol.ports().is_none_or(|(from, to)| {
        fits(scalar(["from_port", "FromPort", ""]), from)
            && fits(scalar(["to_port", "ToPort", ""]), to)
    });
    protocol_fits && ports_fit && source_fits(entry, rule)
}

fn source_fits(entry: &Map<String, Value>, rule: &RuleKey) -> bool {
    let has_function = entry.values().any(|it| {
        any_object(it, &|it| {
            it.keys().any(|it| it == "Ref" || it.starts_with("Fn::"))
        })
    });
    let is_self = entry.get("self") == Some(&Value::Bool(true));
    has_function
        || is_self && rule.referenced_group().is_some()
        || entry
            .values()
            .any(|it| any_text(it, &|it| is_source(it, &rule.source)))
}

fn any_text(value: &Value, holds: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => holds(text.trim()),
        Value::Array(list) => list.iter().any(|it| any_text(it, holds)),
        _ => false,
    }
}

fn is_source(text: &str, source: &Source) -> bool {
    match source {
        Source::Ipv4(net) => text
            .parse()
            .is_ok_and(|it: ipnet::Ipv4Net| it.trunc() == *net),
        Source::Ipv6(net) => text
            .parse()
            .is_ok_and(|it: ipnet::Ipv6Net| it.trunc() == *net),
        Source::PrefixList(id) => text == id.as_str(),
        Source::ReferencedGroup(group) => text.rsplit('/').next() == Some(group.group_id.as_str()),
    }
}
