//! Files of events, in each format that people save them in.

use std::path::PathBuf;

use serde_json::Value;

use crate::failure::Failure;
use crate::records::{name_of, read_text};

/// An event to replay.
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
/// Everything that could not be read, with file and line.
pub(crate) fn read_all(files: &[PathBuf]) -> Result<Vec<Saved>, Failure> {
    let (mut saved, mut faults) = (Vec::new(), Vec::new());
    for file in files {
        let name = name_of(file);
        match read_text(file).and_then(|text| parse(&name, &text)) {
            Ok(events) => saved.extend(events),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() {
        return Ok(saved);
    }
    Err(Failure::failed(format_args!(
        "no event was replayed:\n{}",
        faults.join("\n")
    )))
}

/// One value after another: a file with a single event is the simplest case, JSON lines another.
fn parse(name: &str, text: &str) -> Result<Vec<Saved>, String> {
    let mut events = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        events.extend(unpack(value.map_err(|error| format!("{name}: {error}"))?));
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

/// The events in a list or in a CloudTrail log file; anything else is one.
fn unpack(value: Value) -> Vec<Value> {
    match value {
        Value::Array(events) => events,
        Value::Object(mut fields) => match fields.get_mut("Records") {
            Some(Value::Array(records)) => std::mem::take(records),
            _ => vec![Value::Object(fields)],
        },
        other => vec![other],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn events(text: &str) -> Vec<Value> {
        let saved = parse("f.json", text).expect("JSON");
        saved.into_iter().map(|saved| saved.event).collect()
    }

    #[test]
    fn events_are_found_however_they_were_saved() {
        let (a, b) = (json!({"eventName": "A"}), json!({"eventName": "B"}));
        let both = [a.clone(), b.clone()];
        assert_eq!(events(&a.to_string()), std::slice::from_ref(&a));
        assert_eq!(events(&json!(both).to_string()), both);
        assert_eq!(events(&json!({"Records": both}).to_string()), both);
        assert_eq!(events(&format!("{a}\n{b}\n")), both);
        assert_eq!(
            events(&format!("{}\n{}", json!({"Records": [a]}), json!([b]))),
            both
        );
        assert_eq!(events("[]"), Vec::<Value>::new());
        assert_eq!(events(r#"{"Records": 1}"#), [json!({"Records": 1})]);
    }

    #[test]
    fn an_event_of_several_is_named_with_its_number() {
        let saved = parse("f.json", "[1, 2]").expect("JSON");
        assert_eq!(saved[1].origin, "f.json, event 2");
        assert_eq!(parse("f.json", "1").expect("JSON")[0].origin, "f.json");
    }

    #[test]
    fn a_syntax_error_names_its_file_and_line() {
        let error = parse("f.json", "{\"a\": 1}\n{\"b\": }\n").expect_err("no value");
        assert!(
            error.starts_with("f.json: ") && error.contains("line 2"),
            "{error}"
        );
    }
}
