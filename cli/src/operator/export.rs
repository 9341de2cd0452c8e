//! Reading records for files.

use serde::Serialize;

use super::{Archive, OperatorError, read};
use rulekeeper_core::desired::RecordFile;
use rulekeeper_core::model::{GroupAddress, Scope};

/// A record that was exported to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The group.
    pub group: GroupAddress,
    /// `written`, or `unchanged`: the file held the same already.
    pub outcome: &'static str,
    /// The record's generation.
    pub generation: u64,
    /// The file.
    pub file: String,
}

/// Every record of a scope, and a line for each that cannot be understood.
///
/// # Errors
/// When the table cannot be read.
pub async fn export_all(
    table: &impl Archive,
    scope: &Scope,
) -> Result<(Vec<RecordFile>, Vec<String>), OperatorError> {
    let (mut records, mut faults) = (Vec::new(), Vec::new());
    for (name, item) in table.all_desired(scope).await? {
        let id = match name.parse() {
            Ok(id) => id,
            Err(error) => {
                faults.push(format!("{scope}/{name}: {error}"));
                continue;
            }
        };
        let address = GroupAddress {
            scope: scope.clone(),
            id,
        };
        match read(&address, &item) {
            Ok(record) => records.push(RecordFile { address, record }),
            Err(error) => faults.push(error.to_string()),
        }
    }
    Ok((records, faults))
}
