//! Reads and writes record files, as YAML or JSON.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rulekeeper_core::desired::{RECORD_ATTRIBUTES, RULE_ATTRIBUTES, RecordFile};
use rulekeeper_core::model::Scope;
use serde::Deserialize as _;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

use crate::failure::Failure;
use crate::operator::Submitted;
use crate::positions::Source;
use crate::steering;
use crate::strict::Strict;

mod exported;
mod folders;

pub use exported::{Extras, SCHEMA_FILE, export_text, holds_the_same};
pub use folders::files_of;

/// The content of a file, or of standard input for `-`.
///
/// # Errors
/// With the file's name.
pub fn read_text(file: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| ())
    } else {
        fs::read(file).map(|content| bytes = content)
    };
    let name = name_of(file);
    read.map_err(|error| format!("{name}: {error}"))?;
    decode(&name, bytes)
}

/// The text in the content of the file `name`: UTF-8, or UTF-16 behind its byte order mark, which PowerShell writes. The
/// mark is no part of the text.
///
/// # Errors
/// With the file's name, when the content is compressed or no text.
pub fn decode(name: &str, bytes: Vec<u8>) -> Result<String, String> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Err(format!(
            "{name}: is compressed; unpack it with gunzip first"
        ));
    }
    unicode(bytes).map_err(|error| format!("{name}: {error}"))
}

fn unicode(bytes: Vec<u8>) -> Result<String, String> {
    let unit: fn([u8; 2]) -> u16 = match &bytes[..] {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => {
            let text = String::from_utf8(bytes)
                .map_err(|error| format!("is neither UTF-8 nor UTF-16 text: {error}"))?;
            return Ok(match text.strip_prefix('\u{feff}') {
                Some(content) => content.to_owned(),
                None => text,
            });
        }
    };
    let (pairs, rest) = bytes[2..].as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
    match String::from_utf16(&units) {
        Ok(text) if rest.is_empty() => Ok(text),
        _ => Err("begins as UTF-16 text and is not".to_owned()),
    }
}

/// The name of a file in messages.
pub fn name_of(file: &Path) -> String {
    if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    }
}

/// Reads every record of every file. What cannot be read is a finding, and the other files are read all the same.
pub fn read_all(files: &[PathBuf]) -> (Vec<Submitted>, Vec<String>) {
    let (mut records, mut findings) = (Vec::new(), Vec::new());
    for file in files {
        let read = read_text(file).and_then(|text| read(&name_of(file), is_json(file), &text));
        match read {
            Ok(read) => records.extend(read),
            Err(finding) => findings.push(finding),
        }
    }
    (records, findings)
}

fn is_json(file: &Path) -> bool {
    file.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}

/// Reads every record in the text of the file `name`, as JSON or as YAML.
///
/// # Errors
/// With the file's name, and the line and column where the text is at fault.
pub fn read(name: &str, is_json: bool, text: &str) -> Result<Vec<Submitted>, String> {
    if is_json {
        from_json(name, text)
    } else {
        from_yaml(name, text)
    }
}

fn from_json(name: &str, text: &str) -> Result<Vec<Submitted>, String> {
    let Strict(content) = serde_json::from_str(text)
        .map_err(|error| at_fault(name, (error.line(), error.column()), &error))?;
    Ok(vec![Submitted {
        file: name.to_owned(),
        content,
        source: Source::new(text.into(), 0),
    }])
}

/// A message with its place in front, and not behind it as parsers write it.
fn at_fault(name: &str, (line, column): (usize, usize), error: &dyn std::fmt::Display) -> String {
    let place = format!(" at line {line} column {column}");
    let message = error.to_string().replacen(&place, "", 1);
    format!("{name}:{line}:{column}: {message}")
}

