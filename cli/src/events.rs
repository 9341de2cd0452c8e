//! Events in the forms in which people have them: alone, or packed by the service that handed them out.

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::records::{name_of, read_text};

/// An event to replay, or something else that was found in its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Saved {
    /// Where it came from, with its number when the file holds several.
    pub(crate) origin: String,
    /// The event.
    pub(crate) event: Value,
}

/// Reads every event of every file, before the first is replayed.
///
/// # Errors
/// Everything that could not be read, with file and line. When nothing in any file is an event.
pub(crate) fn read_all(files: &[PathBuf]) -> Result<Vec<Saved>, Failure> {
    let (mut saved, mut faults) = (Vec::new(), Vec::new());
    for file in files {
        let name = name_of(file);
        match read_text(file).and_then(|text| parse(&name, &text)) {
            Ok(events) => saved.extend(events),
            Err(fault) => faults.push(fault),
        }
    }
    if !faults.is_empty() {
        return Err(Failure::failed(format_args!(
            "no event was replayed:\n{}",
            faults.join("\n")
        )));
    }
    if saved.iter().any(|saved| is_event(&saved.event)) {
        return Ok(saved);
    }
    let names: Vec<String> = files.iter().map(|file| name_of(file)).collect();
    let message = format!("there is no event in {}", names.join(", "));
    Err(Failure::failed(message).hint(
        "Give CloudTrail records, EventBridge events or requests for a sweep, alone or as CloudTrail, CloudWatch Logs, \
         SNS, SQS, Lambda or Athena hand them out in JSON.",
    ))
}

/// One value after another: a file with a single event is the simplest case, JSON lines another.
fn parse(name: &str, text: &str) -> Result<Vec<Saved>, String> {
    let mut events = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let named = |error: &dyn std::fmt::Display| format!("{name}: {error}");
        let value = value.map_err(|error| named(&error))?;
        let values = match value {
            Value::Array(list) => list,
            value => vec![value],
        };
        for value in values {
            let found = unpack(value.clone()).map_err(|error| named(&error))?;
            events.extend(if found.is_empty() { vec![value] } else { found });
        }
    }
    let several = events.len() > 1;
    let numbered = events.into_iter().enumerate().map(|(index, event)| {
        let origin = if several {
            format!("{name}, event {}", index + 1)
        } else {
            name.to_owned()
        };
        Saved { origin, event }
    });
    Ok(numbered.collect())
}

/// A CloudTrail record, an EventBridge event or a request. The answer to a sweep, which logs and Lambda's records hold, has
/// `sweep` too.
fn is_event(value: &Value) -> bool {
    value["eventName"].is_string()
        || value["detail"].is_object()
        || value.get("doctor").is_some()
        || value.get("sweep").is_some() && value.get("reports").is_none()
}

/// The events at any depth of a value, in texts of JSON too.
fn unpack(value: Value) -> Result<Vec<Value>, String> {
    match value {
        Value::Array(list) => each(list),
        Value::String(text) => match serde_json::from_str(&text) {
            Ok(inner @ (Value::Object(_) | Value::Array(_) | Value::String(_))) => unpack(inner),
            // It was cut off: it is answered as what it is.
            Err(_) if text.trim_start().starts_with('{') => Ok(vec![text.into()]),
            _ => Ok(Vec::new()),
        },
        Value::Object(mut fields) => {
            if let Some(detail) = fields.get_mut("detail") {
                parse_in_place(detail);
            }
            if fields.get("eventname").is_some_and(Value::is_string) {
                return row(fields).map(|event| vec![event]);
            }
            if let Some(payload) = fields.remove("requestPayload") {
                // Lambda's record of an invocation: the rest of it is about the answer.
                return unpack(payload);
            }
            if let Some(rows) = athena_rows(&fields) {
                return each(rows);
            }
            let value = Value::Object(fields);
            match value {
                value if is_event(&value) => Ok(vec![value]),
                Value::Object(fields) => each(fields.into_iter().map(|(_, value)| value)),
                _ => Ok(Vec::new()),
            }
        }
        _ => Ok(Vec::new()),
    }
}

