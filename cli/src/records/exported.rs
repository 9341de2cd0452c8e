//! Records as files for people to keep, in Git for instance.

use std::fs;
use std::path::Path;

use rulekeeper_core::desired::RecordFile;
use serde_json::{Map, Value};

use super::{FileFormat, is_json, name_of, place_in, read, read_text, text_of};
use crate::failure::Failure;
use crate::steering::spelled_out;

/// The name under which a record file looks for its schema. `apply` passes over a file of this name in a folder.
pub const SCHEMA_FILE: &str = "rulekeeper.schema.json";

/// The first line of a record file in YAML: editors find the schema by it.
const SCHEMA_LINE: &str = "# yaml-language-server: $schema=";

/// What a file holds besides the content of its record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extras {
    /// The generation, who wrote it, when and why, and a pause: what changes without anybody editing the file.
    pub generation: bool,
    /// The account and the Region.
    pub scope: bool,
}

const OF_SCOPE: [&str; 2] = ["account", "region"];
const OF_GENERATION: [&str; 6] = [
    "generation",
    "paused_until",
    "pause_reason",
    "updated_at",
    "updated_by",
    "reason",
];

impl Extras {
    fn content(self, record: &RecordFile) -> Map<String, Value> {
        let mut content = record.to_json();
        content.retain(|name, _| {
            (self.generation || !OF_GENERATION.contains(&name.as_str()))
                && (self.scope || !OF_SCOPE.contains(&name.as_str()))
        });
        content
    }
}

/// A record as the text of a file that `apply` takes.
///
/// # Errors
/// When it cannot be written in this format.
pub fn export_text(
    record: &RecordFile,
    format: FileFormat,
    extras: Extras,
) -> Result<String, Failure> {
    let text = text_of(&Value::Object(extras.content(record)), format)?;
    if format == FileFormat::Json {
        return Ok(text);
    }
    let name = record.record.name.iter();
    let name = name.map(|name| format!("# {}\n", spelled_out(name).replace('\n', " ")));
    Ok(format!(
        "{SCHEMA_LINE}{SCHEMA_FILE}\n{}{text}",
        name.collect::<String>()
    ))
}

/// Whether a file holds what an export of this record would, whatever its comments and its order. A file that is not there
/// or that cannot be understood does not.
pub fn holds_the_same(file: &Path, record: &RecordFile, extras: Extras) -> bool {
    if fs::symlink_metadata(file).is_err() {
        return false;
    }
    let read = read_text(file).and_then(|text| read(&name_of(file), is_json(file), &text));
    let mut read = read.unwrap_or_default();
    let [submitted] = &mut read[..] else {
        return false;
    };
    let has = |name: &str| submitted.content.get(name).is_some_and(|it| !it.is_null());
    let scope = OF_SCOPE.iter().all(|name| has(name) == extras.scope);
    let generation = OF_GENERATION.iter().any(|name| has(name)) == extras.generation;
    place_in(std::slice::from_mut(submitted), &record.address.scope);
    let there = RecordFile::from_json(&submitted.content, true);
    scope && generation && there.is_ok_and(|there| extras.content(&there) == extras.content(record))
}
