//! Events, calls and reports as lines of text.

use std::time::Duration;

use rulekeeper_bench::journal::{api_calls, is_by_function};
use rulekeeper_bench::time::millis;
use rulekeeper_local::{Call, Cloud, Invocation, Outcome};
use serde_json::Value;

/// An event that reaches the function; the record is CloudTrail's.
pub(crate) fn event(record: &Value) -> Vec<String> {
    let by = record.pointer("/userIdentity/sessionContext/sessionIssuer/userName");
    let (name, by) = (text(&record["eventName"]), by.map(text).unwrap_or_default());
    match record["errorCode"].as_str() {
        None => vec![format!("{name} by {by}"), "reaches the function".to_owned()],
        Some(code) => vec![
            format!("{name} by {by},"),
            format!("{code}, reaches the function"),
        ],
    }
}

/// A call that the function made; for an authorize, `rules` is the number of its rules.
pub(crate) fn call(call: &Call, rules: Option<usize>) -> Vec<String> {
    let about = match (call.action.as_str(), rules) {
        (_, Some(1)) => "1 rule".to_owned(),
        (_, Some(many)) => format!("{many} rules"),
        ("GetItem", _) => "record".to_owned(),
        ("DescribeSecurityGroupRules", _) => "live rules".to_owned(),
        ("DescribeSecurityGroups", _) => "groups".to_owned(),
        ("PutItem", _) => "incident".to_owned(),
        ("UpdateItem", _) => "state".to_owned(),
        _ => String::new(),
    };
    let took = millis(Duration::from_micros(call.took_us));
    let line = |outcome: &str| format!("{:30}{about:11}{took:>8}  {outcome}", call.action);
    match call.outcome.as_deref().unwrap_or_default() {
        "Success" => vec![line("ok")],
        code => vec![line("refused"), format!("  {code}")],
    }
}

/// The function's report: outcomes, reasons and figures, in its own words. `start` is how long the event waited for the
/// instance.
///
/// # Errors
/// The error that the function answered.
pub(crate) fn report(invocation: &Invocation, start: Duration) -> Result<Vec<String>, String> {
    let answer = &invocation.response;
    if invocation.outcome != Outcome::Success {
        let error = [&answer["errorType"], &answer["errorMessage"]].map(text);
        return Err(format!("the function failed: {}", error.join(": ")));
    }
    let (outcome, reason) = (text(&answer["outcome"]), text(&answer["reason"]));
    if outcome == "ignored" {
        let event = text(&answer["trigger"]["event_name"]);
        return Ok(vec![format!("ignored {event}:"), format!("  {reason}")]);
    }
    let mut lines = vec![format!("{outcome}: {reason}")];
    for rule in answer["rules"].as_array().into_iter().flatten() {
        let (outcome, name) = (text(&rule["outcome"]), text(&rule["rule"]));
        lines.push(format!("  {outcome:9} {name}"));
        let why = [&rule["error_code"], &rule["reason"]].map(text);
        let why: Vec<String> = why.into_iter().filter(|part| !part.is_empty()).collect();
        if !why.is_empty() {
            lines.push(format!("{:12}{}", "", why.join(": ")));
        }
    }
    lines.extend(figures(invocation, start));
    Ok(lines)
}

fn figures(invocation: &Invocation, start: Duration) -> Vec<String> {
    let report = &invocation.response;
    let timing = &report["timing"];
    let start = if invocation.cold_start {
        format!("cold start {}", millis(start))
    } else {
        "no cold start".to_owned()
    };
    let restored = timing["restored_ms"].as_u64();
    let restored = restored.map(|ms| format!(", restored {ms} ms later"));
    let mut lines = vec![
        format!(
            "{start}{}, done after {} ms",
            restored.unwrap_or_default(),
            timing["total_ms"]
        ),
        format!("{} API calls", api_calls(report)),
    ];
    if let Some(age) = timing["event_age_ms"].as_u64() {
        lines.push(format!(
            "event {age} ms old by its eventTime, which has whole seconds"
        ));
    }
    lines
}

/// How many rules each of the function's authorizes has, oldest first, from CloudTrail's records.
pub(crate) fn rules_authorized(cloud: &Cloud) -> Vec<usize> {
    let records = cloud.records();
    let authorizes = records.iter().filter(|record| {
        record["eventName"] == "AuthorizeSecurityGroupIngress" && is_by_function(record)
    });
    authorizes.map(rules_in).collect()
}

fn rules_in(record: &Value) -> usize {
    let permissions = record.pointer("/requestParameters/ipPermissions/items");
    let permissions = permissions.and_then(Value::as_array);
    let sources = |permission: &Value| -> usize {
        ["groups", "ipRanges", "ipv6Ranges", "prefixListIds"]
            .iter()
            .filter_map(|kind| permission[kind]["items"].as_array())
            .map(Vec::len)
            .sum()
    };
    permissions.into_iter().flatten().map(sources).sum()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
