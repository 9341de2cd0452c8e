//! EventBridge's PutEvents: keeps the events for tests to read. No rule reads them.
//!
//! Requests, answers and limits: Amazon EventBridge API Reference, PutEvents.

use std::sync::{Arc, Mutex};

use serde::Serialize;
use serde_json::{Value, json};

use crate::ec2::Ec2Error;
use crate::ids;
use crate::lock::lock;

/// Most entries of a call.
const ENTRIES_MAX: usize = 10;

/// Largest entry: source, detail type, detail, resources, and 14 bytes for a time (Amazon EventBridge User Guide,
/// "Calculating Amazon EventBridge PutEvents event entry size"). The AWS Compute Blog of January 2026 says 1 MB; the
/// guide's number is the stricter one.
const ENTRY_BYTES_MAX: usize = 256 * 1024;

/// An event that was put on a bus.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PutEvent {
    /// The bus's name or ARN, as it was given.
    pub bus: String,
    /// The source.
    pub source: String,
    /// The detail type.
    pub detail_type: String,
    /// The detail.
    pub detail: Value,
}

/// The events that were put on buses; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Buses {
    events: Arc<Mutex<Vec<PutEvent>>>,
}

impl Buses {
    /// The events, in order.
    #[must_use]
    pub fn events(&self) -> Vec<PutEvent> {
        lock(&self.events).clone()
    }

    /// Carries out PutEvents.
    pub(crate) fn put_events(&self, request: &Value) -> Result<Value, Ec2Error> {
        let entries = request["Entries"].as_array().cloned().unwrap_or_default();
        if entries.is_empty() || entries.len() > ENTRIES_MAX {
            let message = format!("Entries must have 1 to {ENTRIES_MAX} members");
            return Err(Ec2Error::new("ValidationException", message));
        }
        let answers: Vec<Value> = entries.iter().map(|entry| self.put(entry)).collect();
        let failed = answers
            .iter()
            .filter(|answer| answer["ErrorCode"].is_string());
        Ok(json!({ "FailedEntryCount": failed.count(), "Entries": answers }))
    }

    fn put(&self, entry: &Value) -> Value {
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let refused =
            |message: String| json!({ "ErrorCode": "InvalidArgument", "ErrorMessage": message });
        let resources = entry["Resources"].as_array().into_iter().flatten();
        let counted = ["Source", "DetailType", "Detail"].map(|name| &entry[name]);
        let counted = counted
            .into_iter()
            .chain(resources)
            .filter_map(Value::as_str);
        let time = if entry.get("Time").is_some() { 14 } else { 0 };
        if counted.map(str::len).sum::<usize>() + time > ENTRY_BYTES_MAX {
            return refused(format!(
                "Total size of the entry is over {ENTRY_BYTES_MAX} bytes."
            ));
        }
        for name in ["Source", "DetailType", "Detail"] {
            if text(name).is_empty() {
                return refused(format!("Parameter {name} is not valid."));
            }
        }
        let Ok(detail) = serde_json::from_str(&text("Detail")) else {
            return json!({ "ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed." });
        };
        if text("Source").starts_with("aws.") {
            return json!({ "ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": "Not authorized for the source." });
        }
        lock(&self.events).push(PutEvent {
            bus: text("EventBusName"),
            source: text("Source"),
            detail_type: text("DetailType"),
            detail,
        });
        json!({ "EventId": ids::uuid() })
    }
}
