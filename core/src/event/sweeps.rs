//! Requests for sweeps, from a person or from messages of our own queue.

use serde_json::Value;

use super::{Intent, Message, Sweep, Trigger, TriggerKind, account_text, ignore};
use crate::model::GroupRange;

/// A request for a sweep. A request that names nothing is for everything.
pub(super) fn request(asked: &Value) -> Intent {
    match read_sweep(asked) {
        Ok(sweep) => Intent::Sweep(Sweep {
            everywhere: sweep.account.is_none() && sweep.region.is_none() && sweep.range.is_all(),
            ..sweep
        }),
        Err(reason) => ignore(swept(), None, reason),
    }
}

fn swept() -> Trigger {
    Trigger {
        kind: TriggerKind::Sweep,
        ..Trigger::default()
    }
}

/// The fields of a sweep request. An unknown field is refused, because its author did not mean to sweep everything.
const MEMBERS: [&str; 5] = ["account", "region", "after", "until", "attempt"];

fn read_sweep(request: &Value) -> Result<Sweep, String> {
    let Value::Object(members) = request else {
        return Err("sweep: give an object, {} for everything".to_owned());
    };
    if let Some(unknown) = members
        .keys()
        .find(|name| !MEMBERS.contains(&name.as_str()))
    {
        let known = MEMBERS[..4].join(", ");
        return Err(format!(
            "sweep.{unknown}: not known; a sweep can be given {known}"
        ));
    }
    Ok(Sweep {
        account: optional(request, "account")?,
        region: optional(request, "region")?,
        trigger: swept(),
        range: GroupRange {
            after: bound(request, "after")?,
            until: bound(request, "until")?,
        },
        ..Sweep::default()
    })
}

fn bound(request: &Value, name: &str) -> Result<Option<String>, String> {
    match request.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id)) if !id.is_empty() => Ok(Some(id.clone())),
        Some(other) => Err(format!("sweep.{name}: {other} is not a group's id")),
    }
}

/// Messages of our own queue, in Lambda's format (Lambda Developer Guide, "Using Lambda with Amazon SQS").
pub(super) fn messages(records: &Value) -> Intent {
    let records = records.as_array().map_or(&[][..], Vec::as_slice);
    let from_queue = |record: &&Value| record["eventSource"] == "aws:sqs";
    if records.is_empty() || !records.iter().all(|record| from_queue(&record)) {
        let reason = "records of something else than an SQS queue";
        return ignore(Trigger::default(), None, reason);
    }
    let read = |record: &Value| Message {
        id: record["messageId"].as_str().unwrap_or_default().to_owned(),
        sweep: record["body"]
            .as_str()
            .ok_or_else(|| "the message has no body".to_owned())
            .and_then(read_task),
    };
    Intent::SweepTasks(records.iter().map(read).collect())
}

fn read_task(body: &str) -> Result<Sweep, String> {
    let body: Value = serde_json::from_str(body)
        .map_err(|error| format!("the message's body is not JSON: {error}"))?;
    let Some(request) = body.get("sweep") else {
        return Err("the message's body asks for no sweep".to_owned());
    };
    let attempt = request.get("attempt").and_then(Value::as_u64).unwrap_or(1);
    Ok(Sweep {
        attempt: u32::try_from(attempt).unwrap_or(u32::MAX).max(1),
        ..read_sweep(request)?
    })
}

/// A field of a sweep request. It may be absent. An invalid value is refused, because the wrong groups would be swept.
fn optional<T: std::str::FromStr<Err: std::fmt::Display>>(
    request: &Value,
    name: &str,
) -> Result<Option<T>, String> {
    match request.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match account_text(value)
            .unwrap_or_else(|| value.to_string())
            .parse()
        {
            Ok(parsed) => Ok(Some(parsed)),
            Err(error) => Err(format!("sweep.{name}: {error}")),
        },
    }
}
