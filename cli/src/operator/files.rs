//! Writing records from files.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Archive, Author, Draft, OperatorError, Written, generation_of, read};
use rulekeeper_core::desired::{DesiredRecord, RecordFile, Severity};
use rulekeeper_core::model::GroupAddress;
use rulekeeper_core::sweep::Progress;

/// The content of a record file, not checked yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Submitted {
    /// Where it came from, for messages.
    pub file: String,
    /// Its content.
    pub content: Value,
}

/// The records of files by group, each with the name of its file, and everything that is wrong with the files.
fn check(
    files: &[Submitted],
    confirmed: bool,
) -> (BTreeMap<GroupAddress, (&str, DesiredRecord)>, Vec<String>) {
    let mut findings = Vec::new();
    let mut records: BTreeMap<GroupAddress, (&str, DesiredRecord)> = BTreeMap::new();
    for Submitted { file, content } in files {
        match RecordFile::from_json(content, confirmed) {
            Err(unreadable) => findings.extend(unreadable.findings.iter().map(|finding| {
                let hint = match finding.severity {
                    Severity::Doubt => "; if that is meant, give --yes",
                    Severity::Warning | Severity::Error => "",
                };
                format!("{file}: {finding}{hint}")
            })),
            Ok(RecordFile { address, record }) => {
                if let Some((other, _)) = records.get(&address) {
                    findings.push(format!(
                        "{file}: group: {} is in {other} already",
                        address.id
                    ));
                } else {
                    records.insert(address, (file, record));
                }
            }
        }
    }
    (records, findings)
}

/// What is wrong with files by themselves: one line for each finding, with its file and path.
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

/// Writes records from files. Every file is checked, and every record it would replace is read, before the first is
/// written. `progress` counts records, each when it is read and again when it is written.
///
/// # Errors
/// All findings of all files; or the first record that could not be written, with those that were by then.
pub async fn apply(
    table: &impl Archive,
    files: &[Submitted],
    confirmed: bool,
    author: &Author,
    progress: Progress<'_>,
) -> Result<Vec<Written>, OperatorError> {
    let (records, findings) = check(files, confirmed);
    if !findings.is_empty() {
        return Err(OperatorError::Findings(findings));
    }
    let total = 2 * records.len();
    let mut changes = Vec::new();
    for (group, (file, mut record)) in records {
        let loaded = table.load(&group).await?;
        let item = loaded.desired.as_ref();
        // A record that cannot be understood may be replaced: this is the way to fix it.
        let before = item.and_then(|item| read(&group, item).ok());
        let current = item.map_or(0, generation_of);
        if record.generation != 0 && record.generation != current {
            let of_file = record.generation;
            return Err(OperatorError::Outdated {
                file: file.to_owned(),
                group,
                of_file,
                current,
            });
        }
        // A file need not know the name, which no file changes.
        let known = before.as_ref().and_then(|before| before.name.clone());
        record.name = record.name.or(known);
        changes.push((group, file, record, before, loaded));
        progress(changes.len(), total);
    }
    let mut written = Vec::new();
    for (group, file, record, before, loaded) in changes {
        let draft = Draft {
            group,
            record,
            before,
            loaded,
            reason: format!("applied {file}"),
        };
        let group = draft.group().clone();
        match draft.write(table, author).await {
            Ok(record) => {
                written.push(record);
                progress(total / 2 + written.len(), total);
            }
            Err(cause) if written.is_empty() => return Err(cause),
            Err(cause) => {
                return Err(OperatorError::Interrupted {
                    group,
                    written,
                    cause: Box::new(cause),
                });
            }
        }
    }
    Ok(written)
}
