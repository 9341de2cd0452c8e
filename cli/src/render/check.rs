//! The lines of `check`.

use rulekeeper_cli::operator::{CheckedGroup, CheckedRule, Checks};
use rulekeeper_core::model::Scope;

use super::{columns, plain};

/// The rules that could not come back, by group.
pub(crate) fn check(scope: &Scope, checks: &Checks) -> String {
    let rules: usize = checks.groups.iter().map(|group| group.rules.len()).sum();
    let number = match rules {
        0 => "every rule could come back".to_owned(),
        1 => "1 rule could not come back".to_owned(),
        more => format!("{more} rules could not come back"),
    };
    let records = match checks.checked {
        1 => "1 record".to_owned(),
        more => format!("{more} records"),
    };
    let role = checks.role.as_deref().map(|said| {
        format!(
            "When the function last tried: {}. `rulekeeper doctor` says what to do.\n",
            plain(said)
        )
    });
    let groups = checks.groups.iter().map(group);
    format!(
        "{scope}: {records}: {number}\n{}{}",
        role.unwrap_or_default(),
        groups.collect::<String>()
    )
}

fn group(group: &CheckedGroup) -> String {
    let name = group
        .name
        .as_deref()
        .map(|name| format!(" ({})", plain(name)));
    let problem = group
        .problem
        .as_deref()
        .map(|it| format!(": {}", plain(it)));
    let head = format!(
        "\n{}{}{}\n",
        plain(&group.group),
        name.unwrap_or_default(),
        problem.unwrap_or_default()
    );
    let row = |line: &CheckedRule| {
        let live = if line.live { "live" } else { "missing" };
        let reason = line.unrestorable.reason.clone();
        vec![line.rule.to_string(), live.to_owned(), reason]
    };
    let rows = group.rules.iter().map(row).collect();
    head + &columns(&["RULE", "NOW", "REASON"], rows, "  ")
}
