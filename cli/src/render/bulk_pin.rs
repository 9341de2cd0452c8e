//! Many groups that are pinned, before and after.

use rulekeeper_cli::operator::{BulkPinGroup, BulkPinOutcome};

use super::{columns, plain};

/// The most rules that are shown of one group; JSON has all.
const RULES_SHOWN: usize = 10;

/// A line for each group, the rules that records lose or would lose, and how many groups there are of each outcome.
pub(crate) fn bulk_pin(groups: &[BulkPinGroup]) -> String {
    let header = [
        "GROUP",
        "NAME",
        "VPC",
        "RULES",
        "RECORD",
        "CHANGE",
        "GENERATION",
        "REMARK",
    ];
    let mut text = columns(&header, groups.iter().map(row).collect(), "");
    text.extend(groups.iter().map(lost));
    text + &counts(groups)
}

fn row(group: &BulkPinGroup) -> Vec<String> {
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    vec![
        group.group.id.to_string(),
        text(group.name.clone()),
        text(group.vpc_id.clone()),
        text(group.rules.map(|rules| rules.to_string())),
        outcome(group.outcome).to_owned(),
        change(group),
        text(group.generation.map(|number| number.to_string())),
        group.reason.clone().unwrap_or_default(),
    ]
}

fn outcome(outcome: BulkPinOutcome) -> &'static str {
    match outcome {
        BulkPinOutcome::New => "new",
        BulkPinOutcome::Changed => "changed",
        BulkPinOutcome::Unchanged => "unchanged",
        BulkPinOutcome::LeftOut => "left out",
        BulkPinOutcome::Failed => "failed",
    }
}

/// The numbers of added, removed and changed rules, and the names of changed attributes: `+1 -2 ~3 mode`.
fn change(group: &BulkPinGroup) -> String {
    let counts = [
        ('+', group.added.len()),
        ('-', group.removed.len()),
        ('~', group.altered.len()),
    ];
    let counts = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(sign, count)| format!("{sign}{count}"));
    let names = group.attributes.keys().map(|name| (*name).to_owned());
    let parts: Vec<String> = counts.chain(names).collect();
    match parts.is_empty() {
        true => "-".to_owned(),
        false => parts.join(" "),
    }
}

fn lost(group: &BulkPinGroup) -> String {
    if group.removed.is_empty() {
        return String::new();
    }
    let verb = match (group.outcome, group.changed) {
        (BulkPinOutcome::LeftOut | BulkPinOutcome::Failed, _) => "would lose",
        (_, true) => "lost",
        (_, false) => "loses",
    };
    let mut text = format!("\n{} {verb}\n", group.group.id);
    for rule in group.removed.iter().take(RULES_SHOWN) {
        text += &format!("  - {}\n", plain(&rule.to_string()));
    }
    if let Some(more @ 1..) = group.removed.len().checked_sub(RULES_SHOWN) {
        text += &format!("  and {more} more, all of them with --output json\n");
    }
    text
}

fn counts(groups: &[BulkPinGroup]) -> String {
    let kinds = [
        BulkPinOutcome::New,
        BulkPinOutcome::Changed,
        BulkPinOutcome::Unchanged,
        BulkPinOutcome::LeftOut,
        BulkPinOutcome::Failed,
    ];
    let counted = kinds.map(|kind| {
        let of_kind = groups.iter().filter(|group| group.outcome == kind).count();
        (kind, of_kind)
    });
    let counted = counted.iter().filter(|(_, count)| *count > 0);
    let parts: Vec<String> = counted
        .map(|(kind, count)| format!("{count} {}", outcome(*kind)))
        .collect();
    format!("\n{}\n", parts.join(", "))
}
