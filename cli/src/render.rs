//! Results as text for people. It marks what may be coloured, and holds no control characters of other people's texts.

use comfy_table::{Row, Table, presets};
use rulekeeper_core::model::GroupAddress;

use crate::paint::outcome;
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
mod wrap;
mod written;

pub(crate) use apply::{applied, live_rules};
pub(crate) use bulk_pin::bulk_pin;
pub(crate) use check::check;
pub(crate) use checks::{checks, section};
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

/// The columns that hold outcomes, states and actions, beside the first one of a table without a header.
const OF_OUTCOMES: [&str; 5] = ["OUTCOME", "STATE", "ACTION", "NOW", "STATUS"];

/// Aligned columns without lines, indented, ending in a line break; nothing when there are no rows. Outcomes, states and
/// actions are marked for colour.
fn columns(header: &[&str], rows: Vec<Vec<String>>, indent: &str) -> String {
    aligned(header, rows, indent, outcome)
}

fn aligned(
    header: &[&str],
    rows: Vec<Vec<String>>,
    indent: &str,
    outcome: fn(&str) -> String,
) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if !header.is_empty() {
        table.set_header(Row::from(header.iter().copied()));
    }
    for row in rows {
        let cells = row.iter().enumerate().map(|(place, text)| {
            let of_outcomes = match header.get(place) {
                Some(name) => OF_OUTCOMES.contains(name),
                None => header.is_empty() && place == 0,
            };
            match of_outcomes {
                true => outcome(&plain(text)),
                false => plain(text),
            }
        });
        table.add_row(Row::from(cells));
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

    #[test]
    fn marks_take_no_room_and_stand_in_columns_of_outcomes_only() {
        use crate::paint::{colored, is_mark, mark, tone};
        let marked =
            |word: &str| tone(word).map_or_else(|| word.to_owned(), |tone| mark(tone, word));
        let row = |words: [&str; 2]| words.map(str::to_owned).to_vec();
        let rows = vec![row(["failed", "failed"]), row(["unrestorable", "x"])];
        let text = aligned(&["STATE", "NAME"], rows.clone(), "", marked);
        let bare: String = text.chars().filter(|c| !is_mark(*c)).collect();
        let expected = "STATE         NAME\nfailed        failed\nunrestorable  x\n";
        assert_eq!(bare, expected);
        assert_eq!(colored(&text).matches("\u{1b}[31m").count(), 2);
        let headless = aligned(&[], rows, "", marked);
        assert_eq!(headless, text.split_once('\n').expect("lines").1);
    }
}
