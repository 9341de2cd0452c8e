//! The lines of `doctor`.

use rulekeeper_core::function::permissions::{Check, Outcome};

use super::{columns, plain};

/// Every check, then what to fix, the broken first, and the count.
pub(crate) fn checks(checks: &[Check]) -> String {
    let row = |check: &Check| {
        vec![
            check.outcome.name().to_owned(),
            check.check.clone(),
            check.subject.clone(),
            check.found.clone(),
        ]
    };
    let header = ["OUTCOME", "CHECK", "SUBJECT", "FOUND"];
    let table = columns(&header, checks.iter().map(row).collect(), "");
    format!("{table}{}\n{}\n", to_fix(checks), count(checks))
}

fn to_fix(checks: &[Check]) -> String {
    let mut wrong: Vec<_> = checks.iter().filter(|check| check.fix.is_some()).collect();
    wrong.sort_by_key(|check| std::cmp::Reverse(check.outcome));
    let line = |check: &&Check| {
        let fix = check.fix.as_deref().unwrap_or_default();
        let what = format!(
            "{} {}: {}",
            check.check,
            check.subject,
            check.outcome.name()
        );
        format!("  {}\n    {}\n", plain(&what), plain(fix))
    };
    match wrong.is_empty() {
        true => String::new(),
        false => format!("\nTo fix:\n{}", wrong.iter().map(line).collect::<String>()),
    }
}

fn count(checks: &[Check]) -> String {
    let of = |outcome| {
        checks
            .iter()
            .filter(|check| check.outcome == outcome)
            .count()
    };
    let parts = [
        Outcome::Ok,
        Outcome::Warning,
        Outcome::Failed,
        Outcome::Skipped,
    ];
    let parts = parts.map(|outcome| (of(outcome), outcome.name()));
    let parts = parts.iter().filter(|(number, _)| *number > 0);
    let parts: Vec<_> = parts
        .map(|(number, name)| format!("{number} {name}"))
        .collect();
    let noun = if checks.len() == 1 { "check" } else { "checks" };
    format!("{} {noun}: {}", checks.len(), parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_is_to_be_fixed_first_and_others_texts_steer_no_terminal() {
        let all = [
            Check::new("clock", Outcome::Ok, "this machine", "agrees"),
            Check::new("trail", Outcome::Warning, "t", "w").fix("look"),
            Check::new("record", Outcome::Failed, "sg-0a", "x\u{1b}[2J").fix("correct it"),
            Check::new("queue", Outcome::Skipped, "-", "no"),
        ];
        let text = checks(&all);
        let expected = "\nTo fix:\n  record sg-0a: failed\n    correct it\n  trail t: warning\n    look\n\n\
                        4 checks: 1 ok, 1 warning, 1 failed, 1 skipped\n";
        assert!(text.ends_with(expected), "{text}");
        assert!(text.starts_with("OUTCOME  CHECK"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        let well = checks(&all[..1]);
        assert!(
            well.ends_with("\n\n1 check: 1 ok\n") && !well.contains("fix"),
            "{well}"
        );
    }
}
