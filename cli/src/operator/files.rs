//! What is in record files, checked and not written yet.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::positions::Source;
use rulekeeper_core::desired::{DesiredRecord, RecordFile, Severity};
use rulekeeper_core::model::GroupAddress;

/// The content of a record file, not checked yet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Submitted {
    /// Where it came from, for messages.
    pub file: String,
    /// Its content.
    pub content: Value,
    /// Where it stands in the text of the file.
    pub source: Source,
}

impl Submitted {
    /// The file, with the line and column of an attribute if they can be told.
    pub(super) fn at(&self, path: &str) -> String {
        match self.source.position(path) {
            Some(position) => format!("{}:{position}", self.file),
            None => self.file.clone(),
        }
    }
}

/// The records of files by group, each with its file, and everything that is wrong with the files.
pub(super) fn check(
    files: &[Submitted],
    confirmed: bool,
) -> (
    BTreeMap<GroupAddress, (&Submitted, DesiredRecord)>,
    Vec<String>,
) {
    let mut findings = Vec::new();
    let mut records: BTreeMap<GroupAddress, (&Submitted, DesiredRecord)> = BTreeMap::new();
    for file in files {
        match RecordFile::from_json(&file.content, confirmed) {
            Err(unreadable) => findings.extend(unreadable.findings.iter().map(|finding| {
                let hint = match finding.severity {
                    Severity::Doubt => "; if that is meant, give --yes",
                    Severity::Warning | Severity::Error => "",
                };
                format!("{}: {finding}{hint}", file.at(&finding.path))
            })),
            Ok(RecordFile { address, record }) => {
                if let Some((other, _)) = records.get(&address) {
                    findings.push(format!(
                        "{}: group: {} is in {} already",
                        file.at("group"),
                        address.id,
                        other.at("group")
                    ));
                } else {
                    records.insert(address, (file, record));
                }
            }
        }
    }
    (records, findings)
}

/// What is wrong with files by themselves: one line for each finding, with its file, place and path.
pub fn findings(files: &[Submitted], confirmed: bool) -> Vec<String> {
    check(files, confirmed).1
}

/// The records of files that can be understood, by group.
pub fn records(files: &[Submitted], confirmed: bool) -> BTreeMap<GroupAddress, DesiredRecord> {
    let records = check(files, confirmed).0.into_iter();
    records
        .map(|(group, (_, record))| (group, record))
        .collect()
}
