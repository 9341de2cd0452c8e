//! The lines of `list`.

use rulekeeper_cli::operator::Listed;
use rulekeeper_core::model::Scope;

use super::columns;
use super::standing::reopened;

/// Every record with its state.
pub(crate) fn list(scope: &Scope, records: &[Listed]) -> String {
    if records.is_empty() {
        return format!("{scope} has no records\n");
    }
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let row = |record: &Listed| {
        vec![
            record.group.clone(),
            text(record.name.clone()),
            record.state.to_owned(),
            text(record.generation.map(|number| number.to_string())),
            text(record.rules.map(|number| number.to_string())),
            text(record.updated_at.map(|at| at.to_string())),
            text(record.updated_by.clone()),
            detail(record),
        ]
    };
    let header = [
        "GROUP",
        "NAME",
        "STATE",
        "GENERATION",
        "RULES",
        "UPDATED",
        "BY",
        "DETAIL",
    ];
    let list = columns(&header, records.iter().map(row).collect(), "");
    let reopened = records
        .iter()
        .map(|record| reopened(&record.standing.reopened, ""));
    let reopened: String = reopened.collect();
    let gap = if reopened.is_empty() { "" } else { "\n" };
    list + gap + &reopened
}

/// Details of the state, and the number of rules that wait or need a person.
fn detail(record: &Listed) -> String {
    let parts = [record.detail.clone(), record.standing.in_words()];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join("; ")
}
