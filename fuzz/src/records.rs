//! Records, settings and states, as the table and files hold them.

use rulekeeper_core::decide::changes::GroupState;
use rulekeeper_core::desired::{
    DesiredRecord, Finding, RecordFile, Severity, SharedSettings, Unreadable,
};
use rulekeeper_core::fakes::account;
use rulekeeper_core::model::{Protocol, RuleKey, Source};
use serde_json::{Map, Value};

pub(crate) fn check(input: &[u8]) {
    let Ok(document) = serde_json::from_slice::<Value>(input) else {
        return;
    };
    record(&document);
    settings(&document);
    file(&document);
    if let Ok(state) = GroupState::from_json(&document) {
        let written = Value::Object(state.to_json());
        let read = GroupState::from_json(&written);
        assert_eq!(read.ok().map(|it| it.to_json()), Some(state.to_json()));
    }
}

/// What is written is read as the same, without a finding but doubts, and written the same again.
fn record(document: &Value) {
    match DesiredRecord::from_json(document, &account()) {
        Err(unreadable) => have_places(&unreadable, document),
        Ok(reading) => {
            let written = Value::Object(reading.record.to_json());
            let again = DesiredRecord::from_json(&written, &account()).expect("it can be read");
            assert_eq!(again.record, reading.record);
            only_doubts(&again.warnings);
            let written_again = Value::Object(again.record.to_json());
            assert_eq!(written_again, written);
            let given = document["rules"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            for rule in reading.record.rules.keys() {
                let by = given.iter().filter_map(Value::as_object);
                assert!(
                    by.into_iter().any(|entry| means(entry, rule)),
                    "no entry means {rule}"
                );
            }
            assert!(reading.record.rules.len() <= given.len());
        }
    }
}

fn settings(document: &Value) {
    match SharedSettings::from_json(document) {
        Err(unreadable) => have_places(&unreadable, document),
        Ok((settings, _)) => {
            let written = Value::Object(settings.to_json());
            let (again, findings) = SharedSettings::from_json(&written).expect("it can be read");
            assert_eq!(again, settings);
            only_doubts(&findings);
        }
    }
}

/// A file is read as the record that it holds, and refused where the record is.
fn file(document: &Value) {
    let Value::Object(fields) = document else {
        return;
    };
    let mut body = fields.clone();
    for name in ["account", "region", "group"] {
        body.remove(name);
    }
    let mut full = fields.clone();
    for (name, value) in [
        ("account", "111122223333"),
        ("region", "eu-west-1"),
        ("group", "sg-0a"),
    ] {
        full.entry(name).or_insert_with(|| value.into());
    }
    let full = Value::Object(full);
    match RecordFile::from_json(&full, true) {
        Err(unreadable) => {
            have_places(&unreadable, &full);
            let owner = full["account"].as_str().and_then(|it| it.parse().ok());
            let others =
                ["region", "group"].map(|name| full[name].as_str().unwrap_or_default().to_owned());
            let address = others[0].parse::<rulekeeper_core::model::Region>().is_ok()
                && others[1].parse::<rulekeeper_core::model::GroupId>().is_ok();
            let Some(owner) = owner.filter(|_| address) else {
                return;
            };
            let reading = DesiredRecord::from_json(&Value::Object(body), &owner);
            let doubted = |it: &Finding| it.severity == Severity::Doubt;
            let fine = reading.is_ok_and(|reading| reading.warnings.iter().all(doubted));
            assert!(
                !fine,
                "the file is refused, and its record is not: {unreadable}"
            );
        }
        Ok(read) => {
            let owner = &read.address.scope.account;
            let reading =
                DesiredRecord::from_json(&Value::Object(body), owner).expect("the record is read");
            assert_eq!(reading.record, read.record);
            let written = Value::Object(read.to_json());
            assert_eq!(RecordFile::from_json(&written, true), Ok(read));
        }
    }
}

fn only_doubts(findings: &[Finding]) {
    let others: Vec<_> = findings
        .iter()
        .filter(|it| it.severity != Severity::Doubt)
        .collect();
    assert!(
        others.is_empty(),
        "what we wrote ourselves has findings: {others:?}"
    );
}

/// A refusal has an error, and each of its findings names an attribute that is there or should be.
fn have_places(unreadable: &Unreadable, document: &Value) {
    let findings = &unreadable.findings;
    assert!(
        findings.iter().any(|it| it.severity == Severity::Error)
            || document.get("account").is_some()
    );
    assert!(!findings.is_empty());
    for finding in findings {
        assert!(
            !finding.path.is_empty() && !finding.message.is_empty(),
            "{finding:?}"
        );
        let name = finding
            .path
            .split(['.', '[', '…'])
            .next()
            .unwrap_or_default();
        let known = ["record", "settings", "account", "region", "group", "rules"].contains(&name);
        let fields = document.as_object().into_iter().flatten();
        let there = name.starts_with('"') || fields.into_iter().any(|(it, _)| it.starts_with(name));
        assert!(known || there, "{finding:?}");
    }
}

/// Whether an entry of a record means just this rule, by a reading of its own.
pub(crate) fn means(entry: &Map<String, Value>, rule: &RuleKey) -> bool {
    let number = |name: &str| match entry.get(name) {
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(text)) => text.trim().parse::<i64>().ok(),
        _ => None,
    };
    let text = |value: Option<&Value>| {
        value
            .and_then(Value::as_str)
            .map(|text| text.trim().to_owned())
    };
    let protocol = match entry.get("protocol") {
        Some(Value::Number(number)) => number.to_string(),
        other => text(other).unwrap_or_default().to_lowercase(),
    };
    let protocol = match protocol.trim_start_matches('0') {
        "6" => "tcp",
        "17" => "udp",
        "1" => "icmp",
        "58" => "icmpv6",
        "all" => "-1",
        "" => "0",
        other => other,
    };
    let given = (number("from_port"), number("to_port"));
    let ports_fit = match (&rule.protocol, rule.protocol.ports()) {
        (Protocol::Icmpv6(_), Some((-1, -1))) if given == (None, None) => true,
        (_, Some((from, to))) => given == (Some(from.into()), Some(to.into())),
        (_, None) => [(None, None), (Some(-1), Some(-1)), (Some(0), Some(0))].contains(&given),
    };
    let source_fits = match &rule.source {
        Source::Ipv4(net) => text(entry.get("cidr_ipv4"))
            .and_then(|it| it.parse::<ipnet::Ipv4Net>().ok())
            .is_some_and(|it| it.prefix_len() == net.prefix_len() && it.network() == net.addr()),
        Source::Ipv6(net) => text(entry.get("cidr_ipv6"))
            .and_then(|it| it.parse::<ipnet::Ipv6Net>().ok())
            .is_some_and(|it| it.prefix_len() == net.prefix_len() && it.network() == net.addr()),
        Source::PrefixList(id) => text(entry.get("prefix_list_id")).as_deref() == Some(id.as_str()),
        Source::ReferencedGroup(group) => {
            let given = entry.get("referenced_group");
            let part = |name: &str| text(given.and_then(|it| it.get(name)));
            let owner = part("account_id").filter(|it| *it != account().to_string());
            part("group_id").as_deref() == Some(group.group_id.as_str())
                && owner.as_deref() == group.account_id.as_ref().map(|it| it.as_str())
        }
    };
    protocol == rule.protocol.name() && ports_fit && source_fits
}
