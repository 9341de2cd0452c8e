//! Everything that names the calls which the function wants is held against the one table of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rulekeeper_core::event::{Intent, WANTED_CALLS, intent};
use rulekeeper_local::{Delivery, Rule};
use serde_json::{Value, json};

fn names(also_refused: bool) -> Vec<&'static str> {
    let wanted = WANTED_CALLS.iter();
    let wanted = wanted.filter(|wanted| wanted.also_refused == also_refused);
    wanted.map(|wanted| wanted.name).collect()
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn both_templates_deliver_them() {
    for template in ["template.yaml", "template-member.yaml"] {
        let text = read(template);
        let (_, pattern) = text
            .split_once("eventSource: [ec2.amazonaws.com]")
            .expect("a pattern");
        let lines: Vec<&str> = pattern.lines().skip(1).take(4).map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "$or:",
                &format!("- eventName: [{}]", names(false).join(", ")),
                "errorCode: [{exists: false}]",
                &format!("- eventName: [{}]", names(true).join(", ")),
            ],
            "{template}"
        );
        assert_eq!(text.matches("- eventName:").count(), 2, "{template}");
    }
}

#[test]
fn the_local_stack_delivers_them() {
    let all: BTreeSet<String> = WANTED_CALLS
        .iter()
        .map(|wanted| wanted.name.to_owned())
        .collect();
    let delivered: BTreeSet<String> = Delivery::default().event_names.into_iter().collect();
    assert_eq!(delivered, all);
    let pattern = Rule::ingress_dropped().event_pattern.expect("a pattern");
    assert_eq!(
        pattern["detail"]["$or"],
        json!([
            {"eventName": names(false), "errorCode": [{"exists": false}]},
            {"eventName": names(true)},
        ])
    );
}

#[test]
fn each_has_a_sample_and_no_sample_of_another_call_is_looked_at() {
    let mut sampled = BTreeSet::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    for entry in fs::read_dir(folder).expect("the samples") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("text");
        let Ok(event) = serde_json::from_str::<Value>(&text) else {
            continue;
        };
        if let Intent::Reconcile(lookup) = intent(&event) {
            sampled.extend(lookup.trigger.event_name);
        }
    }
    let all: BTreeSet<String> = WANTED_CALLS
        .iter()
        .map(|wanted| wanted.name.to_owned())
        .collect();
    assert_eq!(sampled, all);
}
