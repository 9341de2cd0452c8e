//! Rules that wait, or that need a person.

use rulekeeper_cli::operator::Standing;
use rulekeeper_core::model::RuleKey;
use rulekeeper_core::report::plan::ReopenedRule;

use super::{columns, plain};

/// The rules of one group, after a blank line; nothing where there are none.
pub(crate) fn standing(standing: &Standing) -> String {
    let lines = |rules: &[RuleKey], what: &str, remark: &str| {
        let cells = |rule: &RuleKey| vec![what.to_owned(), rule.to_string(), remark.to_owned()];
        rules.iter().map(cells).collect::<Vec<_>>()
    };
    let rows = [
        lines(
            &standing.pending,
            "pending",
            "`rulekeeper confirm` lets it go, `rulekeeper restore` brings it back",
        ),
        lines(
            &standing.unrestorable,
            "unrestorable",
            "could not come back; `rulekeeper check` says why",
        ),
        lines(
            &standing.waiting,
            "waiting",
            "missing; the event that took it has not come",
        ),
    ];
    let text = columns(&[], rows.concat(), "") + &reopened(&standing.reopened, "");
    match text.is_empty() {
        true => text,
        false => format!("\n{text}"),
    }
}

/// Rules that were put back too early, each with the command that closes it.
pub(super) fn reopened(rules: &[ReopenedRule], indent: &str) -> String {
    let lines = rules.iter().map(|it| {
        let (rule, by, at, close) = (&it.rule, plain(&it.by), it.at, &it.close);
        format!(
            "{indent}reopened: {rule}: {by} closed it at {at}, and it was put back before that was known. Close it:\n{indent}  {close}\n"
        )
    });
    lines.collect()
}
