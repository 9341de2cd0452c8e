//! What the stack recorded: who called, and which events the function got.

use rulekeeper_local::{Cloud, StackConfig};
use serde_json::Value;

/// Whether a principal's ARN is the function's.
pub fn is_function(principal: &str) -> bool {
    let role = StackConfig::default().function_role;
    principal.contains(&format!(":assumed-role/{role}/"))
}

/// Whether a CloudTrail record is of a call that the function made.
pub fn is_by_function(record: &Value) -> bool {
    let principal = record["userIdentity"]["arn"].as_str();
    principal.is_some_and(is_function)
}

/// The events that the bridge sent to the function, oldest first: the event's id and CloudTrail's record.
pub fn sent_events(cloud: &Cloud) -> Vec<(String, Value)> {
    let (log, records) = (cloud.bridge().log(), cloud.records());
    // Both are in the same order, one for one.
    let events = log.into_iter().zip(records);
    events
        .filter(|(event, _)| event.fate == "sent")
        .map(|(event, record)| (event.id, record))
        .collect()
}

/// The number of API calls that a report of the function counts.
pub fn api_calls(report: &Value) -> u64 {
    let calls = report["calls"].as_object().into_iter().flatten();
    calls.filter_map(|(_, count)| count.as_u64()).sum()
}
