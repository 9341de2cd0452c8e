//! Results as text for people. It uses no colour, and no control characters of other people's texts.

use comfy_table::{Row, Table, presets};
use rulekeeper_core::model::GroupAddress;

use crate::steering::spelled_out;

mod apply;
mod bulk_pin;
mod check;
mod checks;
mod difference;
mod history;
mod incidents;
mod list;
mod page;
mod plan;
mod principals;
mod record;
mod report;
mod standing;
mod troubles;
mod written;

pub(crate) use apply::{applied, live_rules};
pub(crate) use bulk_pin::bulk_pin;
pub(crate) use check::check;
pub(crate) use checks::checks;
pub(crate) use difference::difference;
pub(crate) use history::history;
pub(crate) use incidents::incidents;
pub(crate) use list::list;
pub(crate) use page::page;
pub(crate) use plan::{plan, warn_of_plan};
pub(crate) use principals::{principal_lines, principals, principals_written};
pub(crate) use record::record;
pub(crate) use report::{answer, warn};
pub(crate) use standing::standing;
pub(crate) use troubles::troubles;
pub(crate) use written::written;

/// Aligned columns without lines, indented, ending in a line break; nothing when there are no rows.
fn columns(header: &[&str], rows: Vec<Vec<String>>, indent: &str) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if !header.is_empty() {
        table.set_header(Row::from(header.iter().copied()));
    }
    for row in rows {
        table.add_row(Row::from(row.iter().map(|text| plain(text))));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
        .trim_fmt()
        .lines()
        .map(|line| format!("{indent}{line}\n"))
        .collect()
}

/// A text in one line, without characters that steer a terminal.
pub(crate) fn plain(text: &str) -> String {
    spelled_out(text).replace('\n', "\\n")
}

/// A principal in short: the name of its role or user, and the session, which is a person's name where people share a role.
fn who(principal: &str, session: Option<&str>) -> String {
    let name = principal.rsplit('/').next().unwrap_or(principal);
    match session {
        Some(session) if session != name => format!("{} / {}", plain(name), plain(session)),
        _ => plain(name),
    }
}

/// A group with its name, if that is known.
fn named(group: Option<&GroupAddress>, name: Option<&str>) -> String {
    group.map_or_else(
        || "no group".to_owned(),
        |group| group.named(name.map(plain).as_deref()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_control_characters_are_spelled_out() {
        let rows = vec![
            vec!["a".to_owned(), "b\u{1b}[31m".to_owned()],
            vec!["long".to_owned(), String::new()],
        ];
        assert_eq!(
            columns(&["ONE", "TWO"], rows, "  "),
            "  ONE   TWO\n  a     b\\u{1b}[31m\n  long\n"
        );
        assert_eq!(columns(&["ONE"], Vec::new(), ""), "");
    }
}
