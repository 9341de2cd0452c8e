//! A written record.

use rulekeeper_cli::operator::Written;

use super::plain;

/// What was written, with the rules that entered and left.
pub(crate) fn written(record: &Written) -> String {
    let Written {
        group,
        generation,
        changed,
        unpinned,
        added,
        removed,
    } = record;
    if !changed {
        return format!(
            "{group}: nothing differs from generation {generation}; nothing was written\n"
        );
    }
    let mut text = match unpinned {
        true => {
            format!(
                "{group}: the record was taken out, as generation {generation} of its history\n"
            )
        }
        false => format!("{group}: generation {generation} is written\n"),
    };
    for (sign, rules) in [("+", added), ("-", removed)] {
        text.extend(
            rules
                .iter()
                .map(|rule| format!("  {sign} {}\n", plain(&rule.to_string()))),
        );
    }
    text
}
