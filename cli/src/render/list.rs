//! The lines of `list`.

use rulekeeper_cli::operator::Listed;
use rulekeeper_core::model::Scope;

use super::columns;

/// Every record with its state.
pub(crate) fn list(scope: &Scope, records: &[Listed]) -> String {
    if records.is_empty() {
        return format!("{scope} has no records\n");
    }
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let row = |record: &Listed| {
        vec![
            record.group.clone(),
            record.state.to_owned(),
            text(record.generation.map(|number| number.to_string())),
            text(record.rules.map(|number| number.to_string())),
            text(record.updated_at.map(|at| at.to_string())),
            text(record.updated_by.clone()),
            record.detail.clone().unwrap_or_default(),
        ]
    };
    let header = [
        "GROUP",
        "STATE",
        "GENERATION",
        "RULES",
        "UPDATED",
        "BY",
        "DETAIL",
    ];
    columns(&header, records.iter().map(row).collect(), "")
}
