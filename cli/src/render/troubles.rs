//! What is wrong with groups now.

use super::{named, plain, who};
use crate::trouble::Trouble;

/// Everything that is wrong, a group a paragraph, each with the command that helps.
pub(crate) fn troubles(items: &[Trouble], groups: u64) -> String {
    let looked_at = match groups {
        1 => "1 group looked at".to_owned(),
        groups => format!("{groups} groups looked at"),
    };
    if items.is_empty() {
        return format!("all is well: {looked_at}, no rule is missing\n");
    }
    let mut text = String::new();
    let mut group = None;
    for item in items {
        if group != Some(&item.group) {
            let gap = if group.is_some() { "\n" } else { "" };
            let name = match &item.group {
                Some(address) => named(Some(address), item.name.as_deref()),
                None => "not looked at".to_owned(),
            };
            text += &format!("{gap}{name}\n");
            group = Some(&item.group);
        }
        text += &line(item);
    }
    let missing = items.iter().filter(|item| item.is_missing()).count();
    let count = match missing {
        1 => "1 rule is missing".to_owned(),
        rules => format!("{rules} rules are missing"),
    };
    format!("{text}\n{looked_at}: {count}\n")
}

fn line(item: &Trouble) -> String {
    let rule = item.rule.as_ref().map(|rule| format!("  {rule}"));
    let mut facts = Vec::new();
    if let Some(since) = item.since {
        facts.push(format!("since {since:.0}"));
    }
    if let Some(principal) = &item.principal {
        facts.push(format!("by {}", who(principal, item.session.as_deref())));
    }
    if let Some(until) = item.until {
        facts.push(format!("until {until:.0}"));
    }
    let facts = match facts.is_empty() {
        true => String::new(),
        false => format!("  {}", facts.join(", ")),
    };
    let command = item
        .command
        .as_ref()
        .map(|it| format!("    {}\n", plain(it)));
    format!(
        "  {}{}{facts}\n    {}\n{}",
        item.state,
        rule.unwrap_or_default(),
        plain(&item.reason),
        command.unwrap_or_default()
    )
}