fn each(values: impl IntoIterator<Item = Value>) -> Result<Vec<Value>, String> {
    let found: Result<Vec<_>, _> = values.into_iter().map(unpack).collect();
    Ok(found?.concat())
}

/// Replaces the text of a map or of null by what it says.
fn parse_in_place(value: &mut Value) {
    let inner = value
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok());
    if let Some(inner @ (Value::Object(_) | Value::Null)) = inner {
        *value = inner;
    }
}

/// The rows that `aws athena get-query-results` prints, each with its columns' names.
fn athena_rows(fields: &Map<String, Value>) -> Option<Vec<Value>> {
    let columns = fields
        .get("ResultSetMetadata")?
        .get("ColumnInfo")?
        .as_array()?;
    let rows = fields.get("Rows")?.as_array()?.iter().map(|row| {
        let names = columns.iter().filter_map(|column| column["Name"].as_str());
        let cells = row["Data"].as_array().into_iter().flatten();
        let named = names.zip(cells);
        let named = named.map(|(name, cell)| (name.to_owned(), cell["VarCharValue"].clone()));
        named.collect::<Map<_, _>>()
    });
    // The first row repeats the names.
    let rows = rows.filter(|row| row.get("eventname").is_none_or(|name| name != "eventname"));
    Some(rows.map(Value::Object).collect())
}

/// The names that are read of a record. Athena has them in small letters ("Query AWS CloudTrail logs", Athena User Guide).
const NAMES: [&str; 17] = [
    "accountId",
    "awsRegion",
    "errorCode",
    "eventID",
    "eventName",
    "eventSource",
    "eventTime",
    "invokedBy",
    "principalId",
    "recipientAccountId",
    "requestParameters",
    "responseElements",
    "sessionContext",
    "sessionCredentialFromConsole",
    "sessionIssuer",
    "userAgent",
    "userIdentity",
];

/// The record that a row of Athena holds.
///
/// # Errors
/// When the row does not say who called: a listed caller's change would be taken for a stranger's.
fn row(mut fields: Map<String, Value>) -> Result<Value, String> {
    fields.values_mut().for_each(parse_in_place);
    if let Some(identity) = fields.get_mut("useridentity") {
        if let Some(read) = identity.as_str().and_then(structure) {
            *identity = read;
        }
        *identity = renamed(std::mem::take(identity));
    }
    let event = Value::Object(fields.into_iter().map(rename).collect());
    if event["userIdentity"].is_object() {
        return Ok(event);
    }
    let id = event["eventID"].as_str().unwrap_or("without eventid");
    Err(format!(
        "the row {id} has no useridentity that can be read; select that column too"
    ))
}

fn rename((name, value): (String, Value)) -> (String, Value) {
    let known = NAMES.iter().find(|known| known.eq_ignore_ascii_case(&name));
    (known.map_or(name, |known| (*known).to_owned()), value)
}

fn renamed(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields
                .into_iter()
                .map(|(name, value)| (name, renamed(value)));
            Value::Object(fields.map(rename).collect())
        }
        other => other,
    }
}

/// Athena's text of a structure, such as `{type=AssumedRole, sessioncontext={attributes=null}}`.
fn structure(text: &str) -> Option<Value> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let (mut fields, mut depth, mut start) = (Map::new(), 0_usize, 0);
    let ends = inner.char_indices().filter(|(at, c)| {
        depth = match c {
            '{' | '[' => depth + 1,
            '}' | ']' => depth.saturating_sub(1),
            _ => depth,
        };
        depth == 0 && inner[*at..].starts_with(", ")
    });
    for end in ends.map(|(at, _)| at).chain([inner.len()]) {
        let (name, value) = inner[start..end].split_once('=')?;
        let read = match value {
            "null" | "" => Value::Null,
            value if value.starts_with('{') => structure(value)?,
            value => value.into(),
        };
        fields.insert(name.trim().to_owned(), read);
        start = (end + 2).min(inner.len());
    }
    Some(Value::Object(fields))
}

#[cfg(test)]
mod tests;
