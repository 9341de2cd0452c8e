//! Lists of principals.

use rulekeeper_cli::operator::{Entry, PrincipalList, PrincipalsWritten};
use rulekeeper_core::desired::Principal;

use super::columns;

/// The entries in the order in which they count, with warnings.
pub(crate) fn principals(list: &PrincipalList) -> String {
    if list.principals.is_empty() {
        let place = list.group.as_ref().map_or_else(
            || "for all groups".to_owned(),
            |group| format!("for {group}"),
        );
        return format!("no principal is listed {place}; every dropped rule is put back\n");
    }
    let row = |entry: &Entry| {
        let hidden = entry.hidden_by.as_ref();
        let hidden = hidden.map(|by| format!("has no effect, {by} comes first"));
        let remarks: Vec<String> = hidden.into_iter().chain(entry.doubt.clone()).collect();
        let mut row = vec![entry.from.to_string()];
        row.extend(cells(&entry.principal));
        row.push(remarks.join("; "));
        row
    };
    let header = ["FROM", "POLICY", "SETTLES", "ARN", "REMARK"];
    columns(&header, list.principals.iter().map(row).collect(), "")
}

/// A list before it is written.
pub(crate) fn principal_lines(list: &[Principal]) -> String {
    columns(&[], list.iter().map(cells).collect(), "  ")
}

/// A list after it was written.
pub(crate) fn principals_written(written: &PrincipalsWritten) -> String {
    let place = written
        .group
        .as_ref()
        .map_or_else(|| "settings".to_owned(), ToString::to_string);
    let generation = written.generation;
    if !written.changed {
        return format!(
            "{place}: nothing differs from generation {generation}; nothing was written\n"
        );
    }
    format!(
        "{place}: generation {generation} is written\n{}",
        principal_lines(&written.principals)
    )
}

fn cells(principal: &Principal) -> Vec<String> {
    let settles = principal.settle_seconds;
    vec![
        principal.policy.to_string(),
        settles.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds} s")),
        principal.arn.clone(),
    ]
}