/// JSON is read here too, whatever the file is called. It is a part of YAML but for some characters in texts, such as U+0085,
/// which YAML takes for the end of a line.
fn from_yaml(name: &str, text: &str) -> Result<Vec<Submitted>, String> {
    if let Ok(read) = from_json(name, text)
        && read.iter().all(|submitted| !submitted.content.is_null())
    {
        return Ok(read);
    }
    let whole: Arc<str> = text.into();
    let mut records = Vec::new();
    for (index, document) in yaml_serde::Deserializer::from_str(text).enumerate() {
        let Strict(content) =
            Strict::deserialize(document).map_err(|error| match error.location() {
                Some(at) => at_fault(name, (at.line(), at.column()), &error),
                None => format!("{name}: {error}"),
            })?;
        // A separator with nothing behind it makes an empty document, which is no record and no mistake.
        if !content.is_null() {
            records.push(Submitted {
                file: name.to_owned(),
                content,
                source: Source::new(Arc::clone(&whole), index),
            });
        }
    }
    if records.is_empty() {
        Err(format!("{name}: holds no record"))
    } else {
        Ok(records)
    }
}

/// Gives records that name no account or no Region these ones. Whether any did.
pub fn place_in(records: &mut [Submitted], scope: &Scope) -> bool {
    let mut any = false;
    for Submitted { content, .. } in records {
        let Value::Object(fields) = content else {
            continue;
        };
        for (name, value) in [
            ("account", scope.account.as_str()),
            ("region", scope.region.as_str()),
        ] {
            if fields.get(name).is_none_or(Value::is_null) {
                fields.insert(name.to_owned(), value.into());
                any = true;
            }
        }
    }
    any
}

/// What a record is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum FileFormat {
    /// YAML
    Yaml,
    /// JSON
    Json,
}

/// A record with all its attributes as the content of a file that `apply` takes.
pub fn write_text(record: &RecordFile, format: FileFormat) -> Result<String, Failure> {
    text_of(&Value::Object(record.to_json()), format)
}

fn text_of(content: &Value, format: FileFormat) -> Result<String, Failure> {
    match format {
        FileFormat::Json => steering::json(&Ordered(content)).map_err(Failure::failed),
        FileFormat::Yaml => steering::yaml(&Ordered(content)).map_err(Failure::failed),
    }
}

/// A record that is not from the table, in YAML. Without a generation `apply` writes it over any.
pub fn new_text(record: &RecordFile) -> Result<String, Failure> {
    let mut content = record.to_json();
    content.remove("generation");
    text_of(&Value::Object(content), FileFormat::Yaml)
}

/// Writes a file as a whole or not at all: to a file beside it first, which then takes its name.
///
/// That it is not there yet is asked, not enforced, when it takes the name. Of two exports to one new file at the same
/// moment the later one stays, and it is whole.
pub fn write_file(file: &Path, text: &str, replace: bool) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::failed(format_args!("{}: {error}", file.display()));
    let Some(name) = file.file_name() else {
        return Err(Failure::usage(format_args!(
            "{} is no file name",
            file.display()
        )));
    };
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = file.with_file_name(beside);
    let written = File::create_new(&beside)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
        })
        .map_err(failed)
        .and_then(|()| refuse_existing(file, replace))
        .and_then(|()| fs::rename(&beside, file).map_err(failed));
    if written.is_err() {
        // Nothing better is left to do if this fails as well.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Refuses a file that exists, unless it may be replaced.
pub fn refuse_existing(file: &Path, replace: bool) -> Result<(), Failure> {
    if replace || fs::symlink_metadata(file).is_err() {
        return Ok(());
    }
    Err(Failure::failed(format_args!("{} exists", file.display()))
        .hint("Give --force to replace it."))
}

/// A record's JSON with its names in the order in which people read them.
pub struct Ordered<'a>(pub &'a Value);

/// The names in front of a record.
const ADDRESS: [&str; 3] = ["account", "region", "group"];

/// Where a name stands: the address, the record's attributes with its rules last, a rule's attributes, any other.
fn place(name: &str) -> usize {
    let record = RECORD_ATTRIBUTES.iter().filter(|name| **name != "rules");
    let known = ADDRESS
        .iter()
        .chain(record)
        .chain(["rules"].iter())
        .chain(&RULE_ATTRIBUTES)
        .chain(["group_id"].iter());
    known.take_while(|known| **known != name).count()
}

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by_key(|(name, _)| (place(name), *name));
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, &Ordered(value))?;
                }
                map.end()
            }
            Value::Array(list) => serializer.collect_seq(list.iter().map(Ordered)),
            other => other.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests;
